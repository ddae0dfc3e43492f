package cli

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"
)

// socks serves CONNECT without a login (RFC 1928) and counts what it carried.
func socks(t *testing.T) (addr string, carried chan string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	carried = make(chan string, 4)
	serve := func(c net.Conn) {
		defer c.Close()
		head := make([]byte, 2)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(head[1])); err != nil {
			return
		}
		_, _ = c.Write([]byte{5, 0})
		ask := make([]byte, 10) // CONNECT to an IPv4 address
		if _, err := io.ReadFull(c, ask); err != nil || ask[1] != 1 || ask[3] != 1 {
			return
		}
		a, _ := netip.AddrFromSlice(ask[4:8])
		to := net.JoinHostPort(a.String(), strconv.Itoa(int(binary.BigEndian.Uint16(ask[8:]))))
		carried <- to
		d, err := net.Dial("tcp4", to)
		if err != nil {
			_, _ = c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
			return
		}
		defer d.Close()
		_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		go func() { _, _ = io.Copy(d, c) }()
		_, _ = io.Copy(c, d)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String(), carried
}

func TestOutside_looksByWayOfTheProxy(t *testing.T) {
	door, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	go func() {
		for {
			c, err := door.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("hello"))
			_ = c.Close()
		}
	}()
	addr, carried := socks(t)
	n, at, err := outside("socks5://"+addr, []string{"127.0.0.1"})
	if err != nil || len(at) != 1 {
		t.Fatal(at, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := n.DialContext(ctx, "tcp4", door.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, err := io.ReadAll(c); err != nil || string(b) != "hello" {
		t.Errorf("through the proxy came %q, %v", b, err)
	}
	if to := <-carried; to != door.Addr().String() {
		t.Errorf("the proxy was asked for %s", to)
	}
	if _, err := n.ListenPacket(ctx, "udp4", ":0"); err == nil {
		t.Error("datagrams go by a proxy that carries none")
	}
}
