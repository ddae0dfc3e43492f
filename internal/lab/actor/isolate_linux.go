package actor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// isolate gives the actor its own view of the files: the host's tree
// read-only, and private /proc, /tmp, /run, /var/log and terminals, with the
// spec's files in place of the host's. It is called in a mount namespace of
// the actor's own, so that the host sees nothing of it. Nothing that an actor
// can write to can be executed.
func isolate(spec Spec) error {
	if os.Getpid() != 1 {
		// The mounts below would be the host's.
		return errors.New("not in a process namespace of its own")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	ro := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	err := unix.MountSetattr(-1, "/", unix.AT_RECURSIVE, &ro)
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.12: at least the root
		err = unix.Mount("", "/", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	if err != nil {
		return fmt.Errorf("making the host's files read-only: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, dir := range []string{"/tmp", "/run", "/var/log", "/var/tmp", "/root"} {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=8m,mode=0755"); err != nil {
			return fmt.Errorf("mounting a private %s: %w", dir, err)
		}
	}
	if err := terminals(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(spec.Name)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	return privateFiles(spec.Files)
}

// terminals mounts pseudo terminals of the actor's own, where the kernel can.
func terminals() error {
	err := unix.Mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
	if err != nil {
		return fmt.Errorf("mounting private terminals: %w", err)
	}
	if fi, err := os.Lstat("/dev/ptmx"); err == nil && fi.Mode().Type() == os.ModeSymlink {
		return nil // to pts/ptmx, which is ours now
	}
	if err := unix.Mount("/dev/pts/ptmx", "/dev/ptmx", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding private terminals: %w", err)
	}
	return nil
}

// privateDir holds the contents of private files.
const privateDir = "/run/private"

func privateFiles(files map[string]string) error {
	if err := os.MkdirAll(privateDir, 0o755); err != nil {
		return err
	}
	for path, text := range files {
		if err := privateFile(path, text); err != nil {
			return err
		}
	}
	return nil
}

// privateFile puts text in place of the file at path, for this actor alone.
func privateFile(path, text string) error {
	own := filepath.Join(privateDir, strings.ReplaceAll(strings.Trim(path, "/"), "/", "_"))
	if err := os.WriteFile(own, []byte(text), 0o644); err != nil {
		return err
	}
	if strings.HasPrefix(path, "/run/") || strings.HasPrefix(path, "/tmp/") {
		return os.WriteFile(path, []byte(text), 0o644)
	}
	if err := unix.Mount(own, path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("putting a private file in place of %s: %w", path, err)
	}
	return nil
}

// rewritePrivate changes the contents of a private file in place; what is
// bound over the host's file is the same inode.
func rewritePrivate(path, text string) error {
	own := filepath.Join(privateDir, strings.ReplaceAll(strings.Trim(path, "/"), "/", "_"))
	return os.WriteFile(own, []byte(text), 0o644)
}

// reap collects orphans: the actor is process 1 of its namespace, and what a
// telnet session leaves behind becomes its child. Children that exec.Cmd waits
// for must be left to it; they lead sessions of their own (see orphans).
func reap(ctx context.Context, e *Env) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGCHLD)
	e.wg.Go(func() {
		defer signal.Stop(ch)
		for {
			select {
			case <-ctx.Done():
				return
			case <-ch:
			}
			for _, pid := range orphans() {
				var ws unix.WaitStatus
				_, _ = unix.Wait4(pid, &ws, unix.WNOHANG, nil) // gone already is as good
			}
		}
	})
}

// orphans lists dead children that do not lead a session. All children that
// this process starts itself are started with Setsid and do, so none of those
// is taken away from its exec.Cmd, however early it dies. An orphan that made
// itself a leader stays a zombie until the namespace ends.
func orphans() (pids []int) {
	dirs, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, f := range dirs {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		var pid, ppid, pgrp, session int
		var state string
		s := string(b)
		i, j := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
		if i < 0 || j < 0 {
			continue
		}
		if _, err := fmt.Sscan(s[:i], &pid); err != nil {
			continue
		}
		if _, err := fmt.Sscan(s[j+1:], &state, &ppid, &pgrp, &session); err != nil {
			continue
		}
		if ppid == 1 && state == "Z" && session != pid {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}
