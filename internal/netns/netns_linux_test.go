package netns_test

import (
	"io"
	"net"
	"os"
	"testing"

	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
)

func TestCable_carriesTrafficBetweenNamespaces(t *testing.T) {
	a, b := netnstest.New(t, "a"), netnstest.New(t, "b")
	mac, _ := net.ParseMAC("02:00:00:00:00:0b")
	if err := netns.Cable(a, "a0", nil, b, "b0", mac); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		ns          *netns.NS
		iface, cidr string
	}{{a, "a0", "10.0.0.1/24"}, {b, "b0", "10.0.0.2/24"}} {
		if err := x.ns.Addr(x.iface, x.cidr); err != nil {
			t.Fatal(err)
		}
	}
	l, err := b.Listen(t.Context(), "tcp", "10.0.0.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	c, err := a.DialContext(t.Context(), "tcp", "10.0.0.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4)
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "ping" {
		t.Errorf("echo = %q, %v", buf, err)
	}
	// The calling program is still where it was: the address exists in b only.
	if _, err := net.Listen("tcp", "10.0.0.2:8"); err == nil {
		t.Error("an address of namespace b can be used in our own namespace")
	}
}

func TestDo_leavesTheProgramWhereItIs(t *testing.T) {
	before, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for range 50 { // one of them would meet the main thread
		ns := netnstest.New(t, "x")
		if err := ns.Do(func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := os.Readlink("/proc/self/ns/net"); err != nil || after != before {
		t.Errorf("the program's namespace is %s, %v, was %s", after, err, before)
	}
}
