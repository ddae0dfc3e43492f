// Package onvif probes a camera's ONVIF services: what they tell and do for
// strangers (AP-05), whether a known default credential may make a privileged
// call (AP-01), and that they are spoken in the clear (CO-07).
//
// Nothing is ever changed: the privileged call that proves a credential is
// GetUsers. What the device says of itself (make, model, firmware) goes to the
// assessment. Standards: ONVIF Core Specification section 5.9 and its table of
// access classes; see package onvif for the bounds.
package onvif

import (
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
	onvifclient "github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/probe/credential"
)

// Probe is the ONVIF probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "onvif", Title: "ONVIF: what strangers may ask, and default credentials",
		Sends:      "the reading operations of the device and media services, without a login and with a few known credentials within the budget",
		Indicators: []string{"AP-01", "AP-02", "AP-03", "AP-05", "CO-07", "CO-09", "DA-07"}, Needs: []string{"http", "onvif"}, Intrusion: assess.LogsIn,
	}
}

// maxServices bounds how many HTTP ports of one device are asked.
const maxServices = 6

// Run probes the first port that speaks ONVIF.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	services := env.Named("onvif", "http")
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
	decoy    bool   // it answers what does not exist
	answer   assess.Answer
	findings []ringwall.Finding
}

func (v *visit) name() string { return fmt.Sprintf("ONVIF on port %d", v.s.Port) }

func (v *visit) client(user, password string) *onvifclient.Client {
	return onvifclient.New(onvifclient.Config{
		Address: v.t.AddrPort(v.s.Port), Dial: v.env.Net.DialContext, Username: user, Password: password, Now: v.env.Now,
	})
}

// speaks reports whether ONVIF answers on the port: a SOAP answer to a PRE_AUTH
// operation, be it a fault.
func (v *visit) speaks(ctx context.Context) bool {
	c := v.client("", "")
	defer c.Close()
	if _, err := c.SystemTime(ctx); err == nil {
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
		v.media = services[onvifclient.NSMedia]
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
	if err != nil {
		return err
	}
	err = errors.New("there is no profile")
	for _, p := range ps {
		u, e := c.StreamURI(ctx, v.media, p.Token)
		if e != nil {
			if err != nil {
				err = e
			}
			continue
		}
		path := strings.TrimPrefix(u.EscapedPath(), "/")
		if u.RawQuery != "" {
			path += "?" + u.RawQuery
		}
		if len(path) <= 200 && !strings.ContainsAny(path, " \r\n") {
			v.answer.Paths = append(v.answer.Paths, path)
		}
		err = nil
	}
	return err
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

// credentials tries known credentials, proven by GetUsers.
func (v *visit) credentials(ctx context.Context) {
	login := func(ctx context.Context, user, password string) (credential.Outcome, string) {
		c := v.client(user, password)
		defer c.Close()
		// The token must carry the camera's time, or a right password would be
		// refused as stale. A camera that hides its clock gets ours.
		_, _ = c.SystemTime(ctx)
		users, err := c.Users(ctx)
		if err != nil {
			return outcome(err), ""
		}
		if !slices.ContainsFunc(users, func(u onvifclient.User) bool { return u.Username == user }) {
			return credential.Hollow, ""
		}
		if i, err := c.Information(ctx); err == nil {
			v.identity(i)
		}
		_ = v.streams(ctx, c) // paths for the RTSP probe; none is no harm
		return credential.Accepted, fmt.Sprintf("the privileged call GetUsers listed %d accounts, this one among them", len(users))
	}
	if v.decoy {
		return
	}
	if v.usersOpen() {
		v.findings = append(v.findings, ringwall.Finding{
			Indicator: "AP-01", Confidence: ringwall.Observed, Title: v.name() + " asks nobody for a login, so no credential can be proven there",
		})
		return
	}
	r := credential.Check(ctx, v.env, credential.Service{
		Name: v.name(), Key: assess.ServiceKey("onvif", v.s.Port), Realm: assess.CameraAccounts,
	}, login)
	v.findings = append(v.findings, r.Findings()...)
}

// usersOpen reports whether GetUsers answered a stranger.
func (v *visit) usersOpen() bool {
	return slices.ContainsFunc(v.findings, func(f ringwall.Finding) bool {
		return f.Indicator == "AP-05" && slices.ContainsFunc(f.Evidence, func(e string) bool {
			return strings.HasPrefix(e, "GetUsers was answered")
		})
	})
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
	v.findings = append(v.findings, ringwall.Finding{
		Indicator: "CO-07", Outcome: ringwall.Partial, Confidence: ringwall.Observed,
		Title:    v.name() + " is spoken in the clear: passwords are digested, settings are not hidden",
		Evidence: []string{"SOAP over HTTP without TLS"},
	})
}
