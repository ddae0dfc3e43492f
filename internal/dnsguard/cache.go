package dnsguard

import (
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall/api"
)

const (
	// maxCached and maxCachedSize bound the memory of the cache: 8 MB of messages
	// in all.
	maxCached     = 2048
	maxCachedSize = 4096
	// maxNegative is how long a denial is kept at most, though RFC 2308 lets it be
	// hours: what appears is to be found.
	maxNegative = time.Minute
)

// cache keeps answers of resolvers for all devices, no longer than their TTL.
// What is kept is what the resolver said; each device is given what its own
// policy leaves of it.
type cache struct {
	now func() time.Duration

	mu   sync.Mutex
	from []api.Resolver // whose answers they are
	by   map[cacheKey]cached
}

type cacheKey struct {
	name  string
	qtype uint16
}

type cached struct {
	msg       *dns.Msg
	at, until time.Duration
}

// get returns an answer and for how long it has been kept. It must not be
// changed.
func (c *cache) get(from []api.Resolver, k cacheKey) (*dns.Msg, time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !sameResolvers(c.from, from) {
		return nil, 0, false
	}
	now := c.now()
	x, ok := c.by[k]
	if !ok || now >= x.until {
		return nil, 0, false
	}
	return x.msg, now - x.at, true
}

// put keeps an answer that was asked for at the time at.
func (c *cache) put(from []api.Resolver, k cacheKey, m *dns.Msg, at time.Duration) {
	ttl := lifeOf(m)
	if ttl <= 0 || m.Len() > maxCachedSize {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !sameResolvers(c.from, from) {
		c.from, c.by = slices.Clone(from), nil
	}
	if c.by == nil {
		c.by = map[cacheKey]cached{}
	}
	if len(c.by) >= maxCached {
		now := c.now()
		for k, x := range c.by {
			if now >= x.until {
				delete(c.by, k)
			}
		}
		for k := range c.by { // any
			if len(c.by) < maxCached {
				break
			}
			delete(c.by, k)
		}
	}
	c.by[k] = cached{m, at, at + ttl}
}

// lifeOf returns how long an answer may be kept.
func lifeOf(m *dns.Msg) time.Duration {
	if m.Truncated || m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return 0
	}
	ttl := maxLife
	for _, rr := range m.Answer {
		ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second)
	}
	if len(m.Answer) > 0 {
		return ttl
	}
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok { // RFC 2308 section 5
			return min(maxNegative, time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second)
		}
	}
	return 0
}

func sameResolvers(a, b []api.Resolver) bool {
	return slices.EqualFunc(a, b, func(x, y api.Resolver) bool {
		return x.Addr == y.Addr && x.Name == y.Name && slices.Equal(x.Pins, y.Pins)
	})
}
