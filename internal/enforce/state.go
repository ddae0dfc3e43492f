package enforce

import (
	"bytes"
	"crypto/ed25519"
	"maps"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Clock is a reading of both clocks.
type Clock struct {
	Wall time.Time
	Mono time.Duration // since any fixed moment; never jumps
}

// held is a hold in force.
type held struct {
	api.Hold
	until time.Duration // of the monotonic clock; 0 = until released
	// untold says that this gateway has made it and not reported it yet.
	untold bool
}

// State is what is in force on a gateway.
type State struct {
	Org     ringwall.OrgID
	Gateway ringwall.GatewayID
	// Desired is the document in force: the newest one, or what is left when that
	// was rolled back. Generation 0 means none.
	Desired api.Desired
	// Unsure is set while it is not known which holds are in force.
	Unsure bool

	holds    map[ringwall.HoldID]held
	released map[ringwall.HoldID]time.Time
	version  uint64 // of holds and phase

	phase  Phase
	newest api.Desired
	signed packed // newest in the form in which it came
	// confirmed is the document that was confirmed before the newest; none once the
	// newest is confirmed, too.
	confirmed       api.Desired
	confirmedSigned packed
}

// maxReleased bounds the memory of releases; maxHolds that of holds.
const (
	maxReleased = 4096
	maxHolds    = 10_000
)

// New returns the state of a gateway that has none yet.
func New(org ringwall.OrgID, gw ringwall.GatewayID) *State {
	return &State{Org: org, Gateway: gw, holds: map[ringwall.HoldID]held{}, released: map[ringwall.HoldID]time.Time{}}
}

// Verify opens a signed desired state and checks that it may follow the one in
// force. It changes nothing. Codes: Unverified for a signature that does not
// hold, Invalid for a document of wrong form, Forbidden for one that is for
// another gateway, Conflict for one that is older, or has the generation of
// the one in force and another content.
func (s *State) Verify(signed api.Signed, keys map[string]ed25519.PublicKey) (api.Desired, error) {
	if s.has(signed) {
		return s.newest, nil
	}
	d, err := signed.Open(keys)
	if err != nil {
		return api.Desired{}, err
	}
	if err := s.follows(signed, d); err != nil {
		return api.Desired{}, err
	}
	if err := Check(d); err != nil {
		return api.Desired{}, err
	}
	compact(&d)
	return d, nil
}

// has reports whether signed is, to the last byte, the newest document, which was
// verified when it came.
func (s *State) has(signed api.Signed) bool {
	return s.newest.Generation > 0 && s.signed.is(signed)
}

// follows reports why d, of signed, may not follow the newest document.
func (s *State) follows(signed api.Signed, d api.Desired) error {
	switch {
	case d.Org != s.Org || d.Gateway != s.Gateway:
		return ringwall.Errorf(ringwall.Forbidden, "desired state is for gateway %.60q of %.60q, this is %q of %q", d.Gateway, d.Org, s.Gateway, s.Org)
	case d.Generation == 0:
		return ringwall.Errorf(ringwall.Invalid, "desired state has no generation")
	case d.Generation < s.newest.Generation:
		return ringwall.Errorf(ringwall.Conflict, "desired state has generation %d, and %d is in force", d.Generation, s.newest.Generation)
	case d.Generation == s.newest.Generation && !s.signed.says(signed.Payload):
		return ringwall.Errorf(ringwall.Conflict, "generation %d of the desired state was signed twice with different contents", d.Generation)
	}
	return nil
}

// Lifted tells of a hold that is no longer in force.
type Lifted struct {
	Hold api.Hold
	Why  string
}

// Accept takes a document that Verify has returned for signed, with the holds
// and releases in it.
func (s *State) Accept(signed api.Signed, d api.Desired, now Clock) ([]Lifted, error) {
	p, err := pack(signed)
	if err != nil {
		return nil, err
	}
	return s.accept(p, d, now), nil
}

func (s *State) accept(signed packed, d api.Desired, now Clock) []Lifted {
	s.Unsure = false
	s.adopt(signed, d)
	for _, h := range d.Holds {
		s.hold(h, now)
	}
	var lifted []Lifted
	for _, r := range d.Releases {
		if h, ok := s.holds[r.Hold]; ok {
			lifted = append(lifted, Lifted{h.Hold, "released by " + r.By})
			delete(s.holds, r.Hold)
		}
		s.released[r.Hold] = r.At
	}
	s.forget()
	s.version++
	return lifted
}

// forget drops the oldest releases over the limit.
func (s *State) forget() {
	if len(s.released) <= maxReleased {
		return
	}
	ids := slices.SortedFunc(maps.Keys(s.released), func(a, b ringwall.HoldID) int { return s.released[a].Compare(s.released[b]) })
	for _, id := range ids[:len(ids)-maxReleased] {
		delete(s.released, id)
	}
}

// Hold puts a hold in force. It reports false for one that is in force already
// or has been released.
func (s *State) Hold(h api.Hold, now Clock) bool {
	if !s.hold(h, now) {
		return false
	}
	s.version++
	return true
}

func (s *State) hold(h api.Hold, now Clock) bool {
	if _, ok := s.holds[h.ID]; ok || len(s.holds) >= maxHolds {
		return false
	}
	if _, ok := s.released[h.ID]; ok {
		return false
	}
	var until time.Duration
	if !h.Expires.IsZero() {
		// A hold that came from elsewhere may have been served in part; never
		// for longer than it was meant, should the clocks differ.
		left := min(h.Expires.Sub(now.Wall), h.Expires.Sub(h.Made))
		if left <= 0 {
			return false
		}
		until = now.Mono + left
	}
	s.holds[h.ID] = held{Hold: h, until: until}
	return true
}

// Expire lifts the holds that have been served.
func (s *State) Expire(now Clock) (lifted []Lifted) {
	for id, h := range s.holds {
		if h.until > 0 && now.Mono >= h.until {
			lifted = append(lifted, Lifted{h.Hold, "expired"})
			delete(s.holds, id)
		}
	}
	if lifted != nil {
		s.version++
	}
	return lifted
}

// NextExpiry returns how long until a hold will have been served; ok is false
// if none will.
func (s *State) NextExpiry(now Clock) (left time.Duration, ok bool) {
	for _, h := range s.holds {
		if h.until > 0 && (!ok || h.until-now.Mono < left) {
			left, ok = h.until-now.Mono, true
		}
	}
	return max(left, 0), ok
}

// Holds returns the holds in force, sorted by id. While it is not known which
// those are, it is as if every device had one.
func (s *State) Holds(now Clock) []api.Hold {
	out := make([]api.Hold, 0, len(s.holds))
	for _, h := range s.holds {
		if h.until == 0 || now.Mono < h.until {
			out = append(out, h.Hold)
		}
	}
	if s.Unsure {
		for _, d := range s.Desired.Devices {
			out = append(out, api.Hold{
				ID: ringwall.HoldID(ringwall.DeriveID(ringwall.PrefixHold, "unsure", string(d.Device))), Device: d.Device,
				Do: ringwall.Quarantine, By: "system:enforce", Reason: "the holds of this gateway cannot be read", Made: now.Wall,
			})
		}
	}
	slices.SortFunc(out, func(a, b api.Hold) int { return cmpID(a.ID, b.ID) })
	return out
}

func cmpID(a, b ringwall.HoldID) int { return bytes.Compare([]byte(a), []byte(b)) }

// InForce returns the restriction on each device that has one: the strictest
// of its holds.
func (s *State) InForce(now Clock) map[ringwall.DeviceID]ringwall.Restriction {
	out := map[ringwall.DeviceID]ringwall.Restriction{}
	for _, h := range s.Holds(now) {
		out[h.Device] = max(out[h.Device], h.Do)
	}
	return out
}

// Device returns the policy of a device of the desired state.
func (s *State) Device(id ringwall.DeviceID) (api.DevicePolicy, bool) {
	i := slices.IndexFunc(s.Desired.Devices, func(d api.DevicePolicy) bool { return d.Device == id })
	if i < 0 {
		return api.DevicePolicy{}, false
	}
	return s.Desired.Devices[i], true
}

// clone returns a state that may be changed without changing s.
func (s *State) clone() *State {
	c := *s
	c.holds, c.released = maps.Clone(s.holds), maps.Clone(s.released)
	return &c
}

// Version grows with every change of the holds and of the phase.
func (s *State) Version() uint64 { return s.version }
