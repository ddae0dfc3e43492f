package fastpath

import (
	"context"
	"log/slog"
	"time"

	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
)

// Filter is the packet filter whose verdicts are cached; *nft.Firewall is one.
// Its answers are those of one moment, and wait for a change that is under way.
type Filter interface {
	// Cacheable lists every device in force; see nft.Cacheable.
	Cacheable(ctx context.Context) ([]nft.Cacheable, error)
	// Foreign names what others have hooked into the way of forwarded packets.
	Foreign(ctx context.Context) ([]string, error)
}

// Config says where a gateway stands. The zero value of a number means what its
// comment says.
type Config struct {
	NS     *netns.NS // nil = that of the program
	Bridge string    // its ports are the cables of devices
	LAN    []string  // other interfaces towards devices
	Uplink string

	// MaxFlows bounds the flows in the cache, each direction counting as one;
	// 524,288. Kernel memory is taken as flows come, 192 bytes each, beside 8 MiB.
	MaxFlows int
	// MaxDevices bounds the devices whose flows are cached; 16,384.
	MaxDevices int
	// Lease is how long a flow is cached before connection tracking is asked
	// again; 60 s, and a sixth of it behind a masquerade, where a translation may
	// be given to somebody else.
	Lease time.Duration
	// Refresh is how often one packet of a flow goes the slow way; 8 s. It must
	// be well below the shortest life of a tracked connection (30 s for UDP
	// without an answer).
	Refresh time.Duration
	// Sample is how many packets that are not cached go by for one that is looked
	// at; 16, rounded up to a power of two. Short flows stay out of the cache.
	Sample int

	Log *slog.Logger // nil = discard
}

// Stats of a Path since it was opened.
type Stats struct {
	Flows    int    // in the cache, as of the last sweep
	Cached   uint64 // flows put into the cache, or renewed
	Unfit    uint64 // candidates that connection tracking did not vouch for
	Crowded  uint64 // candidates that found the cache full, or the keeper busy
	Revoked  uint64 // gates closed by Revoke
	Attached int    // interfaces with a program
}

func (c *Config) defaults() {
	if c.MaxFlows <= 0 {
		c.MaxFlows = 1 << 19
	}
	if c.MaxDevices <= 0 {
		c.MaxDevices = 1 << 14
	}
	if c.Lease <= 0 {
		c.Lease = time.Minute
	}
	if c.Refresh <= 0 {
		c.Refresh = 8 * time.Second
	}
	if c.Sample <= 0 {
		c.Sample = 16
	}
	for n := 1; ; n <<= 1 {
		if n >= c.Sample {
			c.Sample = n
			break
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}
