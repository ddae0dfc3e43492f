package upnp

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

func responder(t *testing.T, answer string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer != "" {
				_, _ = c.WriteTo([]byte(answer), from)
			}
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// gateway serves a description and a list of mappings, as miniupnpd does.
func gateway(t *testing.T, mappings ...string) string {
	t.Helper()
	index := regexp.MustCompile(`<NewPortMappingIndex>(\d+)<`)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `<root><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><manufacturer>Refnet</manufacturer><modelName>RG-2</modelName><serviceList><service>
<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/ctl</controlURL></service></serviceList></device></root>`)
			return
		}
		b, _ := io.ReadAll(r.Body)
		var i int
		if m := index.FindSubmatch(b); m == nil || !strings.Contains(r.Header.Get("SOAPAction"), "WANIPConnection:1#GetGenericPortMappingEntry") {
			t.Errorf("asked with %s", b)
		} else {
			_, _ = fmt.Sscan(string(m[1]), &i)
		}
		if i >= len(mappings) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, `<s:Envelope xmlns:s="x"><s:Body><s:Fault><detail><UPnPError><errorCode>713</errorCode></UPnPError></detail></s:Fault></s:Body></s:Envelope>`)
			return
		}
		_, _ = io.WriteString(w, mappings[i])
	}))
	t.Cleanup(s.Close)
	return "HTTP/1.1 200 OK\r\nSERVER: Linux UPnP/1.1 MiniUPnPd/2.3.1\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: " + s.URL + "/root.xml\r\n\r\n"
}

func door(proto string, outside, inside int, client string) string {
	return fmt.Sprintf(`<?xml version="1.0"?><s:Envelope xmlns:s="x"><s:Body><u:GetGenericPortMappingEntryResponse xmlns:u="y"><NewRemoteHost></NewRemoteHost><NewExternalPort>%d</NewExternalPort><NewProtocol>%s</NewProtocol>`+
		`<NewInternalPort>%d</NewInternalPort><NewInternalClient>%s</NewInternalClient><NewEnabled>1</NewEnabled><NewPortMappingDescription>camera web</NewPortMappingDescription><NewLeaseDuration>0</NewLeaseDuration>`+
		`</u:GetGenericPortMappingEntryResponse></s:Body></s:Envelope>`, outside, proto, inside, client)
}

func TestLook(t *testing.T) {
	silent := func() netip.AddrPort { return responder(t, "") }
	other := "10.0.0.7"
	for _, tt := range []struct {
		name, ssdp, ws, gateway string
		says                    string
		want                    ringwall.Outcome
	}{
		{name: "silent", says: "was not answered", want: ringwall.Pass},
		{name: "UPnP", ssdp: "HTTP/1.1 200 OK\r\nSERVER: miniupnpd/1.5\r\n\r\n", says: "miniupnpd/1.5", want: ringwall.Partial},
		{name: "small WS-Discovery", ws: strings.Repeat("x", 2000), says: "WS-Discovery answered", want: ringwall.Pass},
		{name: "large WS-Discovery", ws: strings.Repeat("x", 20_000), says: "turned on others", want: ringwall.Fail},
		{name: "garbage for SSDP", ssdp: "\x00\x01", says: "was not answered", want: ringwall.Pass},
		{name: "a gateway", ssdp: gateway(t, door("TCP", 8080, 80, other), door("UDP", 5060, 5060, other)), says: "lets in tcp port 8080 to 10.0.0.7 port 80", want: ringwall.Partial},
		{name: "a gateway without doors", ssdp: gateway(t), says: "0 of them", want: ringwall.Partial},
		{name: "a gateway that says the same for ever", ssdp: gateway(t, func() []string {
			var out []string
			for range 200 {
				out = append(out, door("TCP", 1, 1, other))
			}
			return out
		}()...), says: "1 of them", want: ringwall.Partial},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := look(t.Context(), probetest.Host{}, netip.MustParseAddr("127.0.0.1"), responder(t, tt.ssdp), responder(t, tt.ws), silent())
			if err != nil {
				t.Fatal(err)
			}
			f := judge(s)
			story := f.Title + "\n" + strings.Join(f.Evidence, "\n")
			if f.Outcome != tt.want || !strings.Contains(story, tt.says) {
				t.Errorf("%v, want %v and %q: %s", f.Outcome, tt.want, tt.says, story)
			}
		})
	}
}

// TestLook_aDoorAtTheGateway assesses a camera for which the gateway keeps a door
// open.
func TestLook_aDoorAtTheGateway(t *testing.T) {
	camera := netip.MustParseAddr("127.0.0.5")
	says := gateway(t, door("TCP", 8081, 80, "127.0.0.9"), door("TCP", 8080, 80, camera.String()))
	s, err := look(t.Context(), probetest.Host{}, camera, responder(t, ""), responder(t, ""), responder(t, says))
	if err != nil {
		t.Fatal(err)
	}
	f := judge(s)
	if f.Outcome != ringwall.Fail || f.Confidence != ringwall.Confirmed || f.Facts["mapped"] != "tcp/8080" {
		t.Errorf("%v (%v): %q %q", f.Outcome, f.Confidence, f.Title, f.Evidence)
	}
}

func TestProbe_deadSilenceIsNoPass(t *testing.T) {
	if a, err := (Probe{}).Run(t.Context(), probetest.Env(t), probetest.Target()); err != nil || len(a.Findings) != 0 {
		t.Errorf("findings %+v, %v of a device that never answered", a.Findings, err)
	}
}

func FuzzParseMapping(f *testing.F) {
	f.Add(door("TCP", 1, 2, "10.0.0.1"))
	f.Add(strings.Repeat("<a>", 100))
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parseMapping(strings.NewReader(s))
		if err == nil && !m.client.IsValid() {
			t.Fatal(m)
		}
	})
}
