package agent_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
)

// web serves every path at an address of the internet, and counts.
func (r *rig) web(addr string) *counter {
	r.Helper()
	l, err := r.inet.Listen(context.Background(), "tcp", addr)
	must(r, err)
	c := &counter{}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { c.n.Add(1); io.WriteString(w, "ok") })}
	go srv.Serve(l)
	r.Cleanup(func() { srv.Close() })
	return c
}

// get asks an address for a path by a name, and returns the status, 0 for none.
func (r *rig) get(from *netns.NS, addr, host, path string) int {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return from.DialContext(ctx, network, net.JoinHostPort(addr, "80"))
	}
	c := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	resp, err := c.Get("http://" + host + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// transparent has a socket bear any address, and a mark.
func transparent(mark uint32) func(_, _ string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1); err == nil {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
			}
		}); e != nil {
			return e
		}
		return err
	}
}

// TestAgent_inspectsInbound: what calls a camera from outside is looked into by the
// agent's inspector: of its RTSP and of its web, the paths of the policy and no
// others; and what nobody may call stays closed.
func TestAgent_inspectsInbound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.start("-inspect")
	from := func(id, proto string, port uint16, paths ...string) api.Term {
		return inside(id, port, api.Inside{Proto: proto, Paths: paths}, func(t *api.Term) {
			t.Direction, t.CIDR = api.ToDevice, netip.MustParsePrefix("198.51.100.20/32")
		})
	}
	r.publish(desired(1, ringwall.Enforce, func(d *api.Desired) {
		d.Devices[0].Terms = append(d.Devices[0].Terms, from("video", "rtsp", 554, "/live/*"), from("web", "http", 80, "/status"))
	}))
	r.settled(p, 1)
	seen := make(chan string, 64)
	for _, port := range []string{"554", "80", "8000"} {
		l, err := r.cam.Listen(context.Background(), "tcp4", "10.77.0.10:"+port)
		must(t, err)
		t.Cleanup(func() { l.Close() })
		go serveLines(l, seen)
	}
	ask := func(src, port, request string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		c, err := r.dialFrom(ctx, r.inet, src, "10.77.0.10:"+port)
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Second))
		io.WriteString(c, request)
		line, _ := bufio.NewReader(c).ReadString('\n')
		return strings.TrimSpace(line)
	}
	describe := func(path string) string {
		return "DESCRIBE rtsp://10.77.0.10" + path + " RTSP/1.0\r\nCSeq: 1\r\n\r\n"
	}
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: 10.77.0.10\r\n\r\n" }
	eventually(t, p, "the allowed video passes", time.Minute, func() bool { return strings.Contains(ask("198.51.100.20", "554", describe("/live/1")), " 200 ") })
	for len(seen) > 0 {
		<-seen
	}
	for _, c := range []struct {
		name, src, port, request, want, reaches string
	}{
		{"the allowed video", "198.51.100.20", "554", describe("/live/main"), "RTSP/1.0 200", "/live/main"},
		{"another path of it", "198.51.100.20", "554", describe("/playback"), "RTSP/1.0 403", ""},
		{"the same by way of dots", "198.51.100.20", "554", describe("/live/../playback"), "RTSP/1.0 403", ""},
		{"the allowed page", "198.51.100.20", "80", get("/status"), "HTTP/1.1 200", "/status"},
		{"another page", "198.51.100.20", "80", get("/admin"), "HTTP/1.1 403", ""},
		{"the allowed video, for somebody else", "198.51.100.66", "554", describe("/live/main"), "", ""},
		{"another port", "198.51.100.20", "8000", get("/status"), "", ""},
		{"the web's page at the video's port", "198.51.100.20", "554", get("/status"), "", ""},
	} {
		got := ask(c.src, c.port, c.request)
		if c.want != "" && !strings.HasPrefix(got, c.want) || c.want == "" && strings.Contains(got, " 200") {
			t.Errorf("%s is answered with %q, want %q", c.name, got, c.want)
		}
		select {
		case line := <-seen:
			if c.reaches == "" || !strings.Contains(line, c.reaches) || !strings.HasPrefix(line, c.src+" ") {
				t.Errorf("%s: the camera sees %q", c.name, line)
			}
		case <-time.After(50 * time.Millisecond):
			if c.reaches != "" {
				t.Errorf("%s does not reach the camera", c.name)
			}
		}
	}
	eventually(t, p, "the refusals are told", time.Minute, func() bool { return len(r.notices(api.NoticeInspect)) >= 2 })
}

// serveLines answers each request with 200 in its own protocol, and says who asked
// for what.
func serveLines(l net.Listener, seen chan<- string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b := bufio.NewReader(c)
			line, err := b.ReadString('\n')
			if err != nil {
				return
			}
			for {
				if more, err := b.ReadString('\n'); err != nil || strings.TrimSpace(more) == "" {
					break
				}
			}
			seen <- c.RemoteAddr().(*net.TCPAddr).IP.String() + " " + line
			if strings.Contains(line, "RTSP/") {
				fmt.Fprint(c, "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 0\r\n\r\n")
			} else {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		}()
	}
}

// dialFrom connects from one of several addresses of a namespace.
func (r *rig) dialFrom(ctx context.Context, ns *netns.NS, src, to string) (c net.Conn, err error) {
	e := ns.Do(func() error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(src)}}
		c, err = d.DialContext(ctx, "tcp4", to)
		return nil
	})
	if e != nil {
		return nil, e
	}
	return c, err
}

// TestAgent_inspectsNames: the DNS guard and the inspector, each a process of the
// agent's, judge a name together. What a term opens by a name and looks into passes
// with that name alone; what is open by name alone is looked into where a term that
// denies does; and without the lookup, nothing is open.
func TestAgent_inspectsNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.resolver("198.51.100.20:53")
	site := r.web("198.51.100.66:80")
	named := func(id, name string, in *api.Inside) api.Term {
		return api.Term{ID: id, Action: api.Allow, Direction: api.FromDevice, Domain: name, Proto: "tcp", Ports: []api.PortRange{{First: 80, Last: 80}}, Inside: in}
	}
	p := r.start("-dns", "10.77.0.1:53", "-inspect")
	r.publish(desired(1, ringwall.Enforce, func(d *api.Desired) {
		deny := named("no admin", "", &api.Inside{Proto: "http", Paths: []string{"/admin/*"}})
		deny.Action, deny.CIDR = api.Deny, netip.MustParsePrefix("198.51.100.0/24")
		d.Devices[0].Terms = append(d.Devices[0].Terms, named("api", "api.vendor.example", &api.Inside{Proto: "http", Paths: []string{"/v1/*"}}))
		// The phone: open by name alone, but for what a term that looks inside denies.
		d.Devices[1].Terms = []api.Term{named("site", "site.vendor.example", nil), deny}
	}))
	r.settled(p, 1)
	var asked atomic.Int64
	knows := func(from *netns.NS, name string) func() bool {
		return func() bool {
			asked.Add(1)
			rcode, addrs, err := r.ask(from, name)
			return err == nil && rcode == dns.RcodeSuccess && len(addrs) == 1
		}
	}
	for _, from := range []*netns.NS{r.cam, r.phone} {
		if code := r.get(from, "198.51.100.66", "api.vendor.example", "/v1/x"); code == http.StatusOK || site.n.Load() > 0 {
			t.Errorf("before any lookup: %d, the server has seen %d requests", code, site.n.Load())
		}
	}
	eventually(t, p, "the camera's name is answered", time.Minute, knows(r.cam, "api.vendor.example."))
	eventually(t, p, "the phone's name is answered", time.Minute, knows(r.phone, "site.vendor.example."))
	eventually(t, p, "the camera's request passes", time.Minute, func() bool { return r.get(r.cam, "198.51.100.66", "api.vendor.example", "/v1/x") == http.StatusOK })
	for _, c := range []struct {
		who  string
		from *netns.NS
		host string
		path string
		want int
	}{
		{"camera", r.cam, "api.vendor.example", "/v1/y", 200},
		{"camera", r.cam, "api.vendor.example", "/v2/y", 403},
		{"camera", r.cam, "other.vendor.example", "/v1/y", 403}, // lives at the same address
		{"camera", r.cam, "198.51.100.66", "/v1/y", 403},
		{"phone", r.phone, "site.vendor.example", "/index", 200},
		{"phone", r.phone, "site.vendor.example", "/admin/users", 403},
		{"phone", r.phone, "site.vendor.example", "/%61dmin/users", 403},
	} {
		n := site.n.Load()
		got := r.get(c.from, "198.51.100.66", c.host, c.path)
		if got != c.want || (site.n.Load() > n) != (c.want == 200) {
			t.Errorf("the %s asks %s for %s: %d, want %d; the server has seen %d requests", c.who, c.host, c.path, got, c.want, site.n.Load()-n)
		}
	}
}
