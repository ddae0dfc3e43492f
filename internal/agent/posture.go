package agent

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/posture"
	"github.com/ringwall/ringwall/internal/task"
)

const (
	// postureEvery is how often the state of the machine is told anew.
	postureEvery = time.Hour
	// postureGap is how soon it may be told again because sockets have changed.
	postureGap = 5 * time.Minute
	// maxPosture bounds a posture as JSON; signed and in base64 it still fits a
	// record of the log.
	maxPosture = 256 << 10
	// onceLimit is how long "posture -once" waits for the platform.
	onceLimit = 2 * time.Minute
)

// onboard speaks of the state of the machine that the agent runs on, in the
// name of the agent's own key.
type onboard struct {
	agent *Agent
	root  fs.FS // nil = the machine's

	mu    sync.Mutex
	made  time.Time // of the newest that is in the log
	epoch uint64    // of the log that it is in
	seq   uint64    // its place there
	sent  time.Time // of the newest that the platform has
}

func newOnboard(a *Agent) *onboard { return &onboard{agent: a} }

// run tells the state at once, then each hour and when what listens changes.
func (o *onboard) run(ctx context.Context, ready func()) error {
	w := watched{known: posture.Listening(o.root)}
	w.before = w.known
	ready()
	o.tell(ctx)
	last := o.agent.cfg.Now()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		now := o.agent.cfg.Now()
		since := now.Sub(last)
		changed := w.look(posture.Listening(o.root))
		if since < 0 || since >= postureEvery || changed && since >= postureGap {
			w.settle()
			o.tell(ctx)
			last = now
		}
	}
}

// watched tells when what listens has changed. Clients open sockets that look
// the same for the time of a query: only what two looks in a row have seen, or
// have missed, counts.
type watched struct {
	before, steady, known []string
}

// look takes what listens now and reports whether it is not what is known.
func (w *watched) look(now []string) bool {
	w.steady = slices.DeleteFunc(slices.Clone(now), func(s string) bool {
		_, there := slices.BinarySearch(w.before, s)
		return !there
	})
	w.before = now
	return !slices.Equal(w.steady, w.known)
}

// settle makes known what the last look has seen.
func (w *watched) settle() { w.known = w.steady }

// tell collects, signs and logs the state. What goes wrong is logged: a gateway
// that cannot speak of itself goes on being one.
func (o *onboard) tell(ctx context.Context) {
	if err := o.collect(ctx); err != nil && ctx.Err() == nil {
		o.agent.log.Error("state of this machine is not told", "err", err)
	}
}

func (o *onboard) collect(ctx context.Context) error {
	a := o.agent
	p, err := posture.Collect(ctx, posture.Config{Root: o.root, Now: a.cfg.Now, Facts: map[string]string{"identity-key": "file"}})
	if err != nil {
		return err
	}
	s, err := a.signPosture(p)
	if err != nil {
		return err
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	l := a.books.current()
	if l == nil {
		return ringwall.Errorf(ringwall.Unavailable, "there is no log")
	}
	seq, err := l.Append(api.RecordPosture, a.cfg.Now(), data)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settleSent()
	o.made, o.epoch, o.seq = p.Made, l.Epoch(), seq
	return nil
}

// settleSent notes the newest posture as sent when the platform has it; o.mu is
// held.
func (o *onboard) settleSent() {
	if ack := o.agent.up.acked.Load(); ack != nil && !o.made.IsZero() && ack.Epoch == o.epoch && ack.Seq >= o.seq {
		o.sent = o.made
	}
}

// arrived reports whether the platform has the newest posture.
func (o *onboard) arrived() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settleSent()
	return !o.made.IsZero() && o.sent.Equal(o.made)
}

func (o *onboard) status() *PostureStatus {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settleSent()
	return &PostureStatus{Only: o.agent.keeper == nil, Made: o.made, Sent: o.sent}
}

// signPosture signs a posture with the agent's enrolled key, the certificate
// beside it: the one that this connection or the next will show.
func (a *Agent) signPosture(p api.Posture) (api.SignedPosture, error) {
	cert, err := a.cfg.store().KeyPair()
	if err != nil {
		return api.SignedPosture{}, err
	}
	key, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return api.SignedPosture{}, ringwall.Errorf(ringwall.Invalid, "the agent's key of type %T signs nothing", cert.PrivateKey)
	}
	if p, err = fitting(p); err != nil {
		return api.SignedPosture{}, err
	}
	s, err := posture.Sign(key, p)
	s.Certificate = cert.Certificate[0]
	return s, err
}

// fitting halves the longest list of a posture until it fits a record, and
// notes in it that something was left out.
func fitting(p api.Posture) (api.Posture, error) {
	cut := false
	for {
		if b, err := json.Marshal(p); err != nil || len(b) <= maxPosture {
			return p, err
		}
		longest := max(len(p.Versions), len(p.Listening), len(p.Mounts), len(p.Accounts))
		if longest == 0 {
			return p, ringwall.Errorf(ringwall.Invalid, "the posture does not fit %d bytes", maxPosture)
		}
		switch longest {
		case len(p.Versions):
			p.Versions = p.Versions[:longest/2]
		case len(p.Listening):
			p.Listening = p.Listening[:longest/2]
		case len(p.Mounts):
			p.Mounts = p.Mounts[:longest/2]
		default:
			p.Accounts = p.Accounts[:longest/2]
		}
		if !cut {
			cut = true
			p.Unread = append(slices.Clone(p.Unread[:min(len(p.Unread), 32)]), "posture: too long, the rest of its longest lists was left out")
		}
	}
}

// RunOnDevice runs the agent on a device that is no gateway: it speaks of the
// device's state over the spine, keeps its certificate fresh, and touches
// neither packets nor the kernel's rules. With once it ends when the platform
// has one posture. Codes: NotFound when the agent is not enrolled, Conflict
// when another agent runs on the same state, Unavailable when the platform did
// not take the one posture in time; it is in the log then, and the next run
// sends it.
func RunOnDevice(ctx context.Context, cfg Config, once bool, ready func()) error {
	a, err := newOnDevice(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tasks := []task.Task{task.Func("spine", a.up.run), task.Func("uploader", a.upload), task.Func("status", a.serveStatus)}
	if once {
		tasks = append(tasks, task.Func("posture", func(ctx context.Context, ready func()) error {
			defer cancel()
			ready()
			return a.posture.once(ctx)
		}))
	} else {
		tasks = append(tasks, task.Func("posture", a.posture.run), task.Func("health", a.healthOnDevice))
	}
	return errors.Join(task.Run(ctx, ready, tasks...), a.Close())
}

func newOnDevice(cfg Config) (*Agent, error) {
	a := &Agent{cfg: cfg.defaults(), fetch: make(chan struct{}, 1)}
	a.log, a.started = a.cfg.Log, a.cfg.Now()
	var err error
	if a.id, err = a.cfg.loadIdentity(); err != nil {
		return nil, err
	}
	if a.lock, err = lockFile(a.cfg.path(agentLock)); err != nil {
		return nil, err
	}
	a.books = openBooks(a.cfg)
	a.up = &uplink{agent: a}
	a.posture = newOnboard(a)
	return a, nil
}

// once tells the state and waits until the platform has it.
func (o *onboard) once(ctx context.Context) error {
	if err := o.collect(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, onceLimit)
	defer cancel()
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for !o.arrived() {
		select {
		case <-ctx.Done():
			// The cause is not wrapped: whoever ends this early is told too.
			return &ringwall.Error{Code: ringwall.Unavailable, Text: "the platform did not take the posture", Hint: "it is in the log; the next run sends it"}
		case <-t.C:
		}
	}
	return nil
}

// healthOnDevice reports each minute that the agent is there.
func (a *Agent) healthOnDevice(ctx context.Context, ready func()) error {
	ready()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		a.books.note(api.RecordHealth, api.Health{
			Version: Version, Uptime: a.cfg.Now().Sub(a.started), Tier: "on the device", WALBytes: a.books.bytes(), RSSBytes: rss(os.Getpid()),
		})
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// statusOnDevice describes an agent that is no gateway.
func (a *Agent) statusOnDevice() Status {
	s := Status{
		Running: true, Version: Version, Org: a.id.Org, Gateway: a.id.Gateway, Tier: "on the device", Holds: []api.Hold{},
		RSSBytes: rss(os.Getpid()), Uptime: api.Duration(a.cfg.Now().Sub(a.started).Round(time.Second)), Lost: a.books.unwritten.Load(), Posture: a.posture.status(),
	}
	if c := a.up.conn.Load(); c != nil {
		s.Connected = c.Connected()
	}
	if l := a.books.current(); l != nil {
		s.Epoch, s.LastSeq, s.Lost = l.Epoch(), l.Last(), s.Lost+l.Lost()
		s.Unsent = l.Last() + 1 - min(l.First(), l.Last()+1)
	} else {
		s.Faults = append(s.Faults, "the write-ahead log cannot be written")
	}
	return s
}
