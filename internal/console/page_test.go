package console

import (
	"net/url"
	"os/exec"
	"strings"
	"testing"
)

func FuzzBack(f *testing.F) {
	for _, s := range []string{"", "/", "/devices?x=1", "//evil.example", "/\\evil.example", "https://evil.example", "/login?next=/", "/a\nb", "javascript:alert(1)", "/%2f%2fevil.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		to := back(s)
		if !strings.HasPrefix(to, "/") || strings.ContainsAny(to, "\r\n\\") {
			t.Fatalf("back(%q) = %q", s, to)
		}
		u, err := url.Parse(to)
		if err == nil && (u.Host != "" || u.Scheme != "") {
			t.Errorf("back(%q) leads to %q", s, u)
		}
	})
}

func TestShellWord_is_one_word_to_a_shell(t *testing.T) {
	for _, s := range []string{"plain", "https://x.example:8443", "with blank", "it's", "$(reboot)", "`id`", "a\"b", "-n", "", "a\nb", "*"} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf '[%s]' "+shellWord(s)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if string(out) != "["+s+"]" {
			t.Errorf("shellWord(%q) = %s, a shell reads %q", s, shellWord(s), out)
		}
	}
}

func TestRing_shows_all_that_was_counted(t *testing.T) {
	r := newRing("grade", 6, map[string]int{"high": 1, "low": 2, "superb": 3}, "high", "medium", "low")
	sum := 0
	for _, a := range r.Arcs {
		sum += a.Count
	}
	last := r.Arcs[len(r.Arcs)-1]
	if sum != 6 || last.Value != "unknown" || last.Count != 3 {
		t.Errorf("the ring is %+v: a count under a strange name is unknown, and none is lost", r)
	}
	if r := newRing("grade", 0, nil, "high", "low"); len(r.Arcs) != 2 || r.Arcs[0].Dash != "" {
		t.Errorf("an empty ring is %+v", r)
	}
}
