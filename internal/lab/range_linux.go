package lab

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/lab/actor"
	"github.com/ringwall/ringwall/internal/netns"
)

// Range is a range that is up.
type Range struct {
	cfg   Config
	mark  string
	spawn *spawner
	log   *lineLog
	ownD  bool // Dir is the range's own
	ids   identities

	ctx    context.Context // ends with the range
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	rng     *mrand.Rand
	ns      map[string]*netns.NS
	actors  map[string]*process
	agent   *process
	clocks  int // captures made, for their names
	usage   *os.File
	down    bool
	secrets map[string]string // passwords of devices, by "actor/service"
}

// process is an actor or the agent.
type process struct {
	name   string
	cmd    *exec.Cmd
	client *actor.Client // nil for the agent
	done   chan struct{} // closed when it has ended
	err    error         // good after done
}

// Up makes the range and returns when every actor serves. On an error it
// leaves nothing behind. The range lives until Down, whatever ctx does.
func Up(ctx context.Context, cfg Config) (*Range, error) {
	if err := netns.Available(); err != nil {
		return nil, &ringwall.Error{Code: ringwall.Unavailable, Text: "the range needs root and network namespaces", Hint: "run it as root on Linux", Err: err}
	}
	if _, err := sweep(orphaned); err != nil {
		return nil, fmt.Errorf("ending what a killed range left: %w", err)
	}
	r, err := newRange(cfg)
	if err != nil {
		return nil, err
	}
	if err := r.up(ctx); err != nil {
		return nil, errors.Join(err, r.Down())
	}
	return r, nil
}

func newRange(cfg Config) (*Range, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Pace == 0 {
		cfg.Pace = defaultPace
	}
	if cfg.Look == 0 {
		cfg.Look = defaultLook
	}
	if cfg.Rest == 0 {
		cfg.Rest = cfg.Look
	}
	if cfg.UsagePeriod == 0 {
		cfg.UsagePeriod = defaultUsage
	}
	for cfg.Seed == 0 {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return nil, err
		}
		cfg.Seed = uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 // short enough to type
	}
	switch cfg.Busybox {
	case "":
		if p, err := exec.LookPath("busybox"); err == nil {
			cfg.Busybox = p
		}
	case "-":
		cfg.Busybox = ""
	}
	r := &Range{
		cfg: cfg, rng: mrand.New(mrand.NewPCG(cfg.Seed, 1)), log: &lineLog{w: cfg.Log},
		ns: map[string]*netns.NS{}, actors: map[string]*process{}, secrets: map[string]string{},
	}
	var err error
	if r.mark, err = runMark(rand.Text()[:8]); err != nil {
		return nil, err
	}
	if r.ids, err = newIdentities(cfg.Now()); err != nil {
		return nil, err
	}
	if cfg.Dir == "" {
		if r.cfg.Dir, err = os.MkdirTemp("", "ringwall-lab-"); err != nil {
			return nil, err
		}
		r.ownD = true
	} else if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	r.ctx, r.cancel = context.WithCancel(context.Background()) // the range outlives the call that made it
	r.spawn = newSpawner()
	return r, nil
}

func (r *Range) up(ctx context.Context) error {
	if err := build(ctx, r.ns); err != nil {
		return err
	}
	for addr, to := range r.cfg.ExposeUDP {
		if err := r.ExposeUDP(ctx, addr, to); err != nil {
			return err
		}
	}
	for addr, to := range r.cfg.Expose {
		if err := r.Expose(ctx, addr, to); err != nil {
			return err
		}
	}
	if r.cfg.Agent != nil {
		cmd, err := r.cfg.Agent(r.ns[Gateway])
		if err != nil {
			return fmt.Errorf("preparing the gateway's agent: %w", err)
		}
		if err := r.StartAgent(cmd); err != nil {
			return err
		}
	}
	specs, err := r.specs()
	if err != nil {
		return err
	}
	for _, h := range plan() {
		if h.program == "" {
			continue
		}
		if err := r.startActor(ctx, specs[h.name]); err != nil {
			return fmt.Errorf("starting actor %q: %w", h.name, err)
		}
	}
	return nil
}

// startTimeout is how long an actor may take to serve.
const startTimeout = 20 * time.Second

func (r *Range) startActor(ctx context.Context, s spec) error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return err
	}
	// The program as it was when it started, whatever has become of its file.
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"ringwall lab actor " + s.Name}
	cmd.Env = []string{actor.EnvName + "=" + s.Name, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		cmd.Env = append(cmd.Env, "GOCOVERDIR="+dir)
	}
	cmd.ExtraFiles = append([]*os.File{theirs}, s.files...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	p, err := r.start(s.Name, r.ns[s.Name], cmd)
	theirs.Close()
	if err != nil {
		conn.Close()
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p.client, err = actor.Start(ctx, conn, s.Spec)
	if err != nil {
		conn.Close()
	}
	r.mu.Lock()
	r.actors[s.Name] = p // also when it does not serve: Down waits for it
	r.mu.Unlock()
	return err
}

// start starts a process in a namespace, with the range's mark. What it says
// goes where cmd says, or to the range's log.
func (r *Range) start(name string, ns *netns.NS, cmd *exec.Cmd) (*process, error) {
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, actor.EnvRun+"="+r.mark)
	theirs, err := r.listenTo(name, cmd)
	if err == nil {
		err = r.spawn.start(ns, cmd)
	}
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	r.wg.Go(func() {
		defer close(p.done)
		p.err = cmd.Wait()
	})
	return p, nil
}

// listenTo gives cmd pipes to speak into, and copies what comes out of them
// until the last process that has their other ends is gone. With files, Wait
// waits for the process itself, not for what it leaves behind with its output,
// as the agent leaves the DNS guard.
func (r *Range) listenTo(name string, cmd *exec.Cmd) (theirs []*os.File, err error) {
	route := func(w io.Writer) (io.Writer, error) {
		if f, ok := w.(*os.File); ok {
			return f, nil
		}
		rd, wr, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, wr)
		r.wg.Go(func() {
			if w == nil {
				r.log.copy(name, rd)
				return
			}
			defer rd.Close()
			_, _ = io.Copy(w, rd)
			_, _ = io.Copy(io.Discard, rd) // who cannot write it down does not end the process
		})
		return wr, nil
	}
	same := sameWriter(cmd.Stdout, cmd.Stderr)
	if cmd.Stdout, err = route(cmd.Stdout); err != nil {
		return theirs, err
	}
	if same {
		cmd.Stderr = cmd.Stdout
		return theirs, nil
	}
	cmd.Stderr, err = route(cmd.Stderr)
	return theirs, err
}

// sameWriter reports whether two writers are one, which must not be written to
// by two goroutines at once.
func sameWriter(a, b io.Writer) bool {
	defer func() { _ = recover() }() // of types that cannot be compared
	return a == b
}

// StartAgent starts the gateway's agent in the gateway's namespace. There is
// at most one at a time.
func (r *Range) StartAgent(cmd *exec.Cmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.agent != nil {
		select {
		case <-r.agent.done:
		default:
			return ringwall.Errorf(ringwall.Conflict, "the gateway has an agent already")
		}
	}
	p, err := r.start("agent", r.ns[Gateway], cmd)
	if err != nil {
		return fmt.Errorf("starting the gateway's agent: %w", err)
	}
	r.agent = p
	return nil
}

// Agent returns the agent's process id and a channel that is closed when it
// has ended; 0 and nil when none was started.
func (r *Range) Agent() (pid int, done <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.agent == nil {
		return 0, nil
	}
	return r.agent.cmd.Process.Pid, r.agent.done
}

// agentGrace is how long the agent may take to end when asked.
const agentGrace = 5 * time.Second

// StopAgent asks the agent to end, or kills it, and waits until it is gone.
func (r *Range) StopAgent(kill bool) error {
	r.mu.Lock()
	p := r.agent
	r.mu.Unlock()
	if p == nil {
		return nil
	}
	sig := syscall.SIGTERM
	if kill {
		sig = syscall.SIGKILL
	}
	_ = p.cmd.Process.Signal(sig) // ended already is as good
	select {
	case <-p.done:
	case <-time.After(agentGrace):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	return nil
}

// callTime bounds an order whose giver sets no bound.
const callTime = time.Minute

// call gives an order to an actor.
func (r *Range) call(ctx context.Context, name, op string, in, out any) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	r.mu.Lock()
	p := r.actors[name]
	r.mu.Unlock()
	if p == nil || p.client == nil {
		return ringwall.Errorf(ringwall.NotFound, "there is no actor %q", name)
	}
	if err := p.client.Call(ctx, op, in, out); err != nil {
		return fmt.Errorf("telling %q to %s: %w", name, op, err)
	}
	return nil
}

// Seed returns the seed of the range.
func (r *Range) Seed() uint64 { return r.cfg.Seed }

// Dir returns where captures and usage records are.
func (r *Range) Dir() string { return r.cfg.Dir }

// NS returns the namespace of an actor, of Gateway or of Internet; nil when
// there is none of that name. The range owns it.
func (r *Range) NS(actor string) *netns.NS {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ns[actor]
}

// Network returns a dialer and listener inside an actor's namespace, such as
// Laptop for the owner's probes; nil when there is no such actor.
func (r *Range) Network(actor string) Network {
	if ns := r.NS(actor); ns != nil {
		return ns
	}
	return nil
}

// lineLog writes whole lines of several processes to one writer, each with its
// name before it.
type lineLog struct {
	mu sync.Mutex
	w  io.Writer
}

// copy copies lines until from ends, and closes it.
func (l *lineLog) copy(name string, from io.ReadCloser) {
	defer from.Close()
	s := bufio.NewScanner(from)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if l.w == nil {
			continue
		}
		l.mu.Lock()
		fmt.Fprintf(l.w, "%s: %s\n", name, s.Bytes())
		l.mu.Unlock()
	}
	// A line too long ends the scanner; the rest must still be taken, or the
	// process would wait for ever.
	_, _ = io.Copy(io.Discard, from)
}

// jsonOf marshals settings of ours, which cannot fail.
func jsonOf(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("lab: settings that cannot be written: " + err.Error())
	}
	return b
}
