package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
)

// pair is a scanner and a device in namespaces of their own, joined by a cable.
func pair(t testing.TB) (scanner, device *netns.NS, at netip.Addr) {
	t.Helper()
	scanner, device = netnstest.New(t, "scanner"), netnstest.New(t, "device")
	if err := netns.Cable(scanner, "eth0", nil, device, "eth0", nil); err != nil {
		t.Fatal(err)
	}
	for ns, a := range map[*netns.NS]string{scanner: "10.9.0.1/24", device: "10.9.0.2/24"} {
		if err := ns.Addr("eth0", a); err != nil {
			t.Fatal(err)
		}
	}
	return scanner, device, netip.MustParseAddr("10.9.0.2")
}

// listen opens ports of the device.
func listen(t testing.TB, ns *netns.NS, at netip.Addr, ports []uint16) {
	t.Helper()
	for _, p := range ports {
		l, err := ns.Listen(context.Background(), "tcp", netip.AddrPortFrom(at, p).String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err == nil {
					c.Close()
				}
			}
		}()
	}
}

// twenty are ports all over the range, ephemeral ones too.
func twenty() []uint16 {
	return []uint16{1, 23, 80, 443, 554, 1023, 1883, 5555, 8000, 8554, 9527, 12345, 23231, 32768, 34567, 37777, 49152, 60999, 65534, 65535}
}

// TestScan_tenRunsIdentical finds 20 open ports among all 65,535, ten times with
// each means.
func TestScan_tenRunsIdentical(t *testing.T) {
	scanner, device, at := pair(t)
	listen(t, device, at, twenty())
	for _, m := range []Means{BySYN, ByConnect} {
		for run := range 10 {
			began := time.Now()
			r, err := ScanBy(t.Context(), m, scanner, assess.Target{Addr: at}, All())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(r.Open, twenty()) || r.Closed != 65515 || r.Silent != 0 {
				t.Errorf("%v, run %d: %d of 20 found, %d refused, %d silent", m, run, len(r.Open), r.Closed, r.Silent)
			}
			t.Logf("%v, run %d: %v", m, run, time.Since(began))
		}
	}
}

// TestScan_filtered lets a packet filter swallow every eighth port of the
// device, and look at what the scan leaves behind.
func TestScan_filtered(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("SKIPPED, NOT TESTED: this test needs the program nft")
	}
	scanner, device, at := pair(t)
	open := []uint16{24, 80, 8001, 65535}
	listen(t, device, at, open)
	if err := device.Do(func() error {
		out, err := exec.Command(nft, "add table inet f; add chain inet f in { type filter hook input priority 0; }; add rule inet f in tcp dport & 7 == 3 drop").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, m := range []Means{BySYN, ByConnect} {
		began := time.Now()
		r, err := ScanBy(t.Context(), m, scanner, assess.Target{Addr: at}, All())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.Open, open) || r.Silent != 8192 {
			t.Errorf("%v: open %v, %d refused, %d silent", m, r.Open, r.Closed, r.Silent)
		}
		t.Logf("%v with 8,192 filtered ports: %v", m, time.Since(began))
	}
}

func TestScan_overIPv6AndLoopback(t *testing.T) {
	ns := netnstest.New(t, "alone")
	for _, a := range []string{"127.0.0.1", "::1"} {
		at := netip.MustParseAddr(a)
		open := []uint16{22, 40000, 65535}
		listen(t, ns, at, open)
		for _, m := range []Means{BySYN, ByConnect} {
			r, err := ScanBy(t.Context(), m, ns, assess.Target{Addr: at}, All())
			if err != nil || !slices.Equal(r.Open, open) {
				t.Errorf("%v of %s: %v, %v", m, a, r.Open, err)
			}
		}
	}
}

func TestScan_endsWithItsContext(t *testing.T) {
	scanner, _, at := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, m := range []Means{BySYN, ByConnect} {
		began := time.Now()
		_, _ = ScanBy(ctx, m, scanner, assess.Target{Addr: at.Next()}, All())
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%v went on for %v", m, took)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	scanner, device, at := pair(b)
	listen(b, device, at, twenty())
	nmap, _ := exec.LookPath("nmap")
	for _, m := range []Means{BySYN, ByConnect} {
		b.Run(m.String(), func(b *testing.B) {
			for b.Loop() {
				r, err := ScanBy(b.Context(), m, scanner, assess.Target{Addr: at}, All())
				if err != nil || len(r.Open) != 20 {
					b.Fatalf("%d of 20, %v", len(r.Open), err)
				}
			}
		})
		if nmap == "" {
			continue
		}
		b.Run("nmap "+m.String(), func(b *testing.B) {
			flag := map[Means]string{BySYN: "-sS", ByConnect: "-sT"}[m]
			for b.Loop() {
				var out []byte
				err := scanner.Do(func() (err error) {
					out, err = exec.Command(nmap, flag, "-T4", "-p-", "-n", "-Pn", at.String()).CombinedOutput()
					return err
				})
				if err != nil {
					b.Fatalf("%v: %s", err, out)
				}
			}
		})
	}
}
