// Package upnp looks at a device's discovery services (CO-04): whether it
// answers UPnP searches (SSDP), whether its answers there or to WS-Discovery
// could be turned on others, being much larger than what asked for them, and
// whether doors to it stand open at the gateway.
//
// The device itself is asked by unicast, one question of each. If it is a gateway
// that maps ports for whoever asks, its mappings are listed; nothing is ever
// mapped. For any other device the gateways of the network are searched for, and
// those that answer from private addresses are asked for mappings that lead to the
// device: such a door is open to the world. Silence counts only of a device that
// is alive. Standards: UPnP Device Architecture 2.0 sections 1.3.2 and 3.2,
// WANIPConnection:1 section 2.4.14 (GetGenericPortMappingEntry), WS-Discovery
// 2005/04 section 5.
package upnp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/probe/ssdp"
)

// Probe is the discovery service probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "upnp", Title: "UPnP and WS-Discovery answers, port mappings",
		Sends:      "one M-SEARCH to UDP 1900 and one WS-Discovery probe to UDP 3702; one search for gateways to the UPnP group; the description of what answers, and up to 64 reads of its list of port mappings",
		Indicators: []string{"CO-04"}, Intrusion: assess.Asks, Together: true, Reaches: []string{"udp/1900", "udp/3702"},
	}
}

const (
	answerIn = 1200 * time.Millisecond
	// maxGain is how many times larger than its question an answer may be
	// before it is worth an attacker's while. ONVIF cameras answer with two to
	// five times; the floods of 2019 had ten and more.
	maxGain   = 10
	maxAnswer = 64 << 10
	// maxGateways bounds how many gateways of one network are asked.
	maxGateways = 3
)

// seen is what was found out about one device.
type seen struct {
	answered   bool // a UPnP search
	server     string
	upnpGain   float64
	wsGain     float64
	maps       bool      // it maps ports for others
	mappings   []mapping // of its own, when it does
	inward     []mapping // at gateways, leading to it
	gateways   int       // that were asked
	unasked    int       // gateways that nobody consented to
	vendor     string
	model      string
	kind       string
	describing string // where its description is not to be had, why
}

// Run asks all.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	if !env.Alive {
		return assess.Answer{}, nil
	}
	s, err := look(ctx, env.Net, t.Addr, netip.AddrPortFrom(t.Addr, ssdp.Port), netip.AddrPortFrom(t.Addr, onvif.DiscoveryPort), ssdp.Group)
	if err != nil {
		return assess.Answer{}, err
	}
	f := judge(s)
	if ctx.Err() != nil {
		f.Outcome, f.Title = ringwall.Unknown, "discovery services could not be asked in time"
	}
	return assess.Answer{Findings: []ringwall.Finding{f}, Known: assess.Identity{Vendor: s.vendor, Model: s.model, Type: s.kind}}, nil
}

func look(ctx context.Context, n assess.Network, target netip.Addr, upnp, wsd, group netip.AddrPort) (s seen, err error) {
	probe, _ := onvif.NewProbe()
	query := ssdp.Query("ssdp:all")
	var wg sync.WaitGroup
	var upnpErr, wsErr error
	var upnpAnswer, wsAnswer []byte
	var first ssdp.Answer
	wg.Go(func() {
		upnpAnswer, first, upnpErr = ask(ctx, n, upnp, query)
		first.From = netip.AddrPortFrom(target, first.From.Port())
	})
	wg.Go(func() { wsAnswer, _, wsErr = ask(ctx, n, wsd, probe) })
	wg.Go(func() { s.inward, s.gateways, s.unasked = inward(ctx, n, group, target) })
	wg.Wait()
	if upnpErr != nil {
		return s, upnpErr
	}
	if wsErr != nil {
		return s, wsErr
	}
	s.upnpGain, s.wsGain = float64(len(upnpAnswer))/float64(len(query)), float64(len(wsAnswer))/float64(len(probe))
	if _, err := ssdp.Parse(upnpAnswer); err != nil {
		s.upnpGain = 0 // noise, or nothing
		return s, nil
	}
	s.answered, s.server = true, first.Server
	d, at, err := ssdp.Describe(ctx, n, first)
	if err != nil {
		s.describing = err.Error()
		return s, nil
	}
	s.vendor, s.model, s.kind = d.Vendor, d.Model, d.Kind()
	s.maps, s.mappings = listed(ctx, n, d, at)
	return s, nil
}

// listed reads the mappings of a device that maps ports for others.
func listed(ctx context.Context, n assess.Network, d ssdp.Description, at *url.URL) (maps bool, out []mapping) {
	for _, svc := range d.Services {
		if !strings.Contains(svc.Type, ":WANIPConnection:") && !strings.Contains(svc.Type, ":WANPPPConnection:") {
			continue
		}
		control, err := at.Parse(svc.Control)
		if err != nil || control.Host != at.Host {
			continue // a description does not send us elsewhere
		}
		got, answered := mappings(ctx, n, control.String(), svc.Type)
		maps = maps || answered
		out = append(out, got...)
	}
	return maps, out
}

// inward returns the mappings at the network's gateways that lead to target, how
// many gateways were asked, and how many were not, since nobody consented to that.
func inward(ctx context.Context, n assess.Network, group netip.AddrPort, target netip.Addr) (out []mapping, asked, unasked int) {
	if !target.Is4() {
		return nil, 0, 0
	}
	from := "0.0.0.0:0"
	if c, err := n.DialContext(ctx, "udp4", netip.AddrPortFrom(target, ssdp.Port).String()); err == nil { // sends nothing
		if ua, ok := c.LocalAddr().(*net.UDPAddr); ok {
			from = net.JoinHostPort(ua.IP.String(), "0")
		}
		_ = c.Close()
	}
	c, err := n.ListenPacket(ctx, "udp4", from)
	if err != nil {
		return nil, 0, 0
	}
	defer c.Close()
	private := func(a netip.Addr) bool {
		return a != target && (a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback())
	}
	answers, err := ssdp.Search(ctx, c, ssdp.Query("urn:schemas-upnp-org:device:InternetGatewayDevice:1"), []netip.AddrPort{group}, answerIn, private)
	if err != nil {
		return nil, 0, 0
	}
	once := map[netip.Addr]bool{}
	for _, a := range answers {
		if once[a.From.Addr()] || len(once) == maxGateways || !strings.Contains(a.Target, "InternetGatewayDevice") {
			continue
		}
		once[a.From.Addr()] = true
		d, at, err := ssdp.Describe(ctx, n, a)
		if err != nil {
			if ringwall.CodeOf(err) == ringwall.Forbidden {
				unasked++
			}
			continue
		}
		maps, all := listed(ctx, n, d, at)
		if maps {
			asked++
		}
		for _, m := range all {
			if m.client == target {
				out = append(out, m)
			}
		}
	}
	return out, asked, unasked
}

// judge answers CO-04.
func judge(s seen) ringwall.Finding {
	f := ringwall.Finding{Indicator: "CO-04", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: "it answers no UPnP search, and discovery answers are small", Facts: map[string]string{}}
	worsen := func(o ringwall.Outcome, c ringwall.Confidence, title string) {
		if f.Outcome == ringwall.Pass || o == ringwall.Fail && f.Outcome == ringwall.Partial {
			f.Outcome, f.Confidence, f.Title = o, c, title
		}
	}
	if s.answered {
		f.Evidence = append(f.Evidence, fmt.Sprintf("an M-SEARCH was answered with %.1f times the bytes asked with", s.upnpGain))
		if s.server != "" {
			f.Evidence = append(f.Evidence, "it says that it is "+s.server)
		}
		if s.describing != "" {
			f.Evidence = append(f.Evidence, "its description was not read: "+s.describing)
		}
		worsen(ringwall.Partial, ringwall.Observed, "UPnP answers searches")
	} else {
		f.Evidence = append(f.Evidence, "an M-SEARCH was not answered")
	}
	if s.upnpGain > maxGain {
		worsen(ringwall.Partial, ringwall.Observed, "its UPnP answers are much larger than the question")
	}
	if s.wsGain > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("WS-Discovery answered with %.1f times the bytes asked with", s.wsGain))
	}
	if s.wsGain > maxGain {
		worsen(ringwall.Fail, ringwall.Observed, "its WS-Discovery answers can be turned on others: they are much larger than the question")
	}
	if s.maps {
		f.Facts["mapsPorts"] = "true"
		f.Evidence = append(f.Evidence, fmt.Sprintf("it lists its port mappings for whoever asks: %d of them", len(s.mappings)))
		worsen(ringwall.Partial, ringwall.Confirmed, "it opens doors to the world for whoever asks from inside (UPnP port mapping)")
	}
	for _, m := range s.mappings[:min(len(s.mappings), 12)] {
		f.Evidence = append(f.Evidence, "it lets in "+m.String())
	}
	if len(s.inward) > 0 {
		f.Facts["mapped"] = s.inward[0].proto + "/" + fmt.Sprint(s.inward[0].outside)
		worsen(ringwall.Fail, ringwall.Confirmed, fmt.Sprintf("the gateway lets the world in to it: %s", s.inward[0]))
		for _, m := range s.inward[:min(len(s.inward), 12)] {
			f.Evidence = append(f.Evidence, "the gateway lets in "+m.String())
		}
	} else if s.gateways > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d gateways list no mapping that leads to it", s.gateways))
	}
	if s.unasked > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d gateways answered a search and were not asked for their mappings: they are not among the targets", s.unasked))
	}
	return f
}

// ask sends one datagram and returns what comes back from that very host, all
// datagrams together, and the first of them read as an answer to a search.
func ask(ctx context.Context, n assess.Network, to netip.AddrPort, question []byte) (all []byte, first ssdp.Answer, err error) {
	network := "udp4"
	if to.Addr().Is6() {
		network = "udp6"
	}
	c, err := n.ListenPacket(ctx, network, ":0")
	if err != nil {
		return nil, first, ringwall.Errorf(ringwall.Unavailable, "opening a socket: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if c.SetDeadline(time.Now().Add(answerIn)) != nil || ctx.Err() != nil {
		return nil, first, nil
	}
	if _, err := c.WriteTo(question, net.UDPAddrFromAddrPort(to)); err != nil {
		return nil, first, nil // no way there is as good as silence: the host was heard before
	}
	buf := make([]byte, maxAnswer)
	for len(all) < maxAnswer {
		got, from, err := c.ReadFrom(buf)
		if err != nil {
			break
		}
		if ua, ok := from.(*net.UDPAddr); ok && ua.AddrPort().Addr().Unmap() == to.Addr() {
			all = append(all, buf[:got]...)
			if a, err := ssdp.Parse(buf[:got]); err == nil && (first.Location == "" || strings.Contains(a.Target, "rootdevice")) {
				a.From = ua.AddrPort()
				first = a
			}
		}
	}
	return all, first, nil
}
