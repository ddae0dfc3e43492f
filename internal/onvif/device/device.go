// Package device is the reference camera's ONVIF side: the device and media
// services as an http.Handler, and a WS-Discovery responder. The range runs it
// as its good and its bad camera; tests run it as the peer of the client.
//
// It authenticates as ONVIF Core section 5.9 says: a WS-UsernameToken digest
// whose time is within TokenLife of the device's clock and whose nonce was not
// seen before, or HTTP digest (SHA-256 and MD5 challenges). What an operation
// needs is its access class (Core table 6): PRE_AUTH operations answer anybody,
// all others refuse with ter:NotAuthorized. Config.PreAuthOpen is the fault of
// a bad camera: every operation answers anybody.
//
// Refused logins and changed passwords are kept in a small journal, which
// GetSystemLog gives to administrators.
//
// Users is shared with the RTSP and HTTP sides of the same camera, so that a
// password changed by SetUser is changed everywhere at once.
//
// The handler may be called concurrently and owns no goroutine; Respond runs
// in the caller's.
package device

import (
	"encoding/xml"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/internal/digest"
	"github.com/ringwall/ringwall/internal/onvif"
)

// Config describes one camera. Zero values are good but for Users and Now.
type Config struct {
	Users    *Users
	Model    string
	Vendor   string
	Firmware string
	Serial   string
	// Name and Location appear in the scopes.
	Name, Location string
	// RTSPPort and RTSPPath are where GetStreamUri points.
	RTSPPort uint16
	RTSPPath string
	// Width and Height are those of the one media profile.
	Width, Height int
	// Protocols is what GetNetworkProtocols lists, name to port.
	Protocols map[string]int
	// Now is the device's clock.
	Now func() time.Time
	// PreAuthOpen makes every operation answer anybody: a bad camera.
	PreAuthOpen bool
	// Replayable, TextPasswords and OldTokens are further faults: a token is taken
	// twice, a password as text, a token of any age.
	Replayable, TextPasswords, OldTokens bool
	// SnapshotPath is where GetSnapshotUri points; "" means that there are no
	// stills.
	SnapshotPath string
	// Media2 serves the media service of ONVIF 2 as well.
	Media2 bool
}

// access is the class of an operation: who may ask it (Core section 5.9.4).
type access uint8

const (
	preAuth access = iota
	readSystem
	readSystemSecret
	writeSystem
	readMedia
)

// levels that may use a class, per the default access policy of Core table 6.
func (a access) allows(level string) bool {
	switch a {
	case preAuth:
		return true
	case readSystem, readMedia:
		return level == "Administrator" || level == "Operator" || level == "User"
	case readSystemSecret, writeSystem:
		return level == "Administrator"
	}
	return false
}

type operation struct {
	access access
	answer func(*handler, *http.Request, onvif.Message) (any, error)
}

type handler struct {
	cfg    Config
	ops    map[xml.Name]operation
	replay *replay
	log    *journal
	sha    *digest.Verifier
	md5    *digest.Verifier
}

// New returns the device and media services of one camera. They answer on any
// path; mount them on /onvif/.
func New(cfg Config) http.Handler {
	if cfg.RTSPPath == "" {
		cfg.RTSPPath = "/stream"
	}
	h := &handler{
		cfg: cfg, ops: operations(), replay: newReplay(cfg.Now), log: newJournal(cfg.Now),
		sha: digest.NewVerifier("onvif", "SHA-256", cfg.Now), md5: digest.NewVerifier("onvif", "MD5", cfg.Now),
	}
	return h
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "SOAP is asked by POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := onvif.ReadBody(http.MaxBytesReader(w, r.Body, onvif.MaxBody))
	if err != nil {
		h.fault(w, http.StatusRequestEntityTooLarge, "Sender", "message is too long")
		return
	}
	m, err := onvif.ParseMessage(body)
	if err != nil {
		h.fault(w, http.StatusBadRequest, "Sender", "message is not well formed", "WellFormed")
		return
	}
	op, ok := h.ops[m.Operation]
	if !ok || m.Operation.Space == onvif.NSMedia2 && !h.cfg.Media2 {
		h.fault(w, http.StatusInternalServerError, "Receiver", "optional action not implemented", "ActionNotSupported")
		return
	}
	if !h.cfg.PreAuthOpen && op.access != preAuth {
		level, stale := h.authenticate(r, m)
		if !op.access.allows(level) {
			if m.Token != nil || r.Header.Get("Authorization") != "" {
				h.log.note("%s was refused to %s", m.Operation.Local, r.RemoteAddr)
			}
			h.refuse(w, level == "" && m.Token == nil, stale)
			return
		}
	}
	answer, err := op.answer(h, r, m)
	if err != nil {
		h.fault(w, http.StatusBadRequest, "Sender", err.Error(), "InvalidArgVal")
		return
	}
	out, err := onvif.Envelope(answer, nil)
	if err != nil {
		h.fault(w, http.StatusInternalServerError, "Receiver", "the answer cannot be written")
		return
	}
	w.Header().Set("Content-Type", "application/soap+xml; charset=utf-8")
	_, _ = w.Write(out) // the client may be gone
}

// authenticate returns the level of the user that the request proves, "" for
// nobody.
func (h *handler) authenticate(r *http.Request, m onvif.Message) (level string, stale bool) {
	if m.Token != nil {
		u, ok := h.cfg.Users.Lookup(m.Token.Username)
		text, right := m.Token.Text(u.Password)
		switch {
		case !ok, text && !(right && h.cfg.TextPasswords), !text && !m.Token.Proves(u.Password):
			return "", false
		case !text && !h.fresh(m.Token):
			return "", false
		}
		return u.Level, false
	}
	header := r.Header.Get("Authorization")
	for _, v := range []*digest.Verifier{h.sha, h.md5} {
		name, ok, old := v.Verify(header, r.Method, h.cfg.Users.Password)
		stale = stale || old
		if ok {
			u, _ := h.cfg.Users.Lookup(name)
			return u.Level, false
		}
	}
	return "", stale
}

// fresh reports whether a token that proves its password may be used now.
func (h *handler) fresh(t *onvif.UsernameToken) bool {
	if !h.cfg.OldTokens && !h.replay.inTime(t) {
		return false
	}
	return h.cfg.Replayable || h.replay.first(t)
}

// refuse says no. A client that sent no token at all is offered HTTP digest.
func (h *handler) refuse(w http.ResponseWriter, offer, stale bool) {
	if offer {
		w.Header().Add("WWW-Authenticate", h.sha.Challenge(stale))
		w.Header().Add("WWW-Authenticate", h.md5.Challenge(stale))
		h.fault(w, http.StatusUnauthorized, "Sender", "sender not authorized", "NotAuthorized")
		return
	}
	h.fault(w, http.StatusBadRequest, "Sender", "sender not authorized", "NotAuthorized")
}

func (h *handler) fault(w http.ResponseWriter, status int, code, reason string, subcode ...string) {
	w.Header().Set("Content-Type", "application/soap+xml; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(onvif.FaultEnvelope(code, reason, subcode...)) // the client may be gone
}

// scopes describes the camera as WS-Discovery and GetScopes tell it.
func (c Config) scopes() []string {
	esc := func(s string) string { return strings.ReplaceAll(url.PathEscape(s), "/", "%2F") }
	s := []string{
		"onvif://www.onvif.org/type/video_encoder", "onvif://www.onvif.org/Profile/Streaming",
		"onvif://www.onvif.org/hardware/" + esc(c.Model), "onvif://www.onvif.org/name/" + esc(cmpOr(c.Name, c.Vendor+" "+c.Model)),
	}
	if c.Location != "" {
		s = append(s, "onvif://www.onvif.org/location/"+esc(c.Location))
	}
	return s
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return strings.TrimSpace(b)
}

// operations is the table of what the camera can do.
func operations() map[xml.Name]operation {
	dev := func(n string) xml.Name { return xml.Name{Space: onvif.NSDevice, Local: n} }
	med := func(n string) xml.Name { return xml.Name{Space: onvif.NSMedia, Local: n} }
	med2 := func(n string) xml.Name { return xml.Name{Space: onvif.NSMedia2, Local: n} }
	return map[xml.Name]operation{
		dev("GetSystemDateAndTime"): {preAuth, (*handler).systemTime},
		dev("GetServices"):          {preAuth, (*handler).services},
		dev("GetCapabilities"):      {preAuth, (*handler).capabilities},
		dev("GetDeviceInformation"): {readSystem, (*handler).information},
		dev("GetScopes"):            {readSystem, (*handler).scopes},
		dev("GetNetworkProtocols"):  {readSystem, (*handler).protocols},
		dev("GetUsers"):             {readSystemSecret, (*handler).users},
		dev("GetSystemLog"):         {readSystemSecret, (*handler).accessLog},
		dev("SetUser"):              {writeSystem, (*handler).setUser},
		med("GetProfiles"):          {readMedia, (*handler).profiles},
		med("GetStreamUri"):         {readMedia, (*handler).streamURI},
		med("GetSnapshotUri"):       {readMedia, (*handler).snapshotURI},
		med2("GetProfiles"):         {readMedia, (*handler).profiles2},
		med2("GetStreamUri"):        {readMedia, (*handler).uri2},
		med2("GetSnapshotUri"):      {readMedia, (*handler).uri2},
	}
}

func (h *handler) systemTime(*http.Request, onvif.Message) (any, error) {
	now := h.cfg.Now().UTC()
	var r onvif.SystemDateAndTimeResponse
	r.System.Type = "NTP"
	r.System.UTC.Date.Year, r.System.UTC.Date.Month, r.System.UTC.Date.Day = now.Year(), int(now.Month()), now.Day()
	r.System.UTC.Time.Hour, r.System.UTC.Time.Minute, r.System.UTC.Time.Second = now.Hour(), now.Minute(), now.Second()
	return r, nil
}

// base is the service address as this client reached us.
func base(r *http.Request) string { return "http://" + r.Host }

func (h *handler) services(r *http.Request, _ onvif.Message) (any, error) {
	d := onvif.Service{Namespace: onvif.NSDevice, Address: base(r) + "/onvif/device_service"}
	m := onvif.Service{Namespace: onvif.NSMedia, Address: base(r) + "/onvif/media_service"}
	d.Version.Major, d.Version.Minor = 23, 6
	m.Version.Major, m.Version.Minor = 21, 12
	out := []onvif.Service{d, m}
	if h.cfg.Media2 {
		out = append(out, onvif.Service{Namespace: onvif.NSMedia2, Address: base(r) + "/onvif/media2_service"})
	}
	return onvif.ServicesResponse{Services: out}, nil
}

func (h *handler) capabilities(r *http.Request, _ onvif.Message) (any, error) {
	var c onvif.CapabilitiesResponse
	c.Capabilities.Device = &onvif.Endpoint{Address: base(r) + "/onvif/device_service"}
	c.Capabilities.Media = &onvif.Endpoint{Address: base(r) + "/onvif/media_service"}
	return c, nil
}

func (h *handler) information(*http.Request, onvif.Message) (any, error) {
	return onvif.DeviceInformation{
		Manufacturer: h.cfg.Vendor, Model: h.cfg.Model, FirmwareVersion: h.cfg.Firmware, SerialNumber: h.cfg.Serial, HardwareID: "1",
	}, nil
}

func (h *handler) scopes(*http.Request, onvif.Message) (any, error) {
	var r onvif.ScopesResponse
	for _, s := range h.cfg.scopes() {
		r.Scopes = append(r.Scopes, onvif.Scope{Def: "Fixed", Item: s})
	}
	return r, nil
}

func (h *handler) protocols(*http.Request, onvif.Message) (any, error) {
	var r onvif.NetworkProtocolsResponse
	for name, port := range h.cfg.Protocols {
		r.Protocols = append(r.Protocols, onvif.NetworkProtocol{Name: name, Enabled: true, Port: []int{port}})
	}
	slices.SortFunc(r.Protocols, func(a, b onvif.NetworkProtocol) int { return strings.Compare(a.Name, b.Name) })
	return r, nil
}

func (h *handler) users(*http.Request, onvif.Message) (any, error) {
	return onvif.UsersResponse{Users: h.cfg.Users.List()}, nil
}

func (h *handler) setUser(_ *http.Request, m onvif.Message) (any, error) {
	var req onvif.SetUserRequest
	if err := m.Decode(&req); err != nil {
		return nil, err
	}
	for _, u := range req.Users {
		if _, ok := h.cfg.Users.Lookup(u.Username); !ok {
			return nil, fmt.Errorf("there is no such user")
		}
	}
	for _, u := range req.Users {
		h.cfg.Users.Set(u)
		h.log.note("the password of user %q was set", u.Username)
	}
	return onvif.Empty{XMLName: xml.Name{Space: onvif.NSDevice, Local: "SetUserResponse"}}, nil
}

func (h *handler) accessLog(*http.Request, onvif.Message) (any, error) {
	var r onvif.SystemLogResponse
	r.Log.Text = h.log.text()
	return r, nil
}

// profileToken names the one media profile.
const profileToken = "main"

func (h *handler) profiles(*http.Request, onvif.Message) (any, error) {
	p := onvif.Profile{Token: profileToken, Fixed: true, Name: "main"}
	p.Video.Encoding = "H264"
	p.Video.Resolution.Width, p.Video.Resolution.Height = h.cfg.Width, h.cfg.Height
	return onvif.ProfilesResponse{Profiles: []onvif.Profile{p}}, nil
}

func (h *handler) streamURI(r *http.Request, m onvif.Message) (any, error) {
	var req onvif.StreamURIRequest
	if err := m.Decode(&req); err != nil {
		return nil, err
	}
	if strings.TrimSpace(req.Profile) != profileToken {
		return nil, fmt.Errorf("there is no such profile")
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	var a onvif.StreamURIResponse
	a.Media.URI = fmt.Sprintf("rtsp://%s%s", net.JoinHostPort(host, fmt.Sprint(h.cfg.RTSPPort)), h.cfg.RTSPPath)
	return a, nil
}
