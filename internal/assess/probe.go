package assess

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Network is how probes reach the world. The addresses given to it are always IP
// literals: names are resolved before, once, so that a target cannot move.
type Network interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error)
}

// Intrusion says how far a probe goes.
type Intrusion uint8

// The steps, each including those before it.
const (
	Listens Intrusion = iota // sends nothing
	Asks                     // a few requests that any client makes
	LogsIn                   // presents credentials, within the Ledger
	Strains                  // may disturb service; never by default
)

var intrusionNames = [...]string{"listens", "asks", "logs in", "strains"}

func (i Intrusion) String() string { return intrusionNames[min(int(i), len(intrusionNames)-1)] }

// Definition is what a probe says of itself before it runs.
type Definition struct {
	ID         string    // such as "rtsp"; its findings' source is "probe/rtsp"
	Title      string    // what it finds out
	Sends      string    // what would be sent, for people who ask first
	Indicators []string  // that it may answer
	Needs      []string  // service names of which one must be open; none = always runs
	Intrusion  Intrusion // how far it goes

	// Reaches are the ports that it speaks to whatever is open, such as
	// "udp/161"; what it speaks to besides are the services it needs.
	Reaches []string
	// Tries is the most wrong passwords that it may present to one device,
	// within what the Ledger leaves.
	Tries int
	// Rate is the most connections and datagrams a second that it starts; 0 means
	// as many as the Runner lets it.
	Rate int
	// Paced says that it pays Env.Net's pace (interface Paced) for what it sends by
	// sockets of its own. Who does not gets no raw sockets while a rate is set.
	Paced bool
	// Optional says that it runs only when it is named in Runner.Also.
	Optional bool
	// Together says that it may run beside its neighbours in the list that say so
	// too: it needs nothing that they find.
	Together bool
	// Within is the most time that it may take; 0 means 30 s.
	Within time.Duration
	// Absent are indicators that do not apply to a device which offers none of
	// what it needs, such as the quality of TLS where nothing speaks TLS.
	Absent []string
}

// Probe is one way to measure one device. Run may be called for several
// targets at once and must end soon after ctx does. An error means that the
// probe itself could not work; what it found before still counts. What the
// device answered badly is a finding, not an error.
type Probe interface {
	Def() Definition
	Run(ctx context.Context, env *Env, t Target) (Answer, error)
}

// Target is one device to assess.
type Target struct {
	Name   string            // as given; shown, not dialled
	Addr   netip.Addr        // where it is
	Port   uint16            // when given with a port, that port is looked at too
	Path   string            // of an rtsp:// target
	Device ringwall.DeviceID // when it is a known device
	Org    ringwall.OrgID
	MAC    string
	// Hints that discovery gave.
	Vendor, Model, Type string
	// Prior are findings of other kinds of evidence (image, agent, declaration,
	// incident) that count beside what the probes find. Earlier answers of
	// probes are ignored: this assessment replaces them.
	Prior []ringwall.Finding
	// Declared are the services that somebody says the device offers; nil means
	// that nobody has said anything, an empty list that it offers none.
	Declared []api.Service
	// Outside are where the world would look for the device: the public address
	// of its site. Only the exposure probe dials them, from Env.Outside.
	Outside []netip.Addr
	// Beside are other addresses that its assessment may speak to, such as that of
	// the service behind it. Consent is asked for them too.
	Beside []netip.Addr
	// Profile is how the rubric is applied; a zero Class means by Type.
	Profile api.Profile
	// Examinations are what other sources found out (image, agent, declaration,
	// laboratory), as they stand. They count beside the probes.
	Examinations []api.Examination
	// Gateway says that one stands before the device, which can act for it.
	Gateway bool
}

// AddrPort returns the target's address with port.
func (t Target) AddrPort(port uint16) string { return netip.AddrPortFrom(t.Addr, port).String() }

// Env is what a probe works with: the world, and what earlier probes found.
type Env struct {
	Net      Network
	Outside  Network // the world's side of the site's border; nil when there is no vantage there
	Now      func() time.Time
	Ledger   *Ledger       // tries at logins of this device
	Services []api.Service // open ports found so far
	Ports    []uint16      // that the port scan looks at
	Known    Identity      // gathered so far
	Paths    []string      // RTSP paths worth trying
	Stills   []string      // paths of still pictures that the device has named
	Alive    bool          // it has answered somehow: its silence elsewhere means something
	Secrets  []api.SecretMark
	// Components are what the device has named of its software.
	Components []api.Component
	Say        func(format string, args ...any)
}

// Named returns the open services with one of these names.
func (e *Env) Named(names ...string) []api.Service {
	var out []api.Service
	for _, s := range e.Services {
		for _, n := range names {
			if s.Name == n {
				out = append(out, s)
				break
			}
		}
	}
	return out
}

// Identity is what a device says it is.
type Identity struct {
	Vendor, Model, Firmware, MAC, Type string
}

// merge fills what is empty in i from j.
func (i *Identity) merge(j Identity) {
	for _, p := range [][2]*string{{&i.Vendor, &j.Vendor}, {&i.Model, &j.Model}, {&i.Firmware, &j.Firmware}, {&i.MAC, &j.MAC}, {&i.Type, &j.Type}} {
		if *p[0] == "" {
			*p[0] = *p[1]
		}
	}
}

// Answer is what a probe found.
type Answer struct {
	Findings []ringwall.Finding
	Services []api.Service // open ports, or better names for known ones
	Known    Identity
	Paths    []string
	Stills   []string
	Alive    bool // the device answered, be it with a refusal
	// Secrets are marks of keys that it showed (Path says where, such as
	// "tcp/22"): the same mark on another device means the same key there.
	Secrets    []api.SecretMark
	Components []api.Component // software that it names
}

// Sighting is one device that discovery saw.
type Sighting struct {
	Addr                netip.Addr
	How                 string // such as "ws-discovery"
	MAC                 string
	Vendor, Model, Type string
}

// Finder is one way to discover devices. Find calls seen for each, from its
// own goroutine only, and returns when it is done or ctx ends.
type Finder interface {
	String() string
	Find(ctx context.Context, n Network, in []netip.Prefix, seen func(Sighting)) error
}

// LateFinder is a Finder that finds more after the others have knocked, such
// as one that reads the table of neighbours.
type LateFinder interface {
	Finder
	Late()
}

// EventKind says what a progress event tells.
type EventKind string

// Kinds of progress.
const (
	EventFound EventKind = "found" // discovery saw a device
	EventStart EventKind = "start" // a device's assessment began
	EventProbe EventKind = "probe" // a probe began on it
	EventNote  EventKind = "note"  // something worth knowing, such as a budget used up
	EventDone  EventKind = "done"  // it is graded
)

// Event is one step of progress. Done and Total count devices.
type Event struct {
	Kind        EventKind
	Target      string
	Probe       string
	Text        string
	Done, Total int
	Grade       ringwall.Grade
}
