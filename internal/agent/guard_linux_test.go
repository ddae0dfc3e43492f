package agent_test

import (
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// TestAgent_guard: the DNS guard outlives the agent, is started again when it
// dies, and is replaced when it answers elsewhere than it should.
func TestAgent_guard(t *testing.T) {
	r := newRig(t)
	r.resolver("198.51.100.20:53")
	p := r.start("-dns", "10.77.0.1:53")
	r.publish(desired(1, ringwall.Enforce, func(d *api.Desired) {
		d.Devices[0].Terms = append(d.Devices[0].Terms, api.Term{ID: "v", Action: api.Allow, Direction: api.FromDevice, Domain: "api.vendor.example", Proto: "udp"})
	}))
	r.serving(p, 1)
	answers := func() bool {
		rcode, addrs, err := r.ask(r.cam, "api.vendor.example.")
		return err == nil && rcode == dns.RcodeSuccess && len(addrs) == 1
	}
	eventually(t, p, "names are answered", 10*time.Second, answers)
	guard := func() int {
		s, err := r.status()
		if err != nil {
			return 0
		}
		return s.DNS
	}
	first := guard()

	p.kill(unix.SIGKILL)
	if !answers() {
		t.Error("names are not answered while the agent is dead")
	}
	p = r.start("-dns", "10.77.0.1:53")
	r.serving(p, 1)
	eventually(t, p, "the guard is adopted", time.Minute, func() bool { return guard() == first })

	must(t, unix.Kill(first, unix.SIGKILL))
	eventually(t, p, "another guard is started", time.Minute, func() bool { g := guard(); return g != 0 && g != first })
	eventually(t, p, "and answers", 5*time.Second, answers)
	second := guard()

	if err := p.kill(unix.SIGTERM); err != nil {
		t.Errorf("the agent ended with %v:\n%s", err, p.out.String())
	}
	p = r.start("-dns", "10.77.0.1:5353")
	r.serving(p, 1)
	eventually(t, p, "the guard is replaced", time.Minute, func() bool { g := guard(); return g != 0 && g != second })
	eventually(t, p, "and does not answer at its old place", time.Minute, func() bool { return !answers() })
}
