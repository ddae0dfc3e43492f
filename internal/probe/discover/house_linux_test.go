package discover

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
)

// TestFinders_inAHouse lets a device answer mDNS and UPnP in a namespace of its
// own, found from another through group and address alike.
func TestFinders_inAHouse(t *testing.T) {
	scanner, home := netnstest.New(t, "scanner"), netnstest.New(t, "home")
	if err := netns.Cable(scanner, "eth0", nil, home, "eth0", net.HardwareAddr{2, 0, 0, 0, 0, 9}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(scanner.Addr("eth0", "10.9.0.1/24"), home.Addr("eth0", "10.9.0.2/24")); err != nil {
		t.Fatal(err)
	}
	page, err := home.Listen(t.Context(), "tcp", "10.9.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<root><device><deviceType>urn:schemas-upnp-org:device:DigitalSecurityCamera:1</deviceType><manufacturer>Refcam</manufacturer><modelName>RC-1</modelName></device></root>`)
	})}
	go func() { _ = web.Serve(page) }()
	t.Cleanup(func() { _ = web.Close() })
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{Response: true})
	_ = b.StartAnswers()
	_ = b.PTRResource(dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("_rtsp._tcp.local."), Class: dnsmessage.ClassINET}, dnsmessage.PTRResource{PTR: dnsmessage.MustNewName("Door._rtsp._tcp.local.")})
	announcement, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for port, says := range map[string]string{":5353": string(announcement), ":1900": "HTTP/1.1 200 OK\r\nLOCATION: http://10.9.0.2/d.xml\r\n\r\n"} {
		c, err := home.ListenPacket(t.Context(), "udp4", port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		go func() {
			buf := make([]byte, 2048)
			for {
				_, from, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = c.WriteTo([]byte(says), from)
			}
		}()
	}
	in := []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24")}
	for _, f := range []assess.Finder{MDNS{Wait: 500 * time.Millisecond}, SSDP{Wait: 500 * time.Millisecond}, Sweep{}, Neighbours{}} {
		var got []assess.Sighting
		if err := f.Find(t.Context(), scanner, in, func(s assess.Sighting) { got = append(got, s) }); err != nil {
			t.Errorf("%v: %v", f, err)
		}
		got = slices.DeleteFunc(got, func(s assess.Sighting) bool { return s.Addr == netip.MustParseAddr("10.9.0.1") }) // ourselves
		if len(got) != 1 || got[0].Addr != netip.MustParseAddr("10.9.0.2") {
			t.Errorf("%v saw %+v", f, got)
			continue
		}
		switch s := got[0]; f.(type) {
		case MDNS:
			if s.Type != "camera" {
				t.Errorf("by mDNS it is %+v", s)
			}
		case SSDP:
			if s.Vendor != "Refcam" || s.Model != "RC-1" || s.Type != "camera" {
				t.Errorf("by UPnP it is %+v", s)
			}
		case Neighbours:
			if s.MAC != "02:00:00:00:00:09" {
				t.Errorf("its neighbour knows %+v", s)
			}
		}
	}
}

func FuzzParseNeighbours6(f *testing.F) {
	f.Add([]byte{24, 0, 0, 0, 28, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, s := range parseNeighbours6(b) {
			if !s.Addr.Is6() || s.MAC == "" {
				t.Fatalf("%+v", s)
			}
		}
	})
}
