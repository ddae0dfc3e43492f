package declare

import (
	"os"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
)

// TestExample_inTheManual_isRead holds that the declaration which docs/assess.md
// shows is one that Read takes, and that it says what the manual says.
func TestExample_inTheManual_isRead(t *testing.T) {
	b, err := os.ReadFile("../../docs/examples/declaration.yaml")
	if err != nil {
		t.Fatal(err)
	}
	x, err := Read(b, "lantern", time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]ringwall.Outcome{}
	for _, f := range x.Findings {
		if f.Confidence != ringwall.Declared {
			t.Errorf("%s is %v, want declared", f.Indicator, f.Confidence)
		}
		got[f.Indicator] = f.Outcome
	}
	for indicator, want := range map[string]ringwall.Outcome{
		"AP-01": ringwall.Pass, "AP-03": ringwall.Pass, "FS-09": ringwall.Pass, "FS-12": ringwall.Pass,
		"HW-02": ringwall.NotApplicable, "DA-03": ringwall.Fail, "CO-01": ringwall.Pass,
	} {
		if outcome, ok := got[indicator]; !ok || outcome != want {
			t.Errorf("%s: %v (said: %v), want %v", indicator, outcome, ok, want)
		}
	}
	if len(x.Services) != 2 || len(x.Components) != 1 {
		t.Errorf("%d services and %d components, want 2 and 1", len(x.Services), len(x.Components))
	}
	if want := time.Date(2027, 6, 30, 0, 0, 0, 0, time.UTC); !x.Until.Equal(want) {
		t.Errorf("valid until %v, want %v", x.Until, want)
	}
}
