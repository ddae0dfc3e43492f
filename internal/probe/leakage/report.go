package leakage

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Kinds of what was seen.
const (
	kindSecret   = "secret"
	kindDigest   = "digest"
	kindVideo    = "video"
	kindFirmware = "firmware"
	kindTLS      = "tls"
)

// markKey is one thing seen at one service.
type markKey struct {
	kind, what string
	at         netip.AddrPort
	device     bool // the device serves it
}

// mark counts it.
type mark struct {
	n              int
	user, password int // lengths, of the longest
	streams        []*video
	confirmed      bool
}

func (w *Watch) note(k markKey) *mark {
	m := w.marks[k]
	if m == nil {
		if len(w.marks) >= maxMarks {
			return nil
		}
		m = &mark{}
		w.marks[k] = m
	}
	m.n++
	return m
}

// secret notes a password in the clear by its length.
func (w *Watch) secret(c *conn, what string, user, password int) {
	if m := w.note(markKey{kindSecret, what, c.server, c.toDevice}); m != nil {
		m.user, m.password = max(m.user, user), max(m.password, password)
	}
}

func (w *Watch) digested(c *conn, what string) {
	w.note(markKey{kindDigest, what, c.server, c.toDevice})
}

func (w *Watch) digestedAt(at netip.AddrPort, what string) {
	w.note(markKey{kindDigest, what, at, false})
}

func (w *Watch) mark(c *conn, kind string) *mark {
	return w.note(markKey{kind, "", c.server, c.toDevice})
}

func (w *Watch) played(c *conn) { w.mark(c, kindVideo) }

func (w *Watch) firmware(c *conn, r request, image string) {
	path := printable([]byte(r.path))
	if m := w.note(markKey{kindFirmware, hostOnly(printable([]byte(r.host))) + path, c.server, false}); m != nil && image != "" {
		m.confirmed = true
	}
}

func (w *Watch) agreed(c *conn, version uint16) {
	names := [...]string{"SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"}
	w.note(markKey{kindTLS, names[version-0x0300], c.server, false})
}

// peer is one destination of the device.
type peer struct {
	port  uint16
	proto string
	n     int
}

// went notes a destination. What stays at home is nobody's declaration.
func (w *Watch) went(to netip.Addr, port uint16, proto string) {
	if !to.IsGlobalUnicast() || to.IsPrivate() || to.IsLinkLocalUnicast() {
		return
	}
	p := w.peers[to]
	if p == nil {
		if len(w.peers) >= maxPeers {
			return
		}
		p = &peer{port: port, proto: proto}
		w.peers[to] = p
	}
	p.n++
}

// maxEvidence bounds the lines of one finding.
const maxEvidence = 24

// Examination is what was seen so far.
func (w *Watch) Examination() api.Examination {
	source := "inline/" + cmp.Or(w.cfg.Source, "leakage")
	e := api.Examination{
		Kind: api.ExamInline, Source: source, Tool: "ringwall leakage", Made: w.last, Identity: api.Identity{MAC: w.cfg.MAC}, Findings: []ringwall.Finding{},
		Notes: []string{fmt.Sprintf("%d packets of the device in %v", w.ours, w.last.Sub(w.first).Round(time.Second))},
	}
	if w.dropped > 0 {
		e.Notes = append(e.Notes, fmt.Sprintf("%d connections were given up for want of room", w.dropped))
	}
	for _, f := range [][]ringwall.Finding{w.managed(), w.watched(), w.updated(), w.spoke(), w.travelled()} {
		for _, x := range f {
			x.Source, x.Time = source, w.last
			x.Module = module(x.Indicator)
			x.Evidence = x.Evidence[:min(len(x.Evidence), maxEvidence)]
			e.Findings = append(e.Findings, x)
		}
	}
	return e
}

func module(indicator string) ringwall.Module {
	switch indicator[:2] {
	case "FS":
		return ringwall.Firmware
	case "DA":
		return ringwall.Data
	}
	return ringwall.Communication
}

// of returns the marks of a kind in a fixed order.
func (w *Watch) of(kind string) []markKey {
	var out []markKey
	for k := range w.marks {
		if k.kind == kind {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b markKey) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.what, b.what)) })
	return out
}

// managed answers whether passwords went in the clear.
func (w *Watch) managed() []ringwall.Finding {
	var clear, digest []string
	for _, k := range w.of(kindSecret) {
		m := w.marks[k]
		who := "to the device at"
		if !k.device {
			who = "by the device to"
		}
		line := fmt.Sprintf("%s %s %v: a password of %d characters, %d times", k.what, who, k.at, m.password, m.n)
		if m.user > 0 {
			line += fmt.Sprintf(", with a user name of %d", m.user)
		}
		clear = append(clear, line)
	}
	for _, k := range w.of(kindDigest) {
		digest = append(digest, fmt.Sprintf("%s at %v, %d times", k.what, k.at, w.marks[k].n))
	}
	switch {
	case len(clear) > 0:
		return []ringwall.Finding{{
			Indicator: "CO-07", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: "a password went over the wire in the clear", Evidence: slices.Concat(clear, digest),
		}}
	case len(digest) > 0:
		return []ringwall.Finding{{
			Indicator: "CO-07", Outcome: ringwall.Partial, Confidence: ringwall.Confirmed, Title: "a login went over the wire without encryption, its password digested", Evidence: digest,
		}}
	}
	return nil
}

// watched answers whether video went in the clear.
func (w *Watch) watched() []ringwall.Finding {
	var proven, asked []string
	for _, k := range w.of(kindVideo) {
		plain := 0
		codec := ""
		for _, v := range w.marks[k].streams {
			if v.isPlain() {
				plain += v.packets
				codec = v.codec
			}
		}
		if plain > 0 {
			proven = append(proven, fmt.Sprintf("from %v: %d packets of %s video that anybody on the way can see", k.at, plain, codec))
		} else {
			asked = append(asked, fmt.Sprintf("from %v: video was asked for by RTSP without TLS; no run of video packets was seen", k.at))
		}
	}
	switch {
	case len(proven) > 0:
		return []ringwall.Finding{{Indicator: "DA-03", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: "video went over the wire in the clear", Evidence: slices.Concat(proven, asked)}}
	case len(asked) > 0:
		return []ringwall.Finding{{Indicator: "DA-03", Outcome: ringwall.Partial, Confidence: ringwall.Observed, Title: "video is asked for in the clear", Evidence: asked}}
	}
	return nil
}

// updated answers whether firmware was fetched in the clear.
func (w *Watch) updated() []ringwall.Finding {
	f := ringwall.Finding{Indicator: "FS-10", Outcome: ringwall.Fail, Confidence: ringwall.Observed, Title: "firmware is fetched over plain HTTP"}
	for _, k := range w.of(kindFirmware) {
		line := fmt.Sprintf("http://%s from %v", k.what, k.at)
		if w.marks[k].confirmed {
			f.Confidence = ringwall.Confirmed
			line += ", whose body begins as an image does"
		}
		f.Evidence = append(f.Evidence, line)
	}
	if len(f.Evidence) == 0 {
		return nil
	}
	return []ringwall.Finding{f}
}

// spoke answers with which TLS the device's own connections were made.
func (w *Watch) spoke() []ringwall.Finding {
	f := ringwall.Finding{Indicator: "CO-05", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: "its own connections use current versions of TLS"}
	for _, k := range w.of(kindTLS) {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s with %s, %d times", k.what, w.called(k.at.Addr()), w.marks[k].n))
		if k.what < "TLS 1.2" { // SSL 3.0 sorts before TLS 1.0
			f.Outcome, f.Title = ringwall.Fail, "it speaks an old version of TLS with its servers"
		}
	}
	if len(f.Evidence) == 0 {
		return nil
	}
	return []ringwall.Finding{f}
}

// called names an address.
func (w *Watch) called(a netip.Addr) string {
	if n := w.names[a]; n != "" {
		return n
	}
	return a.String()
}

// travelled answers whether the device went only where it is said to go.
func (w *Watch) travelled() []ringwall.Finding {
	if w.cfg.Declared == nil || len(w.peers) == 0 {
		return nil
	}
	f := ringwall.Finding{
		Indicator: "CO-11", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: "it went only where it is declared to go", Facts: map[string]string{},
	}
	var strange []string
	for _, a := range slices.SortedFunc(maps.Keys(w.peers), netip.Addr.Compare) {
		p := w.peers[a]
		if !declared(w.cfg.Declared, a, w.names[a]) {
			strange = append(strange, fmt.Sprintf("%s (%v, %s/%d), %d times, is not declared", w.called(a), a, p.proto, p.port, p.n))
		}
	}
	f.Evidence = []string{fmt.Sprintf("%d destinations outside, %d of them not declared", len(w.peers), len(strange))}
	f.Facts["destinations"], f.Facts["undeclared"] = fmt.Sprint(len(w.peers)), fmt.Sprint(len(strange))
	if len(strange) > 0 {
		f.Outcome, f.Confidence, f.Title = ringwall.Fail, ringwall.Confirmed, "it goes where nobody declared it to go"
		f.Evidence = append(f.Evidence, strange...)
	}
	return []ringwall.Finding{f}
}

// declared reports whether a destination is among those declared.
func declared(list []string, a netip.Addr, name string) bool {
	for _, d := range list {
		d = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(d), "."))
		if p, err := netip.ParsePrefix(d); err == nil && p.Contains(a) {
			return true
		}
		if x, err := netip.ParseAddr(d); err == nil && x == a {
			return true
		}
		if under, ok := strings.CutPrefix(d, "*."); ok && strings.HasSuffix(name, "."+under) || d != "" && name == d {
			return true
		}
	}
	return false
}
