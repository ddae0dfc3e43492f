package platform

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/operatorport"
)

// Repair is what the demo offers beside the attacks of the range: the owner
// changes the password, turns telnet off and restarts the device.
const Repair = "repair"

// demo runs the range and plays its owner: it names and enrols the devices as
// they appear, binds the meter's SIM, and has everything assessed. All else is
// the platform's ordinary doing.
//
// It owns the range and the goroutines of running attacks; close ends both.
type demo struct {
	org  ringwall.OrgID
	svc  *service
	log  *slog.Logger
	live *lab.Range // nil: recorded
	why  string

	ctx    context.Context
	cancel context.CancelFunc
	runs   sync.WaitGroup

	replay func(ctx context.Context, attack string) error // when not live

	mu      sync.Mutex
	running map[string]bool
	devices map[string]ringwall.DeviceID // actor -> device
}

// resident is a device of the range as its owner knows it.
type resident struct {
	actor, name, kind string
}

var residents = []resident{
	{lab.BadCam, "Front door camera", "camera"},
	{lab.GoodCam, "Garden camera", "camera"},
	{lab.Meter, "Electricity meter", "meter"},
	{lab.Phone, "Phone", "phone"},
	{lab.Laptop, "Laptop", "laptop"},
}

// DemoConfig says how the demo reaches the platform.
type DemoConfig struct {
	// Agent gives the commands with which the program starts the gateway's agent:
	// one that enrols it with a token and ends, and one that runs it.
	Agent func(platformURL, token string) (enrol, run *exec.Cmd, err error)
	Lab   lab.Config
}

// Addresses of the platform inside the range.
const (
	demoAPI   = "198.51.100.10:8080"
	demoSpine = "198.51.100.10:4222"
)

// startDemo brings the range up with its gateway enrolled, and plays the owner
// from then on. apiAddr and spineAddr are where the platform listens.
func startDemo(ctx context.Context, svc *service, org ringwall.OrgID, cfg DemoConfig, apiAddr, spineAddr string, operator func(simPort)) (*demo, error) {
	d := &demo{org: org, svc: svc, log: svc.log, running: map[string]bool{}, devices: map[string]ringwall.DeviceID{}}
	d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	events := svc.hub.watch(d.ctx, org)
	lc := cfg.Lab
	lc.Expose = map[string]string{demoAPI: apiAddr, demoSpine: spineAddr}
	lc.Agent = func(gw *netns.NS) (*exec.Cmd, error) { return d.enrol(ctx, gw, cfg) }
	var err error
	if d.live, err = lab.Up(ctx, lc); err != nil {
		d.cancel()
		return nil, err
	}
	port, err := d.operatorPort()
	if err != nil {
		return nil, fmt.Errorf("reaching the range's operator: %w (and %v)", err, d.close())
	}
	operator(port)
	d.runs.Go(func() { d.welcome(events) })
	return d, nil
}

func (d *demo) actor() audit.Actor { return audit.System(audit.SysDemo, d.org) }

// enrol gives the range's gateway its identity over the API, from inside the
// gateway, and tells it what is behind it.
func (d *demo) enrol(ctx context.Context, gw *netns.NS, cfg DemoConfig) (*exec.Cmd, error) {
	token, err := d.svc.CreateEnrolToken(ctx, d.actor())
	if err != nil {
		return nil, err
	}
	enrol, run, err := cfg.Agent("http://"+demoAPI, token.Token)
	if err != nil {
		return nil, err
	}
	if enrol == nil { // it is enrolled from an earlier run
		return run, nil
	}
	if err := gw.Start(enrol); err != nil {
		return nil, err
	}
	if err := enrol.Wait(); err != nil {
		return nil, fmt.Errorf("enrolling the range's gateway: %w", err)
	}
	page, err := d.svc.Gateways(ctx, d.actor(), httpapi.Paging{})
	if err != nil || len(page.Items) == 0 {
		return nil, fmt.Errorf("finding the enrolled gateway: %w", err)
	}
	return run, d.furnish(ctx, page.Items[0].ID)
}

// furnish tells the platform what lies behind the gateway.
func (d *demo) furnish(ctx context.Context, gw ringwall.GatewayID) error {
	dns, _ := lab.Addr(lab.DNS)
	update, _ := lab.Addr(lab.Update)
	resolver := netip.AddrPortFrom(dns, 53).String()
	name, learn := "Home gateway", ringwall.Learn
	nets := []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")}
	repair := []api.Term{
		{ID: "repair-update", Action: api.Allow, Direction: api.FromDevice, Domain: lab.UpdateName, Proto: "tcp", Why: "remediation"},
		{ID: "repair-update-addr", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.PrefixFrom(update, 32), Proto: "tcp", Why: "remediation"},
	}
	_, err := d.svc.PatchGateway(ctx, d.actor(), gw, api.GatewayPatch{Name: &name, Arrival: &learn, Resolver: &resolver, LocalNets: &nets, Remediate: &repair})
	return err
}

// operatorPort returns the way to the range's telecom operator.
func (d *demo) operatorPort() (*operatorport.Client, error) {
	base, token := d.live.Operator()
	net := d.live.Network(lab.Platform)
	return operatorport.New(operatorport.Config{URL: base, Token: token, Plain: true, HTTP: &http.Client{Transport: &http.Transport{DialContext: net.DialContext}}})
}

// welcome names and enrols the devices of the range as they appear, and has
// them assessed once all are there. It does by itself what the owner of a home
// would do on the console.
func (d *demo) welcome(events <-chan ringwall.Event) {
	tick := time.NewTicker(2 * time.Second) // an event may have been missed
	defer tick.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case _, open := <-events:
			if !open {
				events = nil
			}
		case <-tick.C:
		}
		done, err := d.welcomeOnce()
		if err != nil && d.ctx.Err() == nil {
			d.log.Warn("demo: setting up a device", "cause", err)
		}
		if done {
			return
		}
	}
}

func (d *demo) welcomeOnce() (done bool, err error) {
	page, err := d.svc.Devices(d.ctx, d.actor(), httpapi.DeviceFilter{}, httpapi.Paging{Limit: 100})
	if err != nil {
		return false, err
	}
	for _, dev := range page.Items {
		r, ok := residentOf(dev.Binding.MAC)
		if !ok || d.known(r.actor) != "" {
			continue
		}
		yes := true
		if _, err := d.svc.PatchDevice(d.ctx, d.actor(), dev.ID, 0, api.DevicePatch{Name: &r.name, Type: &r.kind, Enrolled: &yes}); err != nil {
			return false, err
		}
		if r.actor == lab.Meter && d.live != nil {
			if err := d.bindSIM(dev.ID); err != nil {
				return false, err
			}
		}
		d.mu.Lock()
		d.devices[r.actor] = dev.ID
		d.mu.Unlock()
		// People's own devices are not what is graded here.
		if d.live != nil && r.kind != "laptop" && r.kind != "phone" {
			if _, err := d.svc.AssessDevice(d.ctx, d.actor(), dev.ID); err != nil {
				return false, err
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.devices) == len(residents), nil
}

func residentOf(mac string) (resident, bool) {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return resident{}, false
	}
	for _, r := range residents {
		if a, ok := lab.Addr(r.actor); ok && slices.Equal(lab.MAC(a), hw) {
			return r, true
		}
	}
	return resident{}, false
}

func (d *demo) known(actor string) ringwall.DeviceID {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.devices[actor]
}

// bindSIM registers the meter's card.
func (d *demo) bindSIM(meter ringwall.DeviceID) error {
	s := d.live.SIM()
	_, err := d.svc.CreateSIM(d.ctx, d.actor(), api.SIMCreate{
		ICCID: s.ICCID.Reveal(), IMSI: s.IMSI.Reveal(), IMEI: string(s.IMEI.Reveal()), Device: meter, Services: []string{"data"}, Peers: s.Peers,
	})
	if isCode(err, ringwall.Conflict) {
		return nil // from an earlier run
	}
	return err
}

// state tells what runs and what had to be replaced.
func (d *demo) state() *api.DemoState {
	s := &api.DemoState{Live: d.live != nil, Why: d.why, Replaced: []string{}, Attacks: []string{}}
	if d.live != nil {
		s.Replaced = append(s.Replaced, d.live.Replaced()...)
	}
	for _, a := range lab.Attacks() {
		s.Attacks = append(s.Attacks, a.Name)
	}
	if d.live != nil {
		s.Attacks = append(s.Attacks, Repair)
	}
	return s
}

// attack starts an attack, once at a time.
func (d *demo) attack(name, on string) error {
	known := map[string]bool{Repair: d.live != nil}
	for _, a := range lab.Attacks() {
		known[a.Name] = true
	}
	if !known[name] {
		return ringwall.Errorf(ringwall.NotFound, "no attack %q; there are %q", name, slices.Sorted(maps.Keys(known)))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return ringwall.Errorf(ringwall.Unavailable, "the demo is ending")
	}
	if d.running[name] {
		return ringwall.Errorf(ringwall.Conflict, "attack %q is under way", name)
	}
	d.running[name] = true
	d.runs.Go(func() {
		err := d.run(name, on)
		if err != nil && d.ctx.Err() == nil {
			d.log.Warn("demo: attack ended early", "attack", name, "cause", err)
		}
		d.mu.Lock()
		delete(d.running, name)
		d.mu.Unlock()
	})
	return nil
}

// repairPassword is what the demo's owner sets: no default, and shown to
// nobody, since the demo's camera is opened by nobody else.
func repairPassword() string { return identity.RandomPassword().Reveal() }

func (d *demo) run(name, on string) error {
	switch {
	case d.live == nil:
		return d.replay(d.ctx, name)
	case name == Repair:
		if on == "" {
			on = lab.BadCam
		}
		if err := d.live.Repair(d.ctx, on, repairPassword()); err == nil {
			return nil
		}
		// The page is out of reach in quarantine: the owner goes to the device.
		for _, service := range []string{"admin", "telnet"} {
			if err := d.live.SetPassword(d.ctx, on, service, repairPassword()); err != nil {
				return err
			}
		}
		if err := d.live.Telnet(d.ctx, on, false); err != nil {
			return err
		}
		return d.live.Clean(d.ctx, on)
	}
	rep, err := d.live.Attack(d.ctx, name, lab.AttackOptions{On: on, NoCapture: true})
	d.log.Info("demo: attack over", "attack", name, "seed", rep.Seed, "packets", rep.Packets, "arrived", rep.Reached())
	return err
}

// close ends what runs, then the range.
func (d *demo) close() error {
	d.cancel()
	d.runs.Wait()
	if d.live == nil {
		return nil
	}
	return d.live.Down()
}
