package rtsp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/digest"
	"github.com/ringwall/ringwall/internal/probe/credential"
	rtspclient "github.com/ringwall/ringwall/internal/rtsp"
)

const (
	// linger is how long a stream is watched for a signature: longer than two
	// groups of pictures of 2 s.
	linger = 6 * time.Second
	// maxPlays is how many described paths are played to find one with a picture.
	maxPlays = 6
	// maxVain is how long paths are played in vain before no more are.
	maxVain = 4 * time.Second
)

// visit is the probe of one port.
type visit struct {
	env      *assess.Env
	t        assess.Target
	s        api.Service
	tls      bool
	address  string
	path     string   // asks for a login
	open     []string // are described to strangers: they prove no credential
	kind     string
	offer    rtspclient.Offer
	view     *rtspclient.View
	vain     time.Duration // spent on playing what showed no picture
	answered bool
	asked    bool // it asked for a login or gave a description
	findings []ringwall.Finding
}

func (v *visit) name() string {
	if v.tls {
		return fmt.Sprintf("RTSP inside TLS on port %d", v.s.Port)
	}
	return fmt.Sprintf("RTSP on port %d", v.s.Port)
}

func (v *visit) add(f ringwall.Finding) { v.findings = append(v.findings, f) }

func (v *visit) connect(ctx context.Context) (*rtspclient.Conn, error) {
	if v.tls {
		return rtspclient.ConnectTLS(ctx, v.env.Net.DialContext, v.address)
	}
	return rtspclient.Connect(ctx, v.env.Net.DialContext, v.address)
}

// play plays a path until a picture has come, and on while nothing was seen
// long enough to say whether the stream is signed.
func (v *visit) play(ctx context.Context, path string, cred *rtspclient.Credential) (rtspclient.View, error) {
	cfg := rtspclient.PlayConfig{Dial: v.env.Net.DialContext, Address: v.address, Path: path, Credential: cred, TLS: v.tls}
	if v.view == nil {
		cfg.Linger = linger
	}
	began := v.env.Now()
	view, err := rtspclient.Play(ctx, cfg)
	if err != nil {
		v.vain += v.env.Now().Sub(began)
	}
	if err == nil && v.view == nil {
		v.view = &view
	}
	return view, err
}

func (v *visit) run(ctx context.Context) error {
	reply, described, err := v.explore(ctx)
	if err != nil {
		return fmt.Errorf("asking %s: %w", v.name(), err)
	}
	v.answered, v.open = true, described
	if len(described) > 0 {
		v.asked = true
		v.opened(ctx, described)
	}
	// Where some paths are described to anybody and others ask for a login, that
	// login is still worth a look.
	if reply.Status != 401 {
		if len(described) == 0 {
			v.env.Say("rtsp: port %d answers %d to every path", v.s.Port, reply.Status)
		}
		return nil
	}
	v.asked = true
	v.kind = "camera"
	if len(described) == 0 {
		v.add(ringwall.Finding{
			Indicator: "AP-04", Outcome: ringwall.Pass, Confidence: ringwall.Observed,
			Title: v.name() + " shows nothing without a login", Evidence: []string{fmt.Sprintf("DESCRIBE of %q without a login: 401", "/"+v.path)},
		})
	}
	v.add(v.scheme(reply.Challenges))
	v.credentials(ctx)
	return nil
}

// paths are those worth asking for, the ones that the camera itself named first.
func (v *visit) paths() []string {
	var out []string
	for _, p := range slices.Concat(v.env.Paths, Routes(v.env.Known.Vendor)) {
		if p = strings.TrimPrefix(p, "/"); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// explore asks without a login. reply is the first refusal, else the last
// answer; described are paths that were described to a stranger.
func (v *visit) explore(ctx context.Context) (reply rtspclient.Reply, described []string, err error) {
	var c *rtspclient.Conn
	defer func() {
		if c != nil {
			_ = c.Close()
		}
	}()
	refusals := 0
	for _, p := range v.paths() {
		if c == nil {
			if c, err = v.connect(ctx); err != nil {
				if reply.Status != 0 {
					return reply, described, nil // it has answered, and has had enough
				}
				return reply, nil, err
			}
		}
		r, e := c.Describe(ctx, p, nil)
		if e != nil {
			_ = c.Close()
			c = nil
			switch {
			case ctx.Err() != nil || ringwall.CodeOf(e) == ringwall.Invalid && reply.Status == 0:
				return reply, described, e // garbage once is garbage for every path
			case reply.Status != 0:
				return reply, described, nil
			}
			err = e
			continue
		}
		err = nil
		switch {
		case r.Described():
			described = append(described, p)
			if v.offer.Tracks == nil {
				v.offer = rtspclient.ReadOffer(r.Body)
			}
			if len(described) >= maxPlays {
				return keep(reply, r), described, nil
			}
		case r.Status == 401:
			if reply.Status != 401 {
				v.path = p
			}
			if refusals++; refusals > maxOpen {
				return keep(reply, r), described, nil
			}
		}
		reply = keep(reply, r)
	}
	return reply, described, err
}

// keep returns the answer worth more: a refusal before all else.
func keep(old, r rtspclient.Reply) rtspclient.Reply {
	if old.Status == 401 || old.Described() && r.Status != 401 {
		return old
	}
	return r
}

// opened judges paths that are described to anybody: does one show a picture?
func (v *visit) opened(ctx context.Context, paths []string) {
	var last error
	for _, p := range paths {
		view, err := v.play(ctx, p, nil)
		if err != nil {
			last = err
			if ctx.Err() != nil || v.vain > maxVain {
				break
			}
			continue
		}
		v.kind = "camera"
		v.add(ringwall.Finding{
			Indicator: "AP-04", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: v.name() + " shows its video to anybody",
			Evidence: []string{fmt.Sprintf("DESCRIBE of %q without a login: 200", "/"+p), proof(view.Picture)},
			Facts:    map[string]string{"port": fmt.Sprint(v.s.Port), "path": "/" + p},
		})
		return
	}
	// Described, but not shown: perhaps a decoy, perhaps a codec we cannot read.
	// Either way nothing is proven.
	f := ringwall.Finding{
		Indicator: "AP-04", Confidence: ringwall.Observed, Title: v.name() + " describes a stream to anybody, but no picture came",
		Evidence: []string{fmt.Sprintf("DESCRIBE of %q without a login: 200", "/"+paths[0])},
	}
	if last != nil {
		f.Evidence = append(f.Evidence, last.Error())
	}
	v.add(f)
}

func proof(p rtspclient.Picture) string {
	return fmt.Sprintf("a whole %s picture of %d by %d came (%d slices, %d bytes)", p.Codec, p.Width, p.Height, p.Slices, p.Bytes)
}

// scheme judges how a password is asked for.
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
	case v.tls && (basic || md5 || sha):
		f.Outcome, f.Title = ringwall.Pass, v.name()+" asks for the password inside TLS"
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
	c, err := v.connect(ctx)
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
		if o, passed := judge(r); !passed {
			return o, ""
		}
		return v.prove(ctx, r, cred)
	}
	r := credential.Check(ctx, v.env, credential.Service{
		Name: v.name(), Key: assess.ServiceKey(v.s.Name, v.s.Port), Realm: assess.CameraAccounts, Many: v.many, Stranger: v.stranger,
	}, login)
	v.findings = append(v.findings, r.Findings()...)
}

// stranger asks for the description without a login.
func (v *visit) stranger(ctx context.Context) credential.Outcome {
	c, err := v.connect(ctx)
	if err != nil {
		return failed(err)
	}
	defer func() { _ = c.Close() }()
	r, err := c.Describe(ctx, v.path, nil)
	switch {
	case err != nil:
		return failed(err)
	case r.Status == 401:
		return credential.Refused
	case r.Described():
		return credential.Accepted
	}
	return credential.Unclear
}

// many presents credentials in a pipeline.
func (v *visit) many(ctx context.Context, pairs []credential.Pair, seen func(int, credential.Outcome) bool) {
	creds := make([]rtspclient.Credential, len(pairs))
	for i, p := range pairs {
		creds[i] = rtspclient.Credential{User: p.User, Password: p.Password()}
	}
	g := rtspclient.Guesser{Dial: v.env.Net.DialContext, Address: v.address, Path: v.path, TLS: v.tls}
	err := g.Run(ctx, creds, func(n int, r rtspclient.Reply) bool {
		o, passed := judge(r)
		if passed {
			o = credential.Accepted
		}
		return seen(n, o)
	})
	if err != nil {
		v.env.Say("rtsp: %v", err)
	}
}

// judge says what the answer to a presented credential means. passed: the login
// was right, or is not looked at; only a picture tells.
func judge(r rtspclient.Reply) (o credential.Outcome, passed bool) {
	reason := strings.ToLower(r.Reason + " " + string(r.Body[:min(len(r.Body), 200)]))
	switch {
	case r.Described():
		return 0, true
	case r.Status == 429, r.Status == 453, r.Status == 503, strings.Contains(reason, "lock"), strings.Contains(reason, "too many"), r.Get("retry-after") != "":
		return credential.Locked, false
	case r.Status == 401, r.Status == 403:
		return credential.Refused, false
	case r.Status == 404, r.Status == 454:
		return 0, true
	}
	return credential.Unclear, false
}

// prove shows a picture with a credential that was let past the login. Other
// paths cost no try when it was right.
func (v *visit) prove(ctx context.Context, r rtspclient.Reply, cred rtspclient.Credential) (credential.Outcome, string) {
	if r.Described() {
		if view, err := v.play(ctx, v.path, &cred); err == nil {
			v.take(r)
			return credential.Accepted, proof(view.Picture)
		}
	}
	c, err := v.connect(ctx)
	if err != nil {
		return credential.Hollow, ""
	}
	defer func() { _ = c.Close() }()
	plays := 0
	for _, p := range v.paths() {
		if p == v.path || plays >= maxPlays || v.vain > maxVain || slices.Contains(v.open, p) {
			continue
		}
		r, err := c.Describe(ctx, p, &cred)
		if err != nil || r.Status == 401 {
			break // a refusal would be one more wrong password each time
		}
		if !r.Described() {
			continue
		}
		plays++
		if view, err := v.play(ctx, p, &cred); err == nil {
			v.path = p
			v.take(r)
			return credential.Accepted, proof(view.Picture)
		}
	}
	return credential.Hollow, ""
}

func (v *visit) take(r rtspclient.Reply) {
	if v.offer.Tracks == nil {
		v.offer = rtspclient.ReadOffer(r.Body)
	}
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
