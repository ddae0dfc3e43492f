// Package ports finds what listens on a device: a connect scan over a list of
// TCP ports, then one look at each open port to name what answers there.
//
// It answers whether telnet or ftp is reachable on any port (CO-02) and whether
// SSH is absent (CO-03): a name is given by what a service says, never by its
// number alone. Every other probe builds on the services it names.
//
// A connect scan needs no privilege and leaves no half-open connection. At
// most Workers connections are open at once; a port that does not answer in
// Timeout is closed or filtered, and is tried once more, since a busy small
// device drops a SYN now and then. A look reads at most maxLook bytes, so that
// an endless banner costs nothing.
package ports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
)

// Bounds of the scan.
const (
	Workers = 128
	Timeout = time.Second
)

// Default returns the ports that are looked at when nobody says otherwise:
// where cameras, recorders and meters are known to listen, and where their
// makers hide telnet.
func Default() []uint16 {
	return []uint16{
		21, 22, 23, 25, 26, 53, 80, 81, 82, 83, 84, 85, 88, 139, 322, 443, 445, 554, 555, 1024, 1080, 1883, 1935, 2000, 2222, 2323, 4321,
		5000, 5543, 5554, 6000, 6667, 7070, 7547, 8000, 8001, 8008, 8080, 8081, 8086, 8088, 8090, 8322, 8443, 8554, 8800, 8883, 8888, 8899,
		9000, 9080, 9527, 9530, 10554, 23231, 34567, 34599, 37777, 37778, 48101, 49152, 65534,
	}
}

// Probe is the port scan.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "ports", Title: "Open TCP ports and what answers on them",
		Sends:      "one TCP connection per port; on open ports one HTTP, RTSP or TLS greeting",
		Indicators: []string{"CO-02", "CO-03"}, Intrusion: assess.Asks,
	}
}

// Run scans the target.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	list := env.Ports
	if len(list) == 0 {
		list = Default()
	}
	if t.Port != 0 && !slices.Contains(list, t.Port) {
		list = append(slices.Clone(list), t.Port)
	}
	open, answered := Scan(ctx, env.Net, t, list)
	if !answered {
		return assess.Answer{}, ringwall.Errorf(ringwall.Unavailable, "%s answers on none of %d ports, not even with a refusal", t.Name, len(list))
	}
	a := assess.Answer{Alive: true}
	a.Services = name(ctx, env.Net, t, open)
	if ctx.Err() == nil {
		a.Findings = []ringwall.Finding{remoteShell(a.Services, len(list)), secureShell(a.Services, len(list))}
	}
	return a, nil
}

// Scan returns the open ports in order, and whether the host answered at all
// (an open port, or a refusal).
func Scan(ctx context.Context, n assess.Network, t assess.Target, list []uint16) (open []uint16, answered bool) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan uint16)
	for range min(Workers, len(list)) {
		wg.Go(func() {
			for port := range next {
				state := try(ctx, n, t.AddrPort(port))
				if state == silent {
					state = try(ctx, n, t.AddrPort(port))
				}
				mu.Lock()
				answered = answered || state != silent
				if state == isOpen {
					open = append(open, port)
				}
				mu.Unlock()
			}
		})
	}
	for _, p := range list {
		select {
		case next <- p:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	slices.Sort(open)
	return slices.Compact(open), answered
}

type state uint8

const (
	silent state = iota
	refused
	isOpen
)

func try(ctx context.Context, n assess.Network, address string) state {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	c, err := n.DialContext(ctx, "tcp", address)
	if err == nil {
		_ = c.Close() // it was open: that is all we wanted to know
		return isOpen
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return refused
	}
	return silent
}

// namers is how many open ports are looked at at once: few, for small devices
// keep few connections.
const namers = 4

// name looks at every open port.
func name(ctx context.Context, n assess.Network, t assess.Target, open []uint16) []api.Service {
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

// remoteShell answers CO-02.
func remoteShell(services []api.Service, looked int) ringwall.Finding {
	f := ringwall.Finding{Indicator: "CO-02", Facts: map[string]string{"ports": fmt.Sprint(looked)}}
	for _, s := range services {
		if s.Name == "telnet" || s.Name == "ftp" {
			f.Evidence = append(f.Evidence, fmt.Sprintf("port %d answers as %s: %s", s.Port, s.Name, cmp.Or(s.Info, "it negotiates options")))
			f.Title = cmp.Or(f.Title, fmt.Sprintf("%s is reachable on port %d", s.Name, s.Port))
		}
	}
	if len(f.Evidence) > 0 {
		// The protocol itself answered: more than a banner on a known port.
		f.Outcome, f.Confidence = ringwall.Fail, ringwall.Confirmed
		return f
	}
	f.Outcome, f.Confidence = ringwall.Pass, ringwall.Observed
	f.Title = fmt.Sprintf("no telnet or ftp on the %d ports looked at", looked)
	f.Evidence = []string{fmt.Sprintf("%d of 65535 TCP ports were looked at", looked)}
	return f
}

// secureShell answers CO-03 as far as a port scan can: SSH that is not there
// needs no hardening; one that is there is not judged by its banner.
func secureShell(services []api.Service, looked int) ringwall.Finding {
	f := ringwall.Finding{
		Indicator: "CO-03", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: fmt.Sprintf("no SSH on the %d ports looked at", looked),
	}
	for _, s := range services {
		if s.Name == "ssh" {
			f.Outcome, f.Title = ringwall.Unknown, fmt.Sprintf("SSH on port %d: its key exchange and logins were not looked at", s.Port)
			f.Evidence = append(f.Evidence, fmt.Sprintf("port %d says %s", s.Port, s.Info))
		}
	}
	return f
}

// untilDone ends reads and writes of a connection when ctx ends.
func untilDone(ctx context.Context, c net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
}
