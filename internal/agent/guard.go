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

// guard keeps a DNS guard running. The guard is a process in a session of its
// own: it is not ended with the agent, and the next agent adopts it.
type guard struct {
	agent *Agent
	pid   atomic.Int64
}

// guardNote is what a DNS guard writes into the file that it keeps locked.
type guardNote struct {
	PID     int      `json:"pid"`
	Version string   `json:"version"`
	Listen  []string `json:"listen"`
}

const (
	guardLook  = time.Second      // how often an adopted guard is looked at
	guardFirst = time.Second      // wait before a guard that ended is started again
	guardMost  = 30 * time.Second // the wait doubles up to this
	guardWell  = time.Minute      // after this long it was well, and the wait begins anew
	guardEnd   = 5 * time.Second  // how long a guard may take to end when asked
)

// running returns the guard's process id, 0 if there is none.
func (g *guard) running() int { return int(g.pid.Load()) }

// run keeps a guard running until ctx ends, and leaves it running then.
func (g *guard) run(ctx context.Context, ready func()) error {
	ready()
	log, wait := g.agent.log, guardFirst
	for ctx.Err() == nil {
		began := time.Now()
		note, alive, err := readGuard(g.agent.cfg.path(dnsPID))
		switch {
		case err != nil:
			log.Error("it is not known whether a DNS guard runs", "err", err)
		case alive && (note.Version != Version || !slices.Equal(note.Listen, g.agent.cfg.DNS)):
			log.Info("DNS guard is of another version or address; replacing it", "pid", note.PID)
			err = endGuard(ctx, g.agent.cfg.path(dnsPID))
		case alive:
			log.Info("DNS guard runs; adopting it", "pid", note.PID)
			g.pid.Store(int64(note.PID))
			g.attend(ctx)
		default:
			err = g.start(ctx)
		}
		g.pid.Store(0)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > guardWell {
			wait = guardFirst
		}
		log.Error("DNS guard has ended; starting it again", "err", err, "in", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, guardMost)
	}
	return nil
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
			if _, alive, err := readGuard(g.agent.cfg.path(dnsPID)); err == nil && !alive {
				return
			}
		}
	}
}

// start starts a guard and waits until it ends or ctx does.
func (g *guard) start(ctx context.Context) error {
	self := g.agent.cfg.Self
	if self == nil {
		// The program as it was when it started, whatever has become of its file.
		self = []string{"/proc/self/exe"}
	}
	c := g.agent.cfg
	args := append(slices.Clone(self[1:]), "dns", "-state", c.State, "-listen", strings.Join(c.DNS, ","),
		"-bridge", c.Bridge, "-lan", strings.Join(c.LAN, ","), "-uplink", c.Uplink)
	cmd := exec.Command(self[0], args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the DNS guard: %w", err)
	}
	g.agent.log.Info("DNS guard is started", "pid", cmd.Process.Pid)
	g.pid.Store(int64(cmd.Process.Pid))
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }() // ends with the guard, which may outlive us
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return nil
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

// endGuard ends the guard that runs on a state directory and waits for it.
func endGuard(ctx context.Context, path string) error {
	note, alive, err := readGuard(path)
	if err != nil || !alive {
		return err
	}
	// The file is locked by the process that wrote it: the id is its own.
	if err := unix.Kill(note.PID, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ending the DNS guard: %w", err)
	}
	deadline := time.Now().Add(guardEnd)
	for ctx.Err() == nil {
		if _, alive, err = readGuard(path); err != nil || !alive {
			return err
		}
		if time.Now().After(deadline) {
			if err := unix.Kill(note.PID, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return ringwall.Errorf(ringwall.Unavailable, "the DNS guard has not ended")
}
