package enforce_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/enforce"
)

// machine is a gateway with clocks that can be set.
type machine struct {
	dir  string
	wall time.Time
	mono time.Duration
}

func (m *machine) config() enforce.Config {
	return enforce.Config{
		Org: org, Gateway: gw, Keys: keys(),
		Now:  func() time.Time { return m.wall },
		Mono: func() time.Duration { return m.mono },
	}
}

func (m *machine) pass(d time.Duration) { m.wall, m.mono = m.wall.Add(d), m.mono+d }

// boot starts the program anew: its monotonic clock starts at 0.
func (m *machine) boot(t *testing.T) (*enforce.Keeper, []error) {
	t.Helper()
	m.mono = 0
	k, faults, err := enforce.OpenKeeper(m.dir, m.config())
	if err != nil {
		t.Fatal(err)
	}
	return k, faults
}

func newMachine(t *testing.T) *machine {
	return &machine{dir: filepath.Join(t.TempDir(), "state"), wall: start}
}

func mustAccept(t *testing.T, k *enforce.Keeper, d api.Desired) []enforce.Lifted {
	t.Helper()
	lifted, err := k.Accept(sign(t, d))
	if err != nil {
		t.Fatal(err)
	}
	return lifted
}

func TestKeeper_survivesReboot(t *testing.T) {
	m := newMachine(t)
	k, faults := m.boot(t)
	if faults != nil || k.Have() != 0 {
		t.Fatalf("fresh: %v, generation %d", faults, k.Have())
	}
	mustAccept(t, k, desired(3))
	h, ok, why, err := k.React(alert("dev_0", 1))
	if !ok || err != nil {
		t.Fatal(why, err)
	}
	k, faults = m.boot(t)
	if faults != nil || k.Have() != 3 || k.InForce()["dev_0"] != ringwall.Quarantine {
		t.Errorf("after a reboot: %v, generation %d, in force %v", faults, k.Have(), k.InForce())
	}
	if _, err := k.Accept(sign(t, desired(2))); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("an older document after a reboot: %v", err)
	}
	mustAccept(t, k, desired(4, func(d *api.Desired) { d.Releases = []api.Release{{Hold: h.ID, By: "usr_1", At: m.wall}} }))
	k, _ = m.boot(t)
	if len(k.InForce()) != 0 {
		t.Errorf("a released hold is back after a reboot: %v", k.InForce())
	}
	if _, ok, _, _ := k.React(alert("dev_0", 1)); ok {
		t.Error("the alert of a released hold makes it again after a reboot")
	}
}

func TestKeeper_expiryAcrossReboots(t *testing.T) {
	for _, c := range []struct {
		name  string
		clock func(time.Time) time.Time // what the clock shows after the reboot, 20 minutes later
		left  time.Duration
	}{
		{"right", func(t time.Time) time.Time { return t }, 30 * time.Minute},
		{"back in 1970", func(time.Time) time.Time { return time.Unix(0, 0) }, 50 * time.Minute},
		{"ten years ahead", func(t time.Time) time.Time { return t.AddDate(10, 0, 0) }, 50 * time.Minute},
	} {
		m := newMachine(t)
		k, _ := m.boot(t)
		mustAccept(t, k, desired(1, func(d *api.Desired) { d.Reflexes[0].Expiry = api.Duration(time.Hour) }))
		k.React(alert("dev_0", 1))
		m.pass(10 * time.Minute)
		k.React(alert("dev_1", 1)) // writes the file
		m.wall = c.clock(m.wall.Add(20 * time.Minute))
		k, _ = m.boot(t)
		m.pass(c.left - time.Second)
		if lifted, err := k.Expire(); lifted != nil || err != nil {
			t.Errorf("%s: lifted early: %v, %v", c.name, lifted, err)
		}
		m.pass(time.Second)
		if lifted, err := k.Expire(); len(lifted) != 1 || lifted[0].Hold.Device != "dev_0" || err != nil {
			t.Errorf("%s: after the hour was served: %v, %v", c.name, lifted, err)
		}
		k, _ = m.boot(t)
		if got := k.InForce(); len(got) != 1 {
			t.Errorf("%s: after another reboot: %v", c.name, got)
		}
	}
	// A hold that was served while the gateway was off is lifted, and reported.
	m := newMachine(t)
	k, _ := m.boot(t)
	mustAccept(t, k, desired(1, func(d *api.Desired) { d.Reflexes[0].Expiry = api.Duration(time.Hour) }))
	k.React(alert("dev_0", 1))
	m.pass(3 * time.Hour)
	k, _ = m.boot(t)
	m.pass(time.Second)
	if lifted, err := k.Expire(); len(lifted) != 1 || err != nil {
		t.Errorf("served while off: %v, %v", lifted, err)
	}
}

func TestKeeper_unreadableFiles_failClosed(t *testing.T) {
	prepare := func(t *testing.T) *machine {
		m := newMachine(t)
		k, _ := m.boot(t)
		mustAccept(t, k, desired(3))
		k.React(alert("dev_0", 1))
		return m
	}
	t.Run("holds", func(t *testing.T) {
		m := prepare(t)
		os.WriteFile(filepath.Join(m.dir, "holds.json"), []byte(`{"version":1,"holds":[{`), 0o600)
		k, faults := m.boot(t)
		if len(faults) != 1 {
			t.Errorf("faults = %v", faults)
		}
		if got := k.InForce(); len(got) != 4 {
			t.Errorf("it is not known who is held, and in force is only %v", got)
		}
		if k.Have() != 0 {
			t.Errorf("the document is not asked for again: have %d", k.Have())
		}
		mustAccept(t, k, desired(3))
		if got := k.InForce(); len(got) != 0 {
			t.Errorf("after the platform has spoken: %v", got)
		}
	})
	for name, harm := range map[string]func(string) string{
		"desired cut short": func(s string) string { return s[:len(s)/2] },
		"desired forged":    func(s string) string { return strings.Replace(s, `"payload":"ey`, `"payload":"eX`, 1) },
		"desired empty":     func(string) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			m := prepare(t)
			p := filepath.Join(m.dir, "desired.json")
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			os.WriteFile(p, []byte(harm(string(b))), 0o600)
			k, faults := m.boot(t)
			if len(faults) != 1 || k.Have() != 0 || len(k.View().Desired.Devices) != 0 {
				t.Errorf("faults %v, generation %d", faults, k.Have())
			}
			if k.InForce()["dev_0"] != ringwall.Quarantine {
				t.Errorf("the hold is gone: %v", k.InForce())
			}
			mustAccept(t, k, desired(3))
			if k.InForce()["dev_0"] != ringwall.Quarantine {
				t.Errorf("the hold is gone after a new document: %v", k.InForce())
			}
		})
	}
}

func TestKeeper_diskFails_holdsAllTheSame(t *testing.T) {
	var fail atomic.Bool
	m := newMachine(t)
	cfg := m.config()
	cfg.Disk = &durable.Disk{Intercept: func(_ durable.Site, sync func() error) error {
		if fail.Load() {
			return errors.New("input/output error")
		}
		return sync()
	}}
	k, _, err := enforce.OpenKeeper(m.dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	mustAccept(t, k, desired(1))
	fail.Store(true)
	if _, ok, _, err := k.React(alert("dev_0", 1)); !ok || ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("React = %v, %v; want the hold and the failure", ok, err)
	}
	if k.InForce()["dev_0"] != ringwall.Quarantine {
		t.Error("a hold is not in force because it could not be written")
	}
	fail.Store(false)
	if _, err := k.Accept(sign(t, desired(2))); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("Accept after a failed fsync = %v, want Unavailable", err)
	}
}

func TestKeeper_After_tellsWithoutDoing(t *testing.T) {
	m := newMachine(t)
	k, _ := m.boot(t)
	mustAccept(t, k, desired(1))
	h, _, _, _ := k.React(alert("dev_0", 1))
	next := sign(t, desired(2, func(d *api.Desired) { d.Releases = []api.Release{{Hold: h.ID}} }))
	v, err := k.Verify(next)
	if err != nil {
		t.Fatal(err)
	}
	then := k.After(v)
	holds, version := then.Holds, then.Version
	if len(holds) != 0 || len(k.InForce()) != 1 || k.View().Version != version || k.Have() != 1 {
		t.Errorf("After = %v, version %d; in force %v", holds, version, k.InForce())
	}
	k.React(alert("dev_1", 1))
	if k.View().Version == version {
		t.Error("a new hold does not change the version")
	}
	if k.Ahead() != 0 {
		t.Errorf("Ahead = %s", k.Ahead())
	}
	mustAccept(t, k, desired(5, func(d *api.Desired) { d.Issued = start.Add(48 * time.Hour) }))
	if k.Ahead() != 48*time.Hour {
		t.Errorf("Ahead = %s, want 48h", k.Ahead())
	}
}

// A hold that was made and not reported when the program ended is reported by its
// successor, and once only; one of the platform's never is.
func TestKeeper_Untold(t *testing.T) {
	m := newMachine(t)
	k, _ := m.boot(t)
	mustAccept(t, k, desired(1, func(d *api.Desired) {
		d.Holds = []api.Hold{{ID: "hld_platform", Device: "dev_1", Do: ringwall.Quarantine, By: "usr_1", Made: m.wall}}
	}))
	h, ok, _, err := k.React(alert("dev_0", 1))
	if !ok || err != nil {
		t.Fatalf("React = %v, %v", ok, err)
	}
	for range 2 {
		if k, _ = m.boot(t); len(k.Untold()) != 1 || k.Untold()[0].ID != h.ID {
			t.Fatalf("after a restart untold are %+v, want %s", k.Untold(), h.ID)
		}
	}
	if err := k.Told(h.ID); err != nil {
		t.Fatal(err)
	}
	if k, _ = m.boot(t); len(k.Untold()) != 0 || len(k.View().Holds) != 2 {
		t.Errorf("untold are %+v of %+v", k.Untold(), k.View().Holds)
	}
}
