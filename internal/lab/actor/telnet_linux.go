package actor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// loginProgram is what busybox's telnetd starts for a visitor: a link of the
// actor's own to busybox, which goes by the name it is called.
const loginProgram = privateDir + "/login"

// ownSession makes a child lead a session, so that it is told from orphans.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// onTerminal runs a program on a fresh pseudo terminal, with the visitor at
// the other end, until one of them has enough.
func onTerminal(ctx context.Context, visitor io.ReadWriter, name string, args ...string) error {
	// The raw file descriptor is non-blocking, so that Close ends a Read.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("opening a terminal: %w", err)
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	defer master.Close()
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("unlocking a terminal: %w", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return fmt.Errorf("finding a terminal: %w", err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("opening a terminal: %w", err)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Env = []string{"TERM=dumb", "PATH=/bin:/sbin:/usr/bin:/usr/sbin"}
	err = cmd.Start()
	slave.Close()
	if err != nil {
		return err
	}
	// Whatever the visitor left running may keep the terminal for good: it is
	// taken away from them, rather than waited for.
	end := context.AfterFunc(ctx, func() { master.Close() })
	defer end()
	typed := make(chan struct{})
	go func() { // ends when the visitor's connection does, which the caller closes
		defer close(typed)
		_, _ = io.Copy(master, visitor)
		// He has hung up: the terminal goes, and with it what runs on it.
		_ = cmd.Process.Signal(unix.SIGHUP)
		_ = cmd.Process.Kill()
		master.Close()
	}()
	_, _ = io.Copy(visitor, master) // EIO: nobody is on the terminal any more
	err = cmd.Wait()
	master.Close() // nobody reads what he types
	if c, ok := visitor.(*nvt); ok {
		c.conn.Close()
	}
	<-typed
	return err
}

// endSessions ends all processes of the actor but itself: what came in by
// telnet, whoever its parent is by now.
func endSessions() {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return
	}
	for _, d := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(d)); err == nil && pid != 1 {
			_ = unix.Kill(pid, unix.SIGKILL) // gone already is as good
		}
	}
}

// awaitPort waits until something answers at addr.
func awaitPort(ctx context.Context, addr string) error {
	for range 100 {
		c, err := net.DialTimeout("tcp4", addr, time.Second)
		if err == nil {
			return c.Close()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("nothing answers at " + addr)
}
