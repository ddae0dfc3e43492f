package portmap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

// Bounds.
const (
	// MaxMappings is the most mappings that are asked of one router.
	MaxMappings = 512
	maxBody     = 256 << 10
	maxText     = 256
	maxServices = 8
	// answerWait is how long a router may take to answer one question.
	answerWait = 2 * time.Second
	httpWait   = 5 * time.Second
)

// Ports of the protocols.
const (
	ssdpPort   = 1900
	natpmpPort = 5351
)

// Config says which router to ask.
type Config struct {
	Router netip.Addr
	// SSDP and NATPMP are the ports at which it is asked; 0 means 1900 and 5351.
	SSDP, NATPMP uint16
	// Dial connects; nil is the usual way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Mapping is one port of the router that leads inside.
type Mapping struct {
	Proto       string         `json:"proto"` // "tcp" or "udp"
	External    uint16         `json:"external"`
	Internal    netip.AddrPort `json:"internal"`
	Remote      string         `json:"remote,omitempty"` // who may use it; "" = everybody
	Description string         `json:"description,omitempty"`
	Enabled     bool           `json:"enabled"`
	Lease       time.Duration  `json:"leaseNs,omitempty"` // 0 = for ever
	service     service
}

// Found is what a router was found to do.
type Found struct {
	Mappings []Mapping
	// Speaks are the protocols by which whoever reaches the router can have ports
	// mapped: "igd", "nat-pmp", "pcp".
	Speaks []string
	// Cut says that there are more mappings than were read.
	Cut bool
}

// Client asks one router.
type Client struct{ c Config }

// New returns a client.
func New(c Config) *Client {
	if c.Dial == nil {
		var d net.Dialer
		c.Dial = d.DialContext
	}
	if c.SSDP == 0 {
		c.SSDP = ssdpPort
	}
	if c.NATPMP == 0 {
		c.NATPMP = natpmpPort
	}
	return &Client{c}
}

// List asks the router for all it can be asked for. A router that speaks none of
// the protocols is no error; what one that does could not be asked is in the
// error, beside what was found.
func (c *Client) List(ctx context.Context) (f Found, err error) {
	var errs []error
	services, err := c.search(ctx)
	if err != nil {
		errs = append(errs, err)
	}
	if len(services) > 0 {
		f.Speaks = append(f.Speaks, "igd")
	}
	seen := map[Mapping]bool{}
	for _, s := range services {
		list, cut, err := c.entries(ctx, s, MaxMappings-len(f.Mappings))
		f.Cut = f.Cut || cut
		if err != nil {
			errs = append(errs, err)
		}
		for _, m := range list {
			k := m
			k.service = service{}
			if !seen[k] { // two services of one router may show one table
				seen[k] = true
				f.Mappings = append(f.Mappings, m)
			}
		}
	}
	if ok, err := c.speaksNATPMP(ctx); err != nil {
		errs = append(errs, err)
	} else if ok {
		f.Speaks = append(f.Speaks, "nat-pmp")
	}
	if ok, err := c.speaksPCP(ctx); err != nil {
		errs = append(errs, err)
	} else if ok {
		f.Speaks = append(f.Speaks, "pcp")
	}
	return f, errors.Join(errs...)
}

// Delete has a mapping taken away, as List has found it: by IGD, and if the router
// refuses that and the mapping leads to own, the asker's own address, by NAT-PMP.
// Codes: Forbidden when the router refuses, Unavailable when it does not answer.
func (c *Client) Delete(ctx context.Context, m Mapping, own netip.Addr) error {
	err := c.deleteEntry(ctx, m)
	if err == nil || m.Internal.Addr() != own {
		return err
	}
	if c.deleteNATPMP(ctx, m) == nil {
		return nil
	}
	return err
}

func short(s string) string {
	s = strings.ToValidUTF8(s, "")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

func (c *Client) unavailable(what string, err error) error {
	return ringwall.Errorf(ringwall.Unavailable, "asking router %s %s: %w", c.c.Router, what, err)
}
