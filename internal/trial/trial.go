// Package trial brings the platform and the range up together and drives them
// as a person would: over the API with the Go client, and at the devices of
// the range. End-to-end tests and the published figures stand on it, so that
// what is measured is what is tested.
//
// A Trial owns the platform's goroutines, the range with its processes and its
// temporary directories; Close ends all of them.
package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/platform"
	"github.com/ringwall/ringwall/internal/probe"
)

// Config says what to bring up.
type Config struct {
	// Agent is the gateway's program with the arguments before its own:
	// {"ringwall-agent"}, or {"ringwall", "agent"}.
	Agent []string
	Log   io.Writer // of everybody; nil drops it
	Lab   lab.Config
	// Platform may change the platform's configuration before it starts.
	Platform func(*platform.Config)
	// Assess has the cameras and the meter assessed as they appear.
	Assess bool
	// Flags are further arguments of the gateway's program when it runs.
	Flags []string
	// Recorded plays the range's recording instead: the trial then has no Range
	// and needs no privilege. Speed is how fast, 0 = as it was.
	Recorded bool
	Speed    float64
}

// Trial is a platform with a range.
type Trial struct {
	Client   *client.Client
	Platform *platform.Platform
	Range    *lab.Range // nil: recorded
	Dir      string     // of the gateway's state
	Data     string     // the platform's data directory

	cancel context.CancelFunc
	done   chan error
	temp   string
	agent  func() (*exec.Cmd, error) // runs the gateway's program again
}

// Start brings the platform and the range up, and returns when the gateway
// enforces for all devices of the home. Of a recording it does not wait for
// anything: what there is to see of it is under way.
func Start(ctx context.Context, cfg Config) (_ *Trial, err error) {
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	temp, err := os.MkdirTemp("", "ringwall-trial-")
	if err != nil {
		return nil, err
	}
	t := &Trial{temp: temp, Dir: filepath.Join(temp, "gateway"), Data: filepath.Join(temp, "data"), done: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	network := &platform.LateNetwork{}
	command := platform.RangeAgent(cfg.Agent, temp, cfg.Log)
	t.agent = func() (*exec.Cmd, error) {
		_, run, err := command("", "", "")
		if err == nil {
			run.Args = append(run.Args, cfg.Flags...)
		}
		return run, err
	}
	pc := platform.Config{
		DataDir: t.Data, Listen: "127.0.0.1:0", SpineListen: "127.0.0.1:0", EnrolListen: "127.0.0.1:0", Advertise: []string{"tls://198.51.100.10:4222"},
		TunnelListen: ":0", TunnelAdvertise: platform.DemoTunnels,
		Log: slog.New(slog.NewTextHandler(cfg.Log, nil)), Terminal: io.Discard,
		Runner: &assess.Runner{Network: network, Probes: probe.All(), Now: time.Now},
		Demo:   &platform.DemoConfig{Lab: cfg.Lab, Network: network, SkipAssess: !cfg.Assess, Recorded: cfg.Recorded, Speed: cfg.Speed},
	}
	pc.Demo.Agent = func(platform, token, ca string) (enrol, run *exec.Cmd, err error) {
		if enrol, run, err = command(platform, token, ca); err == nil {
			run.Args = append(run.Args, cfg.Flags...)
		}
		return enrol, run, err
	}
	if cfg.Platform != nil {
		cfg.Platform(&pc)
	}
	if t.Platform, err = platform.New(ctx, pc); err != nil {
		return t, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.cancel = cancel
	ready := make(chan struct{})
	go func() { t.done <- t.Platform.Run(run, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-t.done:
		t.done <- nil
		return t, fmt.Errorf("starting the platform with its range: %w", err)
	case <-ctx.Done():
		return t, ctx.Err()
	}
	t.Range = t.Platform.Range()
	if t.Range == nil && !cfg.Recorded {
		return t, ringwall.Errorf(ringwall.Unavailable, "the range is not live: %s", t.Platform.DemoState().Why)
	}
	token, err := os.ReadFile(filepath.Join(t.Data, platform.TokenFile))
	if err != nil {
		return t, err
	}
	if t.Client, err = client.New(client.Config{Server: t.Platform.URL(), Token: strings.TrimSpace(string(token))}); err != nil {
		return t, err
	}
	if cfg.Recorded {
		return t, nil
	}
	if err := t.settled(ctx); err != nil {
		return t, err
	}
	// Before it knows which device assesses, the gateway takes probes for an attack.
	return t, t.InForce(ctx)
}

// Assessment has a device assessed and waits for what was found.
func (t *Trial) Assessment(ctx context.Context, d ringwall.DeviceID) (a api.Assessment, err error) {
	id, err := t.Client.AssessDevice(ctx, d)
	if err != nil {
		return a, err
	}
	return a, t.Until(ctx, 5*time.Minute, "the assessment is over", func() (bool, error) {
		a, err = t.Client.Assessment(ctx, id)
		if c := ringwall.CodeOf(err); c == ringwall.Unavailable || c == ringwall.NotFound {
			return false, nil
		}
		return err == nil, err
	})
}

// Forgive closes a device's incidents as our own doing, and waits until it is
// trusted enough again that what comes next finds it as the first did.
func (t *Trial) Forgive(ctx context.Context, d ringwall.DeviceID) error {
	page, err := t.Client.Incidents(ctx, client.IncidentFilter{Open: true, Device: d}, client.Paging{})
	if err != nil {
		return err
	}
	closed, benign := "closed", "benign"
	for _, in := range page.Items {
		if _, err := t.Client.PatchIncident(ctx, in.ID, api.IncidentPatch{Status: &closed, Disposition: &benign}); err != nil {
			return err
		}
	}
	if err := t.Until(ctx, time.Minute, "the device is trusted again", func() (bool, error) {
		dev, err := t.Client.Device(ctx, d)
		return err == nil && dev.Trust >= ringwall.T2, err
	}); err != nil {
		return err
	}
	return t.InForce(ctx)
}

// settled waits until all devices of the home are known, named and enforced.
func (t *Trial) settled(ctx context.Context) error {
	return t.Until(ctx, time.Minute, "the home is known", func() (bool, error) {
		page, err := t.Client.Devices(ctx, client.DeviceFilter{}, client.Paging{})
		if err != nil {
			return false, err
		}
		named := 0
		for _, d := range page.Items {
			if d.Enrolled && d.Trust >= ringwall.T2 {
				named++
			}
		}
		return named >= 5, nil
	})
}

// Close ends everything and removes what was written.
func (t *Trial) Close() error {
	var err error
	if t.cancel != nil {
		t.cancel()
		err = <-t.done
	} else if t.Platform != nil {
		err = t.Platform.Close()
	}
	return errors.Join(err, os.RemoveAll(t.temp))
}

// Until asks f again and again until it says true; what names the wish in the
// error.
func (t *Trial) Until(ctx context.Context, most time.Duration, what string, f func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		ok, err := f()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %v in vain until %s", most, what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Device returns the device that an actor of the range is.
func (t *Trial) Device(ctx context.Context, actor string) (api.Device, error) {
	addr, ok := lab.Addr(actor)
	if !ok {
		return api.Device{}, fmt.Errorf("no actor %q", actor)
	}
	page, err := t.Client.Devices(ctx, client.DeviceFilter{}, client.Paging{Limit: 100})
	if err != nil {
		return api.Device{}, err
	}
	for _, d := range page.Items {
		if d.Binding.IP == addr {
			return d, nil
		}
	}
	return api.Device{}, ringwall.Errorf(ringwall.NotFound, "actor %q is no device of the platform", actor)
}

// Mode puts devices into a mode and waits until the gateway has it in force.
func (t *Trial) Mode(ctx context.Context, mode ringwall.Mode, actors ...string) error {
	for _, a := range actors {
		d, err := t.Device(ctx, a)
		if err != nil {
			return err
		}
		if _, err := t.Client.PatchDevice(ctx, d.ID, 0, api.DevicePatch{Mode: &mode}); err != nil {
			return err
		}
	}
	return t.InForce(ctx)
}

// InForce waits until the gateway has acknowledged its newest generation.
func (t *Trial) InForce(ctx context.Context) error {
	return t.Until(ctx, time.Minute, "the newest generation is in force", func() (bool, error) {
		page, err := t.Client.Gateways(ctx, client.Paging{})
		if err != nil || len(page.Items) == 0 {
			return false, err
		}
		for _, g := range page.Items {
			if g.LastError != "" {
				return false, fmt.Errorf("the gateway refuses generation %d: %s", g.Desired, g.LastError)
			}
			if g.InForce < g.Desired {
				return false, nil
			}
		}
		return true, nil
	})
}

// Incident waits for the open incident of a device.
func (t *Trial) Incident(ctx context.Context, d ringwall.DeviceID, most time.Duration, want func(api.Incident) bool) (in api.Incident, err error) {
	err = t.Until(ctx, most, "the incident is as expected", func() (bool, error) {
		page, err := t.Client.Incidents(ctx, client.IncidentFilter{Open: true, Device: d}, client.Paging{})
		if err != nil || len(page.Items) == 0 {
			return false, err
		}
		in, err = t.Client.Incident(ctx, page.Items[0].ID)
		return err == nil && want(in), err
	})
	return in, err
}

// Release undoes every response that restricts a device, and waits until it is
// free. A response may come while others are undone, such as the platform's own
// after a gateway has told it what it had missed: that one is undone as well.
func (t *Trial) Release(ctx context.Context, d ringwall.DeviceID) error {
	return t.Until(ctx, time.Minute, "the device is free of holds", func() (bool, error) {
		page, err := t.Client.Responses(ctx, client.ResponseFilter{Device: d}, client.Paging{Limit: 100})
		if err != nil {
			return false, err
		}
		restricted := false
		for _, r := range page.Items {
			switch r.Status {
			case "approved", "undoing":
				restricted = true
			case "doing", "done":
				restricted = true
				if _, err := t.Client.DecideResponse(ctx, r.ID, "undo"); err != nil && ringwall.CodeOf(err) != ringwall.Conflict {
					return false, err
				}
			}
		}
		dev, err := t.Client.Device(ctx, d)
		return err == nil && !restricted && len(dev.Holds) == 0, err
	})
}
