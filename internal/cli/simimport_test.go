package cli

import (
	"testing"
)

func TestNextICCID_keeps_the_check_digit(t *testing.T) {
	// 89860012345678901 and its check digit (ISO/IEC 7812-1 annex B).
	body := "8986001234567890123"
	with := body + string(luhn(body))
	got, err := nextICCID(with, 1)
	if want := "8986001234567890124" + string(luhn("8986001234567890124")); err != nil || got != want {
		t.Errorf("next of %s is %s, %v; want %s", with, got, err, want)
	}
	if luhn("7992739871") != '3' { // the example everybody gives
		t.Errorf("check digit %c", luhn("7992739871"))
	}
	plain := body + string('0'+(luhn(body)-'0'+1)%10)
	if got, err := nextICCID(plain, 5); err != nil || len(got) != len(plain) || got == plain || got[:len(got)-2] != plain[:len(plain)-2] && got[:6] != plain[:6] {
		t.Errorf("without a check digit: %s, %v", got, err)
	}
	if got, err := nextICCID(with, 0); err != nil || got != with {
		t.Errorf("the first is %s, %v", got, err)
	}
	seen := map[string]bool{}
	for n := range 2000 {
		s, err := nextICCID(with, n)
		if err != nil || seen[s] || len(s) != len(with) || luhn(s[:len(s)-1]) != s[len(s)-1] {
			t.Fatalf("number %d: %s, %v", n, s, err)
		}
		seen[s] = true
	}
}

func TestAddDigits(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{{"460001", 1, "460002"}, {"000009", 1, "000010"}, {"999", 1, ""}, {"12a", 1, ""}, {"", 1, ""}, {"460001", 0, "460001"}} {
		got, err := addDigits(c.s, c.n)
		if got != c.want && c.want != "" || (err != nil) != (c.want == "") {
			t.Errorf("addDigits(%q, %d) = %q, %v, want %q", c.s, c.n, got, err, c.want)
		}
	}
}

func FuzzNextICCID(f *testing.F) {
	f.Add("89860012345678901234", 7)
	f.Add("1", 1)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n < 0 || n > 1000 {
			return
		}
		got, err := nextICCID(s, n)
		if err == nil && len(got) != len(s) {
			t.Fatalf("%q becomes %q", s, got)
		}
	})
}
