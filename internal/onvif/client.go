package onvif

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/digest"
)

// callTimeout bounds one request. Cheap cameras take up to two seconds for a
// digest answer; a tarpit is given no more than this.
const callTimeout = 5 * time.Second

// Config says which camera is asked, and how. Zero values are good but for
// Address and Dial.
type Config struct {
	// Address is the host and port of the camera's HTTP server.
	Address string
	// Path is that of the device service; "" means /onvif/device_service.
	Path string
	// TLS asks over HTTPS. The certificate is not looked at: other probes judge it.
	TLS bool
	// Dial opens connections; the probe's network decides where they go.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Username and Password are sent as a WS-UsernameToken digest, and as HTTP
	// digest when the camera asks for it. No Username: nothing is sent.
	Username, Password string
	// Now is the clock of the token.
	Now func() time.Time
}

// Client asks one camera. It is for one goroutine at a time. Close frees its
// connections.
type Client struct {
	cfg    Config
	http   *http.Client
	tr     *http.Transport
	offset time.Duration // the camera's clock minus ours

	// Saw tells what the last answers revealed; probes read it.
	Saw struct {
		HTTPStatus int
		Challenges []digest.Challenge // of the last 401
		Server     string
	}
}

// New returns a Client. Nothing is sent.
func New(cfg Config) *Client {
	if cfg.Path == "" {
		cfg.Path = "/onvif/device_service"
	}
	tr := &http.Transport{
		DialContext:            cfg.Dial,
		Proxy:                  nil, // never a proxy: the target is what was named
		MaxIdleConns:           1,
		MaxResponseHeaderBytes: 32 << 10,
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10},
		DisableCompression:     true, // a compressed body is a second bomb
		ResponseHeaderTimeout:  callTimeout,
	}
	return &Client{cfg: cfg, tr: tr, http: &http.Client{
		Transport: tr,
		Timeout:   callTimeout,
		// A camera that redirects would take the credential elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (c *Client) scheme() string {
	if c.cfg.TLS {
		return "https"
	}
	return "http"
}

// Close frees idle connections.
func (c *Client) Close() { c.tr.CloseIdleConnections() }

// call asks one operation and decodes its answer. A *Fault comes back as such;
// an HTTP refusal is a *Fault with subcode NotAuthorized as well.
func (c *Client) call(ctx context.Context, path string, request, response any) error {
	m, err := c.send(ctx, path, request, "")
	if err != nil {
		return err
	}
	if f := m.Fault(); f != nil {
		return f
	}
	return m.Decode(response)
}

func (c *Client) send(ctx context.Context, path string, request any, authorization string) (Message, error) {
	var token *UsernameToken
	if c.cfg.Username != "" {
		token = NewToken(c.cfg.Username, c.cfg.Password, c.cfg.Now().Add(c.offset))
	}
	return c.sendWith(ctx, path, request, token, authorization)
}

// Time returns the camera's time as SystemTime last saw it.
func (c *Client) Time() time.Time { return c.cfg.Now().Add(c.offset) }

func (c *Client) sendWith(ctx context.Context, path string, request any, token *UsernameToken, authorization string) (Message, error) {
	body, err := Envelope(request, token)
	if err != nil {
		return Message{}, err
	}
	u := url.URL{Scheme: c.scheme(), Host: c.cfg.Address, Path: path}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return Message{}, ringwall.Errorf(ringwall.Invalid, "asking %s: %w", c.cfg.Address, err)
	}
	req.Header.Set("Content-Type", "application/soap+xml; charset=utf-8")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Message{}, ringwall.Errorf(ringwall.Unavailable, "asking %s: %w", c.cfg.Address, err)
	}
	defer resp.Body.Close()
	c.Saw.HTTPStatus = resp.StatusCode
	c.Saw.Server = shorten(resp.Header.Get("Server"), 80)
	b, err := ReadBody(resp.Body)
	if err != nil {
		return Message{}, fmt.Errorf("reading the answer of %s: %w", c.cfg.Address, err)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return c.challenged(ctx, path, request, resp.Header.Values("WWW-Authenticate"), b, authorization != "")
	}
	m, err := ParseMessage(b)
	switch {
	case err == nil:
		return m, nil
	case resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusTooManyRequests:
		return Message{}, &Fault{Code: "Sender", Subcode: []string{"NotAuthorized"}, Reason: resp.Status}
	case resp.StatusCode >= 400:
		return Message{}, ringwall.Errorf(ringwall.NotFound, "%s answered HTTP %d, not SOAP", c.cfg.Address, resp.StatusCode)
	}
	return Message{}, fmt.Errorf("reading the answer of %s: %w", c.cfg.Address, err)
}

// challenged handles a 401: answer the digest challenge once, if we may.
func (c *Client) challenged(ctx context.Context, path string, request any, headers []string, body []byte, again bool) (Message, error) {
	cs, err := digest.ParseChallenges(headers)
	if err != nil {
		return Message{}, err
	}
	c.Saw.Challenges = cs
	best, ok := digest.Best(cs)
	// Basic would send the password in the clear: never done for a probe.
	if again || c.cfg.Username == "" || !ok || best.Scheme != "digest" {
		if m, err := ParseMessage(body); err == nil && m.Fault() != nil {
			f := m.Fault()
			if !f.NotAuthorized() {
				f.Subcode = append(f.Subcode, "NotAuthorized")
			}
			return Message{}, f
		}
		return Message{}, &Fault{Code: "Sender", Subcode: []string{"NotAuthorized"}, Reason: "HTTP 401"}
	}
	h, err := best.Answer(http.MethodPost, path, c.cfg.Username, c.cfg.Password, 1)
	if err != nil {
		return Message{}, err
	}
	return c.send(ctx, path, request, h)
}

// SystemTime asks the camera's clock (a PRE_AUTH operation) and corrects the
// tokens that follow by it.
func (c *Client) SystemTime(ctx context.Context) (time.Time, error) {
	user := c.cfg.Username
	c.cfg.Username = "" // must work without, and a wrong clock would spoil a try
	defer func() { c.cfg.Username = user }()
	var r SystemDateAndTimeResponse
	if err := c.call(ctx, c.cfg.Path, DeviceRequest("GetSystemDateAndTime"), &r); err != nil {
		return time.Time{}, err
	}
	d, t := r.System.UTC.Date, r.System.UTC.Time
	if d.Year < 1970 || d.Year > 9999 {
		return time.Time{}, ringwall.Errorf(ringwall.Invalid, "the camera gives the year %d", d.Year)
	}
	at := time.Date(d.Year, time.Month(d.Month), d.Day, t.Hour, t.Minute, t.Second, 0, time.UTC)
	c.offset = at.Sub(c.cfg.Now())
	return at, nil
}

// Nonsense asks an operation that does not exist. An error is the only honest
// answer: a peer that answers it answers anything.
func (c *Client) Nonsense(ctx context.Context) error {
	m, err := c.send(ctx, c.cfg.Path, DeviceRequest("GetRingwallNonsense"), "")
	if err != nil {
		return err
	}
	if f := m.Fault(); f != nil {
		return f
	}
	return nil
}

// Information asks what the camera is (READ_SYSTEM).
func (c *Client) Information(ctx context.Context) (r DeviceInformation, err error) {
	return r, c.call(ctx, c.cfg.Path, DeviceRequest("GetDeviceInformation"), &r)
}

// Users asks for the accounts (READ_SYSTEM_SECRET): the privileged call that
// proves a credential.
func (c *Client) Users(ctx context.Context) ([]User, error) {
	var r UsersResponse
	err := c.call(ctx, c.cfg.Path, DeviceRequest("GetUsers"), &r)
	for i := range r.Users {
		r.Users[i].Password = "" // a camera that gives it back must not spread it
	}
	return r.Users, err
}

// SetPassword changes the password of one user (WRITE_SYSTEM).
func (c *Client) SetPassword(ctx context.Context, u User) error {
	var r Empty
	return c.call(ctx, c.cfg.Path, SetUserRequest{Users: []User{u}}, &r)
}

// Scopes asks for the camera's scopes (READ_SYSTEM).
func (c *Client) Scopes(ctx context.Context) ([]string, error) {
	var r ScopesResponse
	err := c.call(ctx, c.cfg.Path, DeviceRequest("GetScopes"), &r)
	var out []string
	for _, s := range r.Scopes {
		out = append(out, strings.TrimSpace(s.Item))
	}
	return out, err
}

// NetworkProtocols asks which protocols are on (READ_SYSTEM).
func (c *Client) NetworkProtocols(ctx context.Context) ([]NetworkProtocol, error) {
	var r NetworkProtocolsResponse
	err := c.call(ctx, c.cfg.Path, DeviceRequest("GetNetworkProtocols"), &r)
	return r.Protocols, err
}

// AccessLog asks for the log of accesses (READ_SYSTEM_SECRET).
func (c *Client) AccessLog(ctx context.Context) (string, error) {
	var r SystemLogResponse
	err := c.call(ctx, c.cfg.Path, SystemLogRequest{Type: "Access"}, &r)
	return r.Log.Text, err
}

// Services asks where the services are (PRE_AUTH); the paths are as given, the
// hosts are ignored: a camera behind translation names the wrong one, and a
// hostile one would name a third party.
func (c *Client) Services(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	var r ServicesResponse
	err := c.call(ctx, c.cfg.Path, DeviceRequest("GetServices"), &r)
	if err == nil {
		for _, s := range r.Services {
			out[strings.TrimSpace(s.Namespace)] = pathOf(s.Address)
		}
		return out, nil
	}
	if f, ok := errors.AsType[*Fault](err); ok && f.NotAuthorized() {
		return nil, err
	}
	var cr CapabilitiesResponse // ONVIF 1.x has no GetServices
	if err := c.call(ctx, c.cfg.Path, DeviceRequest("GetCapabilities"), &cr); err != nil {
		return nil, err
	}
	if e := cr.Capabilities.Device; e != nil {
		out[NSDevice] = pathOf(e.Address)
	}
	if e := cr.Capabilities.Media; e != nil {
		out[NSMedia] = pathOf(e.Address)
	}
	return out, nil
}

func pathOf(address string) string {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || !strings.HasPrefix(u.Path, "/") || len(u.Path) > 200 {
		return ""
	}
	return u.Path
}

// maxProfiles bounds how many profiles are looked at; real cameras have 2 to 8.
const maxProfiles = 16

// Profiles asks for the media profiles (READ_MEDIA); media is the path that
// Services gave.
func (c *Client) Profiles(ctx context.Context, media string) ([]Profile, error) {
	var r ProfilesResponse
	err := c.call(ctx, media, MediaRequest("GetProfiles"), &r)
	return r.Profiles[:min(len(r.Profiles), maxProfiles)], err
}

// StreamURI asks where a profile is streamed (READ_MEDIA).
func (c *Client) StreamURI(ctx context.Context, media, profile string) (*url.URL, error) {
	req := StreamURIRequest{Profile: profile}
	req.Setup.Stream = "RTP-Unicast"
	req.Setup.Transport.Protocol = "RTSP"
	var r StreamURIResponse
	if err := c.call(ctx, media, req, &r); err != nil {
		return nil, err
	}
	u, err := url.Parse(strings.TrimSpace(r.Media.URI))
	if err != nil || !slices.Contains([]string{"rtsp", "rtsps"}, u.Scheme) {
		return nil, ringwall.Errorf(ringwall.Invalid, "the camera gives a stream address that is not RTSP")
	}
	u.User = nil // some cameras put a password there
	return u, nil
}
