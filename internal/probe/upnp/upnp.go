// Package upnp looks at a device's discovery services (CO-04): whether it
// answers UPnP searches (SSDP), and whether its WS-Discovery answers could be
// turned on others, being much larger than what asked for them.
//
// It asks the device itself, by unicast, one question of each. Silence counts
// only of a device that is alive. Port mappings are seen at the gateway, not
// here. Standards: UPnP Device Architecture 2.0 section 1.3.2, WS-Discovery
// 2005/04 section 5.
package upnp

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/onvif"
)

// Probe is the discovery service probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "upnp", Title: "UPnP and WS-Discovery answers", Sends: "one M-SEARCH to UDP 1900 and one WS-Discovery probe to UDP 3702",
		Indicators: []string{"CO-04"}, Intrusion: assess.Asks,
	}
}

// ssdpPort is where UPnP devices listen for searches.
const ssdpPort = 1900

const (
	answerIn = 1200 * time.Millisecond
	// maxGain is how many times larger than its question an answer may be
	// before it is worth an attacker's while. ONVIF cameras answer with two to
	// five times; the floods of 2019 had ten and more.
	maxGain   = 10
	maxAnswer = 64 << 10
)

const search = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: upnp:rootdevice\r\n\r\n"

// Run asks both.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	if !env.Alive {
		return assess.Answer{}, nil
	}
	f, err := judge(ctx, env.Net, netip.AddrPortFrom(t.Addr, ssdpPort), netip.AddrPortFrom(t.Addr, onvif.DiscoveryPort))
	if err != nil {
		return assess.Answer{}, err
	}
	return assess.Answer{Findings: []ringwall.Finding{f}}, nil
}

func judge(ctx context.Context, n assess.Network, ssdp, wsd netip.AddrPort) (ringwall.Finding, error) {
	probe, _ := onvif.NewProbe()
	upnp, err := ask(ctx, n, ssdp, []byte(search))
	if err != nil {
		return ringwall.Finding{}, err
	}
	ws, err := ask(ctx, n, wsd, probe)
	if err != nil {
		return ringwall.Finding{}, err
	}
	f := ringwall.Finding{Indicator: "CO-04", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: "it answers no UPnP search, and discovery answers are small"}
	switch {
	case bytes.HasPrefix(upnp, []byte("HTTP/1.")):
		f.Outcome, f.Title = ringwall.Partial, "UPnP answers searches; what it maps at the gateway was not looked at"
		f.Evidence = append(f.Evidence, fmt.Sprintf("an M-SEARCH was answered with %d bytes", len(upnp)))
	default:
		f.Evidence = append(f.Evidence, "an M-SEARCH was not answered")
	}
	if len(ws) > 0 {
		gain := float64(len(ws)) / float64(len(probe))
		f.Evidence = append(f.Evidence, fmt.Sprintf("WS-Discovery answered with %.1f times the bytes asked with", gain))
		if gain > maxGain {
			f.Outcome, f.Title = ringwall.Fail, "its WS-Discovery answers can be turned on others: they are much larger than the question"
		}
	}
	if ctx.Err() != nil {
		f.Outcome, f.Title = ringwall.Unknown, "discovery services could not be asked in time"
	}
	return f, nil
}

// ask sends one datagram and returns what comes back from that very host, all
// datagrams together.
func ask(ctx context.Context, n assess.Network, to netip.AddrPort, question []byte) ([]byte, error) {
	network := "udp4"
	if to.Addr().Is6() {
		network = "udp6"
	}
	c, err := n.ListenPacket(ctx, network, ":0")
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "opening a socket: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if c.SetDeadline(time.Now().Add(answerIn)) != nil {
		return nil, nil
	}
	if _, err := c.WriteTo(question, net.UDPAddrFromAddrPort(to)); err != nil {
		return nil, nil // no way there is as good as silence: the host was heard before
	}
	var all []byte
	buf := make([]byte, maxAnswer)
	for len(all) < maxAnswer {
		got, from, err := c.ReadFrom(buf)
		if err != nil {
			break
		}
		if ua, ok := from.(*net.UDPAddr); ok && ua.AddrPort().Addr().Unmap() == to.Addr() {
			all = append(all, buf[:got]...)
		}
	}
	return all, nil
}
