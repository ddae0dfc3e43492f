package trial

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/lab"
)

// Run is one attack that was let loose and what became of it.
type Run struct {
	Attack  string        `json:"attack"`
	Mode    ringwall.Mode `json:"mode"`
	Away    bool          `json:"platformAway"` // the platform could not be reached
	Seed    uint64        `json:"seed"`
	Rule    string        `json:"rule"`      // of the alert that the reflex acted on
	ToAlert time.Duration `json:"toAlertNs"` // from the attack's first packet at the gateway
	ToHold  time.Duration `json:"toHoldNs"`  // from that alert to the rules in the kernel
	Packets uint64        `json:"packets"`   // of the attack, at the gateway
	Arrived uint64        `json:"arrived"`   // that got through
}

// Figures are what Measure found.
type Figures struct {
	Seed  uint64          `json:"seed"`
	Runs  []Run           `json:"runs"`
	Phone []lab.ViewStats `json:"phone"` // what the innocent saw meanwhile
}

// scans are the attacks whose time to quarantine is measured.
var scans = []string{lab.MiraiScan, lab.UnknownScan}

// attackTime is how long an attack goes on unless it is cut off.
const attackTime = 6 * time.Second

// Measure lets the scans loose on the bad camera, runs times each with seeds
// drawn from seed, in mode learn with the platform there and away, and once
// each in mode enforce. It tells each run on out as it ends.
func (t *Trial) Measure(ctx context.Context, runs int, seed uint64, out io.Writer) (Figures, error) {
	f := Figures{Seed: seed}
	rng := rand.New(rand.NewPCG(seed, 1))
	cam, err := t.Device(ctx, lab.BadCam)
	if err != nil {
		return f, err
	}
	one := func(attack string, mode ringwall.Mode, away bool) error {
		r, err := t.one(ctx, cam.ID, attack, mode, away, rng.Uint64()>>32)
		if err != nil {
			return fmt.Errorf("%s, mode %v, seed %d: %w", attack, mode, r.Seed, err)
		}
		f.Runs = append(f.Runs, r)
		fmt.Fprintf(out, "%-13s mode %-7s platform %-5s seed %-10d %-13s to alert %8s  to quarantine %8s  packets %5d  arrived %5d\n", r.Attack, r.Mode, there(away), r.Seed, r.Rule,
			r.ToAlert.Round(100*time.Microsecond), r.ToHold.Round(100*time.Microsecond), r.Packets, r.Arrived)
		return nil
	}
	for i := range runs {
		for _, attack := range scans {
			// The platform is away in every third run.
			if err := one(attack, ringwall.Learn, i%3 == 2); err != nil {
				return f, err
			}
		}
	}
	if err := t.Mode(ctx, ringwall.Enforce, lab.BadCam); err != nil {
		return f, err
	}
	for _, attack := range scans {
		if err := one(attack, ringwall.Enforce, false); err != nil {
			return f, err
		}
	}
	s, err := t.Range.Phone(ctx)
	f.Phone = s.Views
	return f, err
}

func there(away bool) string {
	if away {
		return "away"
	}
	return "there"
}

func (t *Trial) one(ctx context.Context, cam ringwall.DeviceID, attack string, mode ringwall.Mode, away bool, seed uint64) (r Run, err error) {
	r = Run{Attack: attack, Mode: mode, Away: away, Seed: seed}
	if away {
		if err := t.PlatformAway(ctx); err != nil {
			return r, err
		}
	}
	rep, err := t.Range.Attack(ctx, attack, lab.AttackOptions{On: lab.BadCam, Seed: seed, Duration: attackTime, NoCapture: true})
	if err != nil {
		return r, err
	}
	r.Packets, r.Arrived = rep.Packets, rep.Reached()
	st, err := t.GatewayStatus(ctx)
	if err != nil {
		return r, err
	}
	i := slices.IndexFunc(st.Holds, func(h api.Hold) bool { return h.Device == cam && len(h.By) > 7 && h.By[:7] == "reflex:" })
	if i < 0 {
		return r, fmt.Errorf("no reflex held the device after %d packets", rep.Packets)
	}
	h := st.Holds[i]
	r.Rule, r.ToAlert = h.By[7:], h.Made.Sub(rep.First)
	if away {
		if err := t.PlatformBack(ctx); err != nil {
			return r, err
		}
	}
	if r.ToHold, err = t.took(ctx, cam, h.ID); err != nil {
		return r, err
	}
	if err := t.Release(ctx, cam); err != nil {
		return r, err
	}
	if err := t.Range.Clean(ctx, lab.BadCam); err != nil {
		return r, err
	}
	return r, t.Forgive(ctx, cam)
}

// took waits for the gateway's report of a hold and returns how long it took
// from the alert until the kernel had it.
func (t *Trial) took(ctx context.Context, cam ringwall.DeviceID, id ringwall.HoldID) (took time.Duration, err error) {
	err = t.Until(ctx, 90*time.Second, "the gateway's report of the hold is there", func() (bool, error) {
		line, err := t.Client.Timeline(ctx, ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(cam)}, time.Time{}, 100)
		if err != nil {
			return false, err
		}
		for _, e := range line {
			if e.Kind == ringwall.EventDeviceHold && e.Ref == string(id) && e.Params["took"] != "" {
				took, err = time.ParseDuration(e.Params["took"])
				return true, err
			}
		}
		return false, nil
	})
	return took, err
}

// Median returns the median and the worst of what pick says of the runs that
// it speaks of.
func (f Figures) Median(pick func(Run) (time.Duration, bool)) (median, worst time.Duration, n int) {
	var all []time.Duration
	for _, r := range f.Runs {
		if d, ok := pick(r); ok {
			all = append(all, d)
		}
	}
	if len(all) == 0 {
		return 0, 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)-1], len(all)
}
