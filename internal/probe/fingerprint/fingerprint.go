// Package fingerprint tells what a device is: maker, model, firmware and kind,
// and the software that it names, from what it says of itself.
//
// The probe gathers clues: what earlier probes kept of greetings, the head, title
// and icon of its pages, its UPnP description, its mDNS announcements, the subject
// of its certificate, its hardware address. The rules stand in fingerprints.json,
// and Identify is a pure function of them and the clues. A rule that is not sure
// names a kind and no maker; a common web server names nobody. What is found here
// fills gaps only: ONVIF, which asks the device by name, runs before.
//
// With support data (Support) it answers whether the software that the device
// names is still looked after (FS-06), and whether its firmware is (FS-12). Without
// it, or where the device tells no version, it says nothing: not knowing is no
// fault. Standards: RFC 9110 section 10.2.4 (Server), RFC 6763 section 6 (TXT), UPnP
// Device Architecture 2.0 section 2.3.
package fingerprint

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/fetch"
	"github.com/ringwall/ringwall/internal/probe/mdns"
	"github.com/ringwall/ringwall/internal/probe/ssdp"
	"github.com/ringwall/ringwall/internal/probe/tlscheck"
)

// Support knows until when a component or a firmware is looked after.
type Support interface {
	Support(component, version string, at time.Time) (ends time.Time, known bool)
}

// Probe is the fingerprint probe.
type Probe struct {
	Data    *Data   // nil means Default()
	Support Support // nil means that nothing is known of support
}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "fingerprint", Title: "What the device is: maker, model, firmware, software",
		Sends:      "up to three page requests to each of at most 4 web ports, one TLS handshake, one UPnP search and its description, one mDNS question",
		Indicators: []string{"FS-06", "FS-12"}, Intrusion: assess.Asks, Reaches: []string{"udp/1900", "udp/5353"},
	}
}

const (
	maxPages = 4
	answerIn = 1200 * time.Millisecond
)

// Run gathers clues and identifies.
func (p Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	data := p.Data
	if data == nil {
		data = Default()
	}
	clues := kept(env, t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	gather := func(f func() []Clue) {
		wg.Go(func() {
			got := f()
			mu.Lock()
			defer mu.Unlock()
			clues = append(clues, got...)
		})
	}
	pages := env.Named("http", "https")
	gather(func() (out []Clue) { // one after the other: small web servers serve one
		for _, s := range pages[:min(len(pages), maxPages)] {
			out = append(out, page(ctx, env.Net, t.AddrPort(s.Port), s.Name)...)
		}
		return out
	})
	if s := env.Named(tlscheck.Services()...); len(s) > 0 {
		gather(func() []Clue { return subject(ctx, env.Net, t.AddrPort(s[0].Port)) })
	}
	if len(env.Named("ssdp")) > 0 {
		gather(func() []Clue { return described(ctx, env.Net, t.Addr) })
	}
	if len(env.Named("mdns")) > 0 {
		gather(func() []Clue { return announced(ctx, env.Net, t.Addr) })
	}
	wg.Wait()
	m := data.Identify(clues)
	for _, w := range m.Why {
		env.Say("fingerprint: %s", w)
	}
	a := assess.Answer{Known: m.Identity, Components: m.Components}
	if ctx.Err() == nil && p.Support != nil {
		a.Findings = judge(p.Support, m, env)
	}
	return a, nil
}

// kept makes clues of what earlier probes have kept.
func kept(env *assess.Env, t assess.Target) []Clue {
	var out []Clue
	add := func(from Source, port uint16, text string) {
		if text != "" {
			out = append(out, Clue{from, text, port})
		}
	}
	for _, s := range env.Services {
		switch s.Name {
		case "http", "https":
			add(Server, s.Port, s.Info)
		case "rtsp", "rtsps":
			add(RTSP, s.Port, s.Info)
		case "ssdp":
			add(UPnPServer, s.Port, s.Info)
		case "sadp", "dhip", "kasa":
			add(Source(s.Name), s.Port, s.Info)
			add(UDP, s.Port, s.Name)
		case "ubnt":
			add(UDP, s.Port, s.Name)
		default:
			add(Banner, s.Port, s.Info)
		}
	}
	add(MAC, 0, t.MAC)
	add(Vendor, 0, t.Vendor)
	add(Model, 0, t.Model)
	return out
}

// page reads what one web port shows to everybody.
func page(ctx context.Context, n assess.Network, at, scheme string) []Clue {
	base, err := url.Parse(scheme + "://" + at + "/")
	if err != nil {
		return nil
	}
	port := netip.MustParseAddrPort(at).Port()
	r, err := fetch.Get(ctx, n, base.String())
	if err != nil {
		return nil
	}
	out := head(r, port)
	if to := r.Header.Get("Location"); to != "" && r.Status/100 == 3 {
		// One step, and only on the same port of the same device.
		if u, err := base.Parse(to); err == nil && u.Host == base.Host && u.Scheme == base.Scheme {
			if r, err = fetch.Get(ctx, n, u.String()); err == nil {
				out = append(out, head(r, port)...)
			}
		}
	}
	icon, err := base.Parse(iconOf(r.Body))
	if err != nil || icon.Host != base.Host || icon.Scheme != base.Scheme {
		return out
	}
	if i, err := fetch.Get(ctx, n, icon.String()); err == nil && i.Status == 200 && len(i.Body) > 16 && !bytes.Contains(i.Body[:min(len(i.Body), 256)], []byte("<html")) {
		out = append(out, Clue{Favicon, Hash(i.Body), port})
	}
	return out
}

func head(r fetch.Response, port uint16) []Clue {
	out := []Clue{{Server, fetch.Clean(r.Header.Get("Server"), 120), port}}
	for _, h := range r.Header.Values("Www-Authenticate") {
		if realm := quoted(h, "realm"); realm != "" {
			out = append(out, Clue{Realm, realm, port})
		}
	}
	if t := titleOf(r.Body); t != "" {
		out = append(out, Clue{Title, t, port})
	}
	return out
}

// quoted returns one parameter of a challenge (RFC 9110 section 11.2).
func quoted(h, name string) string {
	i := strings.Index(lower(h), name+"=")
	if i < 0 {
		return ""
	}
	v := h[i+len(name)+1:]
	if rest, ok := strings.CutPrefix(v, `"`); ok {
		v, _, _ = strings.Cut(rest, `"`)
	} else {
		v, _, _ = strings.Cut(v, ",")
	}
	return fetch.Clean(v, 120)
}

// lower is h with ASCII letters in lower case, byte for byte: strings.ToLower
// lengthens what is no UTF-8, and a device may send anything.
func lower(h string) string {
	b := []byte(h)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func titleOf(b []byte) string {
	low := bytes.ToLower(b)
	i := bytes.Index(low, []byte("<title"))
	if i < 0 || len(low) != len(b) {
		return ""
	}
	open := bytes.IndexByte(b[i:], '>')
	if open < 0 {
		return ""
	}
	rest := b[i+open+1:]
	end := bytes.IndexByte(rest, '<')
	if end < 0 {
		return ""
	}
	return fetch.Clean(string(rest[:min(end, 400)]), 120)
}

// iconOf returns where a page says that its icon is.
func iconOf(b []byte) string {
	link := regexp.MustCompile(`(?i)<link[^>]{0,200}rel=["']?(?:shortcut )?icon["']?[^>]{0,200}>`).Find(b[:min(len(b), 64<<10)])
	if m := regexp.MustCompile(`(?i)href=["']?([^"' >]{1,200})`).FindSubmatch(link); m != nil {
		return string(m[1])
	}
	return "/favicon.ico"
}

// subject returns what a certificate says whose it is.
func subject(ctx context.Context, n assess.Network, at string) []Clue {
	ctx, cancel := context.WithTimeout(ctx, fetch.Timeout)
	defer cancel()
	raw, err := n.DialContext(ctx, "tcp", at)
	if err != nil {
		return nil
	}
	defer raw.Close()
	c := tls.Client(raw, tlscheck.Client())
	if c.HandshakeContext(ctx) != nil || len(c.ConnectionState().PeerCertificates) == 0 {
		return nil
	}
	return []Clue{{TLS, fetch.Clean(c.ConnectionState().PeerCertificates[0].Subject.String(), 200), 0}}
}

// socket opens a socket towards the device's family.
func socket(ctx context.Context, n assess.Network, target netip.Addr) (net.PacketConn, error) {
	if target.Is6() {
		return n.ListenPacket(ctx, "udp6", "[::]:0")
	}
	return n.ListenPacket(ctx, "udp4", "0.0.0.0:0")
}

func described(ctx context.Context, n assess.Network, target netip.Addr) []Clue {
	c, err := socket(ctx, n, target)
	if err != nil {
		return nil
	}
	defer c.Close()
	answers, err := ssdp.Search(ctx, c, ssdp.Query("upnp:rootdevice"), []netip.AddrPort{netip.AddrPortFrom(target, ssdp.Port)}, answerIn, func(a netip.Addr) bool { return a == target })
	if err != nil || len(answers) == 0 {
		return nil
	}
	out := []Clue{{UPnPServer, answers[0].Server, ssdp.Port}}
	if d, _, err := ssdp.Describe(ctx, n, answers[0]); err == nil {
		out = append(out, Clue{UPnP, strings.Join([]string{d.Vendor, d.Model, d.Number, d.Name}, " "), ssdp.Port}, Clue{Vendor, d.Vendor, ssdp.Port}, Clue{Model, d.Model, ssdp.Port})
	}
	return out
}

func announced(ctx context.Context, n assess.Network, target netip.Addr) []Clue {
	c, err := socket(ctx, n, target)
	if err != nil {
		return nil
	}
	defer c.Close()
	hosts, err := mdns.Browse(ctx, c, []netip.AddrPort{netip.AddrPortFrom(target, mdns.Port)}, answerIn, func(a netip.Addr) bool { return a == target })
	if err != nil || len(hosts) == 0 {
		return nil
	}
	h := hosts[0]
	vendor, model, _ := h.Hint()
	return []Clue{{MDNS, strings.Join(slices.Concat(h.Types, h.Names), " "), mdns.Port}, {Vendor, vendor, mdns.Port}, {Model, model, mdns.Port}}
}

// judge answers FS-06 and FS-12 where support data says something.
func judge(sup Support, m Match, env *assess.Env) []ringwall.Finding {
	var out []ringwall.Finding
	now := env.Now()
	f := ringwall.Finding{Indicator: "FS-06", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: "the software that it names is still looked after"}
	for _, c := range slices.Concat(m.Components, env.Components) {
		ends, known := sup.Support(c.Name, c.Version, now)
		if !known {
			continue
		}
		line := fmt.Sprintf("%s %s: looked after until %s", c.Name, c.Version, ends.UTC().Format(time.DateOnly))
		if ends.Before(now) {
			line = fmt.Sprintf("%s %s: not looked after since %s", c.Name, c.Version, ends.UTC().Format(time.DateOnly))
			f.Outcome, f.Title = ringwall.Fail, fmt.Sprintf("it says that it runs %s %s, which nobody looks after any more", c.Name, c.Version)
		}
		f.Evidence = append(f.Evidence, line)
	}
	// One name in good standing says nothing of the rest of the image.
	if f.Outcome == ringwall.Fail {
		out = append(out, f)
	}
	id := m.Identity
	if env.Known.Vendor != "" {
		id = env.Known
	}
	if id.Vendor == "" || id.Model == "" {
		return out
	}
	if ends, known := sup.Support(id.Vendor+"/"+id.Model, id.Firmware, now); known {
		g := ringwall.Finding{Indicator: "FS-12", Outcome: ringwall.Partial, Confidence: ringwall.Observed, Title: "its maker still supports the model; whether its firmware is the newest is not known"}
		if ends.Before(now) {
			g.Outcome, g.Title = ringwall.Fail, "its maker no longer supports the model"
		}
		g.Evidence = []string{fmt.Sprintf("%s %s: support ends %s", id.Vendor, id.Model, ends.UTC().Format(time.DateOnly))}
		out = append(out, g)
	}
	return out
}
