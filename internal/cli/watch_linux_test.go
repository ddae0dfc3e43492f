package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/cli"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
)

// lockedBuffer is a buffer that two goroutines use.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestWatch_interface(t *testing.T) {
	device, gateway := netnstest.New(t, "device"), netnstest.New(t, "gateway")
	if err := netns.Cable(device, "eth0", nil, gateway, "lan0", nil); err != nil {
		t.Fatal(err)
	}
	var out, talk lockedBuffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	status := make(chan int, 1)
	go func() {
		err := gateway.Do(func() error {
			env := cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &talk, Getenv: func(string) string { return "" }, Now: time.Now}
			status <- cli.Main(ctx, env, []string{"watch", "-i", "lan0", "--json"})
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}()
	wait := func(what string, f func() bool) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("waited in vain for %s; stderr: %s", what, talk.String())
			}
		}
	}
	wait("the tap", func() bool { return strings.Contains(talk.String(), "watching lan0") })
	// One packet of a scan as Mirai does it, written by hand.
	frame := make([]byte, 54)
	copy(frame, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0x10, 8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 77, 0, 10, 198, 51, 100, 9, 0x9c, 0x40, 0, 23, 198, 51, 100, 9, 0, 0, 0, 0, 0x50, 2})
	sent := time.Now()
	err := device.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: i.Index, Halen: 6})
	})
	if err != nil {
		t.Fatal(err)
	}
	wait("the alert", func() bool { return strings.Contains(out.String(), "\n") })
	took := time.Since(sent)
	cancel()
	if got := <-status; got != 1 {
		t.Errorf("status %d, want 1", got)
	}
	var a ringwall.Alert
	if err := json.Unmarshal([]byte(strings.SplitN(out.String(), "\n", 2)[0]), &a); err != nil {
		t.Fatal(err)
	}
	if a.Rule != "mirai-scan" || a.Subject.ID != "10.77.0.10" {
		t.Errorf("alert %+v", a)
	}
	if took > time.Second {
		t.Errorf("alert %s after the packet", took)
	}
	t.Logf("alert %s after the packet", took)
}
