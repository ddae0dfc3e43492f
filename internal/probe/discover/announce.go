package discover

import (
	"cmp"
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/mdns"
	"github.com/ringwall/ringwall/internal/probe/ssdp"
)

// defaultWait is how long answers are waited for: devices delay answers to a
// group by up to a second.
const defaultWait = 1500 * time.Millisecond

// MDNS asks for what devices announce by multicast DNS.
type MDNS struct {
	Wait time.Duration // 0 = 1.5 s
}

func (MDNS) String() string { return "mDNS" }

// Find asks the group and each address.
func (m MDNS) Find(ctx context.Context, n assess.Network, in []netip.Prefix, seen func(assess.Sighting)) error {
	hosts, err := allHosts(in)
	if err != nil {
		return err
	}
	conn, to, err := asker(ctx, n, hosts, mdns.Group, mdns.Port)
	if err != nil || conn == nil {
		return err
	}
	defer conn.Close()
	found, err := mdns.Browse(ctx, conn, to, cmp.Or(m.Wait, defaultWait), inside(in))
	for _, h := range found {
		vendor, model, kind := h.Hint()
		seen(assess.Sighting{Addr: h.From, How: m.String(), Vendor: vendor, Model: model, Type: kind})
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// SSDP asks UPnP devices to show themselves, and reads their descriptions.
type SSDP struct {
	Wait time.Duration // 0 = 1.5 s
}

func (SSDP) String() string { return "UPnP" }

// describers is how many descriptions are fetched at once.
const describers = 8

// Find asks the group and each address.
func (s SSDP) Find(ctx context.Context, n assess.Network, in []netip.Prefix, seen func(assess.Sighting)) error {
	hosts, err := allHosts(in)
	if err != nil {
		return err
	}
	conn, to, err := asker(ctx, n, hosts, ssdp.Group, ssdp.Port)
	if err != nil || conn == nil {
		return err
	}
	defer conn.Close()
	answers, err := ssdp.Search(ctx, conn, ssdp.Query("upnp:rootdevice"), to, cmp.Or(s.Wait, defaultWait), inside(in))
	var mu sync.Mutex
	var wg sync.WaitGroup
	sem := make(chan struct{}, describers)
	once := map[netip.Addr]bool{}
	for _, a := range answers {
		if once[a.From.Addr()] {
			continue
		}
		once[a.From.Addr()] = true
		sem <- struct{}{}
		wg.Go(func() {
			defer func() { <-sem }()
			sight := assess.Sighting{Addr: a.From.Addr(), How: s.String()}
			if d, _, err := ssdp.Describe(ctx, n, a); err == nil { // without one, it is a sighting all the same
				sight.Vendor, sight.Model, sight.Type = d.Vendor, d.Model, d.Kind()
			}
			mu.Lock()
			defer mu.Unlock()
			seen(sight)
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}
