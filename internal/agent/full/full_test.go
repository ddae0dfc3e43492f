package full

import "testing"

// TestTierOf: what a gateway says of its kernel ends in a word, or in the reason in
// brackets by which the platform knows that the fast path is off.
func TestTierOf(t *testing.T) {
	for _, x := range []struct {
		on   bool
		why  string
		want string
	}{{true, "", "fastpath"}, {false, "no BTF", "(no BTF)"}, {false, "", "()"}} {
		if got := tierOf(x.on, x.why); got != x.want {
			t.Errorf("tierOf(%v, %q) = %q, want %q", x.on, x.why, got, x.want)
		}
	}
}
