package known

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestDefaults(t *testing.T) {
	all := Defaults()
	if len(all) < 150 {
		t.Fatalf("%d defaults, want the whole list", len(all))
	}
	for _, d := range all {
		if d.Password() == "" && d.User == "" {
			t.Errorf("number %d is empty", d.N)
		}
		for _, s := range []string{fmt.Sprint(d), fmt.Sprintf("%v %+v %#v %s", d, d, d, d)} {
			if d.Password() != "" && len(d.Password()) > 3 && strings.Contains(s, d.Password()) && !strings.Contains("known default password", d.Password()) {
				t.Errorf("printing number %d shows its password: %s", d.N, s)
			}
		}
	}
}

// A number names one pair for good, here and in the probe that tries them.
func TestDefaults_numbersOfTheProbe(t *testing.T) {
	text, err := os.ReadFile("../probe/credential/known.txt")
	if err != nil {
		t.Fatal(err)
	}
	probe := map[int][2]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if n, err := strconv.Atoi(append(f, "")[0]); err == nil && len(f) == 5 {
			probe[n] = [2]string{blank(f[3]), blank(f[4])}
		}
	}
	if len(probe) < 60 {
		t.Fatalf("only %d pairs of the probe were read", len(probe))
	}
	here := map[int]bool{}
	for _, d := range Defaults() {
		here[d.N] = true
		if p, ok := probe[d.N]; ok && (p[0] != d.User || p[1] != d.Password()) {
			t.Errorf("number %d is another pair in the probe", d.N)
		}
		if d.N < 1000 {
			if _, ok := probe[d.N]; !ok {
				t.Errorf("number %d is not in the probe's list", d.N)
			}
		}
	}
	for n := range probe {
		if !here[n] && n < 1000 {
			t.Logf("number %d of the probe is not here: images are not compared with it", n)
		}
	}
}

func TestKeys(t *testing.T) {
	all := Keys()
	k, ok := all["370346c0864770dac7a90774f75ac6de537f5f5b2c4b1bb1d12bf3c5f4f484ae"]
	if !ok || !k.Library || !strings.Contains(k.Name, "mbed TLS") {
		t.Errorf("the test key of mbed TLS is %+v", k)
	}
	k, ok = all["993e2f54da5f3d94d1fa00bd1032244adeea626b54429b8f3ea0d5377796526e"]
	if !ok || k.Library {
		t.Errorf("the sample key of GoAhead is %+v: it was meant to be served", k)
	}
}

func TestParse_broken(t *testing.T) {
	for _, text := range []string{"x root root", "1 root", "2 root a\n1 root b", "1 a b c"} {
		if _, err := parseDefaults(text); err == nil {
			t.Errorf("parseDefaults(%q) gives no error", text)
		}
	}
	mark := strings.Repeat("a", 64)
	for _, text := range []string{"abc test name", mark + " other name", mark + " test", mark + " test a\n" + mark + " test b"} {
		if _, err := parseKeys(text); err == nil {
			t.Errorf("parseKeys(%q) gives no error", text)
		}
	}
}
