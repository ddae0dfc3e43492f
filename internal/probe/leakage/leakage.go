// Package leakage reads what a device's traffic gives away: passwords of HTTP,
// ONVIF, telnet, FTP and SIP in the clear (CO-07), video without encryption
// (DA-03), firmware fetched over HTTP (FS-10), old versions of TLS on its own
// connections (CO-05), and destinations that nobody declared (CO-11).
//
// It reads packets, from a capture file or a tap, and sends nothing. What it
// reports is an api.Examination of the kind inline. A finding is Confirmed when
// the thing itself was seen (a credential, a run of video packets, the head of
// an image), Observed when only its wrapping was.
//
// No secret is kept: of user names and passwords only the length is counted,
// while the packet is looked at. Names of hosts and paths of firmware are shown,
// without their query.
//
// Packets are strangers' words. At most maxConns connections are followed, each
// with at most maxBuffer bytes a direction; a segment that is missing ends what
// was half read, and reading goes on behind it. A connection whose beginning was
// not seen is followed from where it is. A Watch belongs to one goroutine.
//
// Standards: RFC 9112 (HTTP/1.1), RFC 7617, RFC 2326 and RFC 3550 (RTSP, RTP),
// RFC 854, RFC 959 section 4.1.1 (FTP), RFC 3261, RFC 8446 section 4.1 (hellos),
// WS-Security UsernameToken Profile 1.1.
package leakage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/capture"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/passivedns"
)

// Bounds of what is kept.
const (
	maxConns  = 1024
	maxBuffer = 24 << 10
	maxNames  = 4096
	maxPeers  = 512
	maxVideo  = 256 // RTP destinations that SETUP named
	maxMarks  = 256
)

// Config says whose traffic is judged, and against what.
type Config struct {
	// Device are the addresses of the device; MAC is its hardware address. With
	// neither, every connection is judged as if it were the device's.
	Device []netip.Addr
	MAC    string
	// Declared are the destinations that the device is said to need: host names,
	// with *. for those beneath, addresses or prefixes. nil means that nobody has
	// said anything, and destinations are not judged.
	Declared []string
	// Source is that of the findings behind "inline/"; "" means "leakage".
	Source string
}

// Watch reads one device's packets.
type Watch struct {
	cfg     Config
	mac     packet.MAC
	hasMAC  bool
	conns   map[connKey]*conn
	age     []connKey // in the order of their coming
	names   map[netip.Addr]string
	peers   map[netip.Addr]*peer
	video   map[netip.AddrPort]*video // where RTP comes over UDP
	marks   map[markKey]*mark
	ours    uint64 // packets of the device
	first   time.Time
	last    time.Time
	dropped int // connections given up for want of room
}

// New returns a Watch. A MAC that is none is as none given.
func New(cfg Config) *Watch {
	w := &Watch{
		cfg: cfg, conns: map[connKey]*conn{}, names: map[netip.Addr]string{}, peers: map[netip.Addr]*peer{},
		video: map[netip.AddrPort]*video{}, marks: map[markKey]*mark{},
	}
	w.mac, w.hasMAC = packet.ParseMAC(cfg.MAC)
	return w
}

// File reads a whole capture.
func File(ctx context.Context, r io.Reader, cfg Config) (api.Examination, error) {
	h := sha256.New()
	c, err := capture.NewReader(io.TeeReader(r, h))
	if err != nil {
		return api.Examination{}, err
	}
	w := New(cfg)
	var p packet.Packet
	var ended error
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return api.Examination{}, ctx.Err()
		}
		f, err := c.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			ended = err // what stands before a broken end counts
			break
		}
		p.Time, p.Number, p.OrigLen = f.Time, f.Number, f.OrigLen
		_ = packet.Decode(f.Link, f.Data, &p) // as far as it goes
		w.Packet(&p)
	}
	if w.ours == 0 && ended != nil {
		return api.Examination{}, ended
	}
	e := w.Examination()
	if ended != nil {
		e.Notes = append(e.Notes, ended.Error())
	}
	e.Digest = hex.EncodeToString(h.Sum(nil))
	return e, nil
}

// side says which end of a packet is the device.
type side uint8

const (
	nobody side = iota
	sender
	receiver
	either // nobody said who the device is
)

func (w *Watch) side(p *packet.Packet) side {
	if !w.hasMAC && len(w.cfg.Device) == 0 {
		return either
	}
	switch {
	case w.hasMAC && p.SrcMAC == w.mac || slices.Contains(w.cfg.Device, p.Src):
		return sender
	case w.hasMAC && p.DstMAC == w.mac || slices.Contains(w.cfg.Device, p.Dst):
		return receiver
	}
	return nobody
}

// Packet reads one packet; it keeps nothing of it that aliases its memory.
func (w *Watch) Packet(p *packet.Packet) {
	if !p.IP() || p.FragOffset != 0 {
		return
	}
	s := w.side(p)
	if s == nobody {
		return
	}
	w.ours++
	if w.first.IsZero() {
		w.first = p.Time
	}
	if p.Time.After(w.last) {
		w.last = p.Time
	}
	switch {
	case p.Has(packet.UDP):
		w.datagram(p, s)
	case p.Has(packet.TCP):
		w.segment(p, s)
	}
}

func (w *Watch) datagram(p *packet.Packet, s side) {
	if p.SrcPort == 53 {
		_ = passivedns.Parse(p.Payload, func(name []byte, addr netip.Addr) { w.name(addr, string(name)) })
	}
	if v := w.video[netip.AddrPortFrom(p.Dst, p.DstPort)]; v != nil {
		v.packet(p.Payload)
	}
	if p.SrcPort == 5060 || p.DstPort == 5060 {
		w.sip(p.Payload, netip.AddrPortFrom(p.Dst, p.DstPort))
	}
	if s != receiver {
		w.went(p.Dst, p.DstPort, "udp")
	}
}

// name remembers by which name an address was found.
func (w *Watch) name(addr netip.Addr, name string) {
	if _, known := w.names[addr]; name != "" && (known || len(w.names) < maxNames) {
		w.names[addr] = name
	}
}
