// Package mdns asks devices what they announce by multicast DNS, and reads the
// answers.
//
// Questions carry the bit that asks for an answer to the asker alone (RFC 6762
// section 5.4), and leave from a port of their own (section 5.1, one-shot
// queries), so that nobody's cache is disturbed. They go to the group and to each
// address: devices answer a question that was sent to them alone (section 5.5),
// and unicast passes where multicast does not. Names of service types are those
// of RFC 6763 section 7.
//
// Nothing is believed but what a datagram's sender says of itself. Browse owns no
// goroutine and ends with its context.
package mdns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ringwall/ringwall/internal/probe/fetch"
)

// Port is where multicast DNS speaks (RFC 6762 section 3).
const Port = 5353

// Group is its group over IPv4.
var Group = netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 251}), Port)

const (
	meta = "_services._dns-sd._udp.local."
	// maxHosts, maxNames and maxText bound what answers may add up to.
	maxHosts    = 4096
	maxNames    = 64
	maxText     = 48
	maxDatagram = 9000 // RFC 6762 section 17
)

// Types returns the service types that are asked for by name: those that tell
// what a device is.
func Types() []string {
	return []string{
		"_rtsp._tcp", "_onvif._tcp", "_axis-video._tcp", "_http._tcp", "_https._tcp", "_hap._tcp", "_matter._tcp", "_matterc._udp", "_googlecast._tcp", "_airplay._tcp", "_ipp._tcp",
		"_printer._tcp", "_ssh._tcp", "_telnet._tcp", "_ftp._tcp", "_mqtt._tcp", "_coap._udp", "_homekit._tcp", "_hue._tcp", "_miio._udp", "_esphomelib._tcp", "_psia._tcp", "_CGI._tcp", "_dahua._tcp",
		"_workstation._tcp", "_device-info._tcp", "_arduino._tcp", "_shelly._tcp", "_sonos._tcp", "_amzn-wplay._tcp",
	}
}

// Host is what one address announced.
type Host struct {
	From  netip.Addr
	Types []string          // such as "_rtsp._tcp"
	Names []string          // of instances, such as "Front door"
	Text  map[string]string // keys of TXT records, lower-case; the first value of each
}

// Query writes one message that asks for pointers of these types.
func Query(types []string) []byte {
	b := dnsmessage.NewBuilder(make([]byte, 0, 512), dnsmessage.Header{})
	b.EnableCompression()
	if b.StartQuestions() != nil {
		return nil
	}
	for _, t := range types {
		name, err := dnsmessage.NewName(t)
		if err != nil {
			continue // a type that somebody announced, too long to ask for
		}
		if b.Question(dnsmessage.Question{Name: name, Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET | 1<<15}) != nil {
			break
		}
	}
	out, err := b.Finish()
	if err != nil {
		return nil
	}
	return out
}

// Read adds what one message says to h.
func (h *Host) Read(b []byte) error {
	var p dnsmessage.Parser
	head, err := p.Start(b)
	if err != nil {
		return err
	}
	if !head.Response {
		return errors.New("mdns: a question, not an answer")
	}
	if err := p.SkipAllQuestions(); err != nil {
		return err
	}
	for _, section := range []struct {
		next func() (dnsmessage.Resource, error)
	}{{p.Answer}, {p.Authority}, {p.Additional}} {
		for range 256 {
			r, err := section.next()
			if errors.Is(err, dnsmessage.ErrSectionDone) {
				break
			}
			if err != nil {
				return err
			}
			h.note(r)
		}
	}
	return nil
}

func (h *Host) note(r dnsmessage.Resource) {
	name := r.Header.Name.String()
	switch body := r.Body.(type) {
	case *dnsmessage.PTRResource:
		if strings.EqualFold(name, meta) {
			h.addType(body.PTR.String())
			return
		}
		h.addType(name)
		h.addName(body.PTR.String())
	case *dnsmessage.SRVResource:
		h.addName(name)
	case *dnsmessage.TXTResource:
		h.addName(name)
		for _, kv := range body.TXT {
			k, v, ok := strings.Cut(kv, "=")
			k = strings.ToLower(fetch.Clean(k, 40))
			if ok && k != "" && len(h.Text) < maxText {
				if h.Text == nil {
					h.Text = map[string]string{}
				}
				if _, has := h.Text[k]; !has {
					h.Text[k] = fetch.Clean(v, 120)
				}
			}
		}
	}
}

// addType keeps the type at the end of a name such as
// "Front door._rtsp._tcp.local."; what is none of ours to know is left.
func (h *Host) addType(name string) {
	name = strings.TrimSuffix(name, ".local.")
	i := strings.LastIndex(name, "._")
	if i < 0 {
		return
	}
	if j := strings.LastIndex(name[:i], "._"); j >= 0 {
		name = name[j+1:]
	}
	if strings.HasPrefix(name, "_") && len(h.Types) < maxNames && !slices.Contains(h.Types, name) {
		h.Types = append(h.Types, fetch.Clean(name, 63))
	}
}

func (h *Host) addName(name string) {
	i := strings.Index(name, "._")
	if i <= 0 {
		return
	}
	h.addType(name)
	if n := fetch.Clean(name[:i], 63); len(h.Names) < maxNames && !slices.Contains(h.Names, n) {
		h.Names = append(h.Names, n)
	}
}

// Browse asks and listens for wait, twice: first for the types that it knows and
// for the list of all, then for types that were new to it. Answers count only if
// want takes the address that they came from.
func Browse(ctx context.Context, c net.PacketConn, to []netip.AddrPort, wait time.Duration, want func(netip.Addr) bool) ([]Host, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	found := map[netip.Addr]*Host{}
	known := Types()
	first := []string{meta}
	for _, t := range known {
		first = append(first, t+".local.")
	}
	if err := round(ctx, c, Query(first), to, wait, want, found); err != nil {
		return nil, err
	}
	var fresh []string
	var those []netip.AddrPort
	for a, h := range found {
		those = append(those, netip.AddrPortFrom(a, Port))
		for _, t := range h.Types {
			if !slices.Contains(known, t) && !slices.Contains(fresh, t+".local.") && len(fresh) < 32 {
				fresh = append(fresh, t+".local.")
			}
		}
	}
	if len(fresh) > 0 && ctx.Err() == nil {
		if err := round(ctx, c, Query(fresh), those, wait/2, want, found); err != nil {
			return nil, err
		}
	}
	out := make([]Host, 0, len(found))
	for _, h := range found {
		out = append(out, *h)
	}
	slices.SortFunc(out, func(a, b Host) int { return a.From.Compare(b.From) })
	return out, ctx.Err()
}

func round(ctx context.Context, c net.PacketConn, q []byte, to []netip.AddrPort, wait time.Duration, want func(netip.Addr) bool, found map[netip.Addr]*Host) error {
	for _, a := range to {
		_, _ = c.WriteTo(q, net.UDPAddrFromAddrPort(a)) // no way there is silence
	}
	end := time.Now().Add(wait)
	if err := c.SetReadDeadline(end); err != nil {
		return err
	}
	buf := make([]byte, maxDatagram)
	for ctx.Err() == nil { // asked after the deadline was set: whoever ends ctx later moves it
		k, from, err := c.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(end) {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		ua, ok := from.(*net.UDPAddr)
		if !ok {
			continue
		}
		a := ua.AddrPort().Addr().Unmap()
		if !want(a) || found[a] == nil && len(found) >= maxHosts {
			continue
		}
		h := Host{From: a}
		if had := found[a]; had != nil {
			h = *had
		}
		if h.Read(buf[:k]) == nil {
			found[a] = &h
		}
	}
	return ctx.Err()
}

// Hint is what a host's announcements say that it is.
func (h Host) Hint() (vendor, model, kind string) {
	pick := func(keys ...string) string {
		for _, k := range keys {
			if v := h.Text[k]; v != "" {
				return v
			}
		}
		return ""
	}
	vendor = pick("manufacturer", "vendor", "usb_mfg", "mfg", "brand")
	model = pick("md", "model", "modelname", "rpmd", "usb_mdl", "am", "product", "mdl", "modelnumber")
	model = strings.Trim(model, "()")
	has := func(types ...string) bool {
		return slices.ContainsFunc(h.Types, func(t string) bool { return slices.Contains(types, t) })
	}
	switch {
	case has("_axis-video._tcp"):
		vendor, kind = "Axis", "camera"
	case has("_rtsp._tcp", "_onvif._tcp", "_psia._tcp"):
		kind = "camera"
	case has("_ipp._tcp", "_printer._tcp"):
		kind = "printer"
	case has("_googlecast._tcp", "_airplay._tcp", "_sonos._tcp"):
		kind = "media player"
	case has("_hue._tcp"):
		kind = "gateway"
	case has("_hap._tcp"):
		// Accessory categories of HomeKit that matter here.
		kind = map[string]string{"2": "gateway", "6": "lock", "7": "appliance", "17": "camera", "18": "doorbell"}[h.Text["ci"]]
	}
	return vendor, model, kind
}
