package inspector_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
)

// echConfig is a list with one whose public name is innocent.
func echConfig(t testing.TB, public string) []byte {
	t.Helper()
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	must(t, err)
	body := append([]byte{1, 0, 0x20, 0, 32}, k.PublicKey().Bytes()...)
	body = append(body, 0, 4, 0, 1, 0, 1, 32, byte(len(public)))
	body = append(append(body, public...), 0, 0)
	one := append([]byte{0xfe, 0x0d, byte(len(body) >> 8), byte(len(body))}, body...)
	return append([]byte{byte(len(one) >> 8), byte(len(one))}, one...)
}

func tlsServer(t testing.TB, h *house, conf *tls.Config) *server {
	if conf == nil {
		conf = &tls.Config{}
	}
	conf.Certificates = []tls.Certificate{certificate(t)}
	return h.serve(t, "0.0.0.0:443", func(c net.Conn) {
		x := tls.Server(c, conf)
		io.Copy(x, x)
		x.Close()
	})
}

// handshake reports whether a handshake goes through, and an octet and back.
func handshake(t testing.TB, h *house, addr string, conf *tls.Config) error {
	t.Helper()
	conf.InsecureSkipVerify = true
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	c, err := h.cam.DialContext(ctx, "tcp4", addr+":443")
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(4 * time.Second))
	x := tls.Client(c, conf)
	if err := x.Handshake(); err != nil {
		return err
	}
	if _, err := x.Write([]byte("x")); err != nil {
		return err
	}
	_, err = io.ReadFull(x, make([]byte, 1))
	return err
}

// attacks on a term that lets the camera talk TLS with cloud.example only, all at
// an address that it may reach.
func attacks(t testing.TB) map[string]func(*house) error {
	return map[string]func(*house) error{
		"another name":           func(h *house) error { return handshake(t, h, edge, &tls.Config{ServerName: "evil.example"}) },
		"a name never asked for": func(h *house) error { return handshake(t, h, edge, &tls.Config{ServerName: "sub.cloud.example"}) },
		"no name":                func(h *house) error { return handshake(t, h, edge, &tls.Config{}) },
		"a hidden name": func(h *house) error {
			err := handshake(t, h, edge, &tls.Config{ServerName: "evil.example", EncryptedClientHelloConfigList: echConfig(t, "cloud.example"), MinVersion: tls.VersionTLS13,
				EncryptedClientHelloRejectionVerify: func(tls.ConnectionState) error { return nil }})
			if rejected := (*tls.ECHRejectionError)(nil); errors.As(err, &rejected) {
				return nil // it did talk to the server, which does not know the key
			}
			return err
		},
		"no TLS": func(h *house) error {
			c := h.dial(t, "tcp4", edge+":443")
			if _, err := c.Write([]byte("SSH-2.0-x\r\n")); err != nil {
				return err
			}
			c.(*net.TCPConn).CloseWrite()
			b, err := io.ReadAll(c)
			if err == nil && len(b) == 0 {
				return errors.New("nothing came back")
			}
			return err
		},
	}
}

func TestInspector_names(t *testing.T) {
	cloud := allow("cloud", "cloud.example", "tcp", 443, &api.Inside{Proto: "tls", MinTLS: "1.2"})
	sub := allow("sub", "*.cloud.example", "tcp", 443, &api.Inside{Proto: "tls"})
	h := newHouse(t, cloud, sub)
	srv := tlsServer(t, h, &tls.Config{MinVersion: tls.VersionTLS10, CurvePreferences: []tls.CurveID{tls.CurveP521}})
	if a := h.resolve(t, "cloud.example"); a.String() != edge {
		t.Fatalf("cloud.example is %s", a)
	}
	// CurveP521 alone on the server makes it ask for a second hello.
	for name, conf := range map[string]*tls.Config{
		"TLS 1.3":  {ServerName: "cloud.example"},
		"TLS 1.2":  {ServerName: "cloud.example", MaxVersion: tls.VersionTLS12},
		"no retry": {ServerName: "cloud.example", CurvePreferences: []tls.CurveID{tls.CurveP521}},
	} {
		if err := handshake(t, h, edge, conf); err != nil {
			t.Errorf("%s with the name that it looked up: %v", name, err)
		}
	}
	for _, from := range srv.froms {
		if from != "10.77.0.10" {
			t.Errorf("the server sees %s, want the camera's own address", from)
		}
	}
	n := srv.calls()
	if n == 0 {
		t.Fatal("no connection reached the server")
	}
	if err := handshake(t, h, edge, &tls.Config{ServerName: "cloud.example", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.0 passes a term that wants 1.2")
	} else if !strings.Contains(err.Error(), "access denied") {
		t.Errorf("TLS 1.0 is refused by %v, want the alert", err)
	}
	for name, attack := range attacks(t) {
		if err := attack(h); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	if got := srv.calls(); got != n {
		t.Errorf("%d connections reached the server during the attacks, want none", got-n)
	}
	// The name is good at the address that it led to, and nowhere else.
	if err := handshake(t, h, other, &tls.Config{ServerName: "cloud.example"}); err == nil {
		t.Error("an address that no name led to is open")
	}
	for _, want := range []string{
		"refused default tls evil.example  ", "refused default tls   ", "refused default tls cloud.example  ", "refused default tls sub.cloud.example  ",
	} {
		if told := h.told(); !slices.Contains(told, want) {
			t.Errorf("not reported: %q in %q", want, told)
		}
	}
	if !slices.ContainsFunc(h.flows, func(r flow.Record) bool {
		return r.Device == "dev_cam" && r.Inside.Host == "cloud.example" && r.Name == "cloud.example" && r.Term == "cloud" && r.BytesUp > 1000 && r.BytesDown > 500 && r.Generation == 1
	}) {
		t.Errorf("no flow report of what passed: %+v", h.flows)
	}
}

// Without a look inside, the same attacks reach: what refuses them above is the
// look.
func TestInspector_namesWithoutALook(t *testing.T) {
	h := newHouse(t, allow("cloud", "cloud.example", "tcp", 443, nil))
	tlsServer(t, h, nil)
	h.resolve(t, "cloud.example")
	for name, attack := range attacks(t) {
		if name == "no TLS" {
			continue // the server itself has no answer to it
		}
		if err := attack(h); err != nil {
			t.Errorf("control: %s does not reach without a look inside: %v", name, err)
		}
	}
}

func TestInspector_secondHello(t *testing.T) {
	h := newHouse(t, allow("cloud", "cloud.example", "tcp", 443, &api.Inside{Proto: "tls"}))
	// A server that takes the first hello for a question, and believes the second.
	retry := "\xCF\x21\xAD\x74\xE5\x9A\x61\x11\xBE\x1D\x8C\x02\x1E\x65\xB8\x91\xC2\xA2\x11\x16\x7A\xBB\x8C\x5E\x07\x9E\x09\xE2\xC8\xA8\x33\x9C"
	body := "\x03\x03" + retry + "\x00\x13\x01\x00\x00\x06\x00\x2b\x00\x02\x03\x04"
	msg := "\x02\x00\x00" + string(rune(len(body))) + body
	srv := h.serve(t, "0.0.0.0:443", func(c net.Conn) {
		buf := make([]byte, 8192)
		c.Read(buf)
		io.WriteString(c, "\x16\x03\x03\x00"+string(rune(len(msg)))+msg)
		io.Copy(io.Discard, c)
	})
	h.resolve(t, "cloud.example")
	for _, second := range []string{"cloud.example", "evil.example"} {
		c := h.dial(t, "tcp4", edge+":443")
		c.Write(hello(t, "cloud.example"))
		if _, err := io.ReadFull(c, make([]byte, 5+len(msg))); err != nil {
			t.Fatal(err)
		}
		c.Write(append([]byte("\x14\x03\x03\x00\x01\x01"), hello(t, second)...))
		c.(*net.TCPConn).CloseWrite()
		io.ReadAll(c)
		c.Close()
	}
	wait(t, func() bool { return strings.Count(srv.text(), "cloud.example") == 3 })
	if strings.Contains(srv.text(), "evil.example") {
		t.Error("a second hello with another name reaches the server")
	}
}

// hello is the first flight of a real client.
func hello(t testing.TB, name string) []byte {
	t.Helper()
	a, b := net.Pipe()
	go func() { tls.Client(a, &tls.Config{ServerName: name}).Handshake(); a.Close() }()
	defer b.Close()
	buf := make([]byte, 8192)
	n, err := b.Read(buf)
	must(t, err)
	return buf[:n]
}

// wait waits for what comes soon.
func wait(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Error("waited in vain")
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestInspector_aChangeCutsWhatIsOpen(t *testing.T) {
	cloud := allow("cloud", "cloud.example", "tcp", 443, &api.Inside{Proto: "tls"})
	h := newHouse(t, cloud)
	tlsServer(t, h, nil)
	h.resolve(t, "cloud.example")
	open := func() *tls.Conn {
		t.Helper()
		x := tls.Client(h.dial(t, "tcp4", edge+":443"), &tls.Config{ServerName: "cloud.example", InsecureSkipVerify: true})
		must(t, x.Handshake())
		return x
	}
	talks := func(x *tls.Conn) bool {
		x.SetDeadline(time.Now().Add(time.Second))
		if _, err := x.Write([]byte("x")); err != nil {
			return false
		}
		_, err := io.ReadFull(x, make([]byte, 1))
		return err == nil
	}
	x := open()
	h.desired.Generation++
	h.desired.Devices[0].Terms = append(h.desired.Devices[0].Terms, allow("more", "other.example", "tcp", 443, &api.Inside{Proto: "tls"}))
	h.apply(t)
	if !talks(x) {
		t.Error("a change that leaves it allowed cuts a connection")
	}
	h.apply(t, api.Hold{ID: "hld_1", Device: "dev_cam", Do: ringwall.Quarantine})
	if talks(x) {
		t.Error("a connection goes on in quarantine")
	}
	h.apply(t)
	x = open()
	h.desired.Devices[0].Terms[0].Inside = &api.Inside{Proto: "tls", Hosts: []string{"another.example"}}
	h.apply(t)
	// The inspector hears of it from the file: what is on its way passes.
	for end := time.Now().Add(2 * time.Second); talks(x); {
		if time.Now().After(end) {
			t.Fatal("a connection goes on by a term that is gone")
		}
	}
	h.desired.Devices[0].Terms[0] = cloud
	h.apply(t)
	x = open()
	if !talks(x) {
		t.Error("what is allowed again does not work")
	}
	h.stop()
	if talks(x) {
		t.Error("a connection outlives its inspector")
	}
}

func TestInspector_shadow(t *testing.T) {
	h := newHouse(t, allow("cloud", "cloud.example", "tcp", 443, &api.Inside{Proto: "tls"}))
	h.desired.Devices[0].Mode = ringwall.Shadow
	h.apply(t)
	tlsServer(t, h, nil)
	h.resolve(t, "cloud.example")
	if err := handshake(t, h, edge, &tls.Config{ServerName: "evil.example"}); err != nil {
		t.Errorf("mode shadow refuses: %v", err)
	}
	if told := h.told(); !slices.Contains(told, "would-refuse default tls evil.example  ") {
		t.Errorf("mode shadow does not say what it would refuse: %q", told)
	}
}

func TestInspector_behindOneAddress(t *testing.T) {
	h := newHouseBehind(t, true, allow("cloud", "cloud.example", "tcp", 443, &api.Inside{Proto: "tls"}))
	srv := tlsServer(t, h, nil)
	h.resolve(t, "cloud.example")
	if err := handshake(t, h, edge, &tls.Config{ServerName: "cloud.example"}); err != nil {
		t.Error(err)
	}
	if err := handshake(t, h, edge, &tls.Config{ServerName: "evil.example"}); err == nil {
		t.Error("another name passes")
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if !slices.Equal(srv.froms, []string{"198.51.100.1"}) {
		t.Errorf("the server sees %q, want the gateway once", srv.froms)
	}
}
