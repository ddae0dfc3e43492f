package attack

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/packet"
)

func config(kind string, seed uint64) ScanConfig {
	return ScanConfig{
		Kind: kind, Seed: seed, Source: netip.MustParseAddr("10.77.0.10"), Range: netip.MustParsePrefix("198.18.0.0/15"),
		Duration: time.Second, MaxPackets: 100,
	}
}

func TestScanner_mirai(t *testing.T) {
	s := newScanner(config(Mirai, 1))
	ports := map[uint16]int{}
	const n = 20_000
	for range n {
		p := s.next()
		dst := p.dst.Addr().As4()
		if p.seq != binary.BigEndian.Uint32(dst[:]) || p.src != s.plan.SourcePort || !s.c.Range.Contains(p.dst.Addr()) {
			t.Fatalf("probe %+v", p)
		}
		if rate := time.Second / p.wait; rate < 150 || rate > 170 {
			t.Fatalf("rate = %d a second, want 160", rate)
		}
		ports[p.dst.Port()]++
	}
	if share := float64(ports[2323]) / n; len(ports) != 2 || share < 0.09 || share > 0.11 {
		t.Errorf("ports = %v, want 23 nine times to 2323 once", ports)
	}
}

func TestScanner_unknown_staysInItsBounds(t *testing.T) {
	orders := map[string]bool{}
	for seed := range uint64(300) {
		s := newScanner(config(Unknown, seed))
		p := s.plan
		orders[p.Order] = true
		if p.Rate < 20 || p.Rate > 500 || p.Jitter < 0 || p.Jitter > 1 || len(p.Ports) < 1 || len(p.Ports) > 4 || p.SeqIsDst {
			t.Fatalf("seed %d drew %+v", seed, p)
		}
		// 200 targets take about as long as the rate says, whatever the jitter.
		targets, total := map[netip.Addr]bool{}, time.Duration(0)
		for len(targets) < 200 {
			q := s.next()
			if !s.c.Range.Contains(q.dst.Addr()) {
				t.Fatalf("seed %d scans %s", seed, q.dst)
			}
			targets[q.dst.Addr()] = true
			total += q.wait
		}
		if got := 200 / total.Seconds(); got < p.Rate*0.85 || got > p.Rate*1.2 {
			t.Errorf("seed %d: %.0f new targets a second, drew %.0f", seed, got, p.Rate)
		}
	}
	if len(orders) != 3 {
		t.Errorf("orders drawn = %v, want all three", orders)
	}
}

func TestScanner_sameSeedSameScan(t *testing.T) {
	for _, kind := range []string{Mirai, Unknown} {
		a, b, c := newScanner(config(kind, 5)), newScanner(config(kind, 5)), newScanner(config(kind, 6))
		differs := false
		for range 100 {
			x, y, z := a.next(), b.next(), c.next()
			if x != y {
				t.Fatalf("%s: the same seed gives %+v and %+v", kind, x, y)
			}
			differs = differs || x != z
		}
		if !differs {
			t.Errorf("%s: another seed gives the same scan", kind)
		}
	}
}

func TestProbe_packet_decodesAndSums(t *testing.T) {
	s := newScanner(config(Unknown, 9))
	for range 50 {
		p := s.next()
		b := p.packet(nil, s.c.Source)
		var d packet.Packet
		if err := packet.Decode(packet.LinkRaw, b, &d); err != nil {
			t.Fatal(err)
		}
		if d.Src != s.c.Source || d.Dst != p.dst.Addr() || d.DstPort != p.dst.Port() || d.SrcPort != p.src || d.Seq != p.seq || d.Flags != packet.SYN || d.Window != p.win {
			t.Fatalf("packet %+v of probe %+v", d, p)
		}
		// Summed with their own checksums, both headers give nothing (RFC 1071).
		pseudo := uint32(6 + 20)
		for i := 12; i < 20; i += 2 {
			pseudo += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		if ip, tcp := checksum(b[:20], 0), checksum(b[20:], pseudo); ip != 0 || tcp != 0 {
			t.Fatalf("checksums left %#x and %#x", ip, tcp)
		}
	}
}

func TestScanConfig_check_bounds(t *testing.T) {
	for name, change := range map[string]func(*ScanConfig){
		"kind":     func(c *ScanConfig) { c.Kind = "flood" },
		"source":   func(c *ScanConfig) { c.Source = netip.MustParseAddr("::1") },
		"range":    func(c *ScanConfig) { c.Range = netip.MustParsePrefix("0.0.0.0/0") },
		"no time":  func(c *ScanConfig) { c.Duration = 0 },
		"for ever": func(c *ScanConfig) { c.Duration = time.Hour },
		"none":     func(c *ScanConfig) { c.MaxPackets = 0 },
		"too many": func(c *ScanConfig) { c.MaxPackets = 1 << 30 },
	} {
		c := config(Mirai, 1)
		change(&c)
		if _, err := Scan(t.Context(), c); err == nil {
			t.Errorf("%s: the scan %+v was taken", name, c)
		}
	}
}

func TestScan_slowly(t *testing.T) {
	s := newScanner(ScanConfig{Kind: Unknown, Seed: 3, Interval: 12 * time.Second, Range: netip.MustParsePrefix("198.18.0.0/15")})
	seen := map[netip.Addr]bool{}
	for range 20 {
		p := s.next()
		if p.wait != 12*time.Second || p.dst.Port() != 23 {
			t.Fatalf("waits %s for %s", p.wait, p.dst)
		}
		seen[p.dst.Addr()] = true
	}
	if len(seen) < 19 {
		t.Errorf("%d targets of 20 packets", len(seen))
	}
}
