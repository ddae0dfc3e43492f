package usage

import (
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// Card is one SIM with its allowed uses.
type Card struct {
	SIM  ringwall.SIMID
	Org  ringwall.OrgID
	IMSI ringwall.IMSI
	// IMEI is the equipment it is bound to; "" = the first it is seen in.
	IMEI ringwall.IMEI
	// Settings are the number of those in the Book that it is judged by; 0 while the
	// Book has none of that number. Services and Peers, when they are there, count
	// instead of theirs.
	Settings uint32
	// Services it is meant for; the zero value is unknown, and not judged.
	Services Services
	// Peers it may reach; nil = any.
	Peers *Peers
	// Life is where it is in its life, and Since when.
	Life  rules.Life
	Since time.Time
}

// Check returns an Invalid error when what somebody declares of a card could not
// be judged by: ask before it is stored.
func Check(c api.SIMCreate) error {
	if cdr.CardKey(c.IMSI) == 0 {
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

// names are the services of the set.
func (s Services) names() (names []string) {
	for v := cdr.Data; v <= cdr.Voice; v++ {
		if s.Has(v) {
			names = append(names, v.String())
		}
	}
	return names
}

// Names returns the names of the services in the set, as ParseServices takes them.
func (s Services) Names() (names []string) {
	for v := cdr.Data; v <= cdr.Voice; v++ {
		if s.Has(v) {
			names = append(names, v.String())
		}
	}
	return names
}

// Has reports whether v is in the set.
func (s Services) Has(v cdr.Service) bool { return s&(1<<v) != 0 }

// Equipment is the part of an IMEI that names one piece of equipment: its first
// 14 digits. The 15th is a check digit or, in an IMEISV, the software's version
// begins there, so the same equipment is written in several ways (TS 23.003
// sections 6.2.1 and 6.2.2). 0 = unknown.
type Equipment uint64

// EquipmentOf returns the equipment that an IMEI names.
func EquipmentOf(i ringwall.IMEI) Equipment { return Equipment(cdr.EquipmentKey(i.Reveal())) }

// TAC is the type allocation code: which model it is.
func (e Equipment) TAC() string {
	if s := cdr.IMEIOf(uint64(e)); s != "" {
		return s[:8]
	}
	return ""
}

// String masks the serial number but for its last two digits.
func (e Equipment) String() string {
	if s := cdr.IMEIOf(uint64(e)); s != "" {
		return s[:8] + "****" + s[12:]
	}
	return ""
}

// MaxPeers bounds the allow list of one card.
const MaxPeers = rules.MaxPeers

// Peers is an exact set of other ends: addresses and networks, names of access
// points, telephone numbers. Each kind is judged only if the set names one of
// it. It is not changed after ParsePeers and may be shared by cards.
type Peers struct{ list []string }

// List returns the peers as ParsePeers took them, sorted; nil = any. It is not to
// be changed.
func (p *Peers) List() []string {
	if p == nil {
		return nil
	}
	return p.list
}

// ParsePeers reads a list of peers. An empty list is nil: any peer. The error
// has code Invalid.
func ParsePeers(list []string) (*Peers, error) {
	if p, err := rules.ParsePeers(list, KeysOf(nil)); p == nil || err != nil {
		return nil, err
	}
	p := &Peers{}
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			p.list = append(p.list, s)
		}
	}
	slices.Sort(p.list)
	p.list = slices.Compact(p.list)
	return p, nil
}
