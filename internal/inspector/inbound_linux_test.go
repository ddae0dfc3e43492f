package inspector_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
)

// Flows that are opened to a device are judged by the device's policy, from
// outside and from a neighbour, whose own policy must let them go too.
func TestInspector_flowsToADevice(t *testing.T) {
	h := newHouse(t, api.Term{ID: "live", Action: api.Allow, Direction: api.ToDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "tcp", Ports: ports(80),
		Inside: &api.Inside{Proto: "http", Paths: []string{"/live/*"}}})
	nvr := netnstest.New(t, "nvr")
	mac, _ := net.ParseMAC("02:00:00:00:00:02")
	must(t, netns.Cable(h.gw, "p2", nil, nvr, "eth0", mac))
	must(t, h.gw.Plug("p2", "br0", true))
	must(t, nvr.Addr("eth0", "10.77.0.20/24"))
	must(t, nvr.Route("default", "10.77.0.1"))
	out := api.Term{ID: "cam", Action: api.Allow, Direction: api.FromDevice, Device: "dev_cam", Proto: "tcp", Ports: ports(80)}
	h.desired.Devices = append(h.desired.Devices, api.DevicePolicy{
		Device: "dev_nvr", Mark: 8, Mode: ringwall.Enforce, Trust: ringwall.T3, Terms: []api.Term{out},
		Binding: api.Binding{Port: "p2", MAC: "02:00:00:00:00:02", IP: netip.MustParseAddr("10.77.0.20")},
	})
	h.apply(t)
	l, err := h.cam.Listen(context.Background(), "tcp4", "10.77.0.10:80")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	got := make(chan string, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					got <- c.RemoteAddr().(*net.TCPAddr).IP.String() + " " + req.URL.Path
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	ask := func(from *netns.NS, path string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		c, err := from.DialContext(ctx, "tcp4", "10.77.0.10:80")
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Second))
		return say(c, "GET "+path+" HTTP/1.1\r\nHost: 10.77.0.10\r\n\r\n", "\r\n\r\n")
	}
	for _, x := range []struct {
		from *netns.NS
		name string
	}{{h.net, "198.51.100."}, {nvr, "10.77.0.20"}} {
		if text := ask(x.from, "/live/1"); !strings.Contains(text, "200 OK") {
			t.Errorf("from %s: %q", x.name, text)
		} else if at := <-got; !strings.HasPrefix(at, x.name) || !strings.HasSuffix(at, " /live/1") {
			t.Errorf("from %s: the camera sees %q", x.name, at)
		}
		if text := ask(x.from, "/admin"); !strings.Contains(text, "403 Forbidden") {
			t.Errorf("from %s, another path: %q", x.name, text)
		}
	}
	h.desired.Devices[1].Terms = nil
	h.apply(t)
	if text := ask(nvr, "/live/1"); strings.Contains(text, "200 OK") {
		t.Errorf("a neighbour whose own policy does not let it: %q", text)
	}
	if len(got) > 0 {
		t.Errorf("what is refused reaches the camera: %q", <-got)
	}
}
