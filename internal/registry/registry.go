// Package registry says what it means that a device was seen: that it is new,
// at its place, at another address, behind another gateway, or in two places
// at once; that it has fallen silent or is gone.
//
// It is pure: each rule takes what is known and what was seen, and returns what
// the platform has to write down. Nothing here decides what a device may do;
// package trust does, from what is written.
//
// What a sighting says of a device comes from the device itself or from the
// wire, so nothing of it is trusted: a MAC is checked, a host name is cut to
// harmless letters, and the number of devices behind one gateway is bounded,
// since MACs cost an attacker nothing.
//
// A device is bound to where it was first seen. When it turns up elsewhere it
// is a stranger there (DESIGN: self, non-self): its enrolment ends until a
// person enrols it again. Whoever fakes a MAC elsewhere can thereby have the
// real device cut off; the alternative, to believe one of the two, would let
// the fake one in.
//
// The package has no goroutines, no clock and no state.
package registry

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

const (
	// MaxBehind bounds the devices that one gateway may bring: four times what
	// a small site has, far below what a flood of MACs would.
	MaxBehind = 4096
	// AtOnce is how recently a device must have been seen in one place for a
	// sighting in another to be a second one of it, and no move: gateways report
	// each device at least once a minute.
	AtOnce = 2 * time.Minute
	// Ahead is how far a gateway's clock may run ahead of ours.
	Ahead = 5 * time.Minute

	maxName = 63 // RFC 1035 section 2.3.4
)

// Config says when a device counts as silent and as gone; zero fields have
// defaults.
type Config struct {
	// Silent is how long nothing must have been heard; 0 = 5 minutes.
	Silent time.Duration
	// Gone is the same for gone; 0 = 24 hours.
	Gone time.Duration
}

func (c Config) silent() time.Duration {
	if c.Silent > 0 {
		return c.Silent
	}
	return 5 * time.Minute
}

func (c Config) gone() time.Duration {
	if c.Gone > 0 {
		return c.Gone
	}
	return 24 * time.Hour
}

// NormaliseMAC returns a MAC in the one form that is kept: lower case, colons.
// Codes: Invalid for what is no address of one station.
func NormaliseMAC(s string) (string, error) {
	if len(s) > 40 {
		return "", ringwall.Errorf(ringwall.Invalid, "MAC %.40q… is too long", s)
	}
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != 6 {
		return "", ringwall.Errorf(ringwall.Invalid, "MAC %q has not six octets", s)
	}
	if mac[0]&1 != 0 || slices.Max(mac) == 0 {
		return "", ringwall.Errorf(ringwall.Invalid, "MAC %q is no address of one station", s)
	}
	return mac.String(), nil
}

// CleanName returns what of a host name may be shown: letters, digits, dots,
// hyphens and underscores, without what stands behind an illegal one.
func CleanName(s string) string {
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	}
	if i := strings.IndexFunc(s, bad); i >= 0 {
		s = s[:i]
	}
	return strings.Trim(s[:min(len(s), maxName)], ".-_")
}

// words that tell the type of a device in its host name.
var words = []struct {
	kind string
	any  []string
}{
	{"camera", []string{"cam", "ipc", "nvr", "dvr", "onvif"}},
	{"meter", []string{"meter", "sensor"}},
	{"phone", []string{"phone", "android", "pixel", "galaxy"}},
	{"hub", []string{"hub", "bridge"}},
}

// GuessType guesses the type of a device from what it serves and how it calls
// itself; "unknown" when neither says. It is a guess for a label and a default
// policy of the class; a person may correct it.
func GuessType(hostname string, services []api.Service) string {
	for _, s := range services {
		switch s.Name {
		case "rtsp", "onvif":
			return "camera"
		}
	}
	name := strings.ToLower(hostname)
	for _, w := range words {
		if slices.ContainsFunc(w.any, func(part string) bool { return strings.Contains(name, part) }) {
			return w.kind
		}
	}
	return "unknown"
}

// Sight is one sighting, checked.
type Sight struct {
	Gateway  ringwall.GatewayID
	MAC      string
	IP       netip.Addr // IPv4, or the zero Addr when none was seen
	Port     string
	Hostname string
	Last     time.Time
	Presence ringwall.Presence // what the gateway says: on line, silent or gone
}

// Read checks a sighting that a gateway reports at the platform's time now.
// Codes: Invalid.
func Read(gw ringwall.GatewayID, s api.Sighting, now time.Time) (Sight, error) {
	mac, err := NormaliseMAC(s.MAC)
	if err != nil {
		return Sight{}, err
	}
	if s.Last.IsZero() || s.Last.After(now.Add(Ahead)) {
		return Sight{}, ringwall.Errorf(ringwall.Invalid, "sighting of %s at %s, and it is %s", mac, s.Last.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	ip := s.IP.Unmap()
	if !ip.Is4() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		ip = netip.Addr{} // policies are for IPv4; without one the device is known and has none yet
	}
	port := CleanName(s.Port)
	presence := s.Presence
	if presence != ringwall.Silent && presence != ringwall.Gone {
		presence = ringwall.Online
	}
	return Sight{Gateway: gw, MAC: mac, IP: ip, Port: port, Hostname: CleanName(s.Hostname), Last: earlier(s.Last, now).UTC(), Presence: presence}, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Meeting says what a sighting means.
type Meeting uint8

const (
	Same    Meeting = iota // where it should be; only Seen and Presence changed
	New                    // never seen in the organisation
	Rebound                // where it should be, with another address or port
	Moved                  // behind another gateway, and no more behind its own
	Doubled                // behind another gateway, and behind its own too
	Back                   // a person has enrolled it where it turned up
	Stale                  // older than what is known
)

// Meet returns what a sighting means, and the device as it is now. known is the
// device of this MAC behind this gateway, elsewhere the one of this MAC behind
// another; either may be nil. A New device has no id and no mark yet; a Moved
// one is behind the sighting's gateway.
func Meet(known, elsewhere *api.Device, s Sight) (Meeting, api.Device) {
	switch {
	case known == nil && elsewhere == nil:
		return New, fresh(s)
	case known == nil:
		return meetElsewhere(*elsewhere, s)
	}
	d := *known
	if s.Last.Before(d.Seen) {
		return Stale, d
	}
	d.Seen = s.Last
	if d.Presence == ringwall.Moved {
		if !d.Enrolled {
			return Same, d // still a stranger here
		}
		d.Presence = s.Presence
		d.Binding = bind(d.Binding, s)
		return Back, d
	}
	d.Presence = s.Presence
	if b := bind(d.Binding, s); b != d.Binding {
		d.Binding = b
		return Rebound, d
	}
	return Same, d
}

func meetElsewhere(d api.Device, s Sight) (Meeting, api.Device) {
	if s.Last.Before(d.Seen) || s.Presence != ringwall.Online {
		return Stale, d
	}
	if d.Presence == ringwall.Moved && !d.Enrolled && s.Last.Sub(d.Seen) < AtOnce {
		return Stale, d // known to be in two places; said once
	}
	enrolled := d.Enrolled
	d.Enrolled = false
	if enrolled && d.Presence == ringwall.Online && s.Last.Sub(d.Seen) < AtOnce {
		d.Presence = ringwall.Moved
		return Doubled, d
	}
	d.Presence, d.Seen, d.Gateway = ringwall.Moved, s.Last, s.Gateway
	d.Binding = api.Binding{Port: s.Port, MAC: s.MAC, IP: s.IP}
	return Moved, d
}

// bind returns the binding after a sighting: what the sighting does not say
// stays.
func bind(b api.Binding, s Sight) api.Binding {
	b.MAC = s.MAC
	if s.IP.IsValid() {
		b.IP = s.IP
	}
	if s.Port != "" {
		b.Port = s.Port
	}
	return b
}

func fresh(s Sight) api.Device {
	kind := GuessType(s.Hostname, nil)
	name := s.Hostname
	if name == "" {
		name = kind + " " + s.MAC[len(s.MAC)-5:]
		if kind == "unknown" {
			name = "device " + s.MAC[len(s.MAC)-5:]
		}
	}
	return api.Device{
		Name: name, Type: kind, Gateway: s.Gateway, Binding: api.Binding{Port: s.Port, MAC: s.MAC, IP: s.IP}, Presence: s.Presence,
		Seen: s.Last, TrustReasons: []api.TrustReason{}, Holds: []api.Hold{}, Terms: []api.Term{},
	}
}

// Quiet returns how long a device of a presence must have been silent for it to
// become another.
func Quiet(is ringwall.Presence, cfg Config) time.Duration {
	if is == ringwall.Silent {
		return cfg.gone()
	}
	return cfg.silent()
}

// Presence returns the presence of a device that was last seen at a time. What
// Moved says only a person ends. A clock that jumped back changes nothing.
func Presence(is ringwall.Presence, seen, now time.Time, cfg Config) ringwall.Presence {
	quiet := now.Sub(seen)
	switch {
	case is == ringwall.Moved || is == ringwall.PresenceUnknown && seen.IsZero():
		return is
	case quiet >= cfg.gone():
		return ringwall.Gone
	case quiet >= cfg.silent():
		if is == ringwall.Gone {
			return is
		}
		return ringwall.Silent
	}
	return is
}

// Taken returns the device, other than the one of mac, that holds an address;
// nil when none does.
func Taken(devices []api.Device, mac string, ip netip.Addr) *api.Device {
	if !ip.IsValid() {
		return nil
	}
	for i := range devices {
		if devices[i].Binding.IP == ip && devices[i].Binding.MAC != mac && devices[i].Presence != ringwall.Moved {
			return &devices[i]
		}
	}
	return nil
}
