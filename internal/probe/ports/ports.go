// Package ports finds what listens on a device: a scan over TCP ports, one
// question to each of the UDP services that devices are known for, and one look
// at each open port to name what answers there.
//
// It answers whether telnet, ftp or a debug shell is reachable on any port
// (CO-02) and whether SSH is absent (CO-03): a name is given by what a service
// says, never by its number alone. Every other probe builds on the services it
// names.
//
// Where the network allows raw sockets (assess.RawNetwork, and the privilege)
// the scan sends bare SYNs; else it connects from one thread; else through the
// network's dialer. All pace themselves by the answers (flight): a port is given
// up only after it was asked twice, or up to six times where answers are known
// to get lost, so a filter costs little and a lossy way costs time, not ports.
//
// A look reads at most maxLook bytes and lasts a few seconds at most, so that
// endless banners and tarpits cost nothing. A host that opens more than maxOpen
// ports says yes to everybody: a decoy, or a filter that answers in the
// device's place. Its open ports mean nothing then, and only those that name
// themselves are kept.
//
// Standards: RFC 9293 section 3.5.2 (reset), RFC 6298 section 2 (time-outs),
// RFC 854 (telnet), RFC 959 (ftp), and per question what stands beside it.
package ports

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
)

const (
	// maxOpen is more than any device that we know has open at once.
	maxOpen = 200
	// namers is how many open ports are looked at at once: few, for small
	// devices keep few connections.
	namers = 6
	// nameIn bounds the looks at one device all together.
	nameIn = 25 * time.Second
	// within is enough for all ports of a device far away that a filter stands
	// before.
	within = 75 * time.Second
)

// Probe is the port scan.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "ports", Title: "Open TCP and UDP ports and what answers on them",
		Sends: "one SYN or connection per TCP port (twice on silence), at most 4096 unanswered at a time; on open ports one greeting each of HTTP, RTSP, TLS and a few more until one is understood; " +
			"one question twice at most to each of 19 UDP ports",
		Indicators: []string{"CO-02", "CO-03"}, Intrusion: assess.Asks, Reaches: reaches(), Within: within,
	}
}

func reaches() []string {
	out := []string{"tcp/1-65535"}
	for _, s := range datagramServices() {
		out = append(out, fmt.Sprintf("udp/%d", s.port))
	}
	return out
}

// controls is how many unusual ports of a host that says yes to everybody are
// looked at beside the usual ones.
const controls = 4

// Run scans the target.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	list := env.Ports
	if len(list) == 0 {
		list = Default()
	}
	if t.Port != 0 && !slices.Contains(list, t.Port) {
		list = append([]uint16{t.Port}, list...)
	}
	var wg sync.WaitGroup
	var datagrams []api.Service
	wg.Go(func() { datagrams = Datagrams(ctx, env.Net, t.Addr) })
	r := Scan(ctx, env.Net, t, list)
	yes := len(r.Open) > maxOpen
	open, decoy := r.Open, false
	if yes {
		env.Say("ports: %d of %d ports open: it says yes to everybody, only services that name themselves are kept", len(r.Open), len(list))
		open = slices.DeleteFunc(Default(), func(p uint16) bool { return !slices.Contains(r.Open, p) })
		// Where ports on which nothing of the kind listens hand out a shell too,
		// what the usual ports say is the decoy's.
		unusual := slices.DeleteFunc(slices.Clone(r.Open), func(p uint16) bool { return slices.Contains(open, p) })
		decoy = slices.ContainsFunc(name(ctx, env.Net, t, unusual[:min(len(unusual), controls)]), func(s api.Service) bool { return isShell(s.Name) })
	}
	a := assess.Answer{Services: name(ctx, env.Net, t, open)}
	wg.Wait()
	if yes {
		a.Services = slices.DeleteFunc(a.Services, func(s api.Service) bool { return s.Name == "" })
	}
	a.Services = append(a.Services, datagrams...)
	a.Alive = r.Answered() || len(datagrams) > 0
	if !a.Alive {
		return assess.Answer{}, ringwall.Errorf(ringwall.Unavailable, "%s answers on none of %d ports, not even with a refusal", t.Name, len(list))
	}
	if ctx.Err() == nil {
		a.Findings = []ringwall.Finding{remoteShell(a.Services, r, len(list), yes, decoy)}
		if f, ok := secureShell(a.Services, len(list), yes); ok {
			a.Findings = append(a.Findings, f)
		}
	}
	return a, nil
}

// Look names the service on one open port of an address.
func Look(ctx context.Context, n assess.Network, at netip.AddrPort) api.Service {
	return look(ctx, n, at.String(), at.Port())
}

// name looks at every open port.
func name(ctx context.Context, n assess.Network, t assess.Target, open []uint16) []api.Service {
	ctx, cancel := context.WithTimeout(ctx, nameIn)
	defer cancel()
	out := make([]api.Service, len(open))
	var wg sync.WaitGroup
	sem := make(chan struct{}, namers)
	for i, p := range open {
		sem <- struct{}{}
		wg.Go(func() {
			defer func() { <-sem }()
			out[i] = look(ctx, n, t.AddrPort(p), p)
		})
	}
	wg.Wait()
	return out
}

// isShell reports whether a service hands out a shell, files or a terminal
// without encryption.
func isShell(name string) bool {
	return slices.Contains([]string{"telnet", "ftp", "adb", "tftp"}, name)
}

// remoteShell answers CO-02.
func remoteShell(services []api.Service, r Result, looked int, yes, decoy bool) ringwall.Finding {
	f := ringwall.Finding{Indicator: "CO-02", Facts: map[string]string{"ports": fmt.Sprint(looked), "scan": r.By.String()}}
	for _, s := range services {
		if isShell(s.Name) {
			f.Evidence = append(f.Evidence, fmt.Sprintf("port %d answers as %s: %s", s.Port, s.Name, cmp.Or(s.Info, "it speaks the protocol")))
			f.Title = cmp.Or(f.Title, fmt.Sprintf("%s is reachable on port %d", s.Name, s.Port))
		}
	}
	scope := fmt.Sprintf("%d of 65535 TCP ports were looked at by %s: %d open, %d refused, %d silent", looked, r.By, len(r.Open), r.Closed, r.Silent)
	switch {
	case decoy, yes && len(f.Evidence) > 3:
		// Telnet on more ports than any device has is a decoy's.
		f.Outcome, f.Title = ringwall.Unknown, "the host says yes on every port: what is the device's own cannot be told"
		f.Evidence = []string{scope}
	case len(f.Evidence) > 0:
		// The protocol itself answered: more than a banner on a known port.
		f.Outcome, f.Confidence = ringwall.Fail, ringwall.Confirmed
		f.Evidence = append(f.Evidence, scope)
	case yes:
		f.Outcome, f.Title, f.Evidence = ringwall.Unknown, "the host says yes on every port: what is the device's own cannot be told", []string{scope}
	default:
		f.Outcome, f.Confidence = ringwall.Pass, ringwall.Observed
		f.Title, f.Evidence = fmt.Sprintf("no telnet, ftp or debug shell on the %d ports looked at", looked), []string{scope}
	}
	return f
}

// secureShell answers CO-03 as far as a port scan can: SSH that is not there
// needs no hardening. One that is there is the ssh probe's to judge.
func secureShell(services []api.Service, looked int, yes bool) (ringwall.Finding, bool) {
	if yes || slices.ContainsFunc(services, func(s api.Service) bool { return s.Name == "ssh" }) {
		return ringwall.Finding{}, false
	}
	return ringwall.Finding{
		Indicator: "CO-03", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: fmt.Sprintf("no SSH on the %d ports looked at", looked),
		Evidence: []string{"no port greeted as SSH"},
	}, true
}
