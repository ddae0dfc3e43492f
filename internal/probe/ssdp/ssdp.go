// Package ssdp asks devices to show themselves by UPnP's search and reads the
// descriptions that they point to.
//
// A search goes to the group and to each address (UPnP Device Architecture 2.0
// section 1.3.2, multicast and unicast). A description is fetched only from the
// very address that answered, whatever the answer says, and is read with bounds on
// size, depth and number of elements; the XML reader knows no entities of a
// document's own, so that none can grow.
package ssdp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/fetch"
)

// Port is where UPnP devices listen for searches.
const Port = 1900

// Group is the multicast group over IPv4.
var Group = netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 255, 255, 250}), Port)

const (
	maxAnswers  = 4096
	maxDatagram = 4 << 10
)

// Query writes a search for st, such as "upnp:rootdevice"; devices wait up to a
// second before they answer a group.
func Query(st string) []byte {
	return []byte("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: " + st + "\r\n\r\n")
}

// Answer is what one device said to a search.
type Answer struct {
	From                     netip.AddrPort
	Server, Location, Target string
	USN                      string
	Bytes                    int // of the datagram
}

// Parse reads one answer.
func Parse(b []byte) (Answer, error) {
	r := bufio.NewReader(bytes.NewReader(b))
	line, err := r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.") || !strings.Contains(line, " 200") {
		return Answer{}, errors.New("ssdp: no answer to a search")
	}
	h, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil && !errors.Is(err, io.EOF) {
		return Answer{}, fmt.Errorf("ssdp: reading an answer: %w", err)
	}
	get := func(k string) string { return fetch.Clean(h.Get(k), 200) }
	return Answer{Server: get("Server"), Location: get("Location"), Target: get("St"), USN: get("Usn"), Bytes: len(b)}, nil
}

// Search asks and listens for wait. Answers count only if want takes the address
// that they came from.
func Search(ctx context.Context, c net.PacketConn, query []byte, to []netip.AddrPort, wait time.Duration, want func(netip.Addr) bool) ([]Answer, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	for _, a := range to {
		_, _ = c.WriteTo(query, net.UDPAddrFromAddrPort(a)) // no way there is silence
	}
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	var out []Answer
	buf := make([]byte, maxDatagram)
	for ctx.Err() == nil && len(out) < maxAnswers {
		k, from, err := c.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return out, err
		}
		ua, ok := from.(*net.UDPAddr)
		if !ok {
			continue
		}
		at := netip.AddrPortFrom(ua.AddrPort().Addr().Unmap(), ua.AddrPort().Port())
		if a, err := Parse(buf[:k]); err == nil && want(at.Addr()) {
			a.From = at
			out = append(out, a)
		}
	}
	return out, ctx.Err()
}

// Description is what a device says of itself (UPnP Device Architecture 2.0
// section 2.3).
type Description struct {
	Type, Name, Vendor, Model, Number, Serial string
	Services                                  []Service
}

// Service is one that a device offers.
type Service struct{ Type, Control string }

// Bounds of a description.
const (
	maxDepth    = 32
	maxElements = 4096
	maxServices = 64
	maxWord     = 200
)

// ParseDescription reads a description. Embedded devices add their services; the
// words are the root device's.
func ParseDescription(r io.Reader) (Description, error) {
	var d Description
	var path []string
	var word strings.Builder
	var svc Service
	x := xml.NewDecoder(io.LimitReader(r, fetch.Max))
	x.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // the words that matter are ASCII
	for range maxElements * 4 {
		tok, err := x.RawToken()
		if errors.Is(err, io.EOF) {
			if d.Type == "" {
				return d, errors.New("ssdp: no device in the description")
			}
			return d, nil
		}
		if err != nil {
			return d, fmt.Errorf("ssdp: reading a description: %w", err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if path = append(path, tok.Name.Local); len(path) > maxDepth {
				return d, fmt.Errorf("ssdp: a description deeper than %d elements", maxDepth)
			}
			word.Reset()
			if tok.Name.Local == "service" {
				svc = Service{}
			}
		case xml.CharData:
			if word.Len() < maxWord {
				word.Write(tok[:min(len(tok), maxWord)])
			}
		case xml.EndElement:
			if len(path) == 0 {
				return d, errors.New("ssdp: an element ends that did not begin")
			}
			d.set(path, fetch.Clean(word.String(), maxWord), &svc)
			word.Reset()
			path = path[:len(path)-1]
		case xml.Directive:
			return d, errors.New("ssdp: a description with a document type")
		}
	}
	return d, fmt.Errorf("ssdp: a description of more than %d elements", maxElements)
}

func (d *Description) set(path []string, v string, svc *Service) {
	last := path[len(path)-1]
	depth := 0
	for _, p := range path {
		if p == "device" {
			depth++
		}
	}
	if depth == 0 {
		return
	}
	switch last {
	case "serviceType":
		svc.Type = v
	case "controlURL":
		svc.Control = v
	case "service":
		if svc.Type != "" && len(d.Services) < maxServices {
			d.Services = append(d.Services, *svc)
		}
	}
	if depth > 1 || len(path) > 1 && path[len(path)-2] != "device" {
		return
	}
	for name, to := range map[string]*string{
		"deviceType": &d.Type, "friendlyName": &d.Name, "manufacturer": &d.Vendor, "modelName": &d.Model, "modelNumber": &d.Number, "serialNumber": &d.Serial,
	} {
		if last == name && *to == "" {
			*to = v
		}
	}
}

// Describe fetches the description that an answer points to, from the address
// that answered. It returns where that was, which control addresses are relative
// to.
func Describe(ctx context.Context, n assess.Network, a Answer) (Description, *url.URL, error) {
	u, err := url.Parse(a.Location)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return Description{}, nil, fmt.Errorf("ssdp: %q is no address of a description", a.Location)
	}
	host, err := netip.ParseAddr(u.Hostname())
	if err != nil || host.Unmap() != a.From.Addr() {
		return Description{}, nil, fmt.Errorf("ssdp: the description is said to be at %.60q, which is not who answered", u.Host)
	}
	r, err := fetch.Get(ctx, n, u.String())
	if err != nil {
		return Description{}, nil, fmt.Errorf("ssdp: fetching a description: %w", err)
	}
	d, err := ParseDescription(bytes.NewReader(r.Body))
	return d, u, err
}

// Kind is what sort of device the type of a description means; "" when it does
// not tell.
func (d Description) Kind() string {
	for part, kind := range map[string]string{
		":InternetGatewayDevice:": "gateway", ":WANDevice:": "gateway", ":DigitalSecurityCamera:": "camera", ":MediaRenderer:": "media player", ":MediaServer:": "media server",
		":Printer:": "printer", ":HVAC_System:": "appliance", ":BinaryLight:": "appliance", ":DimmableLight:": "appliance",
	} {
		if strings.Contains(d.Type, part) {
			return kind
		}
	}
	if slices.ContainsFunc(d.Services, func(s Service) bool { return strings.Contains(s.Type, "DigitalSecurityCamera") }) {
		return "camera"
	}
	return ""
}
