package policy_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/policytest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// home is a house whose devices were learned for a while.
func home(trust ringwall.Trust) api.Desired {
	local := []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")}
	remedy := []api.Term{
		{ID: "update", Action: api.Allow, Direction: api.FromDevice, Domain: "update.vendor.example", Proto: "tcp", Ports: ports(443, 443)},
		{ID: "repair", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.90/32"), Proto: "tcp", Ports: ports(443, 443)},
	}
	d := api.Desired{Version: 1, Generation: 3, Arrival: ringwall.Learn, Resolver: netip.MustParseAddrPort("198.51.100.53:53"), LocalNets: local, Remediation: remedy}
	for i, x := range []struct {
		class   string
		learned []api.Peer
		owner   []api.Term
	}{
		{"camera", []api.Peer{
			{Direction: api.FromDevice, Domain: "cloud.vendor.example", Addr: netip.MustParseAddr("198.51.100.20"), Proto: "tcp", Port: 443, Count: 90},
			{Direction: api.FromDevice, Addr: netip.MustParseAddr("198.51.100.123"), Proto: "udp", Port: 123, Count: 9},
			{Direction: api.FromDevice, Addr: netip.MustParseAddr("198.51.100.66"), Proto: "tcp", Port: 23, Count: 3}, // it was infected before: the class knows better
			{Direction: api.ToDevice, Addr: netip.MustParseAddr("203.0.113.5"), Proto: "tcp", Port: 554, Count: 1},
			{Direction: api.FromDevice, Addr: netip.MustParseAddr("2001:db8::5"), Proto: "tcp", Port: 443, Count: 1},
		}, []api.Term{{ID: "nvr", Action: api.Allow, Direction: api.FromDevice, Device: "dev_hub", Proto: "tcp", Ports: ports(8000, 8100)}}},
		{"meter", []api.Peer{{Direction: api.FromDevice, Domain: "Meter.Grid.Example.", Proto: "udp", Port: 5684, Count: 4}}, nil},
		{"phone", nil, []api.Term{{ID: "no-dot", Action: api.Deny, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "tcp", Ports: ports(853, 853)}}},
		{"hub", nil, nil},
		{"toaster", nil, nil},
	} {
		id := ringwall.DeviceID("dev_" + x.class)
		d.Devices = append(d.Devices, api.DevicePolicy{
			Device: id, Mark: uint32(i + 1), Mode: ringwall.Enforce, Trust: trust, Learned: x.learned,
			Binding: api.Binding{Port: fmt.Sprint("p", i+1), MAC: fmt.Sprintf("02:00:00:00:00:%02x", i+1), IP: netip.AddrFrom4([4]byte{10, 77, 0, byte(10 + i)})},
			Terms:   policy.Compose(policy.Input{Type: x.class, Trust: trust, Mode: ringwall.Enforce, Learned: x.learned, Owner: x.owner, LocalNets: local, Remediation: remedy}),
		})
	}
	return d
}

// show writes terms and plan as lines that can be compared by eye.
func show(d api.Desired, p policy.Plan) string {
	var b strings.Builder
	boxes := func(what string, list []policy.Box) {
		for _, x := range list {
			fmt.Fprintf(&b, "    %-8s %s-%s proto %d ports %d-%d\n", what, x.First, x.Last, x.Proto, x.PortFirst, x.PortLast)
		}
	}
	names := func(list []policy.Name) {
		for _, n := range list {
			fmt.Fprintf(&b, "    %-8s %s deny %v proto %d ports %v\n", "name", n.Pattern, n.Deny, n.Proto, n.Ports)
		}
	}
	fmt.Fprintf(&b, "generation %d arrival %s resolver %s local %v closed %v isolated %v\n", p.Generation, p.Arrival, p.Resolver, p.Local, p.ClosedPorts, p.Isolated)
	for i, dev := range p.Devices {
		fmt.Fprintf(&b, "device %s mark %d at %s %x %s state %s\n", dev.ID, dev.Mark, dev.Port, dev.MAC, dev.IP, dev.State)
		for _, t := range d.Devices[i].Terms {
			end := fmt.Sprint(t.Domain, t.Device)
			if t.CIDR.IsValid() {
				end = t.CIDR.String()
			}
			fmt.Fprintf(&b, "  term %s: %s %s %s local %v %s %v (%s)\n", t.ID, t.Action, t.Direction, end, t.Local, t.Proto, t.Ports, t.Why)
		}
		boxes("allow", dev.Allow)
		boxes("deny", dev.Deny)
		boxes("in", dev.InAllow)
		boxes("in-deny", dev.InDeny)
		names(dev.Names)
	}
	b.WriteString("remediation\n")
	boxes("allow", p.Remediation)
	names(p.RemediationNames)
	return b.String()
}

func TestComposeAndCompile_golden(t *testing.T) {
	for _, trust := range []ringwall.Trust{ringwall.T3, ringwall.T2, ringwall.T1, ringwall.T0} {
		d := home(trust)
		p, err := policy.Compile(d, nil, time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		got := show(d, p)
		file := filepath.Join("testdata", "home-"+trust.String()+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got; -update writes it anew):\n%s", file, diff)
		}
	}
}

func TestCompose_whatTrustLeaves(t *testing.T) {
	out := func(addr string, names ...string) policy.Flow {
		return policy.Flow{Direction: api.FromDevice, Local: ap("10.77.0.10:4000"), Remote: ap(addr), Proto: "tcp", Names: names}
	}
	view := policy.Flow{Direction: api.ToDevice, Local: ap("10.77.0.10:554"), Remote: ap("10.77.0.12:4000"), Proto: "tcp", RemoteDevice: "dev_phone"}
	stranger := policy.Flow{Direction: api.ToDevice, Local: ap("10.77.0.10:554"), Remote: ap("203.0.113.5:4000"), Proto: "tcp"}
	ntp := policy.Flow{Direction: api.FromDevice, Local: ap("10.77.0.10:4000"), Remote: ap("198.51.100.123:123"), Proto: "udp"}
	for _, c := range []struct {
		what string
		f    policy.Flow
		at   map[ringwall.Trust]bool
	}{
		{"its cloud, by name", out("198.51.100.20:443", "cloud.vendor.example"), map[ringwall.Trust]bool{ringwall.T4: true, ringwall.T3: true, ringwall.T2: true}},
		{"its clock, by address", ntp, map[ringwall.Trust]bool{ringwall.T4: true, ringwall.T3: true}},
		{"a viewer in the house", view, map[ringwall.Trust]bool{ringwall.T4: true, ringwall.T3: true, ringwall.T2: true}},
		{"a viewer outside who was seen", stranger, map[ringwall.Trust]bool{ringwall.T4: true, ringwall.T3: true}},
		{"telnet that was seen", out("198.51.100.66:23"), nil},
		{"the repair server", out("198.51.100.90:443"), map[ringwall.Trust]bool{ringwall.T1: true}},
	} {
		for trust := ringwall.T0; trust <= ringwall.T4; trust++ {
			d := home(trust)
			if got := policy.Decide(d.Devices[0], 0, d.Remediation, c.f).Pass; got != c.at[trust] {
				t.Errorf("%s at %s: pass %v, want %v", c.what, trust, got, c.at[trust])
			}
		}
	}
}

func TestCompose_isStableAndBounded(t *testing.T) {
	var peers []api.Peer
	for i := range 2000 {
		peers = append(peers, api.Peer{Direction: api.FromDevice, Addr: netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), Proto: "tcp", Port: 443, Count: uint64(i)})
	}
	in := policy.Input{Type: "camera", Trust: ringwall.T3, Learned: peers}
	a := policy.Compose(in)
	slices.Reverse(peers)
	b := policy.Compose(in)
	if diff := cmp.Diff(a, b, cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); diff != "" {
		t.Errorf("the order of peers matters:\n%s", diff)
	}
	if len(a) > policy.MaxLearned+10 {
		t.Errorf("%d terms of 2000 peers", len(a))
	}
	if !slices.ContainsFunc(a, func(t api.Term) bool {
		return t.CIDR.Contains(netip.AddrFrom4([4]byte{198, 51, 1999 >> 8, 1999 & 0xff})) && t.Action == api.Allow
	}) {
		t.Error("the most used peer is left out")
	}
	ids := map[string]bool{}
	for _, x := range a {
		if ids[x.ID] {
			t.Errorf("id %q twice", x.ID)
		}
		ids[x.ID] = true
		if err := policy.Check(x); err != nil {
			t.Error(err)
		}
	}
}

// FuzzCompile gives Compile documents of any content: it must refuse or give a
// plan that judges as Decide does, and never panic.
func FuzzCompile(f *testing.F) {
	for _, trust := range []ringwall.Trust{ringwall.T3, ringwall.T2, ringwall.T1} {
		d := home(trust)
		d.Devices = d.Devices[:1] // small, or minimising takes all the time
		b, err := json.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint32(0xc6336414), uint16(443), uint8(6))
	}
	f.Add([]byte(`{"devices":[{"device":"d","mark":1,"binding":{"mac":"02:00:00:00:00:01","ip":"10.0.0.1"},"mode":"enforce","trust":"T3","terms":[{"id":"a","action":"allow","direction":"from","cidr":"0.0.0.0/0","proto":"any"},{"id":"b","action":"deny","direction":"from","cidr":"255.255.255.255/32","proto":"tcp","ports":[{"first":0,"last":65535}]}]}]}`), uint32(0xffffffff), uint16(65535), uint8(6))
	f.Fuzz(func(t *testing.T, doc []byte, addr uint32, port uint16, proto uint8) {
		var d api.Desired
		if json.Unmarshal(doc, &d) != nil || len(d.Devices) > 50 {
			return
		}
		p, err := policy.Compile(d, nil, time.Unix(0, 0))
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatalf("Compile = %v, want code invalid", err)
			}
			return
		}
		a := netip.AddrFrom4([4]byte{byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)})
		text := "tcp"
		switch {
		case proto < 64:
			text = "udp"
		case proto < 128:
			text, port = "icmp", 0
		}
		site := policy.SiteOf(&d)
		byIP := map[netip.Addr]ringwall.DeviceID{}
		for _, x := range d.Devices {
			if ip := x.Binding.IP.Unmap(); ip.Is4() && !ip.IsUnspecified() {
				byIP[ip] = x.Device
			}
		}
		for _, x := range d.Devices {
			dev, ok := p.Device(x.Mark)
			if !ok {
				continue
			}
			r := ringwall.Unrestricted
			if dev.State == policy.StateQuarantine {
				r = ringwall.Quarantine
			} else if dev.State == policy.StateCutoff {
				r = ringwall.Cutoff
			}
			for _, dir := range []api.Direction{api.FromDevice, api.ToDevice} {
				flow := policy.Flow{Direction: dir, Local: netip.AddrPortFrom(dev.IP, port), Remote: netip.AddrPortFrom(a, port), Proto: text, RemoteDevice: byIP[a], At: time.Unix(0, 0)}
				got := site.Decide(&x, r, &flow)
				k, _ := policytest.PacketOf(flow)
				o, would, _ := policytest.Judge(p, dev, k)
				pass := o == policytest.Pass || would
				if got.Pass != pass || got.Would != would || got.Inspect != (o == policytest.Steer) {
					t.Fatalf("Decide = %+v, plan says %v would %v of %+v", got, o, would, flow)
				}
			}
		}
	})
}
