// Package portmaptest is a router that maps ports, for tests: it speaks UPnP IGD,
// NAT-PMP and PCP on connections that the test gives it.
package portmaptest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
)

// Entry is one mapping.
type Entry struct {
	Proto       string // "TCP" or "UDP"
	External    uint16
	Internal    netip.AddrPort
	Description string
}

// Router is the state. Its methods may be called concurrently.
type Router struct {
	mu      sync.Mutex
	entries []Entry
	// Location is what it names as the place of its description; "" = the truth.
	Location string
	// Keep refuses to delete.
	Keep bool
	http string
}

// New returns a router with these mappings.
func New(entries ...Entry) *Router { return &Router{entries: entries} }

// Entries returns the mappings.
func (r *Router) Entries() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Entry(nil), r.entries...)
}

// Add adds a mapping, as a device would by asking.
func (r *Router) Add(e Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, e)
}

// Serve answers until the connections are closed: HTTP on l, SSDP on ssdp, NAT-PMP
// and PCP on natpmp, which may be nil.
func (r *Router) Serve(l net.Listener, ssdp, natpmp net.PacketConn) {
	r.http = l.Addr().String()
	go http.Serve(l, r)
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := ssdp.ReadFrom(buf)
			if err != nil {
				return
			}
			if !strings.HasPrefix(string(buf[:n]), "M-SEARCH ") || !strings.Contains(string(buf[:n]), "InternetGatewayDevice:1") {
				continue
			}
			at := r.Location
			if at == "" {
				at = "http://" + r.http + "/desc.xml"
			}
			fmt.Fprintf(writerTo{ssdp, from}, "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: %s\r\n\r\n", at)
		}
	}()
	if natpmp != nil {
		go r.natpmp(natpmp)
	}
}

type writerTo struct {
	pc net.PacketConn
	to net.Addr
}

func (w writerTo) Write(b []byte) (int, error) { return w.pc.WriteTo(b, w.to) }

func (r *Router) natpmp(pc net.PacketConn) {
	buf := make([]byte, 2048)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		b := buf[:n]
		switch {
		case n == 2 && b[0] == 0 && b[1] == 0:
			pc.WriteTo([]byte{0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7}, from)
		case n == 12 && b[0] == 0 && (b[1] == 1 || b[1] == 2):
			port := binary.BigEndian.Uint16(b[4:])
			who, err := netip.ParseAddrPort(from.String())
			if err == nil && binary.BigEndian.Uint32(b[8:]) == 0 {
				r.remove(func(e Entry) bool { return e.Internal == netip.AddrPortFrom(who.Addr(), port) })
			}
			out := make([]byte, 16)
			out[1] = 128 + b[1]
			copy(out[8:], b[4:6])
			pc.WriteTo(out, from)
		case n >= 24 && b[0] == 2:
			out := make([]byte, 24)
			out[0], out[1] = 2, 128|b[1]
			pc.WriteTo(out, from)
		}
	}
}

func (r *Router) remove(f func(Entry) bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, e := range r.entries {
		if f(e) {
			r.entries = append(r.entries[:i:i], r.entries[i+1:]...)
			return true
		}
	}
	return false
}

const description = `<?xml version="1.0"?>
<!-- a router --><root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
<friendlyName>Router &amp; Co</friendlyName><deviceList><device><serviceList>
<service><serviceType>urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1</serviceType><controlURL>/other</controlURL></service>
<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><serviceId>x</serviceId><controlURL>/ctl</controlURL></service>
</serviceList></device></deviceList></device></root>`

func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch req.URL.Path {
	case "/desc.xml":
		io.WriteString(w, description)
	case "/ctl":
		body, _ := io.ReadAll(io.LimitReader(req.Body, 64<<10))
		r.control(w, string(body))
	default:
		http.NotFound(w, req)
	}
}

func field(body, name string) string {
	_, rest, _ := strings.Cut(body, "<"+name+">")
	v, _, _ := strings.Cut(rest, "<")
	return v
}

func (r *Router) control(w http.ResponseWriter, body string) {
	fault := func(code int, text string) {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, `<s:Envelope xmlns:s="x"><s:Body><s:Fault><detail><UPnPError><errorCode>%d</errorCode><errorDescription>%s</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>`, code, text)
	}
	switch {
	case strings.Contains(body, "GetGenericPortMappingEntry"):
		var i int
		fmt.Sscan(field(body, "NewPortMappingIndex"), &i)
		list := r.Entries()
		if i < 0 || i >= len(list) {
			fault(713, "SpecifiedArrayIndexInvalid")
			return
		}
		e := list[i]
		fmt.Fprintf(w, `<?xml version="1.0"?><s:Envelope xmlns:s="x"><s:Body><u:GetGenericPortMappingEntryResponse xmlns:u="y"><NewRemoteHost></NewRemoteHost><NewExternalPort>%d</NewExternalPort><NewProtocol>%s</NewProtocol><NewInternalPort>%d</NewInternalPort><NewInternalClient>%s</NewInternalClient><NewEnabled>1</NewEnabled><NewPortMappingDescription>%s</NewPortMappingDescription><NewLeaseDuration>0</NewLeaseDuration></u:GetGenericPortMappingEntryResponse></s:Body></s:Envelope>`,
			e.External, e.Proto, e.Internal.Port(), e.Internal.Addr(), e.Description)
	case strings.Contains(body, "DeletePortMapping"):
		if r.Keep {
			fault(606, "Action not authorized")
			return
		}
		var port uint16
		fmt.Sscan(field(body, "NewExternalPort"), &port)
		if !r.remove(func(e Entry) bool { return e.External == port && e.Proto == field(body, "NewProtocol") }) {
			fault(714, "NoSuchEntryInArray")
			return
		}
		io.WriteString(w, `<s:Envelope xmlns:s="x"><s:Body><u:DeletePortMappingResponse xmlns:u="y"/></s:Body></s:Envelope>`)
	default:
		fault(401, "Invalid Action")
	}
}
