package rulefile

import (
	"context"
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
	// Which name an event is about is not looked at: the few files of a state
	// directory change seldom, and who is told too often only looks.
	buf := make([]byte, 64*(unix.SizeofInotifyEvent+unix.NAME_MAX+1))
	for {
		if _, err := f.Read(buf); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watching %q: %w", path, err)
		}
		changed()
	}
}
