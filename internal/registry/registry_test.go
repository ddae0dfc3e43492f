package registry_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/registry"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const mac = "02:00:00:00:00:10"

func seen(after time.Duration, change ...func(*registry.Sight)) registry.Sight {
	s := registry.Sight{Gateway: "gw_a", MAC: mac, IP: netip.MustParseAddr("10.77.0.10"), Port: "lan1", Last: noon.Add(after), Presence: ringwall.Online}
	for _, f := range change {
		f(&s)
	}
	return s
}

func device(change ...func(*api.Device)) *api.Device {
	d := api.Device{
		ID: "dev_x", Gateway: "gw_a", Enrolled: true, Presence: ringwall.Online, Seen: noon,
		Binding: api.Binding{Port: "lan1", MAC: mac, IP: netip.MustParseAddr("10.77.0.10")},
	}
	for _, f := range change {
		f(&d)
	}
	return &d
}

func TestMeet(t *testing.T) {
	elsewhere := func(d *api.Device) { d.Gateway = "gw_b" }
	silent := func(d *api.Device) { d.Presence = ringwall.Silent }
	moved := func(d *api.Device) { d.Presence, d.Enrolled = ringwall.Moved, false }
	other := netip.MustParseAddr("10.77.0.99")
	for _, c := range []struct {
		name             string
		known, elsewhere *api.Device
		s                registry.Sight
		want             registry.Meeting
		check            func(api.Device) bool
	}{
		{"never seen", nil, nil, seen(0, func(s *registry.Sight) { s.Hostname = "IPCam-7" }), registry.New,
			func(d api.Device) bool {
				return d.Name == "IPCam-7" && d.Type == "camera" && !d.Enrolled && d.Gateway == "gw_a" && d.Presence == ringwall.Online
			}},
		{"never seen, nameless", nil, nil, seen(0), registry.New, func(d api.Device) bool { return d.Name == "device 00:10" && d.Type == "unknown" }},
		{"at its place", device(), nil, seen(time.Second), registry.Same, func(d api.Device) bool { return d.Seen.Equal(noon.Add(time.Second)) && d.Enrolled }},
		{"back from silence", device(silent), nil, seen(time.Hour), registry.Same, func(d api.Device) bool { return d.Presence == ringwall.Online }},
		{"an old report", device(), nil, seen(-time.Second), registry.Stale, func(d api.Device) bool { return d.Seen.Equal(noon) }},
		{"another address", device(), nil, seen(time.Second, func(s *registry.Sight) { s.IP = other }), registry.Rebound,
			func(d api.Device) bool { return d.Binding.IP == other && d.Enrolled }},
		{"another port", device(), nil, seen(time.Second, func(s *registry.Sight) { s.Port = "lan2" }), registry.Rebound,
			func(d api.Device) bool { return d.Binding.Port == "lan2" }},
		{"no address said", device(), nil, seen(time.Second, func(s *registry.Sight) { s.IP = netip.Addr{} }), registry.Same,
			func(d api.Device) bool { return d.Binding.IP.IsValid() }},
		{"carried elsewhere", nil, device(elsewhere, silent), seen(time.Hour), registry.Moved,
			func(d api.Device) bool { return d.Gateway == "gw_a" && d.Presence == ringwall.Moved && !d.Enrolled }},
		{"in two places", nil, device(elsewhere), seen(time.Second), registry.Doubled,
			func(d api.Device) bool { return d.Gateway == "gw_b" && d.Presence == ringwall.Moved && !d.Enrolled }},
		{"in two places, said before", nil, device(elsewhere, moved), seen(time.Second), registry.Stale, func(d api.Device) bool { return d.Gateway == "gw_b" }},
		{"an old report from elsewhere", nil, device(elsewhere), seen(-time.Hour), registry.Stale, func(d api.Device) bool { return d.Enrolled }},
		{"another gateway says it is silent there", nil, device(elsewhere), seen(time.Hour, func(s *registry.Sight) { s.Presence = ringwall.Silent }),
			registry.Stale, func(d api.Device) bool { return d.Enrolled }},
		{"moved, not enrolled again", device(moved), nil, seen(time.Second), registry.Same, func(d api.Device) bool { return d.Presence == ringwall.Moved }},
		{"moved, enrolled again", device(moved, func(d *api.Device) { d.Enrolled = true }), nil, seen(time.Second), registry.Back,
			func(d api.Device) bool { return d.Presence == ringwall.Online && d.Enrolled }},
	} {
		got, d := registry.Meet(c.known, c.elsewhere, c.s)
		if got != c.want || !c.check(d) {
			t.Errorf("%s: Meet = %v with %+v, want %v", c.name, got, d, c.want)
		}
	}
}

func TestPresence(t *testing.T) {
	for _, c := range []struct {
		is    ringwall.Presence
		quiet time.Duration
		want  ringwall.Presence
	}{
		{ringwall.Online, time.Minute, ringwall.Online},
		{ringwall.Online, 5 * time.Minute, ringwall.Silent},
		{ringwall.Online, 25 * time.Hour, ringwall.Gone},
		{ringwall.Silent, time.Hour, ringwall.Silent},
		{ringwall.Silent, 24 * time.Hour, ringwall.Gone},
		{ringwall.Gone, time.Hour, ringwall.Gone},
		{ringwall.Moved, 100 * time.Hour, ringwall.Moved},
		{ringwall.Online, -time.Hour, ringwall.Online}, // our clock jumped back
	} {
		if got := registry.Presence(c.is, noon, noon.Add(c.quiet), registry.Config{}); got != c.want {
			t.Errorf("Presence(%v after %v) = %v, want %v", c.is, c.quiet, got, c.want)
		}
	}
	if got := registry.Presence(ringwall.PresenceUnknown, time.Time{}, noon, registry.Config{}); got != ringwall.PresenceUnknown {
		t.Errorf("never seen: %v, want unknown", got)
	}
}

func TestRead(t *testing.T) {
	good := api.Sighting{MAC: "02-00-00-00-00-AB", IP: netip.MustParseAddr("::ffff:10.0.0.1"), Port: "eth0", Hostname: "cam<script>", Last: noon.Add(time.Minute)}
	s, err := registry.Read("gw_a", good, noon)
	if err != nil || s.MAC != "02:00:00:00:00:ab" || s.IP.String() != "10.0.0.1" || s.Hostname != "cam" || !s.Last.Equal(noon) || s.Presence != ringwall.Online {
		t.Errorf("Read = %+v, %v", s, err)
	}
	for name, change := range map[string]func(*api.Sighting){
		"no MAC": func(s *api.Sighting) { s.MAC = "" }, "multicast": func(s *api.Sighting) { s.MAC = "01:00:5e:00:00:01" },
		"broadcast": func(s *api.Sighting) { s.MAC = "ff:ff:ff:ff:ff:ff" }, "zero": func(s *api.Sighting) { s.MAC = "00:00:00:00:00:00" },
		"eight octets": func(s *api.Sighting) { s.MAC = "02:00:00:00:00:00:00:01" }, "endless": func(s *api.Sighting) { s.MAC = strings.Repeat("a", 1e6) },
		"from the future": func(s *api.Sighting) { s.Last = noon.Add(time.Hour) }, "timeless": func(s *api.Sighting) { s.Last = time.Time{} },
	} {
		bad := good
		change(&bad)
		if _, err := registry.Read("gw_a", bad, noon); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	for _, ip := range []string{"0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "fe80::1"} {
		odd := good
		odd.IP = netip.MustParseAddr(ip)
		if s, err := registry.Read("gw_a", odd, noon); err != nil || s.IP.IsValid() {
			t.Errorf("address %s: %v, %v; want it left out", ip, s.IP, err)
		}
	}
}

func TestGuessType(t *testing.T) {
	for _, c := range []struct {
		host     string
		services []api.Service
		want     string
	}{
		{"", nil, "unknown"}, {"Front-Cam", nil, "camera"}, {"smart-meter-3", nil, "meter"}, {"Pixel-8", nil, "phone"},
		{"smart-meter", []api.Service{{Name: "http"}, {Name: "rtsp"}}, "camera"}, {"laptop", []api.Service{{Name: "http"}}, "unknown"},
	} {
		if got := registry.GuessType(c.host, c.services); got != c.want {
			t.Errorf("GuessType(%q, %v) = %q, want %q", c.host, c.services, got, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("02:00:00:00:00:10", "cam", "lan1")
	f.Add("ff-ff", "\x00<b>", strings.Repeat("x", 300))
	f.Fuzz(func(t *testing.T, mac, host, port string) {
		s, err := registry.Read("gw_a", api.Sighting{MAC: mac, Hostname: host, Port: port, Last: noon}, noon)
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Invalid || len(err.Error()) > 400 {
				t.Errorf("error %v", err)
			}
			return
		}
		if again, err := registry.NormaliseMAC(s.MAC); err != nil || again != s.MAC {
			t.Errorf("MAC %q is kept as %q, which is not its own form (%v)", mac, s.MAC, err)
		}
		for _, text := range []string{s.Hostname, s.Port} {
			if len(text) > 63 || strings.ContainsAny(text, "<>\"'&\x00\n ") {
				t.Errorf("kept text %q", text)
			}
		}
	})
}
