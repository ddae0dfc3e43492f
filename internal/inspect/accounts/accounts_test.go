package accounts

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/inspect/crypt"
	"github.com/ringwall/ringwall/internal/inspect/viewtest"
	"github.com/ringwall/ringwall/internal/known"
)

const (
	passwdX = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\n"
	// ismart is a published hash of a known default; strange is of a password
	// that nobody knows, made with mkpasswd.
	ismart  = "rJ0FHsG0ZbyZo"
	strange = "$1$Jq7sYw2p$Q0l9zXo1u4Yp0Tn6bG4nA."
)

func system(files map[string]string) map[string]string {
	files["etc/inittab"] = "::sysinit:/bin/true\n"
	files["bin/sh"] = "ELF"
	return files
}

func TestExamine(t *testing.T) {
	for _, c := range []struct {
		name       string
		files      map[string]string
		outcome    ringwall.Outcome
		confidence ringwall.Confidence
		hash       ringwall.Outcome
	}{
		{"known DES hash in shadow", map[string]string{"etc/passwd": passwdX, "etc/shadow": "root:" + ismart + ":10933:0:99999:7:::\n"}, ringwall.Fail, ringwall.Confirmed, ringwall.Fail},
		{"known MD5 hash in passwd", map[string]string{"etc/passwd": "root:$1$RYIwEiRA$d5iRRVQ5ZeRTrJwGjRy.B0:0:0:root:/:/bin/sh\n"}, ringwall.Fail, ringwall.Confirmed, ringwall.Fail},
		{"hash of the empty password", map[string]string{"etc/passwd": "root:$1$k1wheY2.$XCelh0nbndpez5N/ER6A00:0:0:root:/:/bin/sh\n"}, ringwall.Fail, ringwall.Confirmed, ringwall.Fail},
		{"empty password", map[string]string{"etc/passwd": "root::0:0:root:/:/bin/sh\n"}, ringwall.Fail, ringwall.Confirmed, ringwall.Unknown},
		{"empty in shadow", map[string]string{"etc/passwd": passwdX, "etc/shadow": "root::0:0:99999:7:::\n"}, ringwall.Fail, ringwall.Confirmed, ringwall.Unknown},
		{"fixed, not known", map[string]string{"etc/passwd": passwdX, "etc/shadow": "root:" + strange + ":1:0:99999:7:::\n"}, ringwall.Fail, ringwall.Observed, ringwall.Fail},
		{"known, in a copy only", map[string]string{"etc/passwd": passwdX, "etc/shadow": "root:!:1:0:99999:7:::\n", "etc/shadow.bak": "root:" + ismart + ":1:0:99999:7:::\n"}, ringwall.Fail, ringwall.Observed, ringwall.Fail},
		{"set by a script", map[string]string{"etc/passwd": passwdX, "etc/shadow": "root:*:1:0:99999:7:::\n", "etc/init.d/rcS": "#!/bin/sh\necho \"root:vizxv\" | chpasswd\n"}, ringwall.Fail, ringwall.Confirmed, ringwall.Fail},
		{"web server's users", map[string]string{"etc/passwd": passwdX, "etc/shadow": "root:*:::::::\n", "etc/httpd.conf": "/cgi-bin:admin:admin\n"}, ringwall.Fail, ringwall.Confirmed, ringwall.Fail},

		{"all locked", map[string]string{"etc/passwd": passwdX, "etc/shadow": "root:*:1:0:99999:7:::\ndaemon:!:1:0:99999:7:::\nftp:!!:1::::::\n"}, ringwall.Pass, ringwall.Observed, ringwall.Unknown},
		{"locked hash", map[string]string{"etc/passwd": passwdX, "etc/shadow": "root:!" + ismart + ":1:0:99999:7:::\n"}, ringwall.Pass, ringwall.Observed, ringwall.Unknown},
		{"empty, without a shell", map[string]string{"etc/passwd": "root:!:0:0::/:/bin/sh\nftp::14:50::/:/bin/false\nwww::33:33::/:/usr/sbin/nologin\n"}, ringwall.Pass, ringwall.Observed, ringwall.Unknown},
		{"set by a script to a variable", map[string]string{"etc/passwd": passwdX, "etc/shadow": "root:*:::::::\n", "etc/init.d/rcS": "#!/bin/sh\n#echo \"root:vizxv\" | chpasswd\necho \"root:$PW\" | chpasswd\n"}, ringwall.Pass, ringwall.Observed, ringwall.Unknown},
		{"PAM's file of this name", map[string]string{"etc/passwd": passwdX, "etc/shadow": "root:*:::::::\n", "etc/pam.d/passwd": "auth:required:pam_unix.so\n@include common-password\n"}, ringwall.Pass, ringwall.Observed, ringwall.Unknown},

		{"shadow is elsewhere", map[string]string{"etc/passwd": passwdX}, ringwall.Unknown, ringwall.Observed, ringwall.Unknown},
		{"no file", map[string]string{"etc/group": "root:x:0:\n"}, ringwall.Unknown, ringwall.Observed, ringwall.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Examine(viewtest.Of(t, system(c.files)))
			fs01, da02 := r.Findings[0], r.Findings[1]
			if fs01.Outcome != c.outcome || fs01.Confidence != c.confidence {
				t.Errorf("FS-01 is %v, %v: %q %v, want %v, %v", fs01.Outcome, fs01.Confidence, fs01.Title, fs01.Evidence, c.outcome, c.confidence)
			}
			if da02.Outcome != c.hash {
				t.Errorf("DA-02 is %v: %q %v, want %v", da02.Outcome, da02.Title, da02.Evidence, c.hash)
			}
			if fs01.Outcome == ringwall.Pass && len(fs01.Evidence) == 0 {
				t.Error("a pass without a reason")
			}
			b, err := json.Marshal(r.Findings)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{ismart, strange, "ismart12", "vizxv", "XCelh0nbndpez5N", "admin:admin"} {
				if strings.Contains(string(b), secret) {
					t.Errorf("a finding shows a secret: %s", b)
				}
			}
		})
	}
}

func TestExamine_everyDefaultIsFound(t *testing.T) {
	// Hashes that were published with their passwords, of cameras.
	for _, h := range []string{"absxcfbgXtb3o", "7wtxBdUGBnuoY", "$1$EnVGPLqH$Jwh/FgaqrrHwHsmzHibnc1", "$1$MoCJ1nRA$NfsI1wlYcWoF5MbU4t3Og0", "$1$ybdHbPDn$ii9aEIFNiolBbM9QxW9mr0", "ab8nBoH3mb8.g", "xt5USRjG7rEDE", "LOra.53O7nLVQ", "aVG8.5PMEOfnQ", "$1$$BZofx4soyTd/5HrIQGP5L/", "$1$jv4d1NpW$PpH6Xd79JR1JkUDLMJLch1"} {
		r := Examine(viewtest.Of(t, system(map[string]string{"etc/passwd": "root:" + h + ":0:0:root:/:/bin/sh\n"})))
		if r.Accounts[0].Known == "" || r.Findings[0].Confidence != ringwall.Confirmed {
			t.Errorf("the password behind %q is not told", h)
		}
		if r.Secrets[0].Kind != "password-hash" || r.Secrets[0].Known == "" || len(r.Secrets[0].Mark) != 64 {
			t.Errorf("mark %+v", r.Secrets[0])
		}
	}
}

// The same image costs the same work everywhere, and no more than the bound.
func TestCrack_bounded(t *testing.T) {
	slow := "$6$rounds=20000$saltsalt$" + strings.Repeat("a", 86)
	as := []Account{{Name: "root", State: Hashed, Scheme: crypt.SHA512, secret: slow}}
	if cut := crack(as); !cut {
		t.Errorf("%d defaults at a cost of %d each were all compared, above the bound of %d", len(known.Defaults()), crypt.Cost(slow), budget)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(passwdX)
	f.Add("root:rJ0FHsG0ZbyZo:10933:0:99999:7:::\n")
	f.Add("a:b:c\n")
	f.Fuzz(func(t *testing.T, text string) {
		kind, as, ok := Parse(text)
		if ok && (kind != "passwd" && kind != "shadow" || len(as) == 0 || len(as) > maxAccounts) {
			t.Fatalf("kind %q with %d accounts", kind, len(as))
		}
	})
}
