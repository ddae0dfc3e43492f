package nft_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// blast sends n datagrams of size octets from device 1 and returns how many
// arrive.
func (w *world) blast(t *testing.T, addr string, n, size int, pause time.Duration) int64 {
	t.Helper()
	got := sink(t, w.net, addr)
	c, err := w.dev[0].ListenPacket(context.Background(), "udp4", ":0")
	must(t, err)
	defer c.Close()
	to, err := net.ResolveUDPAddr("udp4", addr)
	must(t, err)
	for range n {
		c.WriteTo([]byte(strings.Repeat("x", size)), to)
		if pause > 0 {
			time.Sleep(pause)
		}
	}
	return settled(got.Load)
}

// settled waits until a count rests.
func settled(count func() int64) int64 {
	last := int64(-1)
	for n := count(); n != last; n = count() {
		last = n
		time.Sleep(60 * time.Millisecond)
	}
	return last
}

func TestLimits(t *testing.T) {
	all := end("198.51.100.0/24", policy.ProtoAny, 0, 0xffff)
	limited := func(l api.Limit, whole bool) func(p *policy.Plan) {
		return func(p *policy.Plan) {
			x := policy.Limit{ID: 77, Term: "t", Limit: l, Boxes: []policy.Box{all}}
			if whole {
				x.Term, x.Boxes = "", nil
			}
			p.Devices[0].Limits = []policy.Limit{x}
		}
	}
	for _, whole := range []bool{true, false} {
		name := map[bool]string{true: "device", false: "term"}[whole]
		t.Run(name, func(t *testing.T) {
			w := up(t, 2)
			d := w.desired(allowOut("net", "198.51.100.0/24", "any"))
			w.force(t, w.plan(t, d, func(*policy.Plan) {}))
			if n := w.blast(t, "198.51.100.20:1001", 400, 100, 0); n != 400 {
				t.Errorf("control: without a limit %d of 400 datagrams arrive", n)
			}
			// A burst of a quarter of a second, then what comes in the time that it takes.
			w.force(t, w.plan(t, d, limited(api.Limit{PacketRate: 100}, whole)))
			start := time.Now()
			n := w.blast(t, "198.51.100.20:1002", 400, 100, 0)
			if want := 25 + int64(100*time.Since(start).Seconds()); n < 20 || n > want+5 {
				t.Errorf("at 100 packets a second %d arrive at once, want about 25 and no more than %d", n, want)
			}
			w.force(t, w.plan(t, d, limited(api.Limit{ByteRate: 100_000}, whole)))
			start = time.Now()
			n = w.blast(t, "198.51.100.20:1003", 400, 972, 0) // 1000 octets each with headers
			if want := 100 + int64(100*time.Since(start).Seconds()); n < 90 || n > want+5 {
				t.Errorf("at 100,000 octets a second %d packets of 1,000 arrive at once, want about 100 and no more than %d", n, want)
			}
			w.force(t, w.plan(t, d, limited(api.Limit{Quota: 100_000, Per: "day"}, whole)))
			if n = w.blast(t, "198.51.100.20:1004", 200, 972, 0); n != 100 {
				t.Errorf("of a quota of 100,000 octets %d packets of 1,000 arrive, want 100", n)
			}
			// It survives another plan, and a restart.
			d2 := w.desired(allowOut("net", "198.51.100.0/24", "any"), allowOut("more", "203.0.113.0/24", "any"))
			w.force(t, w.plan(t, d2, limited(api.Limit{Quota: 100_000, Per: "day"}, whole)))
			if n = w.blast(t, "198.51.100.20:1005", 20, 972, 0); n != 0 {
				t.Errorf("after another plan %d packets pass a quota that is used up", n)
			}
			w.force(t, w.plan(t, d2, limited(api.Limit{Quota: 150_000, Per: "day"}, whole)))
			if n = w.blast(t, "198.51.100.20:1006", 100, 972, 0); n != 50 {
				t.Errorf("of a quota that was raised by 50,000 octets %d packets of 1,000 pass, want 50", n)
			}
			used, err := w.fw.Consumed(t.Context())
			must(t, err)
			if len(used) != 1 || used[0].Limit != 77 || used[0].Bytes != 150_000 {
				t.Errorf("consumed %+v", used)
			}
			c := w.counts(t)
			if c[1].Refused.Packets < 600 {
				t.Errorf("what is over a limit is not counted as refused: %+v", c[1])
			}
			must(t, w.fw.Close())
			w.open(t)
			must(t, w.fw.Base(t.Context()))
			w.force(t, w.plan(t, d2, limited(api.Limit{Quota: 150_000, Per: "day"}, whole)))
			if n = w.blast(t, "198.51.100.20:1007", 20, 972, 0); n != 0 {
				t.Errorf("after a restart %d packets pass a quota that is used up", n)
			}
			// Flows: new ones a second, and open at once.
			echo(t, w.net, "198.51.100.20:443")
			w.force(t, w.plan(t, d, limited(api.Limit{Flows: 3}, whole)))
			var open []net.Conn
			for range 6 {
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				if c, err := w.dev[0].DialContext(ctx, "tcp", "198.51.100.20:443"); err == nil {
					open = append(open, c)
				}
				cancel()
			}
			if len(open) != 3 {
				t.Errorf("%d flows are open at once, want 3", len(open))
			}
			check(t, "the other device, without a limit", reaches(w.dev[1], "tcp", "198.51.100.20:443"), true)
			for _, c := range open {
				c.Close()
			}
		})
	}
}

func TestLimits_newFlows(t *testing.T) {
	w := up(t, 1)
	d := w.desired(allowOut("net", "198.51.100.0/24", "udp"))
	plan := func(l ...policy.Limit) {
		w.force(t, w.plan(t, d, func(p *policy.Plan) { p.Devices[0].Limits = l }))
	}
	got := sink(t, w.net, "198.51.100.20:9")
	flood := func() int64 { // each datagram is of a flow of its own, three times
		before := settled(got.Load)
		for range 60 {
			c, err := w.dev[0].DialContext(t.Context(), "udp4", "198.51.100.20:9")
			must(t, err)
			for range 3 {
				c.Write([]byte("x"))
			}
			c.Close()
		}
		return settled(got.Load) - before
	}
	plan()
	if n := flood(); n != 180 {
		t.Errorf("control: without a limit %d of 180 datagrams arrive", n)
	}
	plan(policy.Limit{ID: 5, Limit: api.Limit{NewFlows: 40}})
	start := time.Now()
	// The first of a flow that is over the limit is dropped; the next is a first again.
	if n, most := flood(), 3*(10+int64(40*time.Since(start).Seconds())+2); n < 20 || n > most {
		t.Errorf("at 40 new flows a second %d datagrams arrive, want 20 to %d", n, most)
	}
}

// Bound addresses count for the limit of their name.
func TestLimits_names(t *testing.T) {
	w := up(t, 1)
	name := policy.Name{Pattern: "a.example", Proto: policy.ProtoUDP, Limit: 1}
	w.force(t, w.plan(t, w.desired(), func(p *policy.Plan) {
		p.Devices[0].Names = []policy.Name{name, {Pattern: "b.example", Proto: policy.ProtoUDP}}
		p.Devices[0].Limits = []policy.Limit{{ID: 9, Term: "a", Limit: api.Limit{Quota: 10_000, Per: "hour"}, Names: []policy.Name{name}}}
	}))
	cfg := w.config()
	cfg.BindOnly = true // another process binds
	guard, err := nft.Open(cfg)
	must(t, err)
	defer guard.Close()
	for i, addr := range []string{"198.51.100.66", "198.51.100.20"} {
		must(t, guard.BindAll(t.Context(), []nft.Binding{{Mark: 1, Addr: netip.MustParseAddr(addr), Name: []string{"b.example", "a.example"}[i],
			Services: []policy.Service{{Proto: policy.ProtoUDP, Limit: uint32(i)}}, Life: time.Minute}}))
	}
	if n := w.blast(t, "198.51.100.66:9", 30, 972, 0); n != 30 {
		t.Errorf("%d of 30 packets to the other name arrive", n)
	}
	if n := w.blast(t, "198.51.100.20:9", 30, 972, 0); n != 10 {
		t.Errorf("%d packets of 1,000 octets to a name with a quota of 10,000 arrive, want 10", n)
	}
}

// A quota that was used up before the tables were lost is used up after.
func TestLimits_restored(t *testing.T) {
	w := newWorld(t, 1)
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	cfg := w.config()
	cfg.Now = func() time.Time { return now }
	fw, err := nft.Open(cfg)
	must(t, err)
	defer fw.Close()
	w.fw = fw
	must(t, fw.Base(t.Context()))
	plan := w.plan(t, w.desired(allowOut("net", "198.51.100.0/24", "udp")), func(p *policy.Plan) {
		p.Devices[0].Limits = []policy.Limit{{ID: 3, Limit: api.Limit{Quota: 20_000, Per: "hour"}}}
	})
	fw.Restore([]nft.Consumption{{Limit: 3, Period: "hour 2026-11-22T10", Bytes: 15_000}, {Limit: 3, Period: "hour 2026-11-22T09", Bytes: 20_000}})
	w.force(t, plan)
	if n := w.blast(t, "198.51.100.20:9", 30, 972, 0); n != 5 {
		t.Errorf("%d packets of 1,000 octets pass the rest of a quota, 5,000 octets; want 5", n)
	}
	now = now.Add(time.Hour)
	must(t, fw.Roll(t.Context()))
	if n := w.blast(t, "198.51.100.20:10", 30, 972, 0); n != 20 {
		t.Errorf("%d packets pass in the next hour, want 20", n)
	}
	// It counts for all states but those that let everything pass.
	must(t, fw.Restrict(t.Context(), 1, ringwall.Quarantine))
	if n := w.blast(t, "198.51.100.20:11", 5, 100, 0); n != 0 {
		t.Errorf("%d packets pass in quarantine", n)
	}
}
