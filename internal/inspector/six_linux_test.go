package inspector_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
)

// IPv6 is looked into like IPv4, where it is open at all.
func TestInspector_ipv6(t *testing.T) {
	h := newHouse(t, api.Term{ID: "api", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("2001:db8:1::60/128"), Proto: "tcp", Ports: ports(80),
		Inside: &api.Inside{Proto: "http", Paths: []string{"/api/*"}}})
	for _, x := range []struct {
		key, value string
	}{{"ipv6/conf/br0/disable_ipv6", "0"}, {"ipv6/conf/all/forwarding", "1"}, {"ipv6/conf/br0/accept_dad", "0"}, {"ipv6/conf/wan0/accept_dad", "0"}} {
		if err := h.gw.Sysctl(x.key, x.value); err != nil {
			t.Skipf("SKIPPED, NOT TESTED: no IPv6 here: %v", err)
		}
	}
	must(t, h.cam.Sysctl("ipv6/conf/eth0/accept_dad", "0"))
	must(t, h.net.Sysctl("ipv6/conf/inet0/accept_dad", "0"))
	must(t, h.gw.Addr("br0", "2001:db8:77::1/64"))
	must(t, h.gw.Addr("wan0", "2001:db8:1::1/64"))
	must(t, h.cam.Addr("eth0", "2001:db8:77::10/64"))
	must(t, h.net.Addr("inet0", "2001:db8:1::60/64"))
	must(t, h.cam.Route("2001:db8:1::/64", "2001:db8:77::1"))
	must(t, h.net.Route("2001:db8:77::/64", "2001:db8:1::1"))
	h.desired.LocalNets = append(h.desired.LocalNets, netip.MustParsePrefix("2001:db8:77::/64"))
	h.desired.Devices[0].IP6 = []netip.Addr{netip.MustParseAddr("2001:db8:77::10")}
	h.apply(t)
	froms := make(chan string, 64)
	var l net.Listener
	wait(t, func() bool { // the address may still be tentative
		var err error
		l, err = h.net.Listen(context.Background(), "tcp6", "[2001:db8:1::60]:80")
		return err == nil
	})
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			froms <- c.RemoteAddr().(*net.TCPAddr).IP.String()
			go func() {
				defer c.Close()
				c.Read(make([]byte, 4096))
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}()
		}
	}()
	ask := func(path string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		c, err := h.cam.DialContext(ctx, "tcp6", "[2001:db8:1::60]:80")
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Second))
		return say(c, "GET "+path+" HTTP/1.1\r\nHost: [2001:db8:1::60]\r\n\r\n", "\r\n\r\n")
	}
	// Neighbours have to be found first, by addresses that may still be tentative.
	wait(t, func() bool { return strings.HasPrefix(ask("/api/a"), "HTTP/1.1 200 OK") })
	for len(froms) > 0 { // first attempts may have come late
		if from := <-froms; from != "2001:db8:77::10" {
			t.Errorf("the server sees %s", from)
		}
	}
	if got := ask("/secret"); !strings.HasPrefix(got, "HTTP/1.1 403") {
		t.Errorf("another path: %q", got)
	}
	if len(froms) > 0 {
		t.Error("a refused request reaches the server")
	}
}
