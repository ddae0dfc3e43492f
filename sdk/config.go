package sdk

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/durable"
)

// Config says how a Client runs. The zero value of a field is good unless it
// says "needed".
type Config struct {
	// State is the directory that keeps identity, policy and reports; needed. It is
	// made, readable by its owner alone. One Client at a time works in it.
	State string

	// Platform is where to enrol, "https://host:8443", with the one-time Token; needed
	// until the Client has enrolled. CA is the path of the platform's authority, as PEM,
	// or Pin the SHA-256 of its certificate in hex: one of them is needed with Token.
	Platform string
	Token    string
	CA, Pin  string
	// Name is how people call this application; "" = the program's.
	Name string
	// Uplink lists where to speak with the platform instead of what it told when the
	// Client enrolled: "mqtts://host:8883" or "tls://host:4222".
	Uplink []string

	// Address is what is reported as the device's own; zero = that of the route to
	// the platform.
	Address netip.Addr
	// Wait is how long Open waits for the first policy; 0 = 10 seconds. Open
	// succeeds without one.
	Wait time.Duration
	// Poll is how often the policy is asked for when nothing pokes, with a fifth of
	// jitter; 0 = 5 minutes.
	Poll time.Duration
	// LogBytes is the most disk that reports take; 0 = 8 MiB.
	LogBytes int64

	// Resolver looks names up; nil = net.DefaultResolver.
	Resolver Resolver
	// Refused is called for each refusal, from the goroutine that was refused; it may
	// be nil and must not block.
	Refused func(*Refusal)
	// Changed is called when another policy or hold is in force; it may be nil and
	// must not block.
	Changed func(Status)

	Log *slog.Logger     // nil = silent
	Now func() time.Time // nil = time.Now
	// Disk is for tests; nil is the real disk.
	Disk *durable.Disk
}

// Resolver looks up the addresses of a name; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

func (c Config) withDefaults() (Config, error) {
	if c.State == "" {
		return c, ringwall.Errorf(ringwall.Invalid, "the SDK needs a state directory")
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.Wait, 10*time.Second)
	def(&c.Poll, 5*time.Minute)
	if c.LogBytes <= 0 {
		c.LogBytes = 8 << 20
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

func (c Config) path(name string) string { return filepath.Join(c.State, name) }

// Files of the state directory.
const (
	identityFile = "identity.json"
	pairFile     = "client.pem"
	caFile       = "ca.crt"
	quotaFile    = "quota.json"
	lockFile     = "client.lock"
	enforceDir   = "enforce"
	logDir       = "wal"
)

// The sites of the SDK's own fsyncs.
const (
	siteState    durable.Site = "sdk/state"
	siteIdentity durable.Site = "sdk/identity"
	siteQuota    durable.Site = "sdk/quota"
)
