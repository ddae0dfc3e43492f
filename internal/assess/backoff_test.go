package assess

import (
	"testing"
	"time"
)

func TestLedger_Refuse(t *testing.T) {
	plain := Refusal{Status: 401, Took: 10 * time.Millisecond}
	for _, x := range []struct {
		name  string
		after []Refusal
		again bool
	}{
		{"refused four times alike", []Refusal{plain, plain, plain, plain}, true},
		{"423", []Refusal{{Status: 423}}, false},
		{"429", []Refusal{plain, {Status: 429}}, false},
		{"it says so", []Refusal{{Status: 200, Words: true}}, false},
		{"three tries left", []Refusal{{Status: 401, Left: 3, Counts: true}}, true},
		{"one try left", []Refusal{{Status: 401, Left: 1, Counts: true}}, false},
		{"no count is no zero", []Refusal{{Status: 401, Left: 0}}, true},
		{"it asks to wait", []Refusal{{Status: 401, RetryAfter: 30 * time.Second}}, false},
		{"it asks to wait a second", []Refusal{{Status: 401, RetryAfter: time.Second}}, true},
		{"401, then 403", []Refusal{plain, {Status: 403, Took: 10 * time.Millisecond}}, false},
		{"slow from the start", []Refusal{{Status: 401, Took: 2 * time.Second}, {Status: 401, Took: 2 * time.Second}}, true},
		{"ever slower", []Refusal{plain, plain, {Status: 401, Took: 2 * time.Second}}, false},
	} {
		now := noon
		l := NewLedger(Budget{}, func() time.Time { return now })
		var again bool
		var why string
		for _, r := range x.after {
			again, why = l.Refuse(CameraAccounts, "http/80", r)
		}
		if again != x.again || again == (why != "") {
			t.Errorf("%s: may be tried again: %v (%q), want %v", x.name, again, why, x.again)
		}
		ok, _ := l.Spend(CameraAccounts, "rtsp/554", "admin")
		_, shut := l.Shut(CameraAccounts)
		if ok != x.again || shut == x.again {
			t.Errorf("%s: the other service of the same accounts may be tried: %v, shut %v", x.name, ok, shut)
		}
		if ok, _ := l.Spend(SystemAccounts, "telnet/23", "root"); !ok {
			t.Errorf("%s: the system's accounts are not the camera's", x.name)
		}
		now = now.Add(time.Hour + time.Second)
		if ok, why := l.Spend(CameraAccounts, "http/80", "admin"); !ok {
			t.Errorf("%s: after the window: %s", x.name, why)
		}
	}
}

func TestLedger_Pause(t *testing.T) {
	now := noon
	l := NewLedger(Budget{}, func() time.Time { return now })
	var got []time.Duration
	for range 8 {
		got = append(got, l.Pause("http/80"))
		l.Refuse(CameraAccounts, "http/80", Refusal{Status: 401})
	}
	want := []time.Duration{0, 0, 125, 250, 500, 1000, 2000, 2000}
	for i := range want {
		if got[i] != want[i]*time.Millisecond {
			t.Errorf("before try %d the pause is %v, want %v ms", i+1, got[i], int64(want[i]))
		}
	}
	if l.Pause("rtsp/554") != 0 {
		t.Error("another service pays")
	}
	now = now.Add(time.Hour)
	if l.Pause("http/80") != 0 {
		t.Error("after the window there is still a pause")
	}
}
