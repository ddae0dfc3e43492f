package agent_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/netns"
)

// resolver answers every name with an address of the internet.
func (r *rig) resolver(addr string) {
	r.Helper()
	pc, err := r.inet.ListenPacket(context.Background(), "udp4", addr)
	must(r, err)
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			rr, err := dns.NewRR(q.Question[0].Name + " 60 IN A 198.51.100.66")
			if err == nil {
				m.Answer = append(m.Answer, rr)
			}
		}
		w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	r.Cleanup(func() { s.Shutdown() })
}

// ask asks the gateway for a name from a namespace.
func (r *rig) ask(from *netns.NS, name string) (rcode int, addrs []string, err error) {
	c, err := from.DialContext(context.Background(), "udp", "10.77.0.1:53")
	if err != nil {
		return 0, nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Second))
	conn := &dns.Conn{Conn: c}
	if err := conn.WriteMsg(new(dns.Msg).SetQuestion(name, dns.TypeA)); err != nil {
		return 0, nil, err
	}
	m, err := conn.ReadMsg()
	if err != nil {
		return 0, nil, err
	}
	for _, rr := range m.Answer {
		if a, ok := rr.(*dns.A); ok {
			addrs = append(addrs, a.A.String())
		}
	}
	return m.Rcode, addrs, nil
}

// TestAgent_namesAndReports: a name that is allowed opens the way, one that is
// not does not exist; flows, refusals, names, presence, health and needs all
// reach the platform.
func TestAgent_namesAndReports(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.resolver("198.51.100.20:53")
	named := r.count("198.51.100.66:9999")
	p := r.start("-dns", "10.77.0.1:53", "-silent", "1s", "-gone", "4s")
	r.publish(desired(1, ringwall.Enforce, func(d *api.Desired) {
		d.Devices[0].Terms = append(d.Devices[0].Terms, api.Term{
			ID: "vendor", Action: api.Allow, Direction: api.FromDevice, Domain: "*.vendor.example", Proto: "udp", Ports: []api.PortRange{{First: 9999, Last: 9999}},
		})
	}))
	r.serving(p, 1)
	_, stop := r.stream(r.cam, "198.51.100.66:9999", 2*time.Millisecond)
	time.Sleep(200 * time.Millisecond)
	if n := named.n.Load(); n != 0 {
		t.Errorf("%d datagrams pass to an address that nobody asked for by its name", n)
	}
	eventually(t, p, "the allowed name is answered", time.Minute, func() bool {
		rcode, addrs, err := r.ask(r.cam, "api.vendor.example.")
		return err == nil && rcode == dns.RcodeSuccess && len(addrs) == 1
	})
	if rcode, addrs, err := r.ask(r.cam, "c2.evil.example."); err != nil || rcode != dns.RcodeNameError || len(addrs) > 0 {
		t.Errorf("a name that is not allowed is answered: %d %v %v", rcode, addrs, err)
	}
	eventually(t, p, "the answered address is open", 2*time.Second, func() bool { return named.n.Load() > 10 })
	stop()

	verdicts := map[string]bool{}
	eventually(t, p, "flow reports of both verdicts", 60*time.Second, func() bool {
		for _, rec := range r.stored() {
			var f flow.Record
			if rec.Kind == api.RecordFlow && f.UnmarshalBinary(rec.Bin) == nil && f.Device == cam && f.Remote == netip.MustParseAddrPort("198.51.100.66:9999") {
				verdicts[f.Verdict.String()] = true
			}
		}
		return verdicts["refused"]
	})
	eventually(t, p, "the DNS guard's decisions", time.Minute, func() bool {
		bound, refused := false, false
		for _, d := range find[api.DNSReport](r, api.RecordDNS) {
			bound = bound || d.Device == cam && d.Name == "api.vendor.example" && d.Verdict == "bound"
			refused = refused || d.Device == cam && d.Name == "c2.evil.example" && d.Verdict == "refused"
		}
		return bound && refused
	})
	eventually(t, p, "the camera is seen at its port", time.Minute, func() bool {
		for _, s := range find[api.Sighting](r, api.RecordPresence) {
			if s.Device == cam && s.Port == "p-cam" && s.Presence == ringwall.Online && s.MAC == "02:00:00:00:00:0a" {
				return true
			}
		}
		return false
	})
	for _, s := range find[api.Sighting](r, api.RecordPresence) {
		if s.IP == netip.MustParseAddr("10.77.0.1") {
			t.Errorf("the gateway reports itself as a host: %+v", s)
		}
	}
	if h := find[api.Health](r, api.RecordHealth); len(h) == 0 || h[0].Devices > 2 {
		t.Errorf("health = %+v", h)
	}

	for _, a := range find[api.Ack](r, api.RecordAck) {
		if a.Drift {
			t.Errorf("the DNS guard's bindings are taken for drift: %+v", a)
		}
	}

	// The camera's cable is pulled: asked, it does not answer any more.
	must(t, r.cam.Do(func() error {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		return linkDown(i.Index)
	}))
	eventually(t, p, "the camera is silent, then gone", time.Minute, func() bool {
		var silent, gone bool
		for _, s := range find[api.Sighting](r, api.RecordPresence) {
			if s.Device == cam {
				silent = silent || s.Presence == ringwall.Silent
				gone = silent && s.Presence == ringwall.Gone
			}
		}
		return gone
	})
}

// TestAgent_countsRefusalsExactly: what the kernel has refused is reported to
// the packet, also when the agent ends within the minute.
func TestAgent_countsRefusalsExactly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	victim := r.count("198.51.100.66:9999")
	must(t, r.cam.Sysctl("ipv6/conf/all/disable_ipv6", "1")) // its own solicitations would be refused and counted, too
	p := r.start()
	r.publish(desired(1, ringwall.Enforce))
	r.serving(p, 1)
	sent, stop := r.stream(r.cam, "198.51.100.66:9999", time.Millisecond)
	time.Sleep(500 * time.Millisecond)
	stop()
	time.Sleep(100 * time.Millisecond)
	if err := p.kill(15); err != nil {
		t.Fatalf("the agent ended with %v:\n%s", err, p.out.String())
	}
	p = r.start()
	var got uint64
	eventually(t, p, fmt.Sprintf("%d refusals are reported", sent.Load()), time.Minute, func() bool {
		got = 0
		for _, f := range find[api.Features](r, api.RecordFeatures) {
			if f.Device == cam {
				got += f.Refused
			}
		}
		return got >= sent.Load()
	})
	if got != sent.Load() || victim.n.Load() != 0 {
		t.Errorf("%d datagrams sent, %d refusals reported, %d passed", sent.Load(), got, victim.n.Load())
	}
}

// TestAgent_countsOverAKill: what the kernel has refused is reported to the packet,
// once, also when the agent is killed before the minute is over and dead for a
// while; and the totals say the same.
func TestAgent_countsOverAKill(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	must(t, r.cam.Sysctl("ipv6/conf/all/disable_ipv6", "1"))
	p := r.start()
	r.publish(desired(1, ringwall.Enforce))
	r.settled(p, 1)
	total := uint64(0)
	burst := func() {
		sent, stop := r.stream(r.cam, "198.51.100.66:9999", time.Millisecond)
		time.Sleep(200 * time.Millisecond)
		stop()
		total += sent.Load()
	}
	burst()
	p.kill(9)
	burst() // nobody is there to see it but the kernel
	p = r.start()
	r.serving(p, 1)
	burst()
	time.Sleep(100 * time.Millisecond)
	p.kill(15)
	p = r.start()
	r.serving(p, 1)
	p.kill(15)
	p = r.start()
	var refused, whole, forged uint64 // what a device sends under a false name is among the refusals
	eventually(t, p, fmt.Sprintf("%d refusals are reported", total), time.Minute, func() bool {
		refused, whole, forged = 0, 0, 0
		for _, f := range find[api.Features](r, api.RecordFeatures) {
			if f.Device == cam {
				refused += f.Refused
				if f.Totals != nil {
					whole, forged = max(whole, f.Totals.Refused), max(forged, f.Totals.Forged)
				}
			}
		}
		return refused >= total+forged
	})
	time.Sleep(200 * time.Millisecond)
	if refused != total+forged || whole != total {
		t.Errorf("%d datagrams were refused, %d are reported, %d and %d forged in the totals", total, refused, whole, forged)
	}
}
