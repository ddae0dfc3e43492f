// Package onvif probes a camera's ONVIF services: what they tell and do for
// strangers (AP-05), whether a known default credential may make a privileged
// call (AP-01), and that they are spoken in the clear (CO-07).
//
// Nothing is ever changed: the privileged call that proves a credential is
// GetUsers, and the one changing operation that is asked, SetUser, names nobody.
// With a proven credential it asks on: are there anonymous users (AP-05), is a
// token taken twice, late, or with the password as text (AP-06), is there a log
// (DA-07). What the device says of itself (make, model, firmware) goes to the
// assessment. Standards: ONVIF Core Specification section 5.9 and its table of
// access classes, WS-Security UsernameToken Profile 1.1 section 3.1 (nonces and
// their age); see package onvif for the bounds.
package onvif

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	onvifclient "github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/probe/credential"
)

// Probe is the ONVIF probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "onvif", Title: "ONVIF: what strangers may ask, and default credentials",
		Sends:      "the reading operations of the device and media services and a SetUser for nobody, without a login and with a few known credentials within the budget; with one that fits, three tokens that should be refused",
		Indicators: []string{"AP-01", "AP-02", "AP-03", "AP-05", "AP-06", "AP-10", "CO-07", "CO-09", "DA-06", "DA-07"}, Needs: []string{"http", "https", "onvif"}, Intrusion: assess.LogsIn,
		Tries: 7, Within: 60 * time.Second,
	}
}

// maxServices bounds how many HTTP ports of one device are asked.
const maxServices = 6

// Run probes the first port that speaks ONVIF.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	services := env.Named("onvif", "http", "https")
	for _, s := range services[:min(len(services), maxServices)] {
		v := visit{env: env, t: t, s: s}
		if !v.speaks(ctx) {
			continue
		}
		v.strangers(ctx)
		v.credentials(ctx)
		v.plain()
		v.answer.Findings = append(v.answer.Findings, v.findings...)
		v.answer.Services = []api.Service{{Proto: s.Proto, Port: s.Port, Info: strings.TrimSpace(s.Info + " (ONVIF)")}}
		v.answer.Known.Type = "camera"
		return v.answer, nil
	}
	return a, nil
}

type visit struct {
	env      *assess.Env
	t        assess.Target
	s        api.Service
	media    string // path of the media service
	media2   string // path of that of ONVIF 2, "" for none
	skew     time.Duration
	decoy    bool // it answers what does not exist
	answer   assess.Answer
	findings []ringwall.Finding
}

func (v *visit) name() string { return fmt.Sprintf("ONVIF on port %d", v.s.Port) }

func (v *visit) client(user, password string) *onvifclient.Client {
	return onvifclient.New(onvifclient.Config{
		Address: v.t.AddrPort(v.s.Port), Dial: v.env.Net.DialContext, Username: user, Password: password, Now: v.env.Now, TLS: v.s.Name == "https",
	})
}

// speaks reports whether ONVIF answers on the port: a SOAP answer to a PRE_AUTH
// operation, be it a fault.
func (v *visit) speaks(ctx context.Context) bool {
	c := v.client("", "")
	defer c.Close()
	if at, err := c.SystemTime(ctx); err == nil {
		v.skew = at.Sub(v.env.Now())
		return true
	} else if f, ok := errors.AsType[*onvifclient.Fault](err); ok {
		// An HTTP 401 for every path is no ONVIF; a fault in SOAP is.
		return f.Reason != "HTTP 401" && !strings.HasPrefix(f.Reason, "403") && !strings.HasPrefix(f.Reason, "429")
	}
	return false
}

// strangers asks without a login what only users may ask.
func (v *visit) strangers(ctx context.Context) {
	c := v.client("", "")
	defer c.Close()
	if services, err := c.Services(ctx); err == nil {
		v.media, v.media2 = services[onvifclient.NSMedia], services[onvifclient.NSMedia2]
	}
	if v.media == "" {
		v.media = "/onvif/media_service"
	}
	nonsense := c.Nonsense(ctx)
	if nonsense == nil {
		v.decoy = true
		v.findings = append(v.findings, ringwall.Finding{
			Indicator: "AP-05", Confidence: ringwall.Observed, Title: v.name() + " answers whatever it is asked, so its answers say nothing",
			Evidence: []string{"negative control: an operation that does not exist was answered"},
		})
		return
	}
	var secret, told, refused []string
	note := func(list *[]string, err error, what string) bool {
		if err == nil {
			*list = append(*list, what+" was answered without a login")
			return true
		}
		if f, ok := errors.AsType[*onvifclient.Fault](err); ok && f.NotAuthorized() {
			refused = append(refused, what+" was refused without a login")
		}
		return false
	}
	users, err := c.Users(ctx)
	if err == nil && len(users) == 0 {
		err = errors.New("an empty list proves nothing")
	}
	if note(&secret, err, "GetUsers") {
		secret[len(secret)-1] += fmt.Sprintf(" (%d accounts)", len(users))
	}
	info, err := c.Information(ctx)
	if err == nil && info.Model == "" && info.Manufacturer == "" {
		err = errors.New("an empty answer proves nothing")
	}
	if note(&told, err, "GetDeviceInformation") {
		v.identity(info)
		v.disclosed(info)
	}
	np, err := c.NetworkProtocols(ctx)
	if err == nil && len(np) == 0 {
		err = errors.New("an empty list proves nothing")
	}
	note(&told, err, "GetNetworkProtocols")
	if note(&secret, v.streams(ctx, c), "GetStreamUri") {
		secret[len(secret)-1] += ", which tells where the video is"
	}
	_, err = c.AccessLog(ctx)
	v.logs(nonsense, err)
	if note(&secret, err, "GetSystemLog") {
		secret[len(secret)-1] += ", which tells who was here"
	}
	for _, op := range moreOperations {
		filled, err := c.Ask(ctx, op.name)
		if err == nil && !filled {
			err = errors.New("an empty answer proves nothing")
		}
		list := &told
		if op.secret {
			list = &secret
		}
		note(list, err, op.name)
	}
	v.changing(ctx, c, nonsense, &secret)
	v.profiles(ctx, c)
	v.findings = append(v.findings, v.open(secret, told, refused))
}

// logs answers whether a log is offered (DA-07): the camera knows GetSystemLog,
// since it says of it "not authorised" and of nonsense "not supported".
func (v *visit) logs(nonsense, err error) {
	unknown, ok := errors.AsType[*onvifclient.Fault](nonsense)
	if !ok || !unknown.Unsupported() {
		return // it says the same of everything
	}
	f := ringwall.Finding{Indicator: "DA-07", Confidence: ringwall.Observed}
	refusal, ok := errors.AsType[*onvifclient.Fault](err)
	switch {
	case err == nil || ok && refusal.NotAuthorized():
		f.Outcome, f.Title = ringwall.Pass, v.name()+" offers a log of accesses"
		f.Evidence = []string{"GetSystemLog is known to it; what the log holds was not looked at"}
		if off := v.skew.Abs(); off > clockError {
			f.Outcome, f.Title = ringwall.Partial, v.name()+" offers a log of accesses, but its clock is wrong"
			f.Evidence = append(f.Evidence, fmt.Sprintf("its clock is %v off ours: the log's times cannot be compared", off.Round(time.Minute)))
		}
	case ok && refusal.Unsupported():
		f.Outcome, f.Title = ringwall.Fail, v.name()+" offers no log of accesses"
	default:
		return
	}
	v.findings = append(v.findings, f)
}

func (v *visit) open(secret, told, refused []string) ringwall.Finding {
	f := ringwall.Finding{Indicator: "AP-05", Confidence: ringwall.Confirmed, Evidence: slices.Concat(secret, told, refused)}
	switch {
	case len(secret) > 0:
		f.Outcome, f.Title = ringwall.Fail, v.name()+" does for anybody what only users may ask"
	case len(told) > 0:
		f.Outcome, f.Title = ringwall.Partial, v.name()+" tells strangers more than it must"
	case len(refused) > 0:
		f.Outcome, f.Title = ringwall.Pass, v.name()+" refuses strangers what only users may ask"
	default:
		f.Confidence, f.Title = ringwall.Observed, v.name()+": its answers to strangers were not understood"
	}
	return f
}

// streams asks for the address of each profile's stream and keeps the paths.
func (v *visit) streams(ctx context.Context, c *onvifclient.Client) error {
	ps, err := c.Profiles(ctx, v.media)
	if err == nil {
		err = errors.New("there is no profile")
	}
	for _, p := range ps {
		u, e := c.StreamURI(ctx, v.media, p.Token)
		if e == nil {
			v.path(&v.answer.Paths, u)
			err = nil
		}
		if u, e := c.SnapshotURI(ctx, v.media, p.Token); e == nil {
			v.path(&v.answer.Stills, u)
		}
	}
	if v.media2 == "" {
		return err
	}
	ps2, e := c.Profiles2(ctx, v.media2)
	if e != nil {
		return err
	}
	for _, p := range ps2 {
		if u, e := c.StreamURI2(ctx, v.media2, p.Token); e == nil {
			v.path(&v.answer.Paths, u)
			err = nil
		}
		if u, e := c.SnapshotURI2(ctx, v.media2, p.Token); e == nil {
			v.path(&v.answer.Stills, u)
		}
	}
	return err
}

// path keeps the path of an address that the camera gave; its host is not
// believed.
func (v *visit) path(list *[]string, u *url.URL) {
	p := strings.TrimPrefix(u.EscapedPath(), "/")
	if u.RawQuery != "" {
		p += "?" + u.RawQuery
	}
	if len(p) <= 200 && !strings.ContainsAny(p, " \r\n") && !slices.Contains(*list, p) {
		*list = append(*list, p)
	}
}

func (v *visit) identity(i onvifclient.DeviceInformation) {
	clip := func(s string) string {
		s = strings.TrimSpace(s)
		return s[:min(len(s), 80)]
	}
	v.answer.Known.Vendor, v.answer.Known.Model, v.answer.Known.Firmware = clip(i.Manufacturer), clip(i.Model), clip(i.FirmwareVersion)
}

// disclosed answers what GetDeviceInformation gives away to strangers.
func (v *visit) disclosed(i onvifclient.DeviceInformation) {
	f := ringwall.Finding{
		Indicator: "CO-09", Outcome: ringwall.Partial, Confidence: ringwall.Confirmed,
		Title: v.name() + " tells strangers make, model and firmware",
	}
	if strings.TrimSpace(i.SerialNumber) != "" {
		f.Outcome, f.Title = ringwall.Fail, v.name()+" tells strangers the serial number and firmware version"
	}
	v.findings = append(v.findings, f)
}

func outcome(err error) credential.Outcome {
	if f, ok := errors.AsType[*onvifclient.Fault](err); ok {
		switch {
		case f.Locked() || strings.HasPrefix(f.Reason, "429"):
			return credential.Locked
		case f.NotAuthorized():
			return credential.Refused
		}
		return credential.Unclear
	}
	var ne net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNREFUSED):
		return credential.Dropped
	case errors.As(err, &ne) && ne.Timeout():
		return credential.Dropped
	}
	return credential.Unclear
}

// plain says that the service is managed without TLS.
func (v *visit) plain() {
	if v.s.Name == "https" {
		v.findings = append(v.findings, ringwall.Finding{
			Indicator: "CO-07", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: v.name() + " is spoken inside TLS",
		})
		return
	}
	v.findings = append(v.findings, ringwall.Finding{
		Indicator: "CO-07", Outcome: ringwall.Partial, Confidence: ringwall.Observed,
		Title:    v.name() + " is spoken in the clear: passwords are digested, settings are not hidden",
		Evidence: []string{"SOAP over HTTP without TLS"},
	})
}
