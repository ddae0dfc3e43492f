package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/enforce"
	"github.com/ringwall/ringwall/internal/enrol"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/task"
)

// The sites of the agent's own fsyncs: the names that lead to the state
// directory, and the files of the identity.
const (
	siteState    durable.Site = "agent/mkdir"
	siteIdentity durable.Site = "agent/identity"
)

// Version is the version of the agent, set when it is linked.
const Version = ringwall.Version

// fence is what the agent needs of the packet filter.
type fence interface {
	Base(ctx context.Context) error
	Apply(ctx context.Context, p policy.Plan) (hash string, err error)
	Hash(ctx context.Context) (string, error)
	Restrict(ctx context.Context, mark uint32, r ringwall.Restriction) error
	CutFlows(ctx context.Context, mark uint32) (n uint64, err error)
	Counters(ctx context.Context) (map[uint32]nft.Counts, error)
	Refusals(ctx context.Context, do func(nft.Refusal)) error
	Steer(ctx context.Context) error
	Steered(ctx context.Context) (bool, error)
	Restore([]nft.Consumption)
	Roll(ctx context.Context) error
	Consumed(ctx context.Context) ([]nft.Consumption, error)
	Tier() string
	Close() error
}

// Agent is a running gateway.
type Agent struct {
	cfg     Config
	log     *slog.Logger
	id      Identity
	started time.Time

	lock  *os.File
	fence fence
	// firewall is fence as the fast path wants it; fast is nil where there is none.
	firewall *nft.Firewall
	fast     FastPath
	keeper   *enforce.Keeper
	books    *books

	// kernel is held around every change of the holds and of the kernel.
	kernel  sync.Mutex
	hash    string // of the last Apply; "" while a Restrict has changed it since
	applied uint64 // generation

	noting    sync.Mutex // makes noteView take turns; guards cleared
	cleared   map[ringwall.DeviceID]time.Time
	view      atomic.Pointer[view]
	control   *control
	sims      *sims
	watch     *watch
	memory    memory
	guard     *guard
	inspector *guard // nil: there is none
	lookups   lookups
	up        *uplink
	posture   *onboard      // nil: the agent does not speak of this machine
	tunnels   Tunnels       // nil: this program has none
	quotas    bool          // quota.json holds something; only minutes uses it
	rolled    time.Time     // the hour in which quotas were last started anew; only minutes uses it
	six       bool          // the bridge carries IPv6; guarded by kernel
	changed   chan struct{} // what is in force has changed; keepTunnels listens
	reported  string        // error of the last refused document; only accept uses it
	reacts    chan reaction
	ended     chan struct{} // closed when nobody reacts any more
	again     chan struct{} // a plan is to be applied anew
	fetch     chan struct{} // the desired state is to be asked for
	turn      chan struct{} // something may have become of the newest document
}

// New opens the state directory, closes the gateway, and puts the last
// verified desired state in force: when it returns, the gateway enforces.
// Close or the end of the program leave that as it is. Codes: NotFound when
// the gateway is not enrolled, Conflict when another agent runs on the same
// directory.
func New(ctx context.Context, cfg Config) (*Agent, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &Agent{cleared: map[ringwall.DeviceID]time.Time{},
		cfg: cfg, log: cfg.Log, started: cfg.Now(),
		reacts: make(chan reaction, 256), ended: make(chan struct{}), again: make(chan struct{}, 1), changed: make(chan struct{}, 1), fetch: make(chan struct{}, 1),
		turn: make(chan struct{}, 1),
	}
	if err := a.open(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Agent) open(ctx context.Context) (err error) {
	conf := a.cfg.fenceConfig()
	if conf.Fast, err = a.openFast(); err != nil {
		return err
	}
	f, err := nft.Open(conf)
	if err != nil {
		return fmt.Errorf("opening the packet filter: %w", err)
	}
	a.firewall = f
	a.fence = f
	// Closed first: whatever goes wrong from here on, nothing is open.
	if err := a.fence.Base(ctx); err != nil {
		return err
	}
	if a.id, err = a.cfg.loadIdentity(); err != nil {
		return err
	}
	if a.lock, err = lockFile(a.cfg.path(agentLock)); err != nil {
		return err
	}
	if err := noteAgent(a.lock); err != nil {
		return fmt.Errorf("writing who runs: %w", err)
	}
	var faults []error
	a.keeper, faults, err = enforce.OpenKeeper(a.cfg.path(enforceDir), enforce.Config{
		Org: a.id.Org, Gateway: a.id.Gateway, Keys: enrol.Keys(a.id.SigningKeys), Now: a.cfg.Now, Mono: a.cfg.Mono, Disk: a.cfg.Disk,
	})
	if err != nil {
		return err
	}
	for _, e := range faults {
		a.log.Error("state on disk is not usable", "err", e)
	}
	a.books = openBooks(a.cfg)
	if a.sims, err = openSIMs(a); err != nil {
		return err
	}
	a.control = newControl(a)
	a.watch = newWatch(a)
	a.guard = newDNSGuard(a)
	if conf.Inspect != 0 {
		a.inspector = newInspector(a)
	}
	a.up = &uplink{agent: a}
	if a.cfg.Posture {
		a.posture = newOnboard(a)
	}
	a.openTunnels()
	a.restoreQuotas()
	a.noteView()
	if v := a.keeper.View(); v.Newest > 0 {
		if err := a.apply(ctx); err != nil {
			// The base stays closed, or the rules of the last run stay: not open.
			a.log.Error("last desired state is not in force", "err", err)
		} else {
			// The last run may have ended before it could say so, and nobody sends
			// again what we have.
			a.noteView()
			a.acknowledge(stillRolledBack(v))
		}
	}
	for _, h := range a.keeper.Untold() {
		a.tellHold(api.HoldReport{Hold: h, InForce: a.cfg.Now()})
	}
	if err := a.cfg.prepare(ctx); err != nil {
		return fmt.Errorf("preparing to forward: %w", err)
	}
	return nil
}

// lockFile locks a file for this process; it is unlocked when the process ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ringwall.Errorf(ringwall.Conflict, "%q is locked: another agent runs on this state", path)
		}
		return nil, fmt.Errorf("locking %q: %w", path, err)
	}
	return f, nil
}

// Tasks returns what must run for the gateway to watch, react and report.
func (a *Agent) Tasks() []task.Task {
	tasks := []task.Task{
		task.Func("reflexes", a.react),
		task.Func("apply", a.keepApplied),
		task.Func("spine", a.up.run),
		task.Func("uploader", a.upload),
		task.Func("minutes", a.minutes),
		task.Func("status", a.serveStatus),
		task.Func("refusals", a.refusals),
	}
	if a.fast != nil {
		tasks = append(tasks, task.Func("fast path", a.runFast))
	}
	tasks = append(tasks, a.watch.tasks()...)
	if a.tunnels != nil {
		tasks = append(tasks, task.Func("tunnels", a.keepTunnels))
	}
	if a.posture != nil {
		tasks = append(tasks, task.Func("posture", a.posture.run))
	}
	if (a.cfg.Mappings == MappingsDelete || a.cfg.Mappings == MappingsTell) && a.cfg.Uplink != "" {
		tasks = append(tasks, task.Func("mappings", a.mappings))
	}
	if a.cfg.Radius != "" {
		tasks = append(tasks, task.Func("radius", a.sims.listen))
	}
	if len(a.cfg.DNS) > 0 {
		tasks = append(tasks, task.Func("dns guard", a.guard.run))
	}
	if a.inspector != nil {
		tasks = append(tasks, task.Func("inspector", a.inspector.run))
	}
	if len(a.cfg.DNS) > 0 || a.inspector != nil {
		tasks = append(tasks, task.Func("reports of processes", a.takeReports))
	}
	return tasks
}

// Close closes the files. What is in the kernel stays in force.
func (a *Agent) Close() error {
	var errs []error
	if a.tunnels != nil {
		errs = append(errs, a.tunnels.Close())
	}
	if a.books != nil {
		errs = append(errs, a.books.close())
	}
	if a.fast != nil {
		errs = append(errs, a.fast.Close())
	}
	if a.fence != nil {
		errs = append(errs, a.fence.Close())
	}
	if a.lock != nil {
		errs = append(errs, a.lock.Close())
	}
	return errors.Join(errs...)
}

// Run runs a gateway until ctx ends; ready, if not nil, is called when it
// serves.
func Run(ctx context.Context, cfg Config, ready func()) error {
	a, err := New(ctx, cfg)
	if err != nil {
		return err
	}
	err = task.Run(ctx, ready, a.Tasks()...)
	return errors.Join(err, a.Close())
}

// view is what the meter and the detectors need to know of what is in force.
type view struct {
	desired api.Desired
	site    policy.Site
	device  map[ringwall.DeviceID]*api.DevicePolicy
	inForce map[ringwall.DeviceID]ringwall.Restriction
	cleared map[ringwall.DeviceID]time.Time // when a hold on it was last lifted
}

// noteCleared notes on whom holds were lifted: what the detectors said of them
// before is over, and what happens again is said again.
func (a *Agent) noteCleared(lifted []enforce.Lifted) {
	a.noting.Lock()
	defer a.noting.Unlock()
	for _, l := range lifted {
		a.cleared[l.Hold.Device] = a.cfg.Now()
	}
}

// noteView takes what is in force for those who judge packets.
func (a *Agent) noteView() {
	a.noting.Lock()
	defer a.noting.Unlock()
	k := a.keeper.View()
	d, _ := a.control.effective(k)
	v := &view{desired: d, site: policy.SiteOf(&d), device: make(map[ringwall.DeviceID]*api.DevicePolicy, len(d.Devices)), inForce: a.keeper.InForce(), cleared: maps.Clone(a.cleared)}
	for i := range d.Devices {
		v.device[d.Devices[i].Device] = &d.Devices[i]
	}
	a.view.Store(v)
	a.watch.setDevices(v)
	poke(a.changed)
}

// stillRolledBack is what is said when the agent starts about a document that is
// rolled back.
func stillRolledBack(v enforce.View) string {
	if v.Phase != enforce.RolledBack {
		return ""
	}
	return "generation " + decimal(v.Newest) + " is rolled back still"
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
