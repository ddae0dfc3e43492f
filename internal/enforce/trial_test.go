package enforce_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/enforce"
)

func modes(m ringwall.Mode) func(*api.Desired) {
	return func(d *api.Desired) {
		for i := range d.Devices {
			d.Devices[i].Mode = m
		}
	}
}

func (m *machine) phase(t *testing.T, k *enforce.Keeper, phase enforce.Phase, generation, newest uint64) {
	t.Helper()
	if v := k.View(); v.Phase != phase || v.Desired.Generation != generation || v.Newest != newest {
		t.Errorf("phase %s, generation %d of %d, want %s, %d of %d", v.Phase, v.Desired.Generation, v.Newest, phase, generation, newest)
	}
}

// TestKeeper_trial: a document is on trial until it is confirmed, over restarts;
// rolled back, it leaves what both allow, and the holds.
func TestKeeper_trial(t *testing.T) {
	m := newMachine(t)
	k, _ := m.boot(t)
	mustAccept(t, k, desired(1, modes(ringwall.Enforce)))
	m.phase(t, k, enforce.Trial, 1, 1)
	if ok, err := k.Confirm(7); ok || err != nil {
		t.Errorf("another generation confirms: %v, %v", ok, err)
	}
	if ok, err := k.Confirm(1); !ok || err != nil {
		t.Fatalf("confirming: %v, %v", ok, err)
	}
	k, _ = m.boot(t)
	m.phase(t, k, enforce.Confirmed, 1, 1)

	mustAccept(t, k, desired(2, modes(ringwall.Learn)))
	k, _ = m.boot(t)
	m.phase(t, k, enforce.Trial, 2, 2)
	h, ok, _, err := k.React(alert("dev_0", 1))
	if !ok || err != nil {
		t.Fatal(err)
	}
	if _, ok := k.Fallback(); !ok {
		t.Fatal("there is no fallback from a document on trial")
	}
	if ok, err := k.Rollback(); !ok || err != nil {
		t.Fatalf("rolling back: %v, %v", ok, err)
	}
	for range 2 {
		m.phase(t, k, enforce.RolledBack, 1, 2)
		if v := k.View(); v.Desired.Devices[1].Mode != ringwall.Enforce || len(v.Holds) != 1 || v.Holds[0].ID != h.ID {
			t.Errorf("after the rollback: mode %s, holds %v", v.Desired.Devices[1].Mode, v.Holds)
		}
		if k.Have() != 2 {
			t.Errorf("the gateway asks for what follows %d", k.Have())
		}
		if _, err := k.Accept(sign(t, desired(1))); ringwall.CodeOf(err) != ringwall.Conflict {
			t.Errorf("an older document: %v", err)
		}
		k, _ = m.boot(t)
	}
	if ok, err := k.Retry(); !ok || err != nil {
		t.Fatalf("trying again: %v, %v", ok, err)
	}
	k, _ = m.boot(t)
	m.phase(t, k, enforce.Trial, 2, 2)
	// A newer one while one is on trial: what was confirmed stays what it goes back to.
	mustAccept(t, k, desired(3, modes(ringwall.Learn)))
	k.Rollback()
	m.phase(t, k, enforce.RolledBack, 1, 3)
	mustAccept(t, k, desired(4, modes(ringwall.Enforce)))
	m.phase(t, k, enforce.Trial, 4, 4)
	k.Confirm(4)
	m.phase(t, k, enforce.Confirmed, 4, 4)
	if ok, _ := k.Rollback(); ok {
		t.Error("a confirmed document is rolled back")
	}
}

// TestKeeper_firstDocument goes back to the closed gateway that there was before.
func TestKeeper_firstDocument(t *testing.T) {
	m := newMachine(t)
	k, _ := m.boot(t)
	mustAccept(t, k, desired(5))
	k.Rollback()
	k, faults := m.boot(t)
	if faults != nil {
		t.Error(faults)
	}
	m.phase(t, k, enforce.RolledBack, 0, 5)
	if v := k.View(); len(v.Desired.Devices) != 0 || v.Desired.Arrival != ringwall.Enforce {
		t.Errorf("left is %+v", v.Desired)
	}
}

// TestKeeper_olderFile: what an agent of before there were trials has written
// counts as confirmed; and a candidate that cannot be verified closes, since
// nobody knows what it has taken away.
func TestKeeper_olderFile(t *testing.T) {
	m := newMachine(t)
	k, _ := m.boot(t)
	mustAccept(t, k, desired(1))
	k.Confirm(1)
	mustAccept(t, k, desired(2))
	file := filepath.Join(m.dir, "desired.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(b) - 40; i < len(b)-30; i++ { // in the candidate's signature
		b[i] = 'A'
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	k, faults := m.boot(t)
	if len(faults) == 0 || k.Have() != 0 {
		t.Errorf("a damaged candidate: faults %v, generation %d", faults, k.Have())
	}
}

func TestTimepiece(t *testing.T) {
	clock := func(wall, mono time.Duration) enforce.Clock {
		return enforce.Clock{Wall: start.Add(wall), Mono: mono}
	}
	type step struct {
		wall, mono time.Duration
		vouch      time.Duration // of the platform, before the reading; -1 = none
		want       time.Duration
		sure, leap bool
	}
	for _, c := range []struct {
		name  string
		floor time.Duration
		steps []step
	}{
		{"runs", 0, []step{{0, 0, -1, 0, true, false}, {time.Hour, time.Hour, -1, time.Hour, true, false}}},
		{"forward is followed", 0, []step{{0, 0, -1, 0, true, false}, {5 * time.Hour, time.Second, -1, 5 * time.Hour, true, true}}},
		{"backward is not", 0, []step{{time.Hour, 0, -1, time.Hour, true, false}, {0, time.Second, -1, time.Hour + time.Second, true, true}}},
		{"behind the floor nothing is sure", time.Hour, []step{{-1e6 * time.Hour, 0, -1, time.Hour, false, false}, {-1e6*time.Hour + time.Minute, time.Minute, -1, time.Hour, false, false}}},
		{"until the clock is set", time.Hour, []step{{-1e6 * time.Hour, 0, -1, time.Hour, false, false}, {3 * time.Hour, time.Second, -1, 3 * time.Hour, true, true}}},
		{"or the platform is heard", time.Hour, []step{{-1e6 * time.Hour, 0, 2 * time.Hour, 2 * time.Hour, true, false}, {-1e6*time.Hour + time.Minute, time.Minute, -1, 2*time.Hour + time.Minute, true, false}}},
		{"a vouched time is not moved by the wall clock", 0, []step{{0, 0, 0, 0, true, false}, {9 * time.Hour, time.Minute, -1, time.Minute, true, true}, {-9 * time.Hour, 2 * time.Minute, -1, 2 * time.Minute, true, true}}},
	} {
		var p enforce.Timepiece
		p.Raise(start.Add(c.floor))
		for i, s := range c.steps {
			if s.vouch >= 0 {
				p.Vouch(start.Add(s.vouch), clock(s.wall, s.mono))
			}
			now, sure, leap := p.Now(clock(s.wall, s.mono))
			if now.Sub(start) != s.want || sure != s.sure || i > 0 && leap != s.leap {
				t.Errorf("%s, step %d: %s, sure %v, leap %v, want %s, %v, %v", c.name, i, now.Sub(start), sure, leap, s.want, s.sure, s.leap)
			}
		}
	}
}

func TestContact(t *testing.T) {
	dir := t.TempDir()
	c := enforce.OpenContact(dir, start, start.Add(time.Hour), true, 0)
	if age := c.Age(0); age != time.Hour {
		t.Errorf("age %s of a document issued an hour ago", age)
	}
	if err := c.Heard(start.Add(2*time.Hour), time.Hour); err != nil {
		t.Fatal(err)
	}
	if age := c.Age(time.Hour + time.Minute); age != time.Minute {
		t.Errorf("age %s a minute after the platform was heard", age)
	}
	// Silence of a day, then a restart with a clock of 1970: the day counts.
	if err := c.Keep(start.Add(26*time.Hour), 25*time.Hour); err != nil {
		t.Fatal(err)
	}
	c = enforce.OpenContact(dir, start, start, false, 0)
	if age := c.Age(0); age != 24*time.Hour {
		t.Errorf("age %s after a restart without a clock, want a day", age)
	}
	c = enforce.OpenContact(dir, start, start.Add(50*time.Hour), true, 0)
	if age := c.Age(0); age != 48*time.Hour {
		t.Errorf("age %s after two days by the clock", age)
	}
}

func TestAged(t *testing.T) {
	d := desired(1, func(d *api.Desired) {
		d.MaxAge = api.Duration(time.Hour)
		d.Devices[0].Fail, d.Devices[1].Fail, d.Devices[2].Fail = "closed", "open", "static"
		d.Devices[3].Fail, d.Devices[3].Trust = "closed", ringwall.T0
	})
	if got, old := enforce.Aged(d, 59*time.Minute); old.Any() || got.Devices[0].Trust != ringwall.T3 {
		t.Error("too old too early")
	}
	got, old := enforce.Aged(d, time.Hour)
	if len(old.Open) != 1 || len(old.Closed) != 2 {
		t.Errorf("old = %+v", old)
	}
	if got.Devices[0].Trust != ringwall.T1 || got.Devices[1].Mode != ringwall.Shadow || got.Devices[2].Mode != ringwall.Enforce || got.Devices[3].Trust != ringwall.T0 {
		t.Errorf("aged to %+v", got.Devices)
	}
	if d.Devices[0].Trust != ringwall.T3 {
		t.Error("the document itself was changed")
	}
}

func TestUntimed(t *testing.T) {
	w := &api.Window{From: "08:00", To: "09:00"}
	d := desired(1, func(d *api.Desired) {
		d.Devices[0].Terms = []api.Term{{ID: "a", Action: api.Allow, Window: w}, {ID: "d", Action: api.Deny, Window: w}, {ID: "p", Action: api.Allow}}
	})
	got := enforce.Untimed(d).Devices[0].Terms
	if len(got) != 2 || got[0].ID != "d" || got[0].Window != nil || got[1].ID != "p" || d.Devices[0].Terms[1].Window == nil {
		t.Errorf("terms = %+v", got)
	}
}
