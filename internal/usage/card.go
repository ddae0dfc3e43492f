package usage

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
)

// Card is one SIM with its allowed uses.
type Card struct {
	SIM  ringwall.SIMID
	Org  ringwall.OrgID
	IMSI ringwall.IMSI
	// IMEI is the equipment it is bound to; "" = the first it is seen in.
	IMEI ringwall.IMEI
	// Services it is meant for; the zero value is unknown, and not judged.
	Services Services
	// Peers it may reach; nil = any.
	Peers *Peers
}

// Check returns an Invalid error when what somebody declares of a card could not
// be judged by: ask before it is stored.
func Check(c api.SIMCreate) error {
	if imsiKey(ringwall.IMSI(c.IMSI)) == 0 || len(c.IMSI) < 6 {
		return ringwall.Errorf(ringwall.Invalid, "the IMSI has %d characters, want 6 to 15 digits", len(c.IMSI))
	}
	if c.IMEI != "" && EquipmentOf(ringwall.IMEI(c.IMEI)) == 0 {
		return ringwall.Errorf(ringwall.Invalid, "the IMEI has %d characters, want 14 to 16 digits", len(c.IMEI))
	}
	if _, err := ParseServices(c.Services); err != nil {
		return err
	}
	_, err := ParsePeers(c.Peers)
	return err
}

// Services is a set of services.
type Services uint8

// ParseServices reads names of services, such as "data" and "sms".
func ParseServices(names []string) (Services, error) {
	var s Services
	for _, n := range names {
		v, err := cdr.ParseService(strings.ToLower(strings.TrimSpace(n)))
		if err != nil {
			return 0, err
		}
		s |= 1 << v
	}
	return s, nil
}

// Has reports whether v is in the set.
func (s Services) Has(v cdr.Service) bool { return s&(1<<v) != 0 }

// Equipment is the part of an IMEI that names one piece of equipment: its first
// 14 digits. The 15th is a check digit or, in an IMEISV, the software's version
// begins there, so the same equipment is written in several ways (TS 23.003
// sections 6.2.1 and 6.2.2). 0 = unknown.
type Equipment uint64

// EquipmentOf returns the equipment that an IMEI names.
func EquipmentOf(i ringwall.IMEI) Equipment {
	s := i.Reveal()
	if len(s) < 14 || len(s) > 16 {
		return 0
	}
	n, err := strconv.ParseUint(s[:14], 10, 64)
	if err != nil {
		return 0
	}
	// One more, so that the all-zero IMEI of a blanked phone is equipment too.
	return Equipment(n + 1)
}

// TAC is the type allocation code: which model it is.
func (e Equipment) TAC() string {
	if e == 0 {
		return ""
	}
	s := strconv.FormatUint(uint64(e-1), 10)
	return (strings.Repeat("0", max(0, 14-len(s))) + s)[:8]
}

// String masks the serial number but for its last two digits.
func (e Equipment) String() string {
	if e == 0 {
		return ""
	}
	return e.TAC() + "****" + strconv.FormatUint(uint64(e-1)%100+100, 10)[1:]
}

// MaxPeers bounds the allow list of one card.
const MaxPeers = 10_000

// Peers is an exact set of other ends: addresses and networks, names of access
// points, telephone numbers. Each kind is judged only if the set names one of
// it. It is not changed after ParsePeers and may be shared by cards.
type Peers struct {
	addrs   map[netip.Addr]struct{}
	nets    []netip.Prefix
	apns    map[string]struct{}
	numbers map[string]struct{}
	key     string
}

// ParsePeers reads a list of peers. An empty list is nil: any peer. The error
// has code Invalid.
func ParsePeers(list []string) (*Peers, error) {
	if len(list) > MaxPeers {
		return nil, ringwall.Errorf(ringwall.Invalid, "allow list of %d peers is over the limit of %d", len(list), MaxPeers)
	}
	p := &Peers{addrs: map[netip.Addr]struct{}{}, apns: map[string]struct{}{}, numbers: map[string]struct{}{}}
	var keys []string
	for _, s := range list {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		keys = append(keys, s)
		if a, err := netip.ParseAddr(s); err == nil {
			p.addrs[a.Unmap().WithZone("")] = struct{}{}
		} else if n, err := netip.ParsePrefix(s); err == nil {
			p.nets = append(p.nets, n.Masked())
		} else if n := number(s); n != "" {
			p.numbers[n] = struct{}{}
		} else if apn(s) {
			p.apns[strings.ToLower(s)] = struct{}{}
		} else {
			return nil, ringwall.Errorf(ringwall.Invalid, "peer %.40q is no address, network, number or access point name", s)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	slices.Sort(keys)
	p.key = strings.Join(slices.Compact(keys), " ")
	return p, nil
}

// number returns the digits of a telephone number, "" when s is none.
func number(s string) string {
	d := strings.TrimPrefix(s, "+")
	if len(d) < 3 || len(d) > 20 {
		return ""
	}
	for _, c := range []byte(d) {
		if c < '0' || c > '9' {
			return ""
		}
	}
	return d
}

// apn reports whether s has the form of an access point name (TS 23.003
// section 9.1: labels of letters, digits and hyphens).
func apn(s string) bool {
	if len(s) > 100 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// refuse returns which other end of a record is not in the set, and of what
// kind ("address", "apn", "number"); "" when none is.
func (p *Peers) refuse(r *cdr.Record) (kind, peer string) {
	if p == nil {
		return "", ""
	}
	if r.Service == cdr.Data {
		if a, err := netip.ParseAddr(r.Peer); err == nil && len(p.addrs)+len(p.nets) > 0 && !p.address(a.Unmap().WithZone("")) {
			return "address", r.Peer
		}
		if _, ok := p.apns[strings.ToLower(r.APN)]; r.APN != "" && len(p.apns) > 0 && !ok {
			return "apn", r.APN
		}
		return "", ""
	}
	if n := number(r.Peer); n != "" && len(p.numbers) > 0 {
		if _, ok := p.numbers[n]; !ok {
			return "number", r.Peer
		}
	}
	return "", ""
}

func (p *Peers) address(a netip.Addr) bool {
	if _, ok := p.addrs[a]; ok {
		return true
	}
	return slices.ContainsFunc(p.nets, func(n netip.Prefix) bool { return n.Contains(a) })
}

// maskNumber keeps what tells the country and two digits.
func maskNumber(s string) string {
	if len(s) <= 6 {
		return s // a short code belongs to a service, not to a person
	}
	return s[:4] + "****" + s[len(s)-2:]
}
