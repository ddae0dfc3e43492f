package agent_test

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/agent"
)

// maxResident is the most memory that a gateway with 100 devices may take: the
// agent with its capture rings of 4 MiB, and the DNS guard. The bar is 64 MiB with
// 1,000 devices; on a machine that is busy with other things the collector comes
// late, so there is room for that.
const maxResident = 46 << 20

// TestAgent_memory_with100Devices measures the real program: this test is
// larger, and so would be its pages.
func TestAgent_memory_with100Devices(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: builds the agent")
	}
	r := newRig(t)
	r.program = filepath.Join(t.TempDir(), "ringwall-agent")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", r.program, "../../cmd/ringwall-agent")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the agent: %v\n%s", err, out)
	}
	p := r.start("-dns", "10.77.0.1:53")
	r.publish(desired(1, ringwall.Learn, func(d *api.Desired) {
		d.Reflexes = nil
		for i := len(d.Devices); i < 100; i++ {
			dev := api.DevicePolicy{
				Device: ringwall.DeviceID(fmt.Sprintf("dev_%d", i)), Mark: uint32(i + 1), Mode: ringwall.Enforce, Trust: ringwall.T3,
				Binding: api.Binding{MAC: fmt.Sprintf("02:00:00:00:01:%02x", i), IP: netip.AddrFrom4([4]byte{10, 77, 0, byte(100 + i)})},
			}
			for k := range 20 {
				dev.Terms = append(dev.Terms, api.Term{
					ID: fmt.Sprintf("t%d", k), Action: api.Allow, Direction: api.FromDevice, CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(k)}), 32),
					Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}},
				}, api.Term{ID: fmt.Sprintf("n%d", k), Action: api.Allow, Direction: api.FromDevice, Domain: fmt.Sprintf("host%d.vendor%d.example", k, i), Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}}})
			}
			d.Devices = append(d.Devices, dev)
		}
	}))
	r.serving(p, 1)
	// Full rings, full tables, and a log that is written to.
	for range 4 {
		r.stream(r.cam, "198.51.100.20:9000", 0)
	}
	for seed := range byte(8) {
		r.scan(r.cam, 250, 100*time.Microsecond, 10+seed)
	}
	time.Sleep(3 * time.Second)
	s, err := agent.ReadStatus(context.Background(), agent.Config{State: r.state})
	must(t, err)
	if s.DNS == 0 || s.Packets < 10_000 || s.Devices != 100 {
		t.Fatalf("the gateway is not busy: %+v\n%s", s, p.out.String())
	}
	t.Logf("agent and DNS guard: %.1f MiB resident, rings of 4 MiB, %d packets seen, %d dropped", float64(s.RSSBytes)/(1<<20), s.Packets, s.TapDrops)
	if s.RSSBytes > maxResident {
		t.Errorf("%d bytes are resident, the limit is %d", s.RSSBytes, maxResident)
	}
}
