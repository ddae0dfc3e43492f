package policy_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/policytest"
)

// What terms about roles, makers, programs, the gateway and IPv6 mean, said case
// by case; that the plan means the same is TestDecide_agreesWithCompile.
func TestDecide_ends(t *testing.T) {
	from, to := api.FromDevice, api.ToDevice
	uid := uint32(1000)
	six := netip.MustParseAddr("2001:db8:77::1")
	slow, quick := &api.Limit{ByteRate: 1000}, &api.Limit{ByteRate: 9000}
	allow := func(id string, t api.Term) api.Term {
		t.ID, t.Action = id, api.Allow
		if t.Direction == "" {
			t.Direction = from
		}
		if t.Proto == "" {
			t.Proto = "any"
		}
		return t
	}
	deny := func(id string, t api.Term) api.Term {
		t = allow(id, t)
		t.Action = api.Deny
		return t
	}
	net := func(s string) netip.Prefix { return netip.MustParsePrefix(s) }
	d := api.DevicePolicy{
		Device: "dev_cam", Mark: 1, Mode: ringwall.Enforce, Trust: ringwall.T3, Maker: "Lantern", IP6: []netip.Addr{six},
		Binding: api.Binding{MAC: "02:00:00:00:00:01", IP: netip.MustParseAddr("10.77.0.1")},
		Terms: []api.Term{
			allow("nvr", api.Term{Controller: "nvr", Proto: "tcp"}),
			allow("nvr-in", api.Term{Controller: "nvr", Direction: to, Proto: "tcp", Ports: ports(554, 554)}),
			allow("sibling", api.Term{SameMaker: true, Proto: "udp", Ports: ports(5353, 5353)}),
			allow("web", api.Term{Gateway: true, Proto: "tcp", Ports: ports(80, 443)}),
			deny("no-admin", api.Term{Gateway: true, Proto: "tcp", Ports: ports(443, 443)}),
			allow("app", api.Term{CIDR: net("198.51.100.0/24"), Proto: "tcp", Who: &api.Who{UID: &uid, Cgroup: "system.slice"}}),
			deny("not-app", api.Term{CIDR: net("203.0.113.9/32"), Proto: "tcp", Who: &api.Who{UID: &uid}}),
			allow("there", api.Term{CIDR: net("203.0.113.0/24"), Proto: "tcp"}),
			allow("six", api.Term{CIDR: net("2001:db8:99::/64"), Proto: "icmp"}),
			allow("b", api.Term{CIDR: net("192.0.2.0/24"), Proto: "tcp", Limit: slow}),
			allow("a", api.Term{CIDR: net("192.0.2.0/25"), Proto: "tcp", Limit: quick}),
			allow("named", api.Term{Domain: "x.example", Proto: "tcp", Limit: slow}),
		},
	}
	doc := api.Desired{
		Devices: []api.DevicePolicy{d,
			{Device: "dev_nvr", Mark: 2, Maker: "Beacon", Binding: api.Binding{MAC: "02:00:00:00:00:02", IP: netip.MustParseAddr("10.77.0.2")}},
			{Device: "dev_twin", Mark: 3, Maker: "Lantern", Binding: api.Binding{MAC: "02:00:00:00:00:03", IP: netip.MustParseAddr("10.77.0.3")}},
			{Device: "dev_bare", Mark: 4, Binding: api.Binding{MAC: "02:00:00:00:00:04", IP: netip.MustParseAddr("10.77.0.4")}},
		},
		Controllers: []api.Controller{{Role: "nvr", Devices: []ringwall.DeviceID{"dev_nvr"}, Nets: []netip.Prefix{net("10.88.0.0/24")}}, {Role: "nvr", Domains: []string{"*.nvr.example"}}},
	}
	site := policy.SiteOf(&doc)
	app, shell := &policy.Process{UID: 1000, Cgroup: "system.slice/cam.service"}, &policy.Process{UID: 0, Cgroup: "user.slice"}
	for _, c := range []struct {
		name, remote string
		f            policy.Flow // the rest
		reason, term string
		limit        *api.Limit
	}{
		{"the recorder, a device", "10.77.0.2:8000", policy.Flow{RemoteDevice: "dev_nvr"}, "allow", "nvr", nil},
		{"the recorder, a network", "10.88.0.9:8000", policy.Flow{}, "allow", "nvr", nil},
		{"the recorder, a name", "192.168.9.9:8000", policy.Flow{Names: []string{"a.nvr.example"}}, "allow", "nvr", nil},
		{"the name itself is not below", "192.168.9.9:8000", policy.Flow{Names: []string{"nvr.example"}}, "default", "", nil},
		{"no recorder", "10.77.0.3:8000", policy.Flow{RemoteDevice: "dev_twin"}, "default", "", nil},
		{"the recorder opens", "10.77.0.2:9", policy.Flow{RemoteDevice: "dev_nvr", Direction: to, Local: ap("10.77.0.1:554")}, "allow", "nvr-in", nil},
		{"a name cannot open", "192.168.9.9:9", policy.Flow{Names: []string{"a.nvr.example"}, Direction: to, Local: ap("10.77.0.1:554")}, "inbound", "", nil},
		{"a sibling", "10.77.0.3:5353", policy.Flow{RemoteDevice: "dev_twin", Proto: "udp"}, "allow", "sibling", nil},
		{"another maker's", "10.77.0.2:5353", policy.Flow{RemoteDevice: "dev_nvr", Proto: "udp"}, "default", "", nil},
		{"of no known maker", "10.77.0.4:5353", policy.Flow{RemoteDevice: "dev_bare", Proto: "udp"}, "default", "", nil},
		{"the gateway", "10.77.0.254:80", policy.Flow{Gateway: true}, "allow", "web", nil},
		{"the gateway, denied", "10.77.0.254:443", policy.Flow{Gateway: true}, "deny", "no-admin", nil},
		{"the gateway, unsaid", "10.77.0.254:22", policy.Flow{Gateway: true}, "gateway", "", nil},
		{"a term about the gateway is about nobody else", "10.77.0.253:80", policy.Flow{}, "default", "", nil},
		{"a term about a network is not about the gateway", "203.0.113.1:22", policy.Flow{Gateway: true}, "gateway", "", nil},
		{"the program", "198.51.100.1:443", policy.Flow{Program: app}, "allow", "app", nil},
		{"another program", "198.51.100.1:443", policy.Flow{Program: shell}, "default", "", nil},
		{"nobody knows which program", "198.51.100.1:443", policy.Flow{}, "default", "", nil},
		{"denied to the program", "203.0.113.9:443", policy.Flow{Program: app}, "deny", "not-app", nil},
		{"not denied to another", "203.0.113.9:443", policy.Flow{Program: shell}, "allow", "there", nil},
		{"nobody knows to which", "203.0.113.9:443", policy.Flow{}, "deny", "not-app", nil},
		{"ICMPv6", "[2001:db8:99::1]:0", policy.Flow{Proto: "icmp"}, "allow", "six", nil},
		{"of IPv6 only what is said", "[2001:db8:99::1]:80", policy.Flow{}, "default", "", nil},
		{"two limits, the first by id", "192.0.2.1:80", policy.Flow{}, "allow", "a", quick},
		{"one limit", "192.0.2.200:80", policy.Flow{}, "allow", "b", slow},
		{"an address before a name", "203.0.113.1:80", policy.Flow{Names: []string{"x.example"}}, "allow", "there", nil},
		{"a limit of a name", "192.168.9.9:80", policy.Flow{Names: []string{"x.example"}}, "allow", "named", slow},
	} {
		f := c.f
		f.Remote = ap(c.remote)
		if f.Direction == "" {
			f.Direction = from
		}
		if f.Proto == "" {
			f.Proto = "tcp"
		}
		v := site.Decide(&d, 0, &f)
		if v.Reason != c.reason || v.Term != c.term || v.Limit != c.limit {
			t.Errorf("%s: %+v, want reason %q term %q limit %v", c.name, v, c.reason, c.term, c.limit)
		}
	}
	// The gateway stays shut whatever the mode; learning opens the rest.
	d.Mode = ringwall.Learn
	if v := site.Decide(&d, 0, &policy.Flow{Direction: from, Remote: ap("10.77.0.254:22"), Proto: "tcp", Gateway: true}); v.Pass {
		t.Errorf("mode learn opens the gateway: %+v", v)
	}
	d.Mode, d.IP6 = ringwall.Enforce, nil
	if v := site.Decide(&d, 0, &policy.Flow{Direction: from, Remote: ap("[2001:db8:99::1]:0"), Proto: "icmp"}); v.Reason != policy.ReasonIPv6 {
		t.Errorf("IPv6 of a device without: %+v", v)
	}
	p, err := policy.Compile(doc, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if dev, _ := p.Device(1); len(dev.Programs) != 0 || !policytest.In(dev.Deny, policytest.Packet{Remote: netip.MustParseAddr("203.0.113.9"), Proto: 6, Port: 1}) {
		t.Errorf("on a gateway, what is denied to one program is denied: %+v", dev)
	}
	if p, err = (policy.Options{Host: true}).Compile(doc, nil, time.Time{}); err != nil {
		t.Fatal(err)
	} else if dev, _ := p.Device(1); len(dev.Programs) != 2 || len(dev.Deny) != 0 {
		t.Errorf("on the device: programs %+v, deny %+v", dev.Programs, dev.Deny)
	}
}

// What the end of MaxAge does to a device is for its policy to say.
func TestDecide_stale(t *testing.T) {
	remedy := []api.Term{{ID: "update", Action: api.Allow, Direction: api.FromDevice, CIDR: mustPrefix("198.51.100.90/32"), Proto: "tcp"}}
	for _, c := range []struct {
		fail        string
		trust       ringwall.Trust
		out, update string // reasons
		pass, would bool
		state       policy.State
	}{
		{"", ringwall.T3, "default", "default", false, false, policy.StateEnforce},
		{"static", ringwall.T3, "default", "default", false, false, policy.StateEnforce},
		{"closed", ringwall.T3, "quarantine", "remediation", false, false, policy.StateQuarantine},
		{"open", ringwall.T3, "default", "default", true, true, policy.StateShadow},
		{"open", ringwall.T1, "quarantine", "remediation", false, false, policy.StateQuarantine},
		{"open", ringwall.T0, "cutoff", "cutoff", false, false, policy.StateCutoff},
	} {
		d := api.DevicePolicy{Device: "dev_a", Mark: 1, Mode: ringwall.Enforce, Trust: c.trust, Fail: c.fail, Binding: api.Binding{MAC: "02:00:00:00:00:01", IP: netip.MustParseAddr("10.77.0.1")}}
		site := policy.Site{Remediation: remedy, Stale: true}
		f := policy.Flow{Direction: api.FromDevice, Remote: ap("203.0.113.1:443"), Proto: "tcp"}
		v := site.Decide(&d, 0, &f)
		f.Remote = ap("198.51.100.90:443")
		u := site.Decide(&d, 0, &f)
		if v.Reason != c.out || v.Pass != c.pass || v.Would != c.would || u.Reason != c.update {
			t.Errorf("fail %q trust %v: %+v and %+v", c.fail, c.trust, v, u)
		}
		p, err := policy.Options{Stale: true}.Compile(api.Desired{Devices: []api.DevicePolicy{d}, Remediation: remedy}, nil, time.Time{})
		if err != nil || p.Devices[0].State != c.state {
			t.Errorf("fail %q trust %v: state %v, %v, want %v", c.fail, c.trust, p.Devices[0].State, err, c.state)
		}
	}
}
