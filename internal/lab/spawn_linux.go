package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	vns "github.com/vishvananda/netns"

	"github.com/ringwall/ringwall/internal/lab/actor"
	"github.com/ringwall/ringwall/internal/netns"
)

// spawner starts processes from one thread that lives as long as the range:
// the kernel kills a child with Pdeathsig when the thread that started it
// ends, not when the program does.
type spawner struct {
	orders chan spawn
	ended  chan struct{}
}

type spawn struct {
	ns   *netns.NS
	cmd  *exec.Cmd
	done chan error
}

func newSpawner() *spawner {
	s := &spawner{orders: make(chan spawn), ended: make(chan struct{})}
	go netns.Thread(func() {
		defer close(s.ended)
		for o := range s.orders {
			if err := vns.Set(vns.NsHandle(o.ns.FD())); err != nil {
				o.done <- fmt.Errorf("entering network namespace %q: %w", o.ns.Name, err)
				continue
			}
			o.done <- o.cmd.Start()
		}
	})
	return s
}

// start starts cmd in ns; it is killed when the range ends, however it ends.
func (s *spawner) start(ns *netns.NS, cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true // Ctrl-C is for the range, which then ends the others in order
	o := spawn{ns: ns, cmd: cmd, done: make(chan error, 1)}
	s.orders <- o
	return <-o.done
}

func (s *spawner) close() {
	close(s.orders)
	<-s.ended
}

// runMark names one run of the range: the program's process id and when that
// process began, so that a number that was given again is not taken for it.
func runMark(random string) (string, error) {
	began, err := processBegan(os.Getpid())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d-%s-%s", os.Getpid(), began, random), nil
}

// processBegan returns when a process began, in the kernel's ticks since boot.
func processBegan(pid int) (string, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	// The name, in parentheses, may hold anything; field 22 counts from before it.
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 20 {
		return "", fmt.Errorf("reading /proc/%d/stat: too short", pid)
	}
	if f[0] == "Z" || f[0] == "X" {
		return "", os.ErrProcessDone // dead, and merely not yet waited for
	}
	return f[19], nil
}

// marked lists the processes that carry a run's mark, by process id.
func marked() map[int]string {
	out := map[int]string{}
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return out
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // gone meanwhile
		}
		for v := range strings.SplitSeq(string(b), "\x00") {
			if mark, ok := strings.CutPrefix(v, actor.EnvRun+"="); ok {
				if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil && pid != os.Getpid() {
					out[pid] = mark
				}
			}
		}
	}
	return out
}

// orphaned reports whether the program that made a run is gone.
func orphaned(mark string) bool {
	pid, rest, _ := strings.Cut(mark, "-")
	began, _, _ := strings.Cut(rest, "-")
	n, err := strconv.Atoi(pid)
	if err != nil {
		return true
	}
	now, err := processBegan(n)
	return err != nil || now != began
}

// sweep kills the processes for whose mark f says so, and waits until they
// are gone. It returns how many there were.
func sweep(f func(mark string) bool) (n int, err error) {
	for range 100 {
		left := 0
		for pid, mark := range marked() {
			if !f(mark) {
				continue
			}
			left++
			n++
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone meanwhile is as good
		}
		if left == 0 {
			return n, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return n, fmt.Errorf("processes of the range that do not end: %v", marked())
}
