package portmap_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/portmap"
	"github.com/ringwall/ringwall/internal/portmap/portmaptest"
)

var router = netip.MustParseAddr("127.0.0.1")

// serve runs a router on the loopback and returns a client of it.
func serve(t *testing.T, r *portmaptest.Router) *portmap.Client {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets := func() (net.PacketConn, uint16) {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pc.Close() })
		return pc, netip.MustParseAddrPort(pc.LocalAddr().String()).Port()
	}
	ssdp, ssdpPort := packets()
	natpmp, natpmpPort := packets()
	t.Cleanup(func() { l.Close() })
	r.Serve(l, ssdp, natpmp)
	c := portmap.New(portmap.Config{Router: router, SSDP: ssdpPort, NATPMP: natpmpPort})
	return c
}

func entry(proto string, external uint16, internal string) portmaptest.Entry {
	return portmaptest.Entry{Proto: proto, External: external, Internal: netip.MustParseAddrPort(internal), Description: "cam &amp; &lt;one&gt;"}
}

func TestClient_listAndDelete(t *testing.T) {
	r := portmaptest.New(entry("TCP", 8554, "192.168.1.10:554"), entry("UDP", 9000, "192.168.1.11:9000"))
	c := serve(t, r)
	found, err := c.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(found.Speaks, []string{"igd", "nat-pmp", "pcp"}) || len(found.Mappings) != 2 || found.Cut {
		t.Fatalf("found %+v", found)
	}
	m := found.Mappings[0]
	if m.Proto != "tcp" || m.External != 8554 || m.Internal.String() != "192.168.1.10:554" || m.Description != "cam & <one>" || !m.Enabled {
		t.Errorf("mapping %+v", m)
	}
	if err := c.Delete(context.Background(), m, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(context.Background(), m, netip.Addr{}); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
	if left := r.Entries(); len(left) != 1 || left[0].External != 9000 {
		t.Errorf("left is %v", left)
	}
}

// TestClient_byNATPMP: where IGD may not delete, the asker's own mappings go by
// NAT-PMP.
func TestClient_byNATPMP(t *testing.T) {
	r := portmaptest.New(entry("TCP", 8554, "127.0.0.1:554"), entry("TCP", 8555, "192.168.1.10:554"))
	r.Keep = true
	c := serve(t, r)
	found, err := c.List(context.Background())
	if err != nil || len(found.Mappings) != 2 {
		t.Fatalf("found %+v, %v", found, err)
	}
	if err := c.Delete(context.Background(), found.Mappings[0], router); err != nil {
		t.Error(err)
	}
	if err := c.Delete(context.Background(), found.Mappings[1], router); ringwall.CodeOf(err) != ringwall.Forbidden {
		t.Errorf("a mapping to another that the router keeps: %v", err)
	}
	if left := r.Entries(); len(left) != 1 || left[0].External != 8555 {
		t.Errorf("left is %v", left)
	}
}

// TestClient_followsNobodyElse: a router cannot send the gateway elsewhere.
func TestClient_followsNobodyElse(t *testing.T) {
	var reached atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reached.Store(true) }))
	t.Cleanup(elsewhere.Close)
	port := elsewhere.URL[strings.LastIndexByte(elsewhere.URL, ':'):]
	for _, at := range []string{"http://localhost" + port + "/", "https://127.0.0.1" + port + "/", "http://user@127.0.0.1" + port + "/", "http://127.0.0.2" + port + "/", "file:///etc/passwd"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			r := portmaptest.New(entry("TCP", 8554, "192.168.1.10:554"))
			r.Location = at
			if found, err := serve(t, r).List(context.Background()); len(found.Mappings) != 0 || reached.Load() {
				t.Errorf("found %+v, %v; reached %v", found, err, reached.Load())
			}
		})
	}
}

func TestClient_nobodyThere(t *testing.T) {
	c := portmap.New(portmap.Config{Router: router, SSDP: 1, NATPMP: 1})
	found, err := c.List(context.Background())
	if err != nil || len(found.Speaks) != 0 {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestClient_isBounded(t *testing.T) {
	var all []portmaptest.Entry
	for i := range portmap.MaxMappings + 50 {
		all = append(all, entry("TCP", uint16(1000+i), "192.168.1.10:554"))
	}
	found, err := serve(t, portmaptest.New(all...)).List(context.Background())
	if err != nil || len(found.Mappings) != portmap.MaxMappings || !found.Cut {
		t.Errorf("%d mappings, cut %v, %v", len(found.Mappings), found.Cut, err)
	}
}

func TestWalk(t *testing.T) {
	var got []string
	portmap.Walk([]byte(`<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e "boom">]><a:b x="1"><c>1 &lt; &#x32;&bogus;</c><!-- <d>no</d> --><d><![CDATA[<raw>&]]></d><e/><f>text<g>inner</g></f></a:b>`),
		func(name, text string) { got = append(got, name+"="+text) })
	want := []string{"c=1 < 2", "d=<raw>&", "e=", "g=inner"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzWalk(f *testing.F) {
	f.Add([]byte(`<a><b>x &amp; y</b></a>`))
	f.Add([]byte(`<![CDATA[<a>`))
	f.Add([]byte(`<a><controlURL>http://127.0.0.1/ctl</controlURL>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		portmap.Walk(b, func(name, text string) { n += len(name) + len(text) })
		if n > 4*len(b)+64 {
			t.Errorf("%d bytes of %d", n, len(b))
		}
		portmap.Services(b, "http://127.0.0.1:80/x", router)
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nLocation: http://127.0.0.1/d.xml\r\n\r\n"))
	f.Add([]byte{0, 128, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if at, ok := portmap.ParseSearch(b, router); ok && !strings.HasPrefix(strings.ToLower(at), "http://127.0.0.1") && !strings.Contains(at, "127.0.0.1") {
			t.Errorf("led to %q", at)
		}
		portmap.NATPMP(b, 1)
		portmap.PCP(b)
	})
}
