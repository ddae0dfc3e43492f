package platform

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
	cfg  DemoConfig
	svc  *service
	log  *slog.Logger
	live *lab.Range // nil: recorded
	why  string

	ctx    context.Context
	cancel context.CancelFunc
	runs   sync.WaitGroup

	// When not live: what is played, where its usage records go, and by what.
	recorded *lab.Script
	usage    string
	replay   func(ctx context.Context) error

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
	// ca is the path of the platform's authority. enrol is nil when the gateway
	// keeps the identity of an earlier run.
	Agent func(platform, token, ca string) (enrol, run *exec.Cmd, err error)
	Lab   lab.Config
	// Network is where the platform's probes go once the range is up: to the
	// owner's laptop.
	Network *LateNetwork
	// SkipAssess leaves out that the owner has everything assessed as it appears.
	SkipAssess bool
	// Recorded plays the range's recording even where the range can run.
	Recorded bool
	// Speed is how fast the recording is played: 0 or 1 = as it was, 10 = ten
	// times as fast.
	Speed float64
}

// Addresses of the platform inside the range.
const (
	demoEnrol = "198.51.100.10:8443"
	demoSpine = "198.51.100.10:4222"
	// DemoTunnels is where the range's gateway finds the platform's end of tunnels.
	DemoTunnels = "198.51.100.10:51820"
)

// RangeAgent gives the commands that make a program the range's gateway.
// program is the agent and the arguments before its own; state is a directory
// of the caller's, where the gateway keeps its identity and state; what the
// agent says goes to log.
func RangeAgent(program []string, state string, log io.Writer) func(platform, token, ca string) (enrol, run *exec.Cmd, err error) {
	return func(platform, token, ca string) (enrol, run *exec.Cmd, err error) {
		command := func(args ...string) *exec.Cmd {
			c := exec.Command(program[0], append(slices.Clone(program[1:]), args...)...)
			c.Stdout, c.Stderr = log, log
			return c
		}
		// The token goes in by a file: arguments can be read by everybody.
		file, dir := filepath.Join(state, "token"), filepath.Join(state, "gateway")
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			return nil, nil, err
		}
		var ports []string
		for _, r := range residents {
			ports = append(ports, lab.Port(r.actor))
		}
		home, _ := lab.Addr(lab.Gateway)
		return command("enrol", "-state", dir, "-platform", platform, "-token", file, "-ca", ca, "-name", "Home gateway"),
			command("run", "-state", dir, "-bridge", lab.Bridge, "-ports", strings.Join(ports, ","), "-uplink", lab.Uplink, "-dns", netip.AddrPortFrom(home, 53).String(), "-inspect"), nil
	}
}

// startDemo brings the range up with its gateway enrolled, and plays the owner
// from then on. enrolAddr and spineAddr are where the platform listens for
// gateways, ca is the path of its authority.
func startDemo(ctx context.Context, svc *service, org ringwall.OrgID, cfg DemoConfig, enrolAddr, spineAddr, tunnelAddr, ca string, operator func(simPort)) (*demo, error) {
	d := &demo{org: org, cfg: cfg, svc: svc, log: svc.log, running: map[string]bool{}, devices: map[string]ringwall.DeviceID{}}
	d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	events := svc.hub.watch(d.ctx, org)
	lc := cfg.Lab
	lc.Expose = map[string]string{demoEnrol: enrolAddr, demoSpine: spineAddr}
	if tunnelAddr != "" {
		lc.ExposeUDP = map[string]string{DemoTunnels: tunnelAddr}
	}
	lc.Agent = func(gw *netns.NS) (*exec.Cmd, error) { return d.enrol(ctx, gw, cfg, ca) }
	var err error
	if d.live, err = lab.Up(ctx, lc); err != nil {
		d.cancel()
		return nil, err
	}
	if cfg.Network != nil {
		cfg.Network.Set(d.live.Network(lab.Laptop))
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
func (d *demo) enrol(ctx context.Context, gw *netns.NS, cfg DemoConfig, ca string) (*exec.Cmd, error) {
	token, err := d.svc.CreateEnrolToken(ctx, d.actor())
	if err != nil {
		return nil, err
	}
	enrol, run, err := cfg.Agent("https://"+demoEnrol, token.Token, ca)
	if err != nil {
		return nil, err
	}
	if enrol == nil {
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
		d.lookUp()
		done, err := d.welcomeOnce()
		if err != nil && d.ctx.Err() == nil {
			d.log.Warn("demo: setting up a device", "cause", err)
		}
		if done {
			return
		}
	}
}

// lookUp has the owner's laptop, which is silent until it is used, say a word,
// so that the gateway comes to know it.
func (d *demo) lookUp() {
	if d.live == nil || d.known(lab.Laptop) != "" {
		return
	}
	home, _ := lab.Addr(lab.Gateway)
	ctx, cancel := context.WithTimeout(d.ctx, time.Second)
	defer cancel()
	if c, err := d.live.Network(lab.Laptop).DialContext(ctx, "tcp", netip.AddrPortFrom(home, 53).String()); err == nil {
		c.Close()
	}
}

// welcomeOnce sets up who has appeared, and once all have and the gateway knows
// of it, has the devices assessed: before that, the gateway would take the
// laptop's probes for an attack.
func (d *demo) welcomeOnce() (done bool, err error) {
	page, err := d.svc.Devices(d.ctx, d.actor(), httpapi.DeviceFilter{}, httpapi.Paging{Limit: 100})
	if err != nil {
		return false, err
	}
	for _, dev := range page.Items {
		if r, ok := residentOf(dev.Binding.MAC); ok && d.known(r.actor) == "" {
			if err := d.setUp(r, dev.ID); err != nil {
				return false, err
			}
		}
	}
	d.mu.Lock()
	complete := len(d.devices) == len(residents)
	d.mu.Unlock()
	if !complete || d.live == nil || d.cfg.SkipAssess {
		return complete, nil
	}
	gateways, err := d.svc.Gateways(d.ctx, d.actor(), httpapi.Paging{})
	if err != nil {
		return false, err
	}
	for _, g := range gateways.Items {
		if g.InForce < g.Desired {
			return false, nil
		}
	}
	for _, r := range residents {
		if r.kind == "laptop" || r.kind == "phone" { // people's own are not what is graded here
			continue
		}
		if _, err := d.svc.AssessDevice(d.ctx, d.actor(), d.known(r.actor)); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (d *demo) setUp(r resident, id ringwall.DeviceID) error {
	yes, assessor := true, r.actor == lab.Laptop
	if _, err := d.svc.PatchDevice(d.ctx, d.actor(), id, 0, api.DevicePatch{Name: &r.name, Type: &r.kind, Enrolled: &yes, Assessor: &assessor}); err != nil {
		return err
	}
	if r.actor == lab.Meter {
		if err := d.bindSIM(id); err != nil {
			return err
		}
	}
	if d.live == nil {
		if err := d.submitRecorded(r.actor, id); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.devices[r.actor] = id
	return nil
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
	in := api.SIMCreate{Device: meter, Services: []string{"data"}}
	if d.live != nil {
		s := d.live.SIM()
		in.ICCID, in.IMSI, in.IMEI, in.Peers = s.ICCID.Reveal(), s.IMSI.Reveal(), s.IMEI.Reveal(), s.Peers
	} else {
		in.ICCID, in.IMSI, in.IMEI, in.Peers = d.recorded.SIM.ICCID, d.recorded.SIM.IMSI, d.recorded.SIM.IMEI, d.recorded.SIM.Peers
	}
	_, err := d.svc.CreateSIM(d.ctx, d.actor(), in)
	if isCode(err, ringwall.Conflict) {
		return nil // from an earlier run
	}
	return err
}

// usageFile is the range's usage records, which grow while it is up; "" when
// it is not.
func (d *demo) usageFile() string {
	if d.live == nil {
		return d.usage
	}
	return d.live.UsageFile()
}

// state tells what runs and what had to be replaced.
func (d *demo) state() *api.DemoState {
	s := &api.DemoState{Live: d.live != nil, Why: d.why, Replaced: []string{}, Attacks: []string{}}
	if d.live == nil {
		s.Attacks = append(s.Attacks, lab.Full)
		return s
	}
	s.Replaced = append(s.Replaced, d.live.Replaced()...)
	for _, a := range lab.Attacks() {
		s.Attacks = append(s.Attacks, a.Name)
	}
	s.Attacks = append(s.Attacks, Repair)
	return s
}

// attack starts an attack, once at a time.
func (d *demo) attack(name, on string) error {
	known := map[string]bool{}
	for _, a := range d.state().Attacks {
		known[a] = true
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
		return d.replay(d.ctx)
	case name == Repair:
		if on == "" {
			on = lab.BadCam
		}
		if err := d.repair(on); err != nil {
			return err
		}
		d.tell(on, "timeline.demo.repaired", nil)
		// What was repaired shows when it is looked at again; nobody reaches a device in
		// quarantine, and taking that back is for a person.
		dev, err := d.svc.Device(d.ctx, d.actor(), d.known(on))
		if err != nil || len(dev.Holds) > 0 {
			return err
		}
		_, err = d.svc.AssessDevice(d.ctx, d.actor(), dev.ID)
		return err
	}
	victim := on
	for _, a := range lab.Attacks() {
		if victim == "" && a.Name == name {
			victim = a.On
		}
	}
	d.tell(victim, "timeline.demo.attack", map[string]string{"attack": name})
	rep, err := d.live.Attack(d.ctx, name, lab.AttackOptions{On: on, NoCapture: true})
	d.log.Info("demo: attack over", "attack", name, "seed", rep.Seed, "packets", rep.Packets, "arrived", rep.Reached())
	return err
}

// tell writes on a device's timeline what the demo did to it. That it cannot is
// logged: the range does what it does all the same.
func (d *demo) tell(actor, key string, params map[string]string) {
	id := d.known(actor)
	if id == "" {
		return
	}
	if err := d.svc.turn(d.ctx, d.org, func(t *turn) error {
		scope, err := t.as(audit.SysDemo, audit.DeviceWrite)
		if err != nil {
			return err
		}
		return t.tell(scope, ringwall.EventDeviceMode, deviceSubject(id), "", note{Key: key, Params: params})
	}); err != nil && d.ctx.Err() == nil {
		d.log.Warn("demo: nothing is told", "device", actor, "cause", err)
	}
}

// repair plays the owner of a device that was taken.
func (d *demo) repair(on string) error {
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

// close ends what runs, then the range.
func (d *demo) close() error {
	d.cancel()
	d.runs.Wait()
	if d.live == nil {
		return nil
	}
	return d.live.Down()
}
