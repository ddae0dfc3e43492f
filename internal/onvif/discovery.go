package onvif

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

// DiscoveryPort is the port of WS-Discovery (section 2.4).
const DiscoveryPort = 3702

// Multicast is the group of WS-Discovery over IPv4.
var Multicast = netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 255, 255, 250}), DiscoveryPort)

// maxDatagram bounds a discovery answer; WS-Discovery recommends that a
// message fit one UDP datagram.
const maxDatagram = 16 << 10

// maxMatches bounds how many answers one search keeps.
const maxMatches = 1024

// Match is one answer to a discovery probe.
type Match struct {
	From      netip.AddrPort
	Endpoint  string // the device's own stable URI, such as urn:uuid:…
	Types     []string
	Scopes    []string
	Addresses []string // XAddrs, as claimed
}

// Scope returns the decoded last part of the first scope under prefix, such as
// "name", "hardware" or "location".
func (m Match) Scope(prefix string) string { return ScopeValue(m.Scopes, prefix) }

// ScopeValue returns the decoded value of onvif://www.onvif.org/<prefix>/….
func ScopeValue(scopes []string, prefix string) string {
	for _, s := range scopes {
		if v, ok := strings.CutPrefix(s, "onvif://www.onvif.org/"+prefix+"/"); ok {
			if dec, err := url.PathUnescape(v); err == nil {
				v = dec
			}
			return shorten(strings.TrimSpace(v), 80)
		}
	}
	return ""
}

type discoveryEnvelope struct {
	XMLName xml.Name `xml:"http://www.w3.org/2003/05/soap-envelope Envelope"`
	Header  struct {
		MessageID string `xml:"http://schemas.xmlsoap.org/ws/2004/08/addressing MessageID"`
		RelatesTo string `xml:"http://schemas.xmlsoap.org/ws/2004/08/addressing RelatesTo"`
		Action    string `xml:"http://schemas.xmlsoap.org/ws/2004/08/addressing Action"`
	} `xml:"http://www.w3.org/2003/05/soap-envelope Header"`
	Body struct {
		Probe *struct {
			Types string `xml:"http://schemas.xmlsoap.org/ws/2005/04/discovery Types"`
		} `xml:"http://schemas.xmlsoap.org/ws/2005/04/discovery Probe"`
		Matches *struct {
			Match []struct {
				Endpoint struct {
					Address string `xml:"http://schemas.xmlsoap.org/ws/2004/08/addressing Address"`
				} `xml:"http://schemas.xmlsoap.org/ws/2004/08/addressing EndpointReference"`
				Types  string `xml:"http://schemas.xmlsoap.org/ws/2005/04/discovery Types"`
				Scopes string `xml:"http://schemas.xmlsoap.org/ws/2005/04/discovery Scopes"`
				XAddrs string `xml:"http://schemas.xmlsoap.org/ws/2005/04/discovery XAddrs"`
			} `xml:"http://schemas.xmlsoap.org/ws/2005/04/discovery ProbeMatch"`
		} `xml:"http://schemas.xmlsoap.org/ws/2005/04/discovery ProbeMatches"`
	} `xml:"http://www.w3.org/2003/05/soap-envelope Body"`
}

func parseDiscovery(b []byte) (discoveryEnvelope, error) {
	var e discoveryEnvelope
	if err := Check(b); err != nil {
		return e, err
	}
	if err := xml.Unmarshal(b, &e); err != nil {
		return e, ringwall.Errorf(ringwall.Invalid, "reading discovery message: %w", err)
	}
	return e, nil
}

// NewProbe returns a WS-Discovery probe for network video transmitters and its
// message id.
func NewProbe() (message []byte, id string) {
	id = NewUUID()
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<s:Envelope xmlns:s="` + NSSoap + `" xmlns:a="` + NSAddress + `" xmlns:d="` + NSDiscovery + `" xmlns:dn="` + NSNetwork + `">` +
		`<s:Header><a:MessageID>` + id + `</a:MessageID><a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To><a:Action>` + NSDiscovery + `/Probe</a:Action></s:Header>` +
		`<s:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></s:Body></s:Envelope>`)
	return b.Bytes(), id
}

// NewUUID returns a random urn:uuid:….
func NewUUID() string {
	var u [16]byte
	if _, err := rand.Read(u[:]); err != nil {
		panic("onvif: the system's random source failed: " + err.Error())
	}
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// ParseProbe returns the message id of a probe that a network video
// transmitter should answer; ok is false for any other message.
func ParseProbe(b []byte) (id string, ok bool, err error) {
	e, err := parseDiscovery(b)
	if err != nil || e.Body.Probe == nil {
		return "", false, err
	}
	types := strings.Fields(e.Body.Probe.Types)
	wanted := len(types) == 0
	for _, t := range types {
		wanted = wanted || local(t) == "NetworkVideoTransmitter" || local(t) == "Device"
	}
	return shorten(strings.TrimSpace(e.Header.MessageID), 200), wanted, nil
}

// ParseMatches reads the answers to the probe with this id.
func ParseMatches(b []byte, id string) ([]Match, error) {
	e, err := parseDiscovery(b)
	if err != nil {
		return nil, err
	}
	if e.Body.Matches == nil || strings.TrimSpace(e.Header.RelatesTo) != id {
		return nil, ringwall.Errorf(ringwall.Invalid, "discovery message does not answer our probe")
	}
	var out []Match
	for _, m := range e.Body.Matches.Match {
		out = append(out, Match{
			Endpoint: shorten(strings.TrimSpace(m.Endpoint.Address), 200),
			Types:    strings.Fields(m.Types), Scopes: strings.Fields(m.Scopes), Addresses: strings.Fields(m.XAddrs),
		})
	}
	return out, nil
}

// MatchEnvelope returns the answer of a device to the probe with this id.
func MatchEnvelope(m Match, relatesTo string) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<s:Envelope xmlns:s="` + NSSoap + `" xmlns:a="` + NSAddress + `" xmlns:d="` + NSDiscovery + `" xmlns:dn="` + NSNetwork + `"><s:Header><a:MessageID>` + NewUUID() + `</a:MessageID><a:RelatesTo>`)
	text(&b, relatesTo)
	b.WriteString(`</a:RelatesTo><a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To><a:Action>` + NSDiscovery + `/ProbeMatches</a:Action></s:Header><s:Body><d:ProbeMatches><d:ProbeMatch><a:EndpointReference><a:Address>`)
	text(&b, m.Endpoint)
	b.WriteString(`</a:Address></a:EndpointReference><d:Types>dn:NetworkVideoTransmitter</d:Types><d:Scopes>`)
	text(&b, strings.Join(m.Scopes, " "))
	b.WriteString(`</d:Scopes><d:XAddrs>`)
	text(&b, strings.Join(m.Addresses, " "))
	b.WriteString(`</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>`)
	return b.Bytes()
}

// Discover sends one probe to each of to (the multicast group, single hosts)
// over conn and collects answers for wait. An answer counts only when it
// relates to our probe; each sender is kept once. conn stays the caller's.
func Discover(ctx context.Context, conn net.PacketConn, to []netip.AddrPort, wait time.Duration) ([]Match, error) {
	probe, id := NewProbe()
	sent := 0
	var last error
	for _, a := range to {
		if _, err := conn.WriteTo(probe, net.UDPAddrFromAddrPort(a)); err != nil {
			last = err
			continue
		}
		sent++
	}
	if sent == 0 && last != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "sending discovery probe: %w", last)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, fmt.Errorf("setting the deadline of discovery: %w", err)
	}
	var out []Match
	seen := map[string]bool{}
	failures := 0
	buf := make([]byte, maxDatagram)
	for ctx.Err() == nil && len(out) < maxMatches {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			// One host's port unreachable ends nothing; a broken socket must not spin.
			if failures++; ctx.Err() != nil || errors.Is(err, net.ErrClosed) || failures > maxMatches {
				break
			}
			continue
		}
		ua, ok := from.(*net.UDPAddr)
		ms, err := ParseMatches(buf[:n], id)
		if !ok || err != nil {
			continue // garbage of a stranger ends nothing
		}
		for _, m := range ms {
			m.From = netip.AddrPortFrom(ua.AddrPort().Addr().Unmap(), ua.AddrPort().Port())
			if key := m.From.Addr().String() + " " + m.Endpoint; !seen[key] {
				seen[key] = true
				out = append(out, m)
			}
		}
	}
	return out, ctx.Err()
}
