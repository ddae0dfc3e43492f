package actor

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/auth"

	"github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/onvif/device"
)

// CameraSettings make a camera good or bad.
type CameraSettings struct {
	Vendor   string `json:"vendor"`
	Model    string `json:"model"`
	Firmware string `json:"firmware"`
	Serial   string `json:"serial"`
	User     string `json:"user"`
	Password string `json:"password"`
	// Telnet is root's password for the telnet door; "" = there is none.
	Telnet string `json:"telnet,omitempty"`
	// TLS closes what is plain: admin page by HTTPS only, RTSPS beside RTSP,
	// and no Basic authentication over RTSP.
	TLS bool `json:"tls,omitempty"`
	// Cloud is the vendor's name that it reports to, Clock the time server.
	Cloud string `json:"cloud"`
	Clock string `json:"clock"`
}

// CameraState is what a camera tells of itself to the range.
type CameraState struct {
	Telnet     string   `json:"telnet"` // kind of telnet, "" when off
	Infected   []string `json:"infected"`
	Bots       int      `json:"bots"`
	Plays      uint64   `json:"plays"`
	Heartbeats uint64   `json:"heartbeats"`
	Failures   uint64   `json:"failures"` // heartbeats that failed
	LastError  string   `json:"lastError,omitempty"`
	ClockAsked uint64   `json:"clockAsked"`
}

type cam struct {
	e      *Env
	s      CameraSettings
	users  *device.Users
	telnet *telnet
	video  *video
	habits *habits
	bots   *bots
}

// camera plays a network camera.
func camera(e *Env) (Ops, error) {
	s, err := settings[CameraSettings](e)
	if err != nil {
		return nil, err
	}
	c := &cam{e: e, s: s, bots: newBots(e), users: device.NewUsers(onvif.User{Username: s.User, Password: s.Password})}
	page := &admin{users: c.users, model: s.Vendor + " " + s.Model}
	dev := c.onvif()
	if s.Telnet != "" {
		if c.telnet, err = newTelnet(e, s.Telnet); err != nil {
			return nil, err
		}
		if err := c.telnet.turn(true); err != nil {
			return nil, fmt.Errorf("opening telnet: %w", err)
		}
		page.telnet = c.telnet.turn
		page.diagnose = c.telnet.line
	}
	if err := c.serve(page, dev); err != nil {
		return nil, err
	}
	if err := c.discoverable(dev); err != nil {
		return nil, err
	}
	c.habits = startHabits(e, s.Cloud, s.Clock, s.TLS)
	ops := Ops{
		"state":    op(func(context.Context, struct{}) (any, error) { return c.state(), nil }),
		"password": op(c.password),
		"telnet":   op(func(_ context.Context, on bool) (any, error) { return nil, c.turnTelnet(on) }),
		"clean":    op(func(context.Context, struct{}) (any, error) { return nil, c.clean() }),
	}
	c.bots.ops(ops)
	return ops, nil
}

// serve opens the doors that the settings ask for.
func (c *cam) serve(page *admin, dev device.Config) (err error) {
	if !c.s.TLS {
		if err := serveAdmin(c.e, page, "80", nil, device.New(dev)); err != nil {
			return err
		}
		c.video, err = serveVideo(c.e, c.users, videoConfig{Port: "554"})
		return err
	}
	conf, err := c.e.serverTLS()
	if err != nil {
		return err
	}
	if err := serveAdmin(c.e, page, "443", conf, nil); err != nil {
		return err
	}
	l, err := net.Listen("tcp4", net.JoinHostPort(c.e.Addr.String(), "80"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/onvif/", device.New(dev))
	serveHTTP(c.e, "serving ONVIF", &http.Server{Handler: header(mux), ReadHeaderTimeout: 5 * time.Second, ErrorLog: quiet()}, l)

	methods := []auth.VerifyMethod{auth.VerifyMethodDigestSHA256, auth.VerifyMethodDigestMD5}
	if c.video, err = serveVideo(c.e, c.users, videoConfig{Port: "554", Methods: methods}); err != nil {
		return err
	}
	_, err = serveVideo(c.e, c.users, videoConfig{Port: "322", Methods: methods, TLS: conf})
	return err
}

func (c *cam) onvif() device.Config {
	return device.Config{
		Users: c.users, Vendor: c.s.Vendor, Model: c.s.Model, Firmware: c.s.Firmware, Serial: c.s.Serial,
		Name: c.s.Model, Location: "home", RTSPPort: 554, RTSPPath: "/" + streamPath, Width: 640, Height: 360,
		Protocols: map[string]int{"HTTP": 80, "RTSP": 554}, Now: c.e.Now,
	}
}

// discoverable answers WS-Discovery, by multicast and when asked directly.
func (c *cam) discoverable(dev device.Config) error {
	group := net.UDPAddrFromAddrPort(onvif.Multicast)
	ifc, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	conn, err := net.ListenMulticastUDP("udp4", ifc, group)
	if err != nil {
		return fmt.Errorf("joining WS-Discovery: %w", err)
	}
	d := device.Discovery{Config: dev, HTTP: netip.AddrPortFrom(c.e.Addr, 80)}
	c.e.Go("answering discovery", func(ctx context.Context) error {
		defer conn.Close()
		return device.Respond(ctx, conn, d)
	})
	return nil
}

// serverTLS returns the vendor's certificate for this actor to serve with.
func (e *Env) serverTLS() (*tls.Config, error) {
	cert, err := tls.X509KeyPair(e.VendorCert, e.VendorKey)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate of actor %q: %w", e.Name, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// PasswordOrder changes a password at the device itself.
type PasswordOrder struct {
	Service  string `json:"service"` // "admin" or "telnet"
	Password string `json:"password"`
}

func (c *cam) password(_ context.Context, o PasswordOrder) (any, error) {
	switch {
	case o.Service == "admin":
		return nil, setPassword(c.users, c.s.User, o.Password)
	case o.Service == "telnet" && c.telnet != nil:
		return nil, c.telnet.setPassword(o.Password)
	}
	return nil, fmt.Errorf("this camera has no password for %q", o.Service)
}

func (c *cam) turnTelnet(on bool) error {
	if c.telnet == nil {
		return errors.New("this camera has no telnet")
	}
	return c.telnet.turn(on)
}

// clean is a restart: what runs ends, what was fetched goes. Passwords stay.
func (c *cam) clean() error {
	c.bots.stop()
	if c.telnet != nil && c.telnet.isOn() {
		if err := c.telnet.turn(false); err != nil {
			return err
		}
		if err := c.telnet.turn(true); err != nil {
			return err
		}
	}
	files, err := filepath.Glob("/tmp/*")
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.RemoveAll(f); err != nil {
			return err
		}
	}
	return nil
}

// infected lists the programs that somebody put into /tmp.
func infected() (out []string) {
	files, err := filepath.Glob("/tmp/*") // hidden ones, too
	if err != nil {
		return nil
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.HasPrefix(b, []byte("\x7fELF")) {
			out = append(out, f)
		}
	}
	return out
}

func (c *cam) state() CameraState {
	s := CameraState{Infected: infected(), Bots: c.bots.running(), Plays: c.video.plays.Load()}
	if c.telnet != nil && c.telnet.isOn() {
		s.Telnet = c.telnet.kind
	}
	h := c.habits.stats()
	s.Heartbeats, s.Failures, s.LastError, s.ClockAsked = h.Sent, h.Failed, h.LastError, h.ClockAsked
	return s
}
