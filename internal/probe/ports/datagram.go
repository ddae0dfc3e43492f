package ports

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
)

const (
	// datagramWait is how long answers are waited for after each round; two
	// rounds are asked, for a datagram may be lost.
	datagramWait   = 700 * time.Millisecond
	datagramRounds = 2
	// maxDatagrams bounds what one device may flood us with.
	maxDatagrams = 256
	maxDatagram  = 4 << 10
)

// datagramService is one UDP service: what is asked, and what proves it. A port
// that answers otherwise is open and has no name; one that is silent is not
// reported, for silence is also a filter's.
type datagramService struct {
	port  uint16
	name  string
	ask   []byte
	judge func(b []byte) (info string, ok bool)
}

// datagramServices returns the questions, with fresh ids in them.
func datagramServices() []datagramService {
	var id [4]byte
	_, _ = rand.Read(id[:]) // it never fails (crypto/rand)
	prefix := func(want ...byte) func([]byte) (string, bool) {
		return func(b []byte) (string, bool) { return "", bytes.HasPrefix(b, want) }
	}
	text := func(want string) func([]byte) (string, bool) {
		return func(b []byte) (string, bool) { return header(b, "server"), bytes.HasPrefix(b, []byte(want)) }
	}
	has := func(want string) func([]byte) (string, bool) {
		return func(b []byte) (string, bool) { return "", bytes.Contains(b, []byte(want)) }
	}
	dns := func(b []byte) (string, bool) {
		return "", len(b) >= 12 && bytes.Equal(b[:2], id[:2]) && b[2]&0x80 != 0
	}
	uuid := "uuid:" + hexID(id[:]) + "-5257-4000-8000-000000000000"
	return []datagramService{
		// Standard query for the root's name servers (RFC 1035 section 4).
		{53, "dns", append(append([]byte{id[0], id[1]}, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0), 0, 0, 2, 0, 1), dns},
		// Read request for a file that is not there; every server answers that,
		// with an error, from a port of its own (RFC 1350 section 4).
		{69, "tftp", append(append([]byte{0, 1}, "ringwall-"+hexID(id[:])...), "\x00octet\x00"...), func(b []byte) (string, bool) {
			return "", len(b) >= 4 && b[0] == 0 && (b[1] == 5 || b[1] == 3) && b[2] == 0
		}},
		// NULL call of the port mapper (RFC 5531 section 9, RFC 1833 section 3).
		{111, "rpcbind", append(append([]byte{}, id[:]...), 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0x86, 0xa0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), func(b []byte) (string, bool) {
			return "", len(b) >= 12 && bytes.Equal(b[:4], id[:]) && binary.BigEndian.Uint32(b[4:]) == 1
		}},
		// Client request, version 4 (RFC 5905 section 7.3); a server answers in mode 4.
		{123, "ntp", append([]byte{0x23}, make([]byte, 47)...), func(b []byte) (string, bool) { return "", len(b) >= 48 && b[0]&7 == 4 }},
		// Node status (RFC 1002 section 4.2.17).
		{137, "netbios", append([]byte{id[0], id[1], 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x20, 'C', 'K'}, append(bytes.Repeat([]byte{'A'}, 30), 0, 0, 0x21, 0, 1)...), dns},
		// Discovery of the engine id, without any community (RFC 3414 section 4).
		{161, "snmp", []byte{
			0x30, 0x3a, 2, 1, 3, 0x30, 0x0f, 2, 2, 0x52, 0x57, 2, 3, 0, 0xff, 0xe3, 4, 1, 4, 2, 1, 3, 4, 0x10, 0x30, 0x0e, 4, 0, 2, 1, 0, 2, 1, 0, 4, 0, 4, 0, 4, 0,
			0x30, 0x12, 4, 0, 4, 0, 0xa0, 0x0c, 2, 2, 0x52, 0x57, 2, 1, 0, 2, 1, 0, 0x30, 0,
		}, func(b []byte) (string, bool) {
			return "version 3", len(b) > 20 && b[0] == 0x30 && bytes.Contains(b[:20], []byte{2, 1, 3}) && bytes.Contains(b, []byte{0xa8})
		}},
		{1900, "ssdp", []byte("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: upnp:rootdevice\r\n\r\n"), text("HTTP/1.")},
		// Binding request (RFC 8489 section 6).
		{3478, "stun", append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 'r', 'i', 'n', 'g', 'w', 'a', 'l', 'l'}, id[:]...), func(b []byte) (string, bool) {
			return "", len(b) >= 20 && b[0] == 1 && bytes.Equal(b[16:20], id[:])
		}},
		{3702, "ws-discovery", []byte(`<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"><s:Header><a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action><a:MessageID>` +
			uuid + `</a:MessageID><a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To></s:Header><s:Body><Probe xmlns="http://schemas.xmlsoap.org/ws/2005/04/discovery"/></s:Body></s:Envelope>`), has("ProbeMatch")},
		{5060, "sip", []byte("OPTIONS sip:ringwall SIP/2.0\r\nVia: SIP/2.0/UDP ringwall;branch=z9hG4bK" + hexID(id[:]) + ";rport\r\nFrom: <sip:ringwall>;tag=1\r\nTo: <sip:ringwall>\r\nCall-ID: " +
			hexID(id[:]) + "\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 1\r\nContent-Length: 0\r\n\r\n"), text("SIP/2.0 ")},
		// All kinds of services, answer to the asker (RFC 6762 section 5.5).
		{5353, "mdns", append([]byte{id[0], id[1], 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, "\x09_services\x07_dns-sd\x04_udp\x05local\x00\x00\x0c\x80\x01"...), func(b []byte) (string, bool) {
			return "", len(b) >= 12 && b[2]&0x80 != 0 && binary.BigEndian.Uint16(b[6:]) > 0 && bytes.Contains(b, []byte("\x05local"))
		}},
		// GET /.well-known/core (RFC 7252 section 3, RFC 6690 section 4).
		{5683, "coap", append([]byte{0x42, 1, id[0], id[1], id[2], id[3], 0xbb}, ".well-known\x04core"...), func(b []byte) (string, bool) {
			return "", len(b) >= 6 && b[0]>>6 == 1 && b[0]&15 == 2 && bytes.Equal(b[4:6], id[2:4]) && b[1] >= 0x40
		}},
		// TP-Link's local protocol: JSON under a running XOR, here for its system facts.
		{9999, "kasa", kasa(`{"system":{"get_sysinfo":{}}}`), func(b []byte) (string, bool) {
			b = unkasa(b)
			return facts(between(b, `"model":"`, `"`), between(b, `"sw_ver":"`, `"`)), bytes.Contains(b, []byte(`"get_sysinfo"`)) && bytes.Contains(b, []byte("err_code"))
		}},
		{10001, "ubnt", []byte{1, 0, 0, 0}, func(b []byte) (string, bool) {
			return "", len(b) > 4 && b[0] == 1 && int(binary.BigEndian.Uint16(b[2:])) == len(b)-4
		}},
		{11211, "memcached", []byte("\x52\x57\x00\x00\x00\x01\x00\x00version\r\n"), func(b []byte) (string, bool) { return "", len(b) > 8 && bytes.HasPrefix(b[8:], []byte("VERSION ")) }},
		// Hikvision's device search.
		{37020, "sadp", []byte(`<?xml version="1.0" encoding="utf-8"?><Probe><Uuid>` + hexID(id[:]) + `</Uuid><Types>inquiry</Types></Probe>`), func(b []byte) (string, bool) {
			return facts(between(b, "<DeviceDescription>", "<"), between(b, "<SoftwareVersion>", "<")), bytes.Contains(b, []byte("<ProbeMatch>"))
		}},
		// Dahua's device search.
		{37810, "dhip", dhip(`{"method":"DHDiscover.search","params":{"mac":"","uni":1}}` + "\n"), func(b []byte) (string, bool) {
			return facts(between(b, `"DeviceType":"`, `"`), between(b, `"Version":"`, `"`)), len(b) > 32 && bytes.Equal(b[4:8], []byte("DHIP")) && bytes.Contains(b, []byte("deviceInfo"))
		}},
		// Who-Is (ASHRAE 135, annex J).
		{47808, "bacnet", []byte{0x81, 0x0b, 0, 0x0c, 1, 0x20, 0xff, 0xff, 0, 0xff, 0x10, 8}, func(b []byte) (string, bool) {
			return "", len(b) > 8 && b[0] == 0x81 && b[4] == 1 && b[1] != 0x0b
		}},
		// A DTLS hello with a cookie left out is answered by a verify request.
		{5684, "dtls", dtlsHello(id), prefix(22, 254)},
	}
}

// facts is how a model and a firmware version are kept as what a service said.
func facts(model, firmware string) string {
	if model == "" {
		return ""
	}
	if firmware == "" {
		return "model=" + model
	}
	return "model=" + model + "; firmware=" + firmware
}

// between returns the text between two marks, made safe to show.
func between(b []byte, from, to string) string {
	_, rest, ok := bytes.Cut(b, []byte(from))
	if !ok {
		return ""
	}
	v, _, ok := bytes.Cut(rest, []byte(to))
	if !ok {
		return ""
	}
	return printable(v)
}

// kasa enciphers as TP-Link's plugs do: each byte with the one before it.
func kasa(s string) []byte {
	out, key := make([]byte, len(s)), byte(171)
	for i := range len(s) {
		key ^= s[i]
		out[i] = key
	}
	return out
}

func unkasa(b []byte) []byte {
	out, key := make([]byte, len(b)), byte(171)
	for i, x := range b {
		out[i] = x ^ key
		key = x
	}
	return out
}

// dhip frames JSON as Dahua's devices do.
func dhip(s string) []byte {
	b := append([]byte{0x20, 0, 0, 0}, "DHIP"...)
	b = append(b, make([]byte, 8)...)
	for range 2 {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, 0, 0, 0, 0)
	}
	return append(b, s...)
}

// dtlsHello is a DTLS 1.2 ClientHello with one suite (RFC 6347 section 4.2).
func dtlsHello(id [4]byte) []byte {
	body := []byte{254, 253}
	body = append(body, bytes.Repeat(id[:], 8)...)
	body = append(body, 0, 0, 0, 4, 0xc0, 0xa8, 0xc0, 0x2b, 1, 0)
	hs := append([]byte{1, 0, 0, byte(len(body)), 0, 0, 0, 0, 0, 0, 0, byte(len(body))}, body...)
	return append([]byte{22, 254, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(hs))}, hs...)
}

// Datagrams returns the UDP services that answered. One socket asks them all,
// so that a device that limits its refusals is not waited for.
func Datagrams(ctx context.Context, n assess.Network, target netip.Addr) []api.Service {
	return askDatagrams(ctx, n, target, datagramServices())
}

func askDatagrams(ctx context.Context, n assess.Network, target netip.Addr, services []datagramService) []api.Service {
	network, any := "udp4", "0.0.0.0:0"
	if target.Is6() {
		network, any = "udp6", "[::]:0"
	}
	c, err := n.ListenPacket(ctx, network, any)
	if err != nil {
		return nil
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	found := map[uint16]api.Service{}
	buf := make([]byte, maxDatagram)
	heard := 0
	for range datagramRounds {
		for _, s := range services {
			if _, done := found[s.port]; !done {
				_, _ = c.WriteTo(s.ask, net.UDPAddrFromAddrPort(netip.AddrPortFrom(target, s.port))) // no way there is silence
			}
		}
		if c.SetReadDeadline(time.Now().Add(datagramWait)) != nil {
			break
		}
		for heard < maxDatagrams {
			k, from, err := c.ReadFrom(buf)
			if err != nil {
				break
			}
			heard++
			if ua, ok := from.(*net.UDPAddr); ok && ua.AddrPort().Addr().Unmap().WithZone("") == target.WithZone("") {
				note(found, services, ua.AddrPort().Port(), buf[:k])
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	out := make([]api.Service, 0, len(found))
	for _, s := range found {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b api.Service) int { return cmp.Compare(a.Port, b.Port) })
	return out
}

// note judges one datagram that came from a port of the device.
func note(found map[uint16]api.Service, services []datagramService, port uint16, b []byte) {
	for _, s := range services {
		// TFTP alone answers from a new port.
		if s.port != port && (s.name != "tftp" || slices.ContainsFunc(services, func(o datagramService) bool { return o.port == port })) {
			continue
		}
		if have, ok := found[s.port]; ok && have.Name != "" {
			return
		}
		svc := api.Service{Proto: "udp", Port: s.port}
		if !bytes.Equal(b, s.ask) { // an echo proves nothing but that it is open
			if info, ok := s.judge(b); ok {
				svc.Name, svc.Info = s.name, info
			}
		}
		if svc.Name == "" && s.port != port {
			continue
		}
		found[s.port] = svc
		return
	}
}
