// Package rtsp probes a camera's video service: does it show a picture to
// anybody (AP-04), to a known default credential (AP-01), in the clear (DA-03),
// signed by the camera (DA-04), and how does it ask for a password (AP-06).
//
// What it confirms it has seen: a whole picture, taken from the stream. A
// server that says 200 to everything shows none, and is reported as what it
// is: not understood. A camera that asks for a login under one path is asked
// for others too, without a login: a second stream is often left open.
//
// Services inside TLS are probed as those outside are. Standards: RFC 2326,
// RFC 7826 section 19 (rtsps, port 322), RFC 3711 and RFC 4567 (SRTP and its
// keys), RFC 7616, the ONVIF Media Signing Specification; see packages rtsp and
// credential for the bounds.
package rtsp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	rtspclient "github.com/ringwall/ringwall/internal/rtsp"
)

// maxServices bounds how many RTSP ports of one device are looked at.
const maxServices = 6

// securePort is that of rtsps (RFC 7826 section 21.1); it is asked even when
// nobody scanned it.
const securePort = 322

// Probe is the RTSP probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "rtsp", Title: "Video: without a login, with a default one, in the clear, signed or not",
		Sends:      fmt.Sprintf("DESCRIBE of up to %d known paths; a few known credentials within the budget; PLAY until a few pictures have come; one look at port %d", maxRoutes+maxOpen, securePort),
		Indicators: []string{"AP-01", "AP-02", "AP-03", "AP-04", "AP-06", "DA-03", "DA-04"}, Needs: []string{"rtsp", "rtsps"}, Intrusion: assess.LogsIn,
		Tries: 4, Within: 75 * time.Second,
	}
}

// Run probes the RTSP services of the target.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	services := slices.Clone(env.Named("rtsp", "rtsps"))
	services = services[:min(len(services), maxServices)]
	if s, ok := hidden(ctx, env, t, services); ok {
		services = append(services, s)
		a.Services = append(a.Services, s)
	}
	var errs []error
	var visits []*visit
	for _, s := range services {
		v := &visit{env: env, t: t, s: s, tls: s.Name == "rtsps", address: t.AddrPort(s.Port)}
		if err := v.run(ctx); err != nil {
			errs = append(errs, err)
		}
		a.Findings = append(a.Findings, v.findings...)
		a.Known.Type = cmp.Or(a.Known.Type, v.kind)
		a.Alive = a.Alive || v.answered
		visits = append(visits, v)
	}
	a.Findings = append(a.Findings, confidential(visits)...)
	a.Findings = append(a.Findings, signed(visits)...)
	return a, errors.Join(errs...)
}

// hidden looks for RTSP inside TLS on its own port where the scan saw none.
func hidden(ctx context.Context, env *assess.Env, t assess.Target, known []api.Service) (api.Service, bool) {
	if len(known) == 0 || slices.ContainsFunc(known, func(s api.Service) bool { return s.Name == "rtsps" }) ||
		slices.ContainsFunc(env.Services, func(s api.Service) bool { return s.Port == securePort }) {
		return api.Service{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := rtspclient.ConnectTLS(ctx, env.Net.DialContext, t.AddrPort(securePort))
	if err != nil {
		return api.Service{}, false
	}
	defer func() { _ = c.Close() }()
	r, err := c.Options(ctx, "")
	if err != nil {
		return api.Service{}, false
	}
	return api.Service{Proto: "tcp", Port: securePort, Name: "rtsps", Info: r.Server}, true
}
