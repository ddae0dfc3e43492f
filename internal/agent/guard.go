package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
)

// guard keeps a process running that serves devices: the DNS guard or the
// inspector. It is in a session of its own: it is not ended with the agent, and
// the next agent adopts it.
type guard struct {
	agent  *Agent
	name   string   // for the log
	file   string   // of the state directory, locked by the process
	listen []string // where it answers
	args   []string // with which it is started
	pid    atomic.Int64
}

func newDNSGuard(a *Agent) *guard {
	c := a.cfg
	g := &guard{agent: a, name: "DNS guard", file: dnsPID, listen: c.DNS, args: []string{
		"dns", "-state", c.State, "-listen", strings.Join(c.DNS, ","), "-bridge", c.Bridge, "-lan", strings.Join(c.LAN, ","), "-uplink", c.Uplink,
	}}
	if c.Host {
		g.args = append(g.args, "-host")
	}
	if c.Inspect {
		g.args = append(g.args, "-inspect")
	}
	return g
}

// guardNote is what such a process writes into the file that it keeps locked.
type guardNote struct {
	PID     int      `json:"pid"`
	Version string   `json:"version"`
	Build   string   `json:"build,omitempty"` // of its program, see buildOf
	Listen  []string `json:"listen"`
}

// buildOf names the very file that a process runs: a program that was replaced
// by another of the same version is another one.
func buildOf(exe string) string {
	var st unix.Stat_t
	if err := unix.Stat(exe, &st); err != nil {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x", uint64(st.Dev), st.Ino, st.Size, st.Mtim.Nano())
}

// selfExe is the program as it was when it started, whatever has become of its
// file.
const selfExe = "/proc/self/exe"

const (
	guardLook  = 100 * time.Millisecond // how often an adopted process is looked at
	guardFirst = 20 * time.Millisecond  // wait before a process that ended is started again
	guardMost  = 30 * time.Second       // the wait doubles up to this
	guardWell  = time.Minute            // after this long it was well, and the wait begins anew
	guardEnd   = 5 * time.Second        // how long a guard may take to end when asked
	guardWarm  = 300 * time.Millisecond // how long a new one has to get ready before the old one is ended
	guardLine  = 30 * time.Second       // how long a new one waits for its place
)

// running returns the guard's process id, 0 if there is none.
func (g *guard) running() int { return int(g.pid.Load()) }

// run keeps a guard running until ctx ends, and leaves it running then.
func (g *guard) run(ctx context.Context, ready func()) error {
	ready()
	log, wait, path := g.agent.log.With("process", g.name), guardFirst, g.agent.cfg.path(g.file)
	for ctx.Err() == nil {
		began := time.Now()
		note, alive, err := readGuard(path)
		switch {
		case err != nil:
			log.Error("it is not known whether it runs", "err", err)
		case alive && (note.Version != Version || note.Build != g.build() || !slices.Equal(note.Listen, g.listen)):
			log.Info("another program or address; replacing it", "pid", note.PID)
			err = g.start(ctx, note.PID)
		case alive:
			log.Info("it runs; adopting it", "pid", note.PID)
			g.pid.Store(int64(note.PID))
			g.attend(ctx)
		default:
			err = g.start(ctx, 0)
		}
		g.pid.Store(0)
		if ctx.Err() != nil {
			return nil
		}
		g.agent.health() // that it does not run is told at once
		if time.Since(began) > guardWell {
			wait = guardFirst
		}
		log.Error("it has ended; starting it again", "err", err, "in", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, guardMost)
	}
	return nil
}

// build names the program that is started.
func (g *guard) build() string {
	if self := g.agent.cfg.Self; self != nil {
		exe, err := exec.LookPath(self[0])
		if err != nil {
			return ""
		}
		return buildOf(exe)
	}
	return buildOf(selfExe)
}

// attend waits until the adopted guard ends.
func (g *guard) attend(ctx context.Context) {
	t := time.NewTicker(guardLook)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if _, alive, err := readGuard(g.agent.cfg.path(g.file)); err == nil && !alive {
				return
			}
		}
	}
}

// start starts the process and waits until it ends or ctx does. The one that
// runs, of process id old, is ended when the new one stands ready to take its
// place.
func (g *guard) start(ctx context.Context, old int) error {
	self := g.agent.cfg.Self
	if self == nil {
		self = []string{selfExe}
	}
	args := append(slices.Clone(self[1:]), g.args...)
	if old != 0 {
		args = append(args, "-wait")
	}
	cmd := exec.Command(self[0], args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the %s: %w", g.name, err)
	}
	g.agent.log.Info("process is started", "process", g.name, "pid", cmd.Process.Pid)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }() // ends with the process, which may outlive us
	if old != 0 {
		select {
		case err := <-done:
			return err
		case <-time.After(guardWarm):
		case <-ctx.Done():
		}
		if err := endGuard(context.WithoutCancel(ctx), g.agent.cfg.path(g.file)); err != nil {
			return err
		}
	}
	g.pid.Store(int64(cmd.Process.Pid))
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return nil
	}
}

// takePlace locks the file of a process and writes there who it is. With wait it
// stands in line behind the one that serves now.
func takePlace(ctx context.Context, path string, listen []string, wait bool) (*os.File, error) {
	for deadline := time.Now().Add(guardLine); ; {
		lock, err := lockFile(path)
		if err == nil {
			b, err := json.Marshal(guardNote{PID: os.Getpid(), Version: Version, Build: buildOf(selfExe), Listen: listen})
			if err == nil {
				err = errors.Join(lock.Truncate(0), writeAll(lock, b))
			}
			if err != nil {
				lock.Close()
				return nil, fmt.Errorf("writing %q: %w", path, err)
			}
			return lock, nil
		}
		if !wait || ringwall.CodeOf(err) != ringwall.Conflict || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// readGuard reads which guard runs on a state directory. It is alive as long
// as it keeps its file locked, whatever its process id means by now.
func readGuard(path string) (note guardNote, alive bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, os.ErrNotExist) {
		return note, false, nil
	}
	if err != nil {
		return note, false, err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		return note, false, nil // nobody holds it; closing lets go
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return note, false, err
	}
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err == nil {
		err = json.Unmarshal(b, &note)
	}
	if err != nil {
		return note, true, fmt.Errorf("reading %q: %w", path, err)
	}
	return note, true, nil
}

// endGuard ends the process that keeps a file locked, and waits until it does so
// no more; another may have it by then.
func endGuard(ctx context.Context, path string) error {
	note, alive, err := readGuard(path)
	if err != nil || !alive {
		return err
	}
	// The file is locked by the process that wrote it: the id is its own.
	if err := unix.Kill(note.PID, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ending process %d: %w", note.PID, err)
	}
	deadline := time.Now().Add(guardEnd)
	for ctx.Err() == nil {
		if now, alive, err := readGuard(path); err != nil || !alive || now.PID != note.PID {
			return nil // it is gone, or another is writing who it is
		}
		if time.Now().After(deadline) {
			if err := unix.Kill(note.PID, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Millisecond):
		}
	}
	return ringwall.Errorf(ringwall.Unavailable, "process %d has not ended", note.PID)
}
