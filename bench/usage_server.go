package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// server is a peer's server that runs for one comparison.
type server struct {
	cmd     *exec.Cmd
	signal  os.Signal // that ends it
	log     bytes.Buffer
	stopped bool
}

// startServer starts a server that may write in dir, as nobody where we are root,
// and waits until ready has no error. The caller stops it.
func startServer(cmd *exec.Cmd, dir string, signal os.Signal, ready func() error) (*server, error) {
	s := &server{cmd: cmd, signal: signal}
	if err := unprivileged(cmd, dir); err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := ready()
		if err == nil {
			return s, nil
		}
		if time.Since(began) > 30*time.Second {
			_ = s.stop() // it is of no use
			return nil, fmt.Errorf("%w; the server says: %.600s", err, s.log.String())
		}
	}
}

// spent is the processor time of the server and of its children so far.
func (s *server) spent() (float64, error) { return treeTime(s.cmd.Process.Pid) }

// stop ends the server, once.
func (s *server) stop() error {
	if s.stopped {
		return nil
	}
	s.stopped = true
	return errors.Join(s.cmd.Process.Signal(s.signal), s.cmd.Wait())
}

// peak is how many bytes were resident of a server that was stopped.
func (s *server) peak() int64 {
	_, peak := used(s.cmd.ProcessState)
	return peak
}

// unprivileged makes a command run as nobody when we are root: servers refuse to be
// run by root.
func unprivileged(cmd *exec.Cmd, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Dir = dir
	return os.Chown(dir, nobody, nobody)
}

// nobody is the user of that name.
const nobody = 65534
