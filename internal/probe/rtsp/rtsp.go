// Package rtsp probes a camera's video service: does it show a picture to
// anybody (AP-04), to a known default credential (AP-01), in the clear (DA-03),
// and how does it ask for a password (AP-06).
//
// What it confirms it has seen: a whole picture, taken from the stream. A
// server that says 200 to everything shows none, and is reported as what it
// is: not understood. Standards: RFC 2326, RFC 7616; see packages rtsp and
// credential for the bounds.
package rtsp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/digest"
	"github.com/ringwall/ringwall/internal/probe/credential"
	rtspclient "github.com/ringwall/ringwall/internal/rtsp"
)

// Routes are the paths that cameras of many makers serve. The empty one is
// asked first: most answer it with a challenge, which is all that is needed.
func Routes() []string {
	return []string{
		"", "live/ch0", "live", "stream", "stream1", "live.sdp", "h264", "Streaming/Channels/101", "cam/realmonitor?channel=1&subtype=0",
		"live/ch00_0", "11", "onvif1", "videoMain", "axis-media/media.amp", "h264Preview_01_main", "media/video1", "profile1/media.smp",
		"unicast/c1/s0/live", "ch0_0.h264", "video1",
	}
}

// maxServices bounds how many RTSP ports of one device are looked at.
const maxServices = 4

// Probe is the RTSP probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "rtsp", Title: "Video: without a login, with a default one, in the clear",
		Sends:      "DESCRIBE for up to 20 known paths; a few known credentials within the budget; PLAY until one picture has come",
		Indicators: []string{"AP-01", "AP-02", "AP-03", "AP-04", "AP-06", "DA-03"}, Needs: []string{"rtsp", "rtsps"}, Intrusion: assess.LogsIn,
	}
}

// Run probes the RTSP services of the target.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	encrypted := len(env.Named("rtsps")) > 0
	services := env.Named("rtsp")
	var errs []error
	for _, s := range services[:min(len(services), maxServices)] {
		v := visit{env: env, t: t, s: s, address: t.AddrPort(s.Port)}
		if err := v.run(ctx); err != nil {
			errs = append(errs, err)
		}
		a.Findings = append(a.Findings, v.findings...)
		a.Findings = append(a.Findings, v.plain(encrypted)...)
		a.Known.Type = cmp.Or(a.Known.Type, v.kind)
	}
	if len(services) == 0 && encrypted {
		a.Findings = append(a.Findings, ringwall.Finding{
			Indicator: "DA-03", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: "video is served inside TLS only",
		})
	}
	return a, errors.Join(errs...)
}

// visit is the probe of one port.
type visit struct {
	env      *assess.Env
	t        assess.Target
	s        api.Service
	address  string
	path     string
	kind     string
	picture  *rtspclient.Picture
	asked    bool // it asked for a login or gave a description
	findings []ringwall.Finding
}

func (v *visit) name() string { return fmt.Sprintf("RTSP on port %d", v.s.Port) }

func (v *visit) add(f ringwall.Finding) { v.findings = append(v.findings, f) }

func (v *visit) run(ctx context.Context) error {
	reply, open, err := v.explore(ctx)
	if err != nil {
		return fmt.Errorf("asking %s: %w", v.name(), err)
	}
	switch {
	case open:
		v.asked = true
		v.unprotected(ctx)
	case reply.Status == 401:
		v.asked = true
		v.kind = "camera"
		v.add(ringwall.Finding{
			Indicator: "AP-04", Outcome: ringwall.Pass, Confidence: ringwall.Observed,
			Title: v.name() + " shows nothing without a login", Evidence: []string{fmt.Sprintf("DESCRIBE of %q without a login: 401", "/"+v.path)},
		})
		v.add(v.scheme(reply.Challenges))
		v.credentials(ctx)
	default:
		v.env.Say("rtsp: port %d answers %d to every path", v.s.Port, reply.Status)
	}
	return nil
}

// explore asks the known paths until one is described or asks for a login.
func (v *visit) explore(ctx context.Context) (reply rtspclient.Reply, open bool, err error) {
	paths := slices.Clone(v.env.Paths)
	for _, r := range Routes() {
		if !slices.Contains(paths, r) {
			paths = append(paths, r)
		}
	}
	var c *rtspclient.Conn
	for _, p := range paths {
		if c == nil {
			if c, err = rtspclient.Connect(ctx, v.env.Net.DialContext, v.address); err != nil {
				return reply, false, err
			}
		}
		r, e := c.Describe(ctx, strings.TrimPrefix(p, "/"), nil)
		if e != nil {
			_ = c.Close()
			c = nil
			if ctx.Err() != nil || ringwall.CodeOf(e) == ringwall.Invalid {
				return reply, false, e // garbage once is garbage for every path
			}
			if reply.Status != 0 {
				return reply, false, nil // it has answered, and has had enough
			}
			err = e
			continue
		}
		reply, v.path, err = r, strings.TrimPrefix(p, "/"), nil
		if r.Described() || r.Status == 401 {
			_ = c.Close()
			return reply, r.Described(), nil
		}
	}
	if c != nil {
		_ = c.Close()
	}
	return reply, false, err
}

// unprotected judges a path that is described to anybody.
func (v *visit) unprotected(ctx context.Context) {
	p, err := rtspclient.Watch(ctx, v.env.Net.DialContext, v.address, v.path, nil)
	if err != nil {
		// Described, but not shown: perhaps a decoy, perhaps a codec we cannot
		// read. Either way nothing is proven.
		v.add(ringwall.Finding{
			Indicator: "AP-04", Confidence: ringwall.Observed, Title: v.name() + " describes a stream to anybody, but no picture came",
			Evidence: []string{fmt.Sprintf("DESCRIBE of %q without a login: 200", "/"+v.path), err.Error()},
		})
		return
	}
	v.picture, v.kind = &p, "camera"
	v.add(ringwall.Finding{
		Indicator: "AP-04", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: v.name() + " shows its video to anybody",
		Evidence: []string{fmt.Sprintf("DESCRIBE of %q without a login: 200", "/"+v.path), proof(p)},
		Facts:    map[string]string{"port": fmt.Sprint(v.s.Port), "path": "/" + v.path},
	})
}

func proof(p rtspclient.Picture) string {
	return fmt.Sprintf("a whole %s picture of %d by %d came (%d slices, %d bytes)", p.Codec, p.Width, p.Height, p.Slices, p.Bytes)
}

// scheme judges how a password is asked for, on a plain connection.
func (v *visit) scheme(cs []digest.Challenge) ringwall.Finding {
	f := ringwall.Finding{Indicator: "AP-06", Confidence: ringwall.Observed}
	var basic, md5, sha bool
	for _, c := range cs {
		switch {
		case c.Scheme == "basic":
			basic = true
		case c.Scheme == "digest" && strings.HasPrefix(strings.ToUpper(c.Algorithm), "SHA-"):
			sha = true
		case c.Scheme == "digest":
			md5 = true
		}
		f.Evidence = append(f.Evidence, strings.TrimSpace("offers "+c.Scheme+" "+c.Algorithm))
	}
	switch {
	case basic:
		f.Outcome, f.Title = ringwall.Fail, v.name()+" takes the password in the clear (Basic without TLS)"
	case md5:
		f.Outcome, f.Title = ringwall.Partial, v.name()+" still offers digest with MD5"
	case sha:
		f.Outcome, f.Title = ringwall.Pass, v.name()+" asks by digest with SHA-256"
	default:
		f.Title = v.name() + " refuses without saying how to log in"
	}
	return f
}

// credentials tries known credentials, proven by a picture.
func (v *visit) credentials(ctx context.Context) {
	c, err := rtspclient.Connect(ctx, v.env.Net.DialContext, v.address)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	login := func(ctx context.Context, user, password string) (credential.Outcome, string) {
		cred := rtspclient.Credential{User: user, Password: password}
		r, err := c.Describe(ctx, v.path, &cred)
		if err != nil {
			return failed(err), ""
		}
		return v.judge(ctx, r, cred)
	}
	r := credential.Check(ctx, v.env, credential.Service{
		Name: v.name(), Key: assess.ServiceKey("rtsp", v.s.Port), Realm: assess.CameraAccounts,
	}, login)
	v.findings = append(v.findings, r.Findings()...)
}

// judge says what the answer to a presented credential means.
func (v *visit) judge(ctx context.Context, r rtspclient.Reply, cred rtspclient.Credential) (credential.Outcome, string) {
	reason := strings.ToLower(r.Reason + " " + string(r.Body[:min(len(r.Body), 200)]))
	switch {
	case r.Status == 429, r.Status == 453, r.Status == 503, strings.Contains(reason, "lock"), r.Get("retry-after") != "":
		return credential.Locked, ""
	case r.Status == 401, r.Status == 403:
		return credential.Refused, ""
	case r.Described():
		p, err := rtspclient.Watch(ctx, v.env.Net.DialContext, v.address, v.path, &cred)
		if err != nil {
			return credential.Hollow, ""
		}
		v.picture = &p
		return credential.Accepted, proof(p)
	case r.Status == 404 || r.Status == 454:
		// The login was right, or is not looked at: only a picture tells, and
		// the path is unknown. Other paths cost no try when it was right.
		return v.elsewhere(ctx, cred)
	}
	return credential.Unclear, ""
}

// elsewhere looks for the stream under other paths with a credential that is
// let past the login.
func (v *visit) elsewhere(ctx context.Context, cred rtspclient.Credential) (credential.Outcome, string) {
	for _, p := range slices.Concat(v.env.Paths, Routes()) {
		pic, err := rtspclient.Watch(ctx, v.env.Net.DialContext, v.address, strings.TrimPrefix(p, "/"), &cred)
		if err == nil {
			v.picture, v.path = &pic, strings.TrimPrefix(p, "/")
			return credential.Accepted, proof(pic)
		}
		// Anything but "no such path" ends it: a refusal would be one more wrong
		// password.
		if ctx.Err() != nil || ringwall.CodeOf(err) != ringwall.NotFound {
			break
		}
	}
	return credential.Hollow, ""
}

// failed says what a broken exchange means for a login.
func failed(err error) credential.Outcome {
	var ne net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EPIPE):
		return credential.Dropped
	case errors.As(err, &ne) && ne.Timeout():
		return credential.Dropped
	}
	return credential.Unclear
}

// plain answers whether video is confidential on the wire.
func (v *visit) plain(encrypted bool) []ringwall.Finding {
	if !v.asked {
		return nil
	}
	f := ringwall.Finding{Indicator: "DA-03", Confidence: ringwall.Observed, Outcome: ringwall.Fail, Title: v.name() + " serves video in the clear"}
	f.Evidence = []string{"RTSP without TLS"}
	if v.picture != nil {
		f.Confidence = ringwall.Confirmed
		f.Evidence = append(f.Evidence, "in the clear "+proof(*v.picture))
	}
	if encrypted {
		f.Outcome, f.Title = ringwall.Partial, v.name()+" serves video in the clear, beside an encrypted service"
		f.Evidence = append(f.Evidence, "RTSP inside TLS is offered too")
	}
	return []ringwall.Finding{f}
}
