package nft_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/policy"
)

// A plan that the kernel does not take changes nothing.
func TestApply_refusedAsAWhole(t *testing.T) {
	t.Parallel()
	w := up(t, 2)
	echo(t, w.net, "198.51.100.20:443")
	echo(t, w.net, "198.51.100.66:443")
	d := w.desired(allowOut("cloud", "198.51.100.20/32", "tcp", p443))
	hash := w.apply(t, d)
	s := openStream(t, w.dev[0], "198.51.100.20:443")
	bad := w.plan(t, w.desired(allowOut("other", "198.51.100.66/32", "tcp", p443)), func(p *policy.Plan) {
		// Boxes of one list never overlap; these do.
		p.Devices[1].Allow = append(p.Devices[1].Allow, end("203.0.113.0/24", policy.ProtoTCP, 1, 1000), end("203.0.113.64/26", policy.ProtoTCP, 500, 2000))
	})
	if _, err := w.fw.Apply(t.Context(), bad); err == nil {
		t.Fatal("a plan with boxes that overlap is put in force")
	}
	check(t, "after it, what was allowed", s.lives(), true)
	check(t, "after it, what the refused plan would allow", reach(w.dev[0], "tcp", "198.51.100.66:443"), false)
	if got, err := w.fw.Hash(t.Context()); err != nil || got != hash {
		t.Errorf("after it the hash is %s, %v, want %s", got, err, hash)
	}
	if got := w.apply(t, d); got != hash {
		t.Errorf("the former plan, put again, has hash %s, want %s", got, hash)
	}
	check(t, "after the former plan, its stream", s.lives(), true)
}

// A device that floods what it may not reach is counted to the packet, and its
// neighbour does not feel it.
func TestFirewall_floodBesideAnInnocentOne(t *testing.T) {
	w := up(t, 2)
	const flood, calm = 20_000, 1000
	got := sink(t, w.net, "198.51.100.20:9")
	w.apply(t, w.desired(allowOut("good", "198.51.100.20/32", "udp", port(9)...)))
	bad, err := w.dev[0].ListenPacket(context.Background(), "udp4", ":0")
	must(t, err)
	defer bad.Close()
	good, err := w.dev[1].DialContext(t.Context(), "udp4", "198.51.100.20:9")
	must(t, err)
	defer good.Close()
	before := w.counts(t)[1].Refused.Packets
	done := make(chan int)
	go func() {
		n := 0
		for i := range flood { // a scan: another address and port each time
			to := net.UDPAddr{IP: net.IPv4(198, 51, 100, byte(100+i%100)), Port: 1 + i%60_000}
			if _, err := bad.WriteTo([]byte("x"), &to); err == nil {
				n++
			} else if _, err := bad.WriteTo([]byte("x"), &to); err == nil { // it was told of an earlier one
				n++
			}
		}
		done <- n
	}()
	for range calm {
		good.Write([]byte("x"))
		time.Sleep(50 * time.Microsecond)
	}
	sent := <-done
	if n := settled(got.Load); n < calm*95/100 {
		t.Errorf("%d of %d packets of the innocent device arrive, want 95 %% at least", n, calm)
	}
	if n := w.counts(t)[1].Refused.Packets - before; n != uint64(sent) {
		t.Errorf("%d refused packets are counted, want %d", n, sent)
	}
}
