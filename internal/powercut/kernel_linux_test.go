package powercut_test

import (
	"bytes"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// checkLocksAndMaps does in a process of its own what SQLite does to a file:
// see the package doc for why not in this one.
func checkLocksAndMaps(t *testing.T, path string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild_locksAndMaps$", "-test.v")
	cmd.Env = append(os.Environ(), "POWERCUT_CHILD="+path)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("PASS: TestChild_locksAndMaps")) {
		t.Fatalf("child: %v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	must(t, err)
	if len(b) != 8192 || string(b[4096:4100]) != "mmap" {
		t.Errorf("what the child mapped and wrote is not in the file")
	}
}

func TestChild_locksAndMaps(t *testing.T) {
	path := os.Getenv("POWERCUT_CHILD")
	if path == "" {
		t.Skip("this is the child of TestFS_locksAndMapsWork")
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(8192))
	lock := func(typ int16) error {
		return unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: typ, Start: 1, Len: 2})
	}
	must(t, lock(unix.F_WRLCK))
	must(t, lock(unix.F_UNLCK))
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	m, err := syscall.Mmap(int(f.Fd()), 0, 8192, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(t, err)
	copy(m[4096:], "mmap")
	must(t, unix.Msync(m, unix.MS_SYNC))
	must(t, syscall.Munmap(m))
}
