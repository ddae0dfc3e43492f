package spine

import (
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
)

func TestSubject_HasFourTokensWhateverTheSubjectIs(t *testing.T) {
	for _, c := range []struct {
		kind string
		id   string
		want string
	}{
		{"device.trust", "dev_x", "rw.org_a.device-trust.dev_x"}, {"alert", "", ""}, {"alert", "10.77.0.5", ""}, {"alert", "a*b", ""}, {"alert", "x >", ""},
	} {
		got := Subject(ringwall.Event{Org: "org_a", Kind: c.kind, Subject: ringwall.Subject{Kind: ringwall.SubjectAddress, ID: c.id}})
		if c.want != "" && got != c.want {
			t.Errorf("Subject of %q = %q, want %q", c.id, got, c.want)
		}
		if strings.Count(got, ".") != 3 || strings.ContainsAny(got, "*> ") || strings.HasSuffix(got, ".") {
			t.Errorf("Subject of %q = %q, which is not four plain tokens", c.id, got)
		}
	}
}

func TestBackoff_GrowsWithJitterAndIsBounded(t *testing.T) {
	seen := map[time.Duration]bool{}
	for n := range 200 {
		d := backoff(n)
		if d < backoffFirst/2 || d > backoffMost {
			t.Errorf("backoff(%d) = %v", n, d)
		}
		if n > 20 {
			seen[d] = true
		}
	}
	if len(seen) < 100 {
		t.Errorf("180 waits had %d values: no jitter", len(seen))
	}
}

func TestDial_RefusesWhatCannotWork(t *testing.T) {
	for _, cfg := range []Config{{}, {Servers: []string{"tls://127.0.0.1:1"}}} {
		if _, err := Dial(t.Context(), cfg); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("Dial(%+v) = %v, want invalid", cfg, err)
		}
	}
}
