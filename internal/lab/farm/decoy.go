package farm

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// mood is how a decoy behaves. None has anything behind it: whatever an
// assessment proves on one is false.
type mood uint8

const (
	yes    mood = iota // to everything
	anyone             // asks for a password, and takes each
	no                 // to everything
	page1              // HTTP 200 with a login page, whatever is spoken
	drops              // hangs up for good after three tries
	tarpit             // takes connections, and says a byte now and then
)

// Decoys returns one of each mood, on every protocol that probes speak.
func Decoys() (out []Model) {
	for m, name := range []string{"yes", "anyone", "no", "login-page", "drops", "tarpit"} {
		out = append(out, mood(m).model("decoy-"+name))
	}
	return out
}

func (m mood) model(name string) Model {
	var tries sync.Map // by port: how many a decoy that drops has seen
	left := func(b *Box, port uint16) bool {
		n, _ := tries.LoadOrStore(port, &counter{})
		return m != drops || n.(*counter).next() <= 3
	}
	tcp := func(port uint16, name string, serve func(*Box, net.Conn)) Service {
		return Service{Port: port, Name: name, Serve: func(b *Box, l net.Listener) error {
			return accept(l, func(c net.Conn) {
				switch {
				case m == tarpit:
					drip(c)
				case m == page1:
					lines(c, func(string, []string) string { return httpPage })
				case left(b, port):
					serve(b, c)
				}
			})
		}}
	}
	udp := func(port uint16, name string, answer func([]byte) []byte) Service {
		return Service{Port: port, Name: name, Packets: func(_ *Box, c net.PacketConn) error {
			buf := make([]byte, 2048)
			for {
				n, from, err := c.ReadFrom(buf)
				if errors.Is(err, net.ErrClosed) {
					return nil
				}
				if err != nil {
					return err
				}
				if m == tarpit || m == drops && !left(nil, port) {
					continue
				}
				if out := answer(bytes.Clone(buf[:n])); out != nil {
					_, _ = c.WriteTo(out, from) // who asked may be gone
				}
			}
		}}
	}
	web := Service{Port: 80, Name: "http", Serve: func(b *Box, l net.Listener) error {
		if m == tarpit || m == page1 || m == drops {
			return tcp(80, "http", func(_ *Box, c net.Conn) { lines(c, m.http) }).Serve(b, l)
		}
		return serveHTTP(b, l, false, http.HandlerFunc(m.web))
	}}
	soap := web
	soap.Port = 8000
	return Model{Name: name, Services: []Service{
		web, soap,
		tcp(22, "ssh", func(b *Box, c net.Conn) { sshSession(c, m, b) }), tcp(23, "telnet", func(_ *Box, c net.Conn) { m.telnet(c) }),
		tcp(554, "rtsp", func(_ *Box, c net.Conn) { lines(c, m.rtsp) }), tcp(1883, "mqtt", func(_ *Box, c net.Conn) { m.mqtt(c) }),
		udp(161, "snmp", m.snmp), udp(5683, "coap", m.coap),
	}}
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

// drip says a byte now and then, until the other side goes.
func drip(c net.Conn) {
	for {
		if _, err := c.Write([]byte(" ")); err != nil {
			return
		}
		time.Sleep(2 * time.Second)
	}
}

const loginPage = `<!doctype html><html><head><title>Log in</title></head><body><form method="post" action="/login"><input name="user"><input type="password" name="password"></form></body></html>`

var httpPage = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", len(loginPage), loginPage)

// soapYes is an answer that fits every question about users, protocols and
// streams a little.
const soapYes = `<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:d="http://www.onvif.org/ver10/device/wsdl" xmlns:t="http://www.onvif.org/ver10/schema"><s:Body><d:GetUsersResponse><d:User><t:Username>admin</t:Username><t:UserLevel>Administrator</t:UserLevel></d:User></d:GetUsersResponse></s:Body></s:Envelope>`

func (m mood) web(w http.ResponseWriter, r *http.Request) {
	if m == no || m == anyone && r.Header.Get("Authorization") == "" {
		w.Header().Add("WWW-Authenticate", `Digest realm="camera", nonce="0", qop="auth"`)
		w.Header().Add("WWW-Authenticate", `Basic realm="camera"`)
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/onvif"):
		w.Header().Set("Content-Type", "application/soap+xml")
		_, _ = io.WriteString(w, soapYes)
	case strings.HasSuffix(r.URL.Path, ".jpg"), strings.Contains(r.URL.Path, "snap"):
		w.Header().Set("Content-Type", "image/jpeg")
		_, _ = io.WriteString(w, "\xff\xd8\xff\xe0yes")
	default:
		page(w, http.StatusOK, "Settings", "<p>Welcome, administrator</p>")
	}
}

// lines answers each request of a text protocol (a head up to an empty line).
func lines(c net.Conn, answer func(first string, head []string) string) {
	in := bufio.NewReader(c)
	for {
		var head []string
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if line = strings.TrimSpace(line); line == "" {
				break
			}
			if head = append(head, line); len(head) > 100 {
				return
			}
		}
		if len(head) == 0 {
			head = []string{""}
		}
		if _, err := io.WriteString(c, answer(head[0], head[1:])); err != nil {
			return
		}
	}
}

func (m mood) http(string, []string) string {
	return "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"camera\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
}

const sdp = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=yes\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n"

func (m mood) rtsp(first string, head []string) string {
	seq, presents := "0", false
	for _, h := range head {
		name, value, _ := strings.Cut(h, ":")
		switch strings.ToLower(name) {
		case "cseq":
			seq = strings.TrimSpace(value)
		case "authorization":
			presents = true
		}
	}
	method, _, _ := strings.Cut(first, " ")
	switch {
	case method != "OPTIONS" && (m == no || m == drops || m == anyone && !presents):
		return "RTSP/1.0 401 Unauthorized\r\nCSeq: " + seq + "\r\nWWW-Authenticate: Digest realm=\"camera\", nonce=\"0\"\r\nContent-Length: 0\r\n\r\n"
	case method == "DESCRIBE":
		return fmt.Sprintf("RTSP/1.0 200 OK\r\nCSeq: %s\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", seq, len(sdp), sdp)
	}
	return "RTSP/1.0 200 OK\r\nCSeq: " + seq + "\r\nSession: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY\r\nContent-Length: 0\r\n\r\n"
}

// telnet takes any login, or none, and answers whatever is typed with "yes".
func (m mood) telnet(c net.Conn) {
	t := &terminal{c: c, in: bufio.NewReader(c)}
	t.say("\xff\xfd\x01\xff\xfb\x01\xff\xfb\x03")
	for {
		t.say("login: ")
		if _, ok := t.line(true); !ok {
			return
		}
		t.say("Password: ")
		if _, ok := t.line(false); !ok {
			return
		}
		if m == yes || m == anyone {
			break
		}
		t.say("\r\nLogin incorrect\r\n")
	}
	for {
		t.say("\r\n# ")
		if _, ok := t.line(true); !ok {
			return
		}
		t.say("yes\r\n")
	}
}

// mqtt acknowledges, or refuses, whatever comes (MQTT 3.1.1 sections 3.2 and 3.9).
func (m mood) mqtt(c net.Conn) {
	buf := make([]byte, 512)
	for {
		n, err := c.Read(buf)
		if err != nil || n < 2 {
			return
		}
		switch {
		case m == no || m == drops || m == anyone && buf[0]>>4 == 1 && n > 9 && buf[9]&0xc0 == 0:
			_, _ = c.Write([]byte{0x20, 2, 0, 5})
			return
		case buf[0]>>4 == 1:
			_, err = c.Write([]byte{0x20, 2, 0, 0})
		case buf[0]>>4 == 8 && n > 4:
			_, err = c.Write([]byte{0x90, 4, buf[2], buf[3], 0, 0})
		}
		if err != nil {
			return
		}
	}
}

// snmp gives everybody the same value for whatever is asked for, or sends the
// question back as if it were its answer (RFC 3416 section 3).
func (m mood) snmp(b []byte) []byte {
	var msg struct {
		Version   int
		Community []byte
		PDU       asn1.RawValue
	}
	if _, err := asn1.Unmarshal(b, &msg); err != nil || m == no {
		return nil
	}
	var p struct {
		ID, Status, Index int
		Bindings          []struct {
			Name  asn1.ObjectIdentifier
			Value any
		}
	}
	question := append([]byte{0x30}, msg.PDU.FullBytes[1:]...) // a sequence by another tag
	if _, err := asn1.Unmarshal(question, &p); err != nil {
		return nil
	}
	if m == yes || m == anyone {
		for i := range p.Bindings {
			p.Bindings[i].Value = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1}
		}
		var err error
		if question, err = asn1.Marshal(p); err != nil {
			return nil
		}
	}
	question[0] = 0xa2
	msg.PDU = asn1.RawValue{FullBytes: question}
	out, err := asn1.Marshal(msg)
	if err != nil {
		return nil
	}
	return out
}

// coap acknowledges whatever is asked (RFC 7252 sections 3 and 5.2).
func (m mood) coap(b []byte) []byte {
	if len(b) < 4 {
		return nil
	}
	token := int(b[0] & 15)
	if token > 8 || len(b) < 4+token {
		return nil
	}
	out := append([]byte{0x60 | byte(token), 0x45, b[2], b[3]}, b[4:4+token]...)
	if m == no || m == anyone || m == drops {
		out[1] = 0x81 // 4.01
		return out
	}
	return append(out, "\xffyes"...)
}

// passwords is an SSH server that takes passwords, or none.
func passwords(m mood) func(*Box, net.Listener) error {
	return func(b *Box, l net.Listener) error { return accept(l, func(c net.Conn) { sshSession(c, m, b) }) }
}

// sshSession takes any password (yes, anyone) or none of them, and answers every
// command with "yes".
func sshSession(c net.Conn, m mood, b *Box) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return
	}
	conf := &ssh.ServerConfig{PasswordCallback: func(meta ssh.ConnMetadata, _ []byte) (*ssh.Permissions, error) {
		if m == yes || m == anyone {
			return nil, nil
		}
		b.Lock.Wrong("system " + meta.User())
		return nil, errors.New("no")
	}}
	conf.AddHostKey(signer)
	conn, channels, requests, err := ssh.NewServerConn(c, conf)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for ch := range channels {
		s, rs, err := ch.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range rs {
				_ = r.Reply(true, nil)
				if r.Type == "exec" || r.Type == "shell" {
					_, _ = io.WriteString(s, "yes\n")
					_ = s.Close()
				}
			}
		}()
	}
}
