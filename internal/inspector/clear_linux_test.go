package inspector_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// web is a server that answers every request with its path.
func web(t testing.TB, h *house) *server {
	return h.serve(t, "0.0.0.0:80", func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			if req.Header.Get("Upgrade") == "websocket" && req.URL.Path == "/api/ws" {
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				io.Copy(c, r)
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(req.URL.Path), req.URL.Path)
		}
	})
}

func TestInspector_http(t *testing.T) {
	h := newHouse(t, allow("api", "cloud.example", "tcp", 80, &api.Inside{Proto: "http", Paths: []string{"/api/*"}, Methods: []string{"GET", "POST"}}))
	srv := web(t, h)
	h.resolve(t, "cloud.example")
	const host = "Host: cloud.example\r\n"
	for _, c := range []struct{ name, send, want, never string }{
		{"allowed", "GET /api/a HTTP/1.1\r\n" + host + "\r\n", "/api/a", "403"},
		{"two, kept alive", "GET /api/x HTTP/1.1\r\n" + host + "\r\nGET /api/b HTTP/1.1\r\n" + host + "\r\n", "/api/b", "403"},
		{"with a body", "POST /api/c HTTP/1.1\r\n" + host + "Content-Length: 40000\r\n\r\n" + strings.Repeat("x", 40000) + "GET /api/d HTTP/1.1\r\n" + host + "\r\n", "/api/d", "403"},
		{"in chunks", "POST /api/c HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /api/e HTTP/1.1\r\n" + host + "\r\n", "/api/e", "403"},
		{"a WebSocket", "GET /api/ws HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /secret", "GET /secret", "403"},
		{"another path", "GET /secret1 HTTP/1.1\r\n" + host + "\r\n", "403 Forbidden", "200"},
		{"another method", "DELETE /api/secret2 HTTP/1.1\r\n" + host + "\r\n", "403 Forbidden", "200"},
		{"another host", "GET /api/secret3 HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403 Forbidden", "200"},
		{"dots", "GET /api/../secret4 HTTP/1.1\r\n" + host + "\r\n", "403 Forbidden", "200"},
		{"encoded dots", "GET /api/%2e%2e/secret5 HTTP/1.1\r\n" + host + "\r\n", "403 Forbidden", "200"},
		{"an encoded slash", "GET /api%2f..%2fsecret6 HTTP/1.1\r\n" + host + "\r\n", "403 Forbidden", "200"},
		{"the second of two", "GET /api/f HTTP/1.1\r\n" + host + "\r\nGET /secret7 HTTP/1.1\r\n" + host + "\r\n", "/api/fHTTP/1.1 403 Forbidden", ""},
		{"smuggled by a length", "POST /api/g HTTP/1.1\r\n" + host + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /secret8 HTTP/1.1\r\n" + host + "\r\n", "403 Forbidden", "200"},
		{"smuggled behind chunks", "POST /api/h HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /secret9 HTTP/1.1\r\n" + host + "\r\n", "403 Forbidden", "/secret9"},
		{"a tunnel", "CONNECT secret10:443 HTTP/1.1\r\n" + host + "\r\n", "403 Forbidden", "200"},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", "200"},
		{"behind a WebSocket that is none", "GET /api/i HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /secret11 HTTP/1.1\r\n" + host + "\r\n", "/api/i", "/secret11"},
		{"TLS", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "", "200"},
	} {
		until := c.want
		if strings.Contains(until, "403") {
			until = "" // all that comes, to its end
		}
		got := say(h.dial(t, "tcp4", edge+":80"), c.send, until)
		if !strings.Contains(got, c.want) || c.never != "" && strings.Contains(got, c.never) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if c.want == "/api/b" && strings.Count(got, "200 OK") != 2 {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	if got := srv.text(); strings.Count(strings.ReplaceAll(got, "GET /secret", ""), "secret") > 0 || strings.Count(got, "GET /secret") != 1 {
		i := strings.Index(got, "secret")
		t.Errorf("something that is refused reaches the server: %q", got[max(0, i-60):i+20])
	}
	told := h.told()
	for _, want := range []string{"refused default http cloud.example GET /secret1", "refused default http evil.example GET /api/secret3", "refused default http cloud.example DELETE /api/secret2", "refused malformed http   "} {
		if !slices.Contains(told, want) {
			t.Errorf("not reported: %q in %q", want, told)
		}
	}
}

// The control of all of the above: without a look inside, everything reaches.
func TestInspector_httpWithoutALook(t *testing.T) {
	h := newHouse(t, allow("api", "cloud.example", "tcp", 80, nil))
	web(t, h)
	h.resolve(t, "cloud.example")
	if got := say(h.dial(t, "tcp4", edge+":80"), "GET /secret HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "/secret"); !strings.Contains(got, "200 OK") {
		t.Errorf("control: %q", got)
	}
}

func TestInspector_slowHeadsAndTooMany(t *testing.T) {
	h := newHouse(t, allow("api", "cloud.example", "tcp", 80, &api.Inside{Proto: "http", Paths: []string{"/api/*"}}))
	web(t, h)
	h.resolve(t, "cloud.example")
	var open []net.Conn
	for range 300 {
		c, err := h.cam.DialContext(t.Context(), "tcp4", edge+":80")
		if err != nil {
			continue // it is told so before the call returns
		}
		io.WriteString(c, "GET /api/a HTTP/1.1\r\n")
		open = append(open, c)
	}
	wait(t, func() bool { return h.in.Open() == 256 })
	for _, c := range open {
		c.Close()
	}
	wait(t, func() bool { return h.in.Open() == 0 })
	if got := say(h.dial(t, "tcp4", edge+":80"), "GET /api/a HTTP/1.1\r\nHost: cloud.example\r\n\r\n", "/api/a"); !strings.Contains(got, "200 OK") {
		t.Errorf("after the crowd has gone: %q", got)
	}
}

func TestInspector_slowHeads(t *testing.T) {
	h := newHouse(t, allow("api", "cloud.example", "tcp", 80, &api.Inside{Proto: "http", Paths: []string{"/api/*"}}))
	h.stop()
	h.headWait = 200 * time.Millisecond
	h.inspect(t)
	srv := web(t, h)
	h.resolve(t, "cloud.example")
	for name, first := range map[string]string{
		"nothing": "", "a letter": "G", "a hello begun": "\x16\x03", "a head begun": "GET /api/a HTTP/1.1\r\nHost: clo",
		"a second head begun": "GET /api/a HTTP/1.1\r\nHost: cloud.example\r\n\r\nGET /api/b",
	} {
		c := h.dial(t, "tcp4", edge+":80")
		io.WriteString(c, first)
		drip := time.AfterFunc(100*time.Millisecond, func() { c.Write([]byte("x")) })
		began := time.Now()
		io.Copy(io.Discard, c)
		drip.Stop()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s: a connection may dawdle for %v", name, took)
		}
	}
	if strings.Contains(srv.text(), "/api/b") {
		t.Error("half a head reaches the server")
	}
	if told := h.told(); !slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, "refused slow") }) {
		t.Errorf("not reported: %q", told)
	}
}

// Mode shadow refuses nothing, however strange, and says what it would refuse.
func TestInspector_shadowPassesWhatCannotBeRead(t *testing.T) {
	h := newHouse(t, allow("api", "cloud.example", "tcp", 80, &api.Inside{Proto: "http", Paths: []string{"/api/*"}}))
	h.desired.Devices[0].Mode = ringwall.Shadow
	h.apply(t)
	h.serve(t, "0.0.0.0:80", func(c net.Conn) { io.Copy(c, c) })
	h.resolve(t, "cloud.example")
	for _, send := range []string{
		"POST /api/a HTTP/1.1\r\nHost: cloud.example\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n<end>",
		"GET /api/a HTTP/1.1\r\nHost: cloud.example\r\n\r\nGET  /bad HTTP/1.1\r\n\r\n<end>",
		"GET /other HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 5\r\n\r\n<end>",
		"SSH-2.0-x\r\n<end>",
		"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00<end>",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n<end>",
		"\x10\x04\x00\x04MQxx<end>",
	} {
		if got := say(h.dial(t, "tcp4", edge+":80"), send, "<end>"); got != send {
			t.Errorf("sent %q, came back %q", send, got)
		}
	}
	told := h.told()
	for _, s := range told {
		if !strings.HasPrefix(s, "would-refuse") {
			t.Errorf("mode shadow refuses: %q", s)
		}
	}
	if len(told) < 4 {
		t.Errorf("it does not say what it would refuse: %q", told)
	}
}

func TestInspector_limits(t *testing.T) {
	term := allow("api", "cloud.example", "tcp", 80, &api.Inside{Proto: "http", Paths: []string{"/api/*"}})
	term.Limit = &api.Limit{Quota: 20000, Per: "month", Flows: 2}
	h := newHouse(t, term)
	web(t, h)
	h.resolve(t, "cloud.example")
	get := func(n int) string {
		return say(h.dial(t, "tcp4", edge+":80"), fmt.Sprintf("POST /api/a HTTP/1.1\r\nHost: cloud.example\r\nContent-Length: %d\r\n\r\n%s", n, strings.Repeat("x", n)), "/api/a")
	}
	if got := get(100); !strings.Contains(got, "200 OK") {
		t.Fatalf("within the quota: %q", got)
	}
	wait(t, func() bool { return h.in.Open() == 1 })
	get(100)
	if got := get(100); strings.Contains(got, "200 OK") {
		t.Errorf("a third flow of two: %q", got)
	}
	h.desired.Devices[0].Terms[0].Limit = &api.Limit{Quota: 20000, Per: "month"}
	h.apply(t)
	get(30000)
	if got := get(100); strings.Contains(got, "200 OK") {
		t.Errorf("over the quota: %q", got)
	}
	if told := h.told(); !slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, "refused limited") }) {
		t.Errorf("a limit is not reported: %q", told)
	}
}

// A plain allow covers what is not understood, and a deny that looks inside takes
// only its part.
func TestInspector_denyInside(t *testing.T) {
	deny := allow("no-admin", "cloud.example", "tcp", 80, &api.Inside{Proto: "http", Paths: []string{"/admin/*"}})
	deny.Action = api.Deny
	h := newHouse(t, allow("all", "cloud.example", "tcp", 80, nil), deny)
	web(t, h)
	h.resolve(t, "cloud.example")
	for _, c := range []struct{ send, want string }{
		{"GET /index HTTP/1.1\r\nHost: cloud.example\r\n\r\n", "/index"},
		{"GET /admin/x HTTP/1.1\r\nHost: cloud.example\r\n\r\n", "403 Forbidden"},
		{"GET /admin%2fx HTTP/1.1\r\nHost: cloud.example\r\n\r\n", "403 Forbidden"},
		{"GET /admin;x/y HTTP/1.1\r\nHost: cloud.example\r\n\r\n", "403 Forbidden"},
		{"GET /x/../admin/y HTTP/1.1\r\nHost: cloud.example\r\n\r\n", "403 Forbidden"},
	} {
		if got := say(h.dial(t, "tcp4", edge+":80"), c.send, c.want); !strings.Contains(got, c.want) {
			t.Errorf("%q: %q, want %q", c.send, got, c.want)
		}
	}
}

// A server that speaks first is waited for where what it speaks does not matter.
func TestInspector_serverSpeaksFirst(t *testing.T) {
	deny := allow("no-admin", "cloud.example", "tcp", 80, &api.Inside{Proto: "http", Paths: []string{"/admin/*"}})
	deny.Action = api.Deny
	h := newHouse(t, allow("all", "cloud.example", "tcp", 80, nil), deny)
	h.serve(t, "0.0.0.0:80", func(c net.Conn) {
		io.WriteString(c, "220 hello\r\n")
		io.Copy(c, c)
	})
	h.resolve(t, "cloud.example")
	c := h.dial(t, "tcp4", edge+":80")
	if got := say(c, "", "220 hello\r\n"); got != "220 hello\r\n" {
		t.Fatalf("the first word of the server: %q", got)
	}
	if got := say(c, "USER me\r\n", "USER me\r\n"); got != "USER me\r\n" {
		t.Errorf("then: %q", got)
	}
	c = h.dial(t, "tcp4", edge+":80")
	say(c, "", "220 hello\r\n")
	if got := say(c, "GET /admin/x HTTP/1.1\r\nHost: cloud.example\r\n\r\n", "/admin"); strings.Contains(got, "/admin") {
		t.Errorf("who waited for the server's first word is not looked at any more: %q", got)
	}
}

func TestInspector_halfClosedAndReset(t *testing.T) {
	deny := allow("no-admin", "cloud.example", "tcp", 80, &api.Inside{Proto: "http", Paths: []string{"/admin/*"}})
	deny.Action = api.Deny
	h := newHouse(t, allow("all", "cloud.example", "tcp", 80, nil), deny)
	ended := make(chan error, 4)
	h.serve(t, "0.0.0.0:80", func(c net.Conn) {
		b, err := io.ReadAll(c)
		ended <- err
		c.Write(b)
	})
	h.resolve(t, "cloud.example")
	c := h.dial(t, "tcp4", edge+":80")
	io.WriteString(c, "\x01question")
	must(t, c.(*net.TCPConn).CloseWrite())
	if b, err := io.ReadAll(c); err != nil || string(b) != "\x01question" {
		t.Errorf("after half of it is closed: %q, %v", b, err)
	}
	must(t, <-ended)
	c = h.dial(t, "tcp4", edge+":80")
	io.WriteString(c, "\x01question")
	time.Sleep(50 * time.Millisecond) // it has to be passed on first
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	if err := <-ended; err == nil {
		t.Error("a reset arrives as an ordinary end")
	}
}

func TestInspector_rtsp(t *testing.T) {
	h := newHouse(t, api.Term{ID: "nvr", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix(edge + "/32"), Proto: "tcp", Ports: ports(554),
		Inside: &api.Inside{Proto: "rtsp", Paths: []string{"/live/*"}}})
	srv := h.serve(t, "0.0.0.0:554", func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			b, err := r.Peek(1)
			if err != nil {
				return
			}
			if b[0] == '$' {
				frame := make([]byte, 8)
				if _, err := io.ReadFull(r, frame); err != nil {
					return
				}
				c.Write(frame)
				continue
			}
			line, _ := r.ReadString('\n')
			seq := ""
			for {
				f, err := r.ReadString('\n')
				if err != nil || f == "\r\n" {
					break
				}
				if strings.HasPrefix(f, "CSeq:") {
					seq = f
				}
			}
			body := strings.Fields(line)[1]
			fmt.Fprintf(c, "RTSP/1.0 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", seq, len(body), body)
		}
	})
	c := h.dial(t, "tcp4", edge+":554")
	req := func(seq int, method, path string) string {
		return fmt.Sprintf("%s rtsp://%s%s RTSP/1.0\r\nCSeq: %d\r\n\r\n", method, edge, path, seq)
	}
	for _, x := range []struct{ send, want string }{
		{req(1, "OPTIONS", "/live/1"), "/live/1"},
		{req(2, "DESCRIBE", "/secret"), "RTSP/1.0 403 Forbidden\r\nCSeq: 2\r\n\r\n"},
		{req(3, "SETUP", "/live/1/track1"), "/live/1/track1"},
		{"$\x00\x00\x04abcd", "$\x00\x00\x04abcd"},
		{"$\x00\x00\x04DESC" + req(4, "PLAY", "/live/../secret"), "RTSP/1.0 403 Forbidden\r\nCSeq: 4\r\n\r\n"},
		{req(5, "PLAY", "/live//2"), "/live//2"},
		{req(6, "PLAY", "/secret"), "CSeq: 6\r\n\r\n"},
	} {
		if got := say(c, x.send, x.want); !strings.Contains(got, x.want) {
			t.Errorf("%q: %q, want %q", x.send, got, x.want)
		}
	}
	c.Close()
	if strings.Contains(srv.text(), "secret") {
		t.Errorf("what is refused reaches the server: %q", srv.text())
	}
	if told := h.told(); !slices.Contains(told, "refused default rtsp  DESCRIBE /secret") {
		t.Errorf("not reported: %q", told)
	}
}
