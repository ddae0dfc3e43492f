package api

import (
	"crypto/ed25519"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

// TerminalVersion is the first byte of every message of the form for
// constrained terminals, and the version of that form. Numbers are big endian,
// texts carry their length in one byte.
const TerminalVersion = 1

// Types of messages, the second byte.
const (
	terminalStatus = 1 // of TerminalStatus
	terminalBatch  = 2 // of a batch
	terminalAck    = 3 // of the acknowledgement of a batch
	terminalAnswer = 4 // of TerminalAnswer
)

// Bounds of a terminal's policy, within which the C client works with fixed
// memory.
const (
	MaxTerminalTerms  = 512
	MaxTerminalHolds  = 32
	MaxTerminalPolicy = 64 << 10
	maxTerminalText   = 255
)

// TerminalPolicy is what one device may do, cut down to what a terminal with a
// few kilobytes can read and decide: addresses, names, ports. It is never wider
// than what it was made of: an allow term with a condition that it cannot say
// is left out, a deny term loses the condition.
type TerminalPolicy struct {
	Org        ringwall.OrgID
	Gateway    ringwall.GatewayID // as which the terminal enrolled
	Device     ringwall.DeviceID
	Generation uint64
	Issued     time.Time // to the second
	Mode       ringwall.Mode
	Holds      []TerminalHold
	Terms      []TerminalTerm
	// Remediation is what is left to it in quarantine.
	Remediation []TerminalTerm
}

// TerminalHold is a restriction in force. What trust demands is one without an
// end.
type TerminalHold struct {
	Do      ringwall.Restriction
	Expires time.Time // to the second; zero = until a later document does not list it
}

// TerminalTerm is one term. Name or Net says the other end.
type TerminalTerm struct {
	ID    string
	Deny  bool
	To    bool  // opened to the device
	Proto uint8 // IP protocol number; 0 = any
	Net   netip.Prefix
	Name  string // in lower case; "*.cdn.example" = all below
	Ports []PortRange
}

// Terminal returns the policy of one device of d at a moment, for a terminal.
func (d Desired) Terminal(id ringwall.DeviceID, now time.Time) (TerminalPolicy, error) {
	i := slices.IndexFunc(d.Devices, func(p DevicePolicy) bool { return p.Device == id })
	if i < 0 {
		return TerminalPolicy{}, ringwall.Errorf(ringwall.NotFound, "device %q is not in the desired state", id)
	}
	p := d.Devices[i]
	out := TerminalPolicy{Org: d.Org, Gateway: d.Gateway, Device: id, Generation: d.Generation, Issued: d.Issued.UTC().Truncate(time.Second), Mode: p.Mode}
	switch {
	case p.Trust == ringwall.T0 && p.Mode != ringwall.Learn:
		out.Holds = append(out.Holds, TerminalHold{Do: ringwall.Cutoff})
	case p.Trust == ringwall.T1:
		out.Holds = append(out.Holds, TerminalHold{Do: ringwall.Quarantine})
	}
	for _, h := range d.Holds {
		if h.Device != id || !h.Expires.IsZero() && !h.Expires.After(now) || slices.ContainsFunc(d.Releases, func(r Release) bool { return r.Hold == h.ID }) {
			continue
		}
		out.Holds = append(out.Holds, TerminalHold{Do: h.Do, Expires: h.Expires.UTC().Truncate(time.Second)})
	}
	if len(out.Holds) > MaxTerminalHolds { // nobody gets out of one because there are many
		worst := slices.MaxFunc(out.Holds, func(a, b TerminalHold) int { return int(a.Do) - int(b.Do) })
		out.Holds = []TerminalHold{{Do: worst.Do}}
	}
	var err error
	if out.Terms, err = d.terminalTerms(p, p.Terms); err != nil {
		return TerminalPolicy{}, err
	}
	out.Remediation, err = d.terminalTerms(p, d.Remediation)
	return out, err
}

func (d Desired) terminalTerms(p DevicePolicy, terms []Term) ([]TerminalTerm, error) {
	var out []TerminalTerm
	for _, t := range terms {
		deny := t.Action == Deny
		if !deny && (t.Inside != nil || t.Window != nil || t.Limit != nil || t.Who != nil || p.Limit != nil) || t.Gateway {
			continue
		}
		one := TerminalTerm{ID: t.ID, Deny: deny, To: t.Direction == ToDevice, Ports: t.Ports}
		if len(one.ID) > maxTerminalText {
			one.ID = one.ID[:maxTerminalText]
		}
		switch t.Proto {
		case "tcp":
			one.Proto = 6
		case "udp":
			one.Proto = 17
		case "icmp":
			one.Proto = 1
		case "any":
		default:
			return nil, ringwall.Errorf(ringwall.Invalid, "term %.60q has protocol %.20q", t.ID, t.Proto)
		}
		nets, names := d.terminalEnds(p, t)
		for _, n := range nets {
			one.Net, one.Name = n.Masked(), ""
			out = append(out, one)
		}
		for _, n := range names {
			if one.To {
				continue // a name cannot say who opens
			}
			one.Net, one.Name = netip.Prefix{}, strings.ToLower(strings.TrimSuffix(n, "."))
			out = append(out, one)
		}
	}
	if len(out) > MaxTerminalTerms {
		return nil, ringwall.Errorf(ringwall.Invalid, "the policy has %d terms; a constrained terminal takes %d", len(out), MaxTerminalTerms)
	}
	return out, nil
}

// terminalEnds resolves the other ends that a term speaks of.
func (d Desired) terminalEnds(p DevicePolicy, t Term) (nets []netip.Prefix, names []string) {
	device := func(id ringwall.DeviceID) {
		for _, o := range d.Devices {
			if o.Device == id && o.Binding.IP.IsValid() {
				nets = append(nets, netip.PrefixFrom(o.Binding.IP, o.Binding.IP.BitLen()))
			}
		}
	}
	switch {
	case t.CIDR.IsValid():
		nets = append(nets, t.CIDR)
	case t.Domain != "":
		names = append(names, t.Domain)
	case t.Device != "":
		device(t.Device)
	case t.Controller != "":
		for _, c := range d.Controllers {
			if c.Role != t.Controller {
				continue
			}
			nets, names = append(nets, c.Nets...), append(names, c.Domains...)
			for _, id := range c.Devices {
				device(id)
			}
		}
	case t.Local || t.SameMaker:
		for _, o := range d.Devices {
			if o.Device != p.Device && !IsLeaf(o) && (t.Local || o.Maker != "" && o.Maker == p.Maker) {
				device(o.Device)
			}
		}
	}
	return nets, names
}

// SignedTerminal is a TerminalPolicy with its signature: Ed25519 over
// "ringwall terminal policy v1\x00" followed by the payload.
type SignedTerminal struct {
	KeyID   string
	Payload []byte
	Sig     []byte
}

// TerminalContext precedes the payload in what is signed.
const TerminalContext = "ringwall terminal policy v1\x00"

// SignTerminal returns t signed with key.
func SignTerminal(t TerminalPolicy, keyID string, key ed25519.PrivateKey) (SignedTerminal, error) {
	payload, err := t.AppendBinary(nil)
	if err != nil {
		return SignedTerminal{}, err
	}
	return SignedTerminal{KeyID: keyID, Payload: payload, Sig: ed25519.Sign(key, append([]byte(TerminalContext), payload...))}, nil
}

// Open returns the policy inside s if one of keys, by id, signed it. Codes are
// those of Signed.Open.
func (s SignedTerminal) Open(keys map[string]ed25519.PublicKey) (TerminalPolicy, error) {
	key, ok := keys[s.KeyID]
	if !ok {
		return TerminalPolicy{}, ringwall.Errorf(ringwall.Unverified, "terminal policy is signed with unknown key %.60q", s.KeyID)
	}
	if !ed25519.Verify(key, append([]byte(TerminalContext), s.Payload...), s.Sig) {
		return TerminalPolicy{}, ringwall.Errorf(ringwall.Unverified, "signature of the terminal policy does not hold")
	}
	var t TerminalPolicy
	return t, t.UnmarshalBinary(s.Payload)
}

const terminalMagic = "RWTP\x01"

// AppendBinary appends the encoding of t to b: "RWTP" and the version; the
// generation and the time of issue, in seconds since 1970, in 8 bytes each;
// organisation, gateway and device as texts; the mode in one byte; the number of
// holds in one byte, then of each what it does in one and its end in 8 (0 =
// none); then the terms and those of the remediation, each list with its length
// in 2 bytes. A term is a byte of flags (1 deny, 2 to the device), the protocol,
// a byte that says of what kind the other end is (4: length of the prefix and 4
// bytes; 6: the same with 16; 1: a text), the number of port ranges in one byte,
// each range in 2 times 2, and the id as a text.
func (t TerminalPolicy) AppendBinary(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, terminalMagic...)
	b = binary.BigEndian.AppendUint64(b, t.Generation)
	b = binary.BigEndian.AppendUint64(b, uint64(seconds(t.Issued)))
	for _, s := range []string{string(t.Org), string(t.Gateway), string(t.Device)} {
		b = appendText(b, s)
	}
	b = append(b, byte(t.Mode), byte(len(t.Holds)))
	for _, h := range t.Holds {
		b = append(b, byte(h.Do))
		b = binary.BigEndian.AppendUint64(b, uint64(seconds(h.Expires)))
	}
	if len(t.Holds) > MaxTerminalHolds || len(t.Terms) > MaxTerminalTerms || len(t.Remediation) > MaxTerminalTerms {
		return nil, ringwall.Errorf(ringwall.Invalid, "terminal policy has %d holds and %d terms, the limits are %d and %d", len(t.Holds), len(t.Terms), MaxTerminalHolds, MaxTerminalTerms)
	}
	for _, list := range [][]TerminalTerm{t.Terms, t.Remediation} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(list)))
		for _, one := range list {
			var err error
			if b, err = one.append(b); err != nil {
				return nil, err
			}
		}
	}
	if n := len(b) - start; n > MaxTerminalPolicy {
		return nil, ringwall.Errorf(ringwall.Invalid, "terminal policy of %d bytes is over the limit of %d", n, MaxTerminalPolicy)
	}
	return b, nil
}

func (t TerminalTerm) append(b []byte) ([]byte, error) {
	if len(t.Ports) > 255 || len(t.ID) > maxTerminalText || len(t.Name) > maxTerminalText || (t.Name == "") == !t.Net.IsValid() {
		return nil, ringwall.Errorf(ringwall.Invalid, "term %.60q does not fit a terminal", t.ID)
	}
	var flags byte
	if t.Deny {
		flags |= 1
	}
	if t.To {
		flags |= 2
	}
	b = append(b, flags, t.Proto)
	switch {
	case t.Name != "":
		b = appendText(append(b, 1), t.Name)
	case t.Net.Addr().Is4():
		b = append(append(b, 4, byte(t.Net.Bits())), t.Net.Addr().AsSlice()...)
	default:
		b = append(append(b, 6, byte(t.Net.Bits())), t.Net.Addr().AsSlice()...)
	}
	b = append(b, byte(len(t.Ports)))
	for _, r := range t.Ports {
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, r.First), r.Last)
	}
	return appendText(b, t.ID), nil
}

// UnmarshalBinary reads what AppendBinary has written, and nothing else.
func (t *TerminalPolicy) UnmarshalBinary(data []byte) error {
	if len(data) > MaxTerminalPolicy {
		return ringwall.Errorf(ringwall.Invalid, "terminal policy of %d bytes is over the limit of %d", len(data), MaxTerminalPolicy)
	}
	r := terminalReader{b: data}
	if string(r.take(len(terminalMagic))) != terminalMagic {
		return ringwall.Errorf(ringwall.Invalid, "this is no terminal policy")
	}
	*t = TerminalPolicy{Generation: r.u64(), Issued: r.time()}
	t.Org, t.Gateway, t.Device = ringwall.OrgID(r.text()), ringwall.GatewayID(r.text()), ringwall.DeviceID(r.text())
	t.Mode = ringwall.Mode(r.u8())
	holds := int(r.u8())
	if t.Mode > ringwall.Enforce || holds > MaxTerminalHolds {
		r.bad = true
	}
	for range holds {
		if r.bad {
			break
		}
		h := TerminalHold{Do: ringwall.Restriction(r.u8()), Expires: r.time()}
		if h.Do == ringwall.Unrestricted || h.Do > ringwall.Cutoff {
			r.bad = true
		}
		t.Holds = append(t.Holds, h)
	}
	t.Terms, t.Remediation = r.terms(), r.terms()
	if r.bad || len(r.b) > 0 {
		return ringwall.Errorf(ringwall.Invalid, "terminal policy of wrong form, %d bytes before its end", len(r.b))
	}
	return nil
}

// terminalReader reads numbers and texts; once something is wrong it stays bad
// and gives nothing more.
type terminalReader struct {
	b   []byte
	bad bool
}

func (r *terminalReader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *terminalReader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *terminalReader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *terminalReader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *terminalReader) text() string { return string(r.take(int(r.u8()))) }

// lastSecond is the end of the year 9999.
const lastSecond = 253402300799

func (r *terminalReader) time() time.Time {
	s := r.u64()
	if r.bad = r.bad || s > lastSecond; r.bad || s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

func (r *terminalReader) terms() []TerminalTerm {
	n := int(r.u16())
	if n > MaxTerminalTerms {
		r.bad = true
	}
	var out []TerminalTerm
	for range n {
		if r.bad {
			return nil
		}
		out = append(out, r.term())
	}
	return out
}

func (r *terminalReader) term() (t TerminalTerm) {
	flags, proto := r.u8(), r.u8()
	t.Deny, t.To, t.Proto = flags&1 != 0, flags&2 != 0, proto
	size := 0
	switch kind := r.u8(); kind {
	case 1:
		t.Name = r.text()
		r.bad = r.bad || t.Name == ""
	case 4:
		size = 4
	case 6:
		size = 16
	default:
		r.bad = true
	}
	if size > 0 {
		bits := int(r.u8())
		addr, ok := netip.AddrFromSlice(r.take(size))
		net := netip.PrefixFrom(addr, bits)
		if !ok || bits > size*8 || net.Masked() != net {
			r.bad = true
		} else {
			t.Net = net
		}
	}
	for range int(r.u8()) {
		if r.bad {
			return t
		}
		p := PortRange{First: r.u16(), Last: r.u16()}
		r.bad = r.bad || p.First > p.Last
		t.Ports = append(t.Ports, p)
	}
	t.ID = r.text()
	r.bad = r.bad || flags > 3
	return t
}

func appendText(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.Unix(), 1)
}
