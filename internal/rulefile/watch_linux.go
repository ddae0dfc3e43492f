package rulefile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Watch calls changed after every replacement of the file at path, and once at
// the beginning, until ctx ends. The directory must exist.
func Watch(ctx context.Context, path string, changed func()) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watching %q: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), "inotify") // non-blocking: reading ends when it is closed
	defer f.Close()
	// Renaming replaces the file, so that the directory has to be watched.
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE|unix.IN_DELETE); err != nil {
		return fmt.Errorf("watching %q: %w", path, err)
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	changed()
	name := filepath.Base(path)
	buf := make([]byte, 64*(unix.SizeofInotifyEvent+unix.NAME_MAX+1))
	for {
		n, err := f.Read(buf)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watching %q: %w", path, err)
		}
		if speaksOf(buf[:n], name) {
			changed()
		}
	}
}

// speaksOf says whether one of these events is about the file of this name, or
// none can tell any more. Others must not count: changed takes the lock beside the
// file, and to let go of that is an event, too.
func speaksOf(events []byte, name string) bool {
	for len(events) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(events[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		if mask&unix.IN_Q_OVERFLOW != 0 || size > len(events) {
			return true
		}
		if string(bytes.TrimRight(events[unix.SizeofInotifyEvent:size], "\x00")) == name {
			return true
		}
		events = events[size:]
	}
	return false
}
