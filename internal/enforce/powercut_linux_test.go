package enforce_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/enforce"
	"github.com/ringwall/ringwall/internal/powercut/powercuttest"
)

// scenario runs a gateway's life: documents, reflexes, kills, power cuts. What
// it was told is in force must be so ever after.
func scenario(t *testing.T, rig *powercuttest.Rig) error {
	rng := rig.Rand
	m := &machine{dir: filepath.Join(rig.Dir, "lib", "enforce"), wall: start}
	cfg := m.config()
	cfg.Disk = rig.Disk
	acked, signed := uint64(0), uint64(0)
	held, maybe := map[ringwall.HoldID]bool{}, map[ringwall.HoldID]bool{} // maybe: the end came while it was written
	var releases []api.Release
	number := 0
	var phase, mayPhase enforce.Phase // of the newest document
	for range 12 {
		if rng.IntN(4) == 0 {
			rig.Kill(rng.IntN(6))
		}
		m.mono = 0
		k, faults, err := enforce.OpenKeeper(m.dir, cfg)
		rig.Revive()
		if errors.Is(err, powercuttest.ErrKilled) {
			if rng.IntN(2) == 0 {
				rig.Cut(t)
			}
			continue
		}
		if err != nil || len(faults) > 0 {
			return errors.Join(append(faults, err)...)
		}
		check := func() error {
			// What was confirmed or rolled back is so ever after, or, when the end came
			// while it was written, as it was before.
			if v := k.View(); v.Newest == acked && phase != "" && v.Phase != phase && v.Phase != mayPhase {
				return fmt.Errorf("generation %d is %s, was %s", acked, v.Phase, phase)
			} else if v.Phase == enforce.RolledBack && v.Desired.Generation >= v.Newest && v.Newest > 0 {
				return fmt.Errorf("generation %d is rolled back to %d", v.Newest, v.Desired.Generation)
			} else {
				phase, mayPhase = v.Phase, v.Phase
			}
			if k.Have() < acked {
				return fmt.Errorf("generation %d is in force, %d was", k.Have(), acked)
			}
			acked = k.Have() // what has been in force once may not go back
			there := map[ringwall.HoldID]bool{}
			for _, h := range k.View().Holds {
				there[h.ID] = true
				if !held[h.ID] && !maybe[h.ID] {
					return fmt.Errorf("hold %s is back", h.ID)
				}
			}
			for id := range held {
				if !there[id] {
					return fmt.Errorf("hold %s is gone", id)
				}
			}
			for id := range maybe {
				if delete(maybe, id); there[id] {
					held[id] = true
				}
			}
			return nil
		}
		if err := check(); err != nil {
			return err
		}
		for range rng.IntN(6) {
			m.pass(time.Minute)
			last := rng.IntN(5) == 0
			if last {
				rig.Kill(rng.IntN(4))
			}
			if rng.IntN(3) == 0 {
				var fresh []ringwall.HoldID
				for id := range held {
					if rng.IntN(2) == 0 {
						fresh = append(fresh, id)
					}
				}
				slices.Sort(fresh)
				for _, id := range fresh {
					releases = append(releases, api.Release{Hold: id, By: "usr_1", At: m.wall})
				}
				// As the platform may: a generation that was not acknowledged is not
				// signed again with another content.
				signed = max(signed, acked) + 1
				_, err = k.Accept(sign(t, desired(signed, func(d *api.Desired) { d.Releases = releases })))
				if err == nil {
					acked, phase, mayPhase = signed, enforce.Trial, enforce.Trial
				} else {
					phase = "" // either document may be there
				}
				for _, r := range releases {
					if held[r.Hold] && err != nil {
						maybe[r.Hold] = true
					}
					delete(held, r.Hold)
				}
			} else if was := k.View().Phase; was != "" && rng.IntN(2) == 0 {
				to, act := enforce.Confirmed, func() (bool, error) { return k.Confirm(k.Have()) }
				switch {
				case was == enforce.RolledBack:
					to, act = enforce.Trial, k.Retry
				case was == enforce.Trial && rng.IntN(2) == 0:
					to, act = enforce.RolledBack, k.Rollback
				case was == enforce.Confirmed:
					to, act = enforce.Confirmed, func() (bool, error) { return false, nil }
				}
				_, err = act()
				if mayPhase = to; err == nil {
					phase = to
				} else {
					phase, mayPhase = was, to
				}
			} else {
				number++
				var h api.Hold
				var ok bool
				h, ok, _, err = k.React(alert(fmt.Sprintf("dev_%d", rng.IntN(4)), number))
				if ok && err == nil {
					held[h.ID] = true
				} else if ok {
					maybe[h.ID] = true
				}
			}
			rig.Revive()
			if last || err != nil {
				break
			}
		}
		if rng.IntN(2) == 0 {
			rig.Cut(t)
		}
	}
	return nil
}

func TestKeeper_powerCuts(t *testing.T) {
	sites := []durable.Site{enforce.SiteMkdir, enforce.SiteOpen, enforce.SiteDesired, enforce.SiteHolds + "/file", enforce.SiteHolds + "/dir", enforce.SitePhase + "/file", enforce.SitePhase + "/dir"}
	all := powercuttest.SiteConstants(t, ".")
	slices.Sort(all)
	if want := []durable.Site{enforce.SiteDesired, enforce.SiteHolds, enforce.SiteMkdir, enforce.SiteOpen, enforce.SitePhase}; !slices.Equal(all, want) {
		t.Errorf("the test knows the fsyncs %q, the code has %q", want, all)
	}
	powercuttest.Mutate(t, sites, 30, scenario)
}
