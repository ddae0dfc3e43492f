// Package exposure looks at the public address of a device's site from the world's
// side and tells which of the open ports there are the device's (CO-01).
//
// It needs a vantage outside, Env.Outside, and the address, Target.Outside; without
// them the answer is unknown and says so. An open port there is the device's only
// if it proves so: by the same SSH host key, the same TLS key, or the same page
// under the same server's name. A port that proves nothing is the site's, and no
// fault of this device. Nothing of the network inside is reached by way of the
// vantage.
//
// It runs after the probes that note the device's keys. Standards: ETSI EN 303 645
// provisions 5.6-1 and 5.6-5.
package exposure

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/declared"
	"github.com/ringwall/ringwall/internal/probe/fetch"
	"github.com/ringwall/ringwall/internal/probe/ports"
	"github.com/ringwall/ringwall/internal/probe/ssh"
	"github.com/ringwall/ringwall/internal/probe/tlscheck"
)

// Probe is the look from outside.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "exposure", Title: "What the world reaches of the device",
		Sends:      "from the vantage outside: one SYN or connection per port of a list to at most 2 public addresses of the site, and to each open port one greeting and one look at its key or page",
		Indicators: []string{"CO-01"}, Intrusion: assess.Asks,
	}
}

const (
	maxAddresses = 2
	maxOpen      = 64
	// minPage is the least page that can tell one device from another.
	minPage = 64
)

// door is a port of the site's public address that is the device's.
type door struct {
	outside netip.AddrPort
	inside  uint16
	name    string
	proof   string
	certain bool
}

// Run looks from outside.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	if !env.Alive {
		return assess.Answer{}, nil
	}
	f := ringwall.Finding{Indicator: "CO-01", Confidence: ringwall.Observed}
	switch {
	case env.Outside == nil:
		f.Title = "what the world reaches of it is unknown: there is no vantage outside its site"
		f.Evidence = []string{"run the assessment with a vantage outside, such as a second Ringwall on the Internet"}
		return assess.Answer{Findings: []ringwall.Finding{f}}, nil
	case len(t.Outside) == 0:
		f.Title = "what the world reaches of it is unknown: no public address of its site is known"
		return assess.Answer{Findings: []ringwall.Finding{f}}, nil
	}
	var doors []door
	open, looked := 0, 0
	for _, a := range t.Outside[:min(len(t.Outside), maxAddresses)] {
		list := candidates(env)
		r := ports.Scan(ctx, env.Outside, assess.Target{Name: a.String(), Addr: a}, list)
		open, looked = open+len(r.Open), looked+len(list)
		for _, p := range r.Open[:min(len(r.Open), maxOpen)] {
			if d, ok := match(ctx, env, t, netip.AddrPortFrom(a, p)); ok {
				doors = append(doors, d)
			}
		}
	}
	if ctx.Err() != nil {
		f.Title = "what the world reaches of it could not be found out in time"
		return assess.Answer{Findings: []ringwall.Finding{f}}, nil
	}
	return assess.Answer{Findings: []ringwall.Finding{judge(doors, open, looked, env, t)}}, nil
}

// candidates are the ports looked at: where devices listen, where this one does,
// and those that were asked for.
func candidates(env *assess.Env) []uint16 {
	out := slices.Concat(env.Ports, ports.Default())
	for _, s := range env.Services {
		out = append(out, s.Port)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// match finds the device's own service behind an open port outside.
func match(ctx context.Context, env *assess.Env, t assess.Target, at netip.AddrPort) (door, bool) {
	s := ports.Look(ctx, env.Outside, at)
	d := door{outside: at, name: s.Name}
	switch s.Name {
	case "ssh":
		keys, _ := ssh.Keys(ctx, env.Outside, at) // keys seen before it failed are as good
		for _, k := range keys {
			if port, ok := marked(env, "host-key", k); ok {
				d.inside, d.proof, d.certain = port, "the same host key", true
				return d, true
			}
		}
	case "https", "rtsps", "mqtts", "tls":
		if key := tlscheck.Key(ctx, env.Outside, at); key != "" {
			if port, ok := marked(env, "public-key", key); ok {
				d.inside, d.proof, d.certain = port, "the same TLS key", true
				return d, true
			}
		}
	case "http":
		theirs, ok := page(ctx, env.Outside, at)
		for _, own := range env.Named("http") {
			if !ok || own.Info != s.Info {
				continue
			}
			if ours, has := page(ctx, env.Net, netip.AddrPortFrom(t.Addr, own.Port)); has && ours == theirs {
				d.inside, d.proof = own.Port, "the same page"
				return d, true
			}
		}
	case "":
	default:
		// A greeting that names more than its protocol, and is the same inside.
		for _, own := range env.Named(s.Name) {
			if own.Info != "" && own.Info == s.Info && strings.ContainsAny(own.Info, "0123456789") {
				d.inside, d.proof = own.Port, "the same greeting"
				return d, true
			}
		}
	}
	return d, false
}

func marked(env *assess.Env, kind, mark string) (uint16, bool) {
	for _, m := range env.Secrets {
		var port uint16
		if m.Kind == kind && m.Mark == mark {
			if _, err := fmt.Sscanf(m.Path, "tcp/%d", &port); err == nil {
				return port, true
			}
		}
	}
	return 0, false
}

// page is what tells one web service from another: its page and its server.
func page(ctx context.Context, n assess.Network, at netip.AddrPort) ([32]byte, bool) {
	r, err := fetch.Get(ctx, n, "http://"+at.String()+"/")
	if err != nil || len(r.Body) < minPage {
		return [32]byte{}, false
	}
	// A page that names the address that it was asked for is the same page.
	body := bytes.ReplaceAll(r.Body, []byte(at.String()), nil)
	body = bytes.ReplaceAll(body, []byte(at.Addr().String()), nil)
	return sha256.Sum256(append([]byte(r.Header.Get("Server")+"\x00"+r.Header.Get("Www-Authenticate")+"\x00"), body...)), true
}

func judge(doors []door, open, looked int, env *assess.Env, t assess.Target) ringwall.Finding {
	f := ringwall.Finding{Indicator: "CO-01", Confidence: ringwall.Observed, Facts: map[string]string{}}
	f.Evidence = []string{fmt.Sprintf("from outside %d of %d ports of the site's address are open, %d of them are this device's", open, looked, len(doors))}
	if len(doors) == 0 {
		f.Title = "the world does not reach it on the ports that were looked at"
		return f
	}
	want, _ := declared.Declared(t)
	f.Outcome = ringwall.Partial
	f.Facts["exposed"] = "true"
	for _, d := range doors {
		if d.certain {
			f.Confidence = ringwall.Confirmed
		}
		f.Evidence = append(f.Evidence, fmt.Sprintf("%v is its %s on port %d: %s", d.outside, d.name, d.inside, d.proof))
		if !slices.ContainsFunc(want, func(w api.Service) bool { return w.Port == d.inside && (w.Proto == "" || w.Proto == "tcp") }) {
			f.Outcome = ringwall.Fail
		}
	}
	f.Title = fmt.Sprintf("the world reaches its %s: %v is its port %d", doors[0].name, doors[0].outside, doors[0].inside)
	return f
}
