package ssdp

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/probe/probetest"
)

const router = `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major></specVersion><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><friendlyName>Home  gateway</friendlyName><manufacturer>Refnet</manufacturer><modelName>RG-2</modelName><modelNumber>2.1</modelNumber><serialNumber>S1</serialNumber>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><manufacturer>Other</manufacturer>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/ctl/IPConn</controlURL></service></serviceList></device></deviceList></device></root>`

func TestParseDescription(t *testing.T) {
	d, err := ParseDescription(strings.NewReader(router))
	if err != nil {
		t.Fatal(err)
	}
	if d.Vendor != "Refnet" || d.Model != "RG-2" || d.Number != "2.1" || d.Name != "Home gateway" || d.Serial != "S1" || d.Kind() != "gateway" {
		t.Errorf("%+v", d)
	}
	if len(d.Services) != 1 || d.Services[0].Control != "/ctl/IPConn" {
		t.Errorf("services %+v", d.Services)
	}
}

func TestParseDescription_hostile(t *testing.T) {
	for name, doc := range map[string]string{
		"a bomb of entities": `<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><root><device><deviceType>&b;</deviceType></device></root>`,
		"no end of depth":    strings.Repeat("<a>", 100000),
		"no end of elements": "<root>" + strings.Repeat("<a></a>", 30000),
		"not XML":            "\x00\x01\x02<<<",
		"nothing":            "",
		"a page":             "<html><body>hello</body></html>",
	} {
		if d, err := ParseDescription(strings.NewReader(doc)); err == nil {
			t.Errorf("%s was read as %+v", name, d)
		}
	}
}

func TestSearchAndDescribe(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(router)) }))
	defer web.Close()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	device, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	go func() {
		buf := make([]byte, 2048)
		_, from, err := device.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = device.WriteTo([]byte("NOTIFY * HTTP/1.1\r\n\r\n"), from)
		_, _ = device.WriteTo([]byte("HTTP/1.1 200 OK\r\nSERVER: Linux/2.6 UPnP/1.0 Refnet/1\r\nLOCATION: "+web.URL+"/d.xml\r\nST: upnp:rootdevice\r\n\r\n"), from)
	}()
	as, err := Search(t.Context(), c, Query("upnp:rootdevice"), []netip.AddrPort{device.LocalAddr().(*net.UDPAddr).AddrPort()}, 300*time.Millisecond, func(netip.Addr) bool { return true })
	if err != nil || len(as) != 1 || as[0].Server != "Linux/2.6 UPnP/1.0 Refnet/1" {
		t.Fatalf("%+v, %v", as, err)
	}
	d, _, err := Describe(t.Context(), probetest.Host{}, as[0])
	if err != nil || d.Model != "RG-2" {
		t.Errorf("%+v, %v", d, err)
	}
	elsewhere := as[0]
	elsewhere.From = netip.MustParseAddrPort("127.0.0.9:1900")
	if _, _, err := Describe(t.Context(), probetest.Host{}, elsewhere); err == nil {
		t.Error("an answer sent us to somebody else")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nSERVER: x\r\nLOCATION: http://10.0.0.1/\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := Parse(b); err == nil && strings.ContainsAny(a.Server+a.Location, "\r\n\x1b") {
			t.Fatal(a)
		}
	})
}

func FuzzParseDescription(f *testing.F) {
	f.Add(router)
	f.Fuzz(func(t *testing.T, s string) {
		d, _ := ParseDescription(strings.NewReader(s))
		if len(d.Services) > maxServices || len([]rune(d.Model)) > maxWord {
			t.Fatal(d)
		}
		d.Kind()
	})
}
