package trial_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/platform"
	"github.com/ringwall/ringwall/internal/trial"
)

// whistle is a port at which the phone and the laptop answer in these tests.
const whistle = 8765

// places are where the bad camera may want to go, by address.
func places(t *testing.T) map[string]netip.AddrPort {
	t.Helper()
	at := func(actor string, port uint16) netip.AddrPort {
		a, ok := lab.Addr(actor)
		if !ok {
			t.Fatalf("no actor %q", actor)
		}
		return netip.AddrPortFrom(a, port)
	}
	return map[string]netip.AddrPort{
		lab.Update: at(lab.Update, 80), lab.Cloud: at(lab.Cloud, 443), lab.Loader: at(lab.Loader, 80), lab.C2: at(lab.C2, 48101), lab.Phone: at(lab.Phone, whistle),
	}
}

// reached tries all places at once from a device, and names where a connection
// came about. A name is resolved as the device does it, by its gateway.
func reached(t *testing.T, x *trial.Trial, device string, names ...string) (there []string) {
	t.Helper()
	home, _ := lab.Addr(lab.Gateway)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return x.Range.NS(device).DialContext(ctx, network, netip.AddrPortFrom(home, 53).String())
	}}
	type try struct {
		name string
		ok   bool
	}
	all := map[string]func(context.Context) (string, error){}
	for name, to := range places(t) {
		all[name] = func(context.Context) (string, error) { return to.String(), nil }
	}
	for _, name := range names {
		all[name] = func(ctx context.Context) (string, error) {
			addrs, err := resolver.LookupNetIP(ctx, "ip4", name)
			if err != nil {
				return "", err
			}
			return net.JoinHostPort(addrs[0].Unmap().String(), "80"), nil
		}
	}
	out := make(chan try)
	for name, where := range all {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			to, err := where(ctx)
			if err == nil {
				var c net.Conn
				if c, err = x.Range.NS(device).DialContext(ctx, "tcp4", to); err == nil {
					c.Close()
				}
			}
			out <- try{name, err == nil}
		}()
	}
	for range all {
		if r := <-out; r.ok {
			there = append(there, r.name)
		}
	}
	slices.Sort(there)
	return there
}

func sorted(names ...string) []string { slices.Sort(names); return names }

func quarantines(in api.Incident, status string) (out []api.Response) {
	for _, r := range in.Responses {
		if r.Kind == "quarantine" && r.Status == status {
			out = append(out, r)
		}
	}
	return out
}

// asksAll makes every rule of the platform ask. One that acts would race with
// what it cuts off: the camera is quarantined in less time than a slow machine
// takes to start a program.
func asksAll(c *platform.Config) {
	c.Incident.Rules = incident.DefaultRules()
	for i := range c.Incident.Rules {
		if r := &c.Incident.Rules[i]; r.Do == incident.Act {
			r.Do = incident.Ask
		}
	}
}

// Mode learn: nothing is refused, so that a stranger really watches and a bot
// really gets in. What a person approves is done, and undone; and nothing that
// the device did after the attack is ever taken for its need.
func TestLearn_attacksSucceedAndAreNotLearned(t *testing.T) {
	x := start(t, trial.Config{Lab: lab.Config{Pace: 2 * time.Second}, Flags: []string{"-probation", "1s"}, Platform: asksAll})
	ctx := t.Context()
	cam := device(t, x, lab.BadCam)
	phone, err := x.Range.NS(lab.Phone).Listen(ctx, "tcp4", fmt.Sprintf(":%d", whistle))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { phone.Close() })
	go func() {
		for {
			c, err := phone.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	// What the camera needs is seen before anything happens to it. It is reported
	// each minute, and when the gateway's program is asked to end.
	first, err := x.Range.Camera(ctx, lab.BadCam)
	if err != nil {
		t.Fatal(err)
	}
	until(t, x, time.Minute, "the camera has talked to its cloud", func() (bool, error) {
		s, err := x.Range.Camera(ctx, lab.BadCam)
		return s.Heartbeats >= first.Heartbeats+6, err
	})
	if err := x.Range.StopAgent(false); err != nil {
		t.Fatal(err)
	}
	if err := x.StartAgent(ctx); err != nil {
		t.Fatal(err)
	}
	if err := x.Until(ctx, time.Minute, "the camera's cloud is learned", func() (bool, error) {
		d, err := x.Device(ctx, lab.BadCam)
		return slices.ContainsFunc(d.Terms, func(m api.Term) bool { return m.Domain == lab.CloudName }), err
	}); err != nil {
		rows, _ := x.Client.Flows(ctx, cam.ID, client.FlowQuery{})
		t.Fatalf("%v; trust %v, terms %+v; flows %+v", err, device(t, x, lab.BadCam).Trust, device(t, x, lab.BadCam).Terms, rows)
	}

	everywhere := sorted(lab.Update, lab.Cloud, lab.Loader, lab.C2, lab.Phone, lab.UpdateName, lab.CloudName)
	var watched api.Response
	t.Run("a stranger's video ends when a person says so", func(t *testing.T) {
		// It would go on for longer than all that is waited for.
		const long = 4 * time.Minute
		over := make(chan lab.Report, 1)
		go func() {
			rep, err := x.Range.Attack(ctx, lab.StrangerVideo, lab.AttackOptions{Duration: long, Pictures: 1 << 20, NoCapture: true})
			if err != nil {
				t.Error(err)
			}
			over <- rep
		}()
		in, err := x.Incident(ctx, cam.ID, time.Minute, func(in api.Incident) bool {
			return hasRule(in, "stranger-video") && len(quarantines(in, "proposed")) == 1
		})
		if err != nil {
			t.Fatalf("%v; incident: %+v", err, in)
		}
		watched = quarantines(in, "proposed")[0]
		if watched.Do != "ask" {
			t.Errorf("the response says %q, want ask", watched.Do)
		}
		// Nobody has said anything, so nothing is done.
		time.Sleep(time.Second)
		st, err := x.GatewayStatus(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if d := device(t, x, lab.BadCam); len(st.Holds) > 0 || len(d.Holds) > 0 || len(over) > 0 {
			t.Fatalf("before anybody approved, the gateway holds %v, the platform %v, and of the stranger there are %d reports", st.Holds, d.Holds, len(over))
		}
		// The control of what quarantine does: now all of this can be reached.
		if got := reached(t, x, lab.BadCam, lab.UpdateName, lab.CloudName); !slices.Equal(got, everywhere) {
			t.Errorf("before the quarantine the camera reaches %q, want %q", got, everywhere)
		}
		approved := time.Now()
		if _, err := x.Client.DecideResponse(ctx, watched.ID, "approve"); err != nil {
			t.Fatal(err)
		}
		if _, err = x.Incident(ctx, cam.ID, time.Minute, func(in api.Incident) bool { return len(quarantines(in, "done")) == 1 }); err != nil {
			t.Fatal(err)
		}
		done := time.Now()
		t.Logf("approved to done: %v", done.Sub(approved))
		select {
		case rep := <-over:
			t.Logf("the stranger watched %v: %+v", rep.To.Sub(rep.From), rep.Steps[0].Detail)
			if !rep.Did {
				t.Error("the stranger saw nothing at all, in a mode that refuses nothing")
			}
			if last := rep.Last; last.After(done.Add(20 * time.Second)) {
				t.Errorf("the stranger's last packet came at %v, the quarantine was done at %v", last, done)
			}
			if took := rep.To.Sub(rep.From); took >= long {
				t.Errorf("the stranger watched for %v, as long as it liked", took)
			}
		case <-time.After(long):
			t.Fatal("the stranger is still there")
		}
	})

	t.Run("only what repairs passes a quarantine", func(t *testing.T) {
		if got, want := reached(t, x, lab.BadCam, lab.UpdateName, lab.CloudName), sorted(lab.Update, lab.UpdateName); !slices.Equal(got, want) {
			t.Errorf("in quarantine the camera reaches %q, want %q", got, want)
		}
		rep, err := x.Range.Attack(ctx, lab.TelnetGuess, lab.AttackOptions{Duration: 2 * time.Second, NoCapture: true})
		if err != nil {
			t.Fatal(err)
		}
		if rep.Packets == 0 || rep.Reached() > 0 {
			t.Errorf("of %d packets of a guesser, %d reached the camera in quarantine", rep.Packets, rep.Reached())
		}
		if _, err := x.Client.DecideResponse(ctx, watched.ID, "undo"); err != nil {
			t.Fatal(err)
		}
		until(t, x, time.Minute, "the quarantine is undone", func() (bool, error) {
			page, err := x.Client.Responses(ctx, client.ResponseFilter{Device: cam.ID}, client.Paging{})
			if err != nil {
				return false, err
			}
			d, err := x.Device(ctx, lab.BadCam)
			return len(d.Holds) == 0 && slices.ContainsFunc(page.Items, func(r api.Response) bool { return r.ID == watched.ID && r.Status == "undone" }), err
		})
		// A device that had to be held is trusted less than before, and freed when
		// its owner says that it did nothing wrong.
		if err := x.Forgive(ctx, cam.ID); err != nil {
			t.Fatal(err)
		}
		if got := reached(t, x, lab.BadCam, lab.UpdateName, lab.CloudName); !slices.Equal(got, everywhere) {
			t.Errorf("after the undo the camera reaches %q, want %q", got, everywhere)
		}
	})

	t.Run("a bot gets in, and what it calls is no need", func(t *testing.T) {
		rep, err := x.Range.Attack(ctx, lab.Infect, lab.AttackOptions{Duration: 40 * time.Second, NoCapture: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d packets, %d arrived, in %v: %+v", rep.Packets, rep.Reached(), rep.To.Sub(rep.From), rep.Steps[0].Detail)
		if !rep.Did {
			t.Errorf("guessing in and fetching a program failed, in a mode that refuses nothing: %+v", rep.Steps)
		}
		s, err := x.Range.Camera(ctx, lab.BadCam)
		if err != nil || len(s.Infected) == 0 {
			t.Errorf("the camera holds %q, %v, want the program that was fetched", s.Infected, err)
		}
		if n, err := x.Range.Count(ctx, lab.Loader, "fetched"); err != nil || n == 0 {
			t.Errorf("the loader was asked %d times, %v", n, err)
		}
		// Whatever the gateway would have learned of it is reported when it ends.
		if err := x.Range.StopAgent(false); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := x.StartAgent(ctx); err != nil {
			t.Fatal(err)
		}
		// Its word on its own health comes after all that it had to report.
		until(t, x, time.Minute, "the platform has what the gateway reported", func() (bool, error) {
			page, err := x.Client.Gateways(ctx, client.Paging{})
			return len(page.Items) == 1 && page.Items[0].Seen.After(began), err
		})
		if err := x.Range.Clean(ctx, lab.BadCam); err != nil {
			t.Fatal(err)
		}
		if err := x.Release(ctx, cam.ID); err != nil {
			t.Fatal(err)
		}
		// Our own doing, the owner says: trust is back, so that the policy is the whole one.
		if err := x.Forgive(ctx, cam.ID); err != nil {
			t.Fatal(err)
		}
		if err := x.Mode(ctx, ringwall.Enforce, lab.BadCam); err != nil {
			t.Fatal(err)
		}
		d := device(t, x, lab.BadCam)
		foreign := map[string]netip.Addr{}
		for _, actor := range []string{lab.C2, lab.Loader, lab.Attacker, lab.Sink} {
			foreign[actor], _ = lab.Addr(actor)
		}
		var cloud bool
		for _, m := range d.Terms {
			t.Logf("term: %s", m.ID)
			cloud = cloud || m.Action == api.Allow && m.Domain == lab.CloudName
			if strings.HasSuffix(m.Domain, "evil.example") {
				t.Errorf("the policy knows the command server by name: %+v", m)
			}
			for actor, a := range foreign {
				if m.Action == api.Allow && m.CIDR.Contains(a) {
					t.Errorf("the policy lets the camera have to do with the %s: %+v", actor, m)
				}
			}
		}
		if !cloud {
			t.Error("the policy has lost what the camera needs: its cloud")
		}
		got := reached(t, x, lab.BadCam, lab.CloudName)
		for _, name := range []string{lab.C2, lab.Loader, lab.Phone} {
			if slices.Contains(got, name) {
				t.Errorf("in mode enforce the camera reaches the %s", name)
			}
		}
		if !slices.Contains(got, lab.CloudName) {
			t.Errorf("in mode enforce the camera reaches %q, its cloud not among them", got)
		}
	})
}
