package lab

import (
	"io"
	"os/exec"
	"time"

	"github.com/ringwall/ringwall/internal/netns"
)

// Config says what range to make. The zero value is a good one.
type Config struct {
	// Seed is what everything that is drawn is drawn from; 0 draws one, which
	// Range.Seed tells.
	Seed uint64
	// Now is the range's clock; nil is the system's.
	Now func() time.Time
	// Pace is how often a device talks to its cloud; 0 = 5 s. The other habits
	// follow it.
	Pace time.Duration
	// Look is how long the phone looks at the bad camera, 0 = 4 s, and Rest how
	// long it then rests, 0 = as long. At the good camera it looks all the time,
	// with Glance as at the bad one.
	Look   time.Duration
	Rest   time.Duration
	Glance bool
	// Agent gives the command of the gateway's agent, which the range marks as
	// its own and starts in the gateway's namespace, before any device is there
	// to talk. nil = a plain router. See also StartAgent. The gateway's
	// interfaces are Bridge, its ports (Port) and Uplink.
	Agent func(gateway *netns.NS) (*exec.Cmd, error)
	// Expose are the relays to have before the agent starts, as Range.Expose
	// makes them: address in the range to address on the host.
	Expose map[string]string
	// ExposeUDP are those as Range.ExposeUDP makes them.
	ExposeUDP map[string]string
	// Busybox is the path of a busybox with login, wget and sh; "" looks for
	// one, "-" goes without.
	Busybox string
	// Dir is where captures and usage records go; "" makes a directory that
	// Down removes.
	Dir string
	// Log is where the actors and the agent talk; nil drops it.
	Log io.Writer
	// UsagePeriod is how long one usage record of the operator covers; 0 = 5 s.
	UsagePeriod time.Duration
}

// Defaults of Config.
const (
	defaultPace  = 5 * time.Second
	defaultLook  = 4 * time.Second
	defaultUsage = 5 * time.Second
)

// RecordConfig is the range that Record wants: its habits are quicker, so that
// half a minute shows them all.
// It is not a film: the phone looks at the cameras seldom.
func RecordConfig() Config {
	return Config{Pace: 3 * time.Second, Look: 2 * time.Second, Rest: 8 * time.Second, Glance: true}
}
