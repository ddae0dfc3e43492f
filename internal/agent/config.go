package agent

import (
	"log/slog"
	"path/filepath"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/nft"
)

// Config says how a gateway runs. Each field is a flag of "ringwall-agent run".
type Config struct {
	// State is the state directory, see the package comment.
	State string
	// Bridge is the bridge whose ports are the cables of devices, and Ports are
	// these ports. The agent makes the bridge ready (it may exist already).
	Bridge string
	Ports  []string
	// LAN are other interfaces towards devices, without a bridge.
	LAN []string
	// Uplink is the interface towards the world.
	Uplink string
	// Manage are ports of the gateway that stay open on the uplink, whatever the
	// policy, such as that of SSH. None means that nobody reaches it from there.
	Manage []nft.Service
	// Masquerade hides the devices behind the uplink's address.
	Masquerade bool

	// Host says that this machine is itself the device, the only one of its document:
	// its own flows are judged, nothing is forwarded, and only Uplink is named.
	Host bool
	// Inspect starts the inspector.
	Inspect bool
	// Mappings is what is done about port mappings of the router upstream that lead
	// to us: MappingsDelete, MappingsTell, or MappingsOff, which is what "" means.
	Mappings string

	// DNS are the addresses at which the DNS guard answers, such as
	// "10.77.0.1:53". None means that no guard is run.
	DNS []string
	// Self is the program to start as the DNS guard; nil is this one. "dns" and
	// its flags are appended.
	Self []string

	// RingBytes is the memory of all capture rings together; 0 means 4 MiB.
	RingBytes int
	// LogBytes is the most disk that the write-ahead log takes; 0 means 64 MiB.
	LogBytes int64
	// Poll is how often the desired state is asked for when nothing pokes, with a
	// fifth of jitter; 0 means 5 minutes.
	Poll time.Duration
	// Drift is how often the kernel is compared with what should be in it; 0
	// means 60 seconds.
	Drift time.Duration
	// Silent and Gone are when a device that was heard is reported silent and
	// gone at the earliest; 0 means 2 and 30 minutes.
	Silent, Gone time.Duration
	// Probation is how long what a device in mode learn was seen to need must
	// have been known, without an alert, before it is reported; 0 means 2 minutes.
	Probation time.Duration

	// Radius is the UDP address at which RADIUS accounting is taken, such as
	// "10.0.0.1:1813"; "" = none is. RadiusSecret is the file with its secret.
	Radius, RadiusSecret string
	// IMSIFile holds the IMSI of this machine's own modem; "" = it has none.
	IMSIFile string

	// Posture says that the agent speaks of the state of this machine too.
	Posture bool
	// Parts are those that the core does without.
	Parts Parts

	Log *slog.Logger     // nil drops everything
	Now func() time.Time // nil means time.Now
	// Mono is a clock that never jumps, since any moment; nil is the system's.
	Mono func() time.Duration
	// Disk is for tests; nil is the real disk.
	Disk *durable.Disk
}

// DefaultState is where a gateway keeps its state.
const DefaultState = "/var/lib/ringwall"

// inspectPort is where the inspector listens, TCP and UDP.
const inspectPort = 7786

// tick is the rhythm of what is reported each minute.
const tick = time.Minute

func (c Config) withDefaults() (Config, error) {
	switch c.Mappings {
	case "", MappingsOff, MappingsTell, MappingsDelete:
	default:
		return c, ringwall.Errorf(ringwall.Invalid, "-mappings is %.20q, want delete, tell or off", c.Mappings)
	}
	if c.Host {
		if c.Bridge != "" || len(c.LAN) > 0 || c.Radius != "" || c.Masquerade {
			return c, &ringwall.Error{Code: ringwall.Invalid, Text: "a device forwards nothing for others", Hint: "leave out -bridge, -lan, -masquerade and -radius, or -host"}
		}
		return c.defaults(), nil
	}
	if c.Bridge == "" && len(c.LAN) == 0 {
		return c, &ringwall.Error{Code: ringwall.Invalid, Text: "no interface towards devices is named", Hint: "give -bridge and -ports, or -lan"}
	}
	if c.Bridge != "" && len(c.Ports) == 0 || c.Bridge == "" && len(c.Ports) > 0 {
		return c, &ringwall.Error{Code: ringwall.Invalid, Text: "a bridge and its ports go together", Hint: "give both -bridge and -ports"}
	}
	if (c.Radius == "") != (c.RadiusSecret == "") {
		return c, &ringwall.Error{Code: ringwall.Invalid, Text: "RADIUS accounting is taken only with a secret", Hint: "give both -radius and -radius-secret-file"}
	}
	return c.defaults(), nil
}

// defaults fills in what was left out; an agent that is no gateway needs no more.
func (c Config) defaults() Config {
	if c.State == "" {
		c.State = DefaultState
	}
	if c.RingBytes == 0 {
		c.RingBytes = 4 << 20
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.Poll, 5*time.Minute)
	def(&c.Drift, time.Minute)
	def(&c.Silent, 2*time.Minute)
	def(&c.Gone, 30*time.Minute)
	def(&c.Probation, 2*time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// taps returns the interfaces to listen on: those towards devices, and the
// uplink, where what comes for a device is seen before it may be refused. Behind
// a masquerade nothing can come for a device unasked, and what comes does not
// bear its address yet.
func (c Config) taps() []string {
	out := append(append([]string(nil), c.Ports...), c.LAN...)
	if c.Uplink != "" && (!c.Masquerade || c.Host) {
		out = append(out, c.Uplink)
	}
	return out
}

func (c Config) path(name string) string { return filepath.Join(c.State, name) }

// Files of the state directory.
const (
	identityFile = "identity.json"
	pairFile     = "gateway.pem"
	caFile       = "ca.crt"
	enforceDir   = "enforce"
	logDir       = "wal"
	dnsPolicy    = "dns.json"
	dnsPID       = "dns.pid"
	inspectPID   = "inspect.pid"
	agentLock    = "agent.lock"
	agentSocket  = "agent.sock"
	reportSocket = "report.sock"
)
