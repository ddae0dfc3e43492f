package crypt

import (
	"strings"
	"testing"
)

// The hashes stand in published lists of firmware passwords, in crypt(5), or
// were made with mkpasswd and smbpasswd.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		hash, password string
		scheme         Scheme
	}{
		{"rJ0FHsG0ZbyZo", "ismart12", DES},
		{"absxcfbgXtb3o", "xc3511", DES},
		{"7wtxBdUGBnuoY", "runtop10", DES},
		{"Uu1Kq8MmXhxqA", "j1/_6s*w", DES},
		{"0.IQvJd8bXSWU", "hdipc%No", DES},
		{"$1$RYIwEiRA$d5iRRVQ5ZeRTrJwGjRy.B0", "xmhdipc", MD5},
		{"$1$ybdHbPDn$ii9aEIFNiolBbM9QxW9mr0", "hslwificam", MD5},
		{"$1$$.MO09JyxBBNd9Xv0pXIqc0", "lbtech2002", MD5},
		{"$1$79bz0K8z$Ii6Q/if83F1QodGmkb4Ah.", "7ujMko0vizxv", MD5},
		{"$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/", "myPassword", APR1},
		{"$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!", SHA256},
		{"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!", SHA512},
		{"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", BCrypt},
		{"$y$j9T$abcdefgh$PMO/ybZGzwvHUDcEDrYISVNPmdY1pppLlI6NvjamW79", "hunter2", Yescrypt},
		{"{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "password", LDAPSHA},
		{"8846F7EAEE8FB117AD06BDD830B7586C", "password", NT},
	} {
		if got := SchemeOf(c.hash); got != c.scheme {
			t.Errorf("SchemeOf(%q) = %q, want %q", c.hash, got, c.scheme)
		}
		if !Check(c.hash, c.password) {
			t.Errorf("Check(%q, the password) = false", c.hash)
		}
		for _, wrong := range []string{"", c.password + "x", strings.ToUpper(c.password) + "!", "X" + c.password} {
			if c.scheme == DES && strings.HasPrefix(wrong, c.password) && len(c.password) >= 8 {
				continue // DES keeps eight characters only
			}
			if Check(c.hash, wrong) {
				t.Errorf("Check(%q, a wrong password) = true", c.hash)
			}
		}
	}
}

func TestSchemeOf_noHash(t *testing.T) {
	for _, s := range []string{"", "x", "*", "!", "!!", "password", "$1$short", "rJ0FHsG0ZbyZ", "rJ0FHsG0ZbyZo1", "hello world!!", "$6$a$b", "$y$", "$5$rounds=99999999999$a$b"} {
		if got := SchemeOf(s); got != None {
			t.Errorf("SchemeOf(%q) = %q, want none", s, got)
		}
	}
}

func TestCost_boundsWork(t *testing.T) {
	body := strings.Repeat("a", 86)
	for _, h := range []string{"$6$rounds=999999999$salt$" + body, "$2a$31$" + strings.Repeat("a", 53), "$7$" + strings.Repeat("z", 20) + "$" + strings.Repeat("a", 43), "$y$jzzzz$salt$" + strings.Repeat("a", 43)} {
		if SchemeOf(h) == None {
			t.Errorf("%.12s… is not recognised", h)
		}
		if Cost(h) != 0 || Check(h, "x") {
			t.Errorf("%.12s… asks for more work than allowed, and is checked", h)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("rJ0FHsG0ZbyZo", "ismart12")
	f.Add("$1$$.MO09JyxBBNd9Xv0pXIqc0", "a")
	f.Add("$6$rounds=1000$s$x", "")
	f.Fuzz(func(t *testing.T, hash, password string) {
		if len(hash) > 256 || len(password) > 64 || Cost(hash) > 50 {
			return
		}
		if Check(hash, password) && SchemeOf(hash) == None {
			t.Error("something that is no hash was checked")
		}
	})
}

func BenchmarkDES(b *testing.B) {
	for b.Loop() {
		Check("rJ0FHsG0ZbyZo", "12345678")
	}
}
