package rules

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
)

// Spec says what the records of cards are judged by, in words: what a customer
// set for a tariff, or a card's own function profile. Many cards share one.
type Spec struct {
	Customer string `json:"customer,omitempty"`
	Tariff   string `json:"tariff,omitempty"`
	// Judged says that Services is a statement even when it names none.
	Judged    bool                            `json:"judged,omitempty"`
	Services  []string                        `json:"services,omitempty"` // none = not judged, but see Judged
	OnlyIn    []string                        `json:"onlyIn,omitempty"`
	OnlyOut   []string                        `json:"onlyOut,omitempty"`
	Peers     []string                        `json:"peers,omitempty"`
	Homes     []string                        `json:"homes,omitempty"` // networks ("46000") and countries ("460") for sim-roaming
	Countries []string                        `json:"countries,omitempty"`
	Areas     []string                        `json:"areas,omitempty"`
	Cells     []string                        `json:"cells,omitempty"`
	Hours     []api.Window                    `json:"hours,omitempty"`
	Bytes     uint64                          `json:"bytes,omitempty"` // a month
	Calls     uint64                          `json:"calls,omitempty"`
	Messages  uint64                          `json:"messages,omitempty"`
	Fixed     bool                            `json:"fixed,omitempty"`    // the device does not move
	Accounts  bool                            `json:"accounts,omitempty"` // meant for verification messages
	Pools     []string                        `json:"pools,omitempty"`    // of equipment
	Rules     map[string]api.UsageRuleSetting `json:"rules,omitempty"`
}

// FromProfile adds what a function profile was compiled to.
func (s Spec) FromProfile(u api.UsageRules) Spec {
	s.Judged, s.Services, s.Peers = true, u.Services, u.Peers
	s.Countries, s.Areas, s.Cells, s.Hours = u.Countries, u.Areas, u.Cells, u.Hours
	s.Bytes, s.Calls, s.Messages, s.OnlyIn, s.OnlyOut = u.Bytes, u.Calls, u.Messages, u.OnlyIn, u.OnlyOut
	return s
}

// FromSettings is what a customer set.
func FromSettings(u api.UsageSettings) Spec {
	return Spec{
		Customer: u.Customer, Tariff: u.Tariff, Services: u.Services, Peers: u.Peers, Homes: u.Countries, Areas: u.Areas, Hours: u.Hours,
		Fixed: u.Fixed, Pools: u.Pools, Rules: u.Rules,
	}
}

// Settings are a Spec made ready to judge by. They are not changed after Compile
// and may be shared.
type Settings struct {
	uses uint32 // a bit for each service and direction that is allowed
	// unasked is a bit for each of which a rule has something to ask: what is not
	// allowed, calls and messages.
	unasked uint32
	on      uint32 // the statements that are on
	flags   uint32
	home    uint32 // the first home network or country
	// homeMask is of home what is to be compared: all, the country, or nothing.
	homeMask uint32
	name     uint32    // the first access point
	nameMask uint32    // nothing of it is compared when none is named
	first    [2]uint64 // the first two peers: most cards have no more
	peerMask uint64    // nothing of them is compared when none is named
	peers    *Peers    // nil = any

	volumeQuick float32 // bytes of an hour below which none is judged
	volumeLeast float32
	volumeMost  float32
	volumeTimes uint16 // least-times as lg
	volumeDevs  uint16 // deviations in quarters
	volumeHours uint8
	volumeDays  uint8
	driftDays   uint8
	habitTimes  uint8 // as code8
	driftTimes  uint16
	driftLeast  uint16 // as lg
	dormant     uint32 // least seconds
	dormantDays uint32 // seconds, whatever the habit
	silence     uint32 // seconds, below which no silence is judged

	all []uint32 // homes

	roamDays uint8

	learnDays, strange, moves uint8
	radius                    uint32

	kmh, sessionKmh, slack, apart, turns uint32

	messagesHour, messagesDay, callsHour, callsDay, minutesDay, callMinutes uint32
	verMessages, verSenders                                                 uint32
	grace                                                                   uint32

	week      []week
	countries []uint32
	areas     []uint32
	cells     []string
	bytes     uint64
	calls     uint32
	messages  uint32

	pools []*pool
	keys  *cdr.Keys
	spec  Spec
}

// Flags of Settings.
const (
	fixed   = 1 << iota // the device does not move
	extra               // hours, places or caps
	hasHour             //
	hasArea             // places
	hasCap
	account // meant for verification messages
	open    // addresses are not listed
	passing // may pass through risky places, when it moves
)

// Bounds of a Spec.
const (
	maxList  = 10_000
	maxHours = 64
)

// Compile makes settings of a spec. The error has code Invalid.
func Compile(spec Spec, keys *cdr.Keys) (*Settings, error) {
	s := &Settings{on: 1<<statements - 1, uses: 1<<32 - 1, keys: keys, spec: spec}
	bad := func(format string, args ...any) error {
		return ringwall.Errorf(ringwall.Invalid, "usage settings: "+format, args...)
	}
	for _, list := range [][]string{spec.Homes, spec.Countries, spec.Areas, spec.Cells, spec.Pools, spec.Services, spec.OnlyIn, spec.OnlyOut} {
		if len(list) > maxList {
			return nil, bad("a list of %d is over the limit of %d", len(list), maxList)
		}
	}
	if err := s.services(spec); err != nil {
		return nil, err
	}
	var err error
	if s.peers, err = ParsePeers(spec.Peers, keys); err != nil {
		return nil, err
	}
	if s.peers == nil || !s.peers.addrs {
		s.flags |= open
	}
	s.firsts()
	for _, h := range spec.Homes {
		p, ok := parseHome(h)
		if !ok {
			return nil, bad(`home %.20q is neither a country such as "460" nor a network such as "46000"`, h)
		}
		s.all = append(s.all, p)
	}
	if len(s.all) > 0 {
		s.home, s.homeMask = s.all[0], 1<<32-1
		if s.home&(1<<20-1) == 0 {
			s.homeMask = 0xfff << 20
		}
	}
	for _, c := range spec.Countries {
		p, ok := parseHome(c)
		if !ok || len(c) != 3 {
			return nil, bad(`country %.20q is not a mobile country code such as "460"`, c)
		}
		s.countries = append(s.countries, cdr.Country(p))
	}
	for _, a := range spec.Areas {
		if a == "" {
			return nil, bad("an area without a name")
		}
		s.areas = append(s.areas, keys.AreaKey([]byte(a)))
	}
	slices.Sort(s.areas)
	for _, c := range spec.Cells {
		if c == "" {
			return nil, bad("a cell without a name")
		}
	}
	s.cells = spec.Cells
	if len(spec.Hours) > maxHours {
		return nil, bad("%d windows of hours are over the limit of %d", len(spec.Hours), maxHours)
	}
	for i := range spec.Hours {
		w, err := parseWeek(&spec.Hours[i])
		if err != nil {
			return nil, err
		}
		s.week = append(s.week, w)
	}
	// A cap that a count cannot reach would never be told.
	if spec.Bytes >= maxBytes || spec.Calls >= maxCount || spec.Messages >= maxCount {
		return nil, bad("monthly caps of %d bytes, %d calls and %d messages are over the limits of %d, %d and %d",
			spec.Bytes, spec.Calls, spec.Messages, uint64(maxBytes-1), maxCount-1, maxCount-1)
	}
	s.bytes, s.calls, s.messages = spec.Bytes, uint32(spec.Calls), uint32(spec.Messages)
	if spec.Fixed {
		s.flags |= fixed
	}
	if spec.Accounts {
		s.flags |= account
	}
	if len(s.week) > 0 {
		s.flags |= extra | hasHour
	}
	if len(s.countries)+len(s.areas)+len(s.cells) > 0 {
		s.flags |= extra | hasArea
	}
	if spec.Bytes > 0 || spec.Calls > 0 || spec.Messages > 0 {
		s.flags |= extra | hasCap
	}
	if err := s.limits(spec.Rules); err != nil {
		return nil, err
	}
	s.volumeQuick = s.volumeLeast
	if s.volumeMost != 0 {
		s.volumeQuick = min(s.volumeQuick, s.volumeMost)
	}
	s.unasked = ^s.uses
	for use := range uint32(32) {
		if use>>1&1 != 0 { // cdr.SMS or cdr.Voice
			s.unasked |= 1 << use
		}
	}
	return s, nil
}

// Spec is what the settings were made of. It is not to be changed.
func (s *Settings) Spec() Spec { return s.spec }

// services sets the bits of uses: service and direction as they lie in cdr.Use.
func (s *Settings) services(spec Spec) error {
	parse := func(names []string) (list []cdr.Service, err error) {
		for _, n := range names {
			v, err := cdr.ParseService(strings.ToLower(strings.TrimSpace(n)))
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	}
	services, err := parse(spec.Services)
	if err != nil {
		return err
	}
	if len(services) > 0 || spec.Judged {
		s.uses = 0
		for d := range uint32(4) {
			s.uses |= 1 << (d << 3) // a service that is not known is not judged
			for _, v := range services {
				s.uses |= 1 << (uint32(v) | d<<3)
			}
		}
	}
	for _, way := range []struct {
		names []string
		not   cdr.Direction
	}{{spec.OnlyIn, cdr.Originated}, {spec.OnlyOut, cdr.Terminated}} {
		list, err := parse(way.names)
		if err != nil {
			return err
		}
		for _, v := range list {
			s.uses &^= 1 << (uint32(v) | uint32(way.not)<<3)
		}
	}
	return nil
}

// firsts copies out of the sets what most events are compared with.
func (s *Settings) firsts() {
	if s.peers == nil {
		return
	}
	if s.peers.addrs || s.peers.numbers {
		s.peerMask = 1<<64 - 1
	}
	n := 0
	for _, k := range s.peers.keys {
		if k != 0 && n < len(s.first) {
			s.first[n] = k
			n++
		}
	}
	if s.peers.apns {
		s.name, s.nameMask = s.peers.names[0], 1<<32-1
	}
}

// parseHome reads a country or a network. A country has no digits of network.
func parseHome(s string) (uint32, bool) {
	if len(s) == 3 {
		n, err := strconv.ParseUint(s, 10, 32)
		return uint32(n) << 20, err == nil
	}
	p := cdr.ParsePLMN(s)
	return p, p != 0
}

// limits takes thresholds over, checked against what All says of them.
func (s *Settings) limits(set map[string]api.UsageRuleSetting) error {
	value := map[string]float64{}
	known := map[string]bool{Box: true}
	for _, r := range All() {
		known[r.Name] = true
		mine := set[r.Name]
		if mine.Off {
			for i, st := range said {
				if st.Rule == r.Name {
					s.on &^= 1 << i
				}
			}
		}
		left := maps.Clone(mine.Limits)
		for _, l := range r.Limits {
			v := l.Default
			if own, ok := left[l.Name]; ok {
				if delete(left, l.Name); !(own >= l.Least && own <= l.Most) {
					return ringwall.Errorf(ringwall.Invalid, "usage settings: %s of rule %s is %v, want %v to %v", l.Name, r.Name, own, l.Least, l.Most)
				}
				v = own
			}
			value[r.Name+" "+l.Name] = v
		}
		for name := range left {
			return ringwall.Errorf(ringwall.Invalid, "usage settings: rule %s has no limit %.40q", r.Name, name)
		}
	}
	for name, x := range set {
		if name == Box && len(x.Limits) > 0 {
			return ringwall.Errorf(ringwall.Invalid, "usage settings: the limits of rule %s are those of the whole platform", name)
		}
		if !known[name] {
			return ringwall.Errorf(ringwall.Invalid, "usage settings: there is no rule %.40q", name)
		}
	}
	get := func(rule, name string) float64 { return value[rule+" "+name] }
	if get(Roaming, "passing") != 0 {
		s.flags |= passing
	}
	s.roamDays = uint8(get(Roaming, "learn-days"))
	s.learnDays, s.strange, s.moves = uint8(get(Moved, "learn-days")), uint8(get(Moved, "records")), uint8(get(Moved, "moves"))
	s.radius = uint32(get(Moved, "radius-km"))
	s.volumeDays = uint8(get(Volume, "learn-days"))
	s.volumeHours, s.volumeDevs = uint8(get(Volume, "learn-hours")), uint16(4*get(Volume, "deviations"))
	s.volumeLeast, s.volumeMost, s.volumeTimes = float32(get(Volume, "least-bytes")), float32(get(Volume, "most-bytes")), times(get(Volume, "least-times"))
	s.driftTimes, s.driftDays, s.driftLeast = times(get(Volume, "drift-times")), uint8(get(Volume, "drift-days")), lg(float32(get(Volume, "drift-bytes")))
	s.dormant, s.dormantDays = uint32(86400*get(Dormant, "least-days")), uint32(86400*get(Dormant, "days"))
	s.silence = s.dormant
	if s.dormantDays != 0 {
		s.silence = s.dormantDays
	}
	s.habitTimes = uint8(min(uint32(times(get(Dormant, "habit-times")))*octave8/octave, 255))
	s.kmh, s.sessionKmh, s.slack = uint32(get(Travel, "kmh")), uint32(get(Travel, "session-kmh")), uint32(get(Travel, "slack-km"))
	s.turns, s.apart = uint32(get(Travel, "turns")), uint32(get(Travel, "apart-km"))
	s.messagesHour, s.messagesDay = uint32(get(Burst, "messages-hour")), uint32(get(Burst, "messages-day"))
	s.callsHour, s.callsDay = uint32(get(Burst, "calls-hour")), uint32(get(Burst, "calls-day"))
	s.minutesDay, s.callMinutes = uint32(get(Burst, "minutes-day")), uint32(get(Burst, "call-minutes"))
	s.verMessages, s.verSenders = uint32(get(Verification, "messages")), uint32(get(Verification, "senders"))
	s.grace = uint32(60 * get(Lifecycle, "grace-minutes"))
	return nil
}

// times is the logarithm of a factor.
func times(f float64) uint16 {
	if f <= 1 {
		return 0
	}
	return lg(float32(2*f)) - octave
}
