package inspector

import (
	"net/netip"
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// ends are the two ends of a flow, as the packet filter handed it over.
type ends struct {
	proto    string         // "tcp" or "udp"
	src, dst netip.AddrPort // who opened it, and to whom
}

// seen is what stands inside, beside what policy.Seen has.
type seen struct {
	policy.Seen
	// unproven says that the name that is shown is not one that led the device here:
	// it counts as none.
	unproven bool
}

// ruling is what is decided.
type ruling struct {
	policy.Verdict
	generation uint64
	// device is whose policy decided, direction as it sees the flow.
	device    *party
	direction api.Direction
	// opener and target are the devices at the two ends, nil = none behind us.
	opener, target *party
	names          []string
	limits         []bound // of what allowed it
}

// bound is one limit that a flow counts against.
type bound struct {
	device ringwall.DeviceID
	term   string
	limit  api.Limit
}

// Reasons of our own, beside those of package policy.
const (
	reasonStranger  = "stranger"  // neither end is a device whose flows come here
	reasonMalformed = "malformed" // cannot be read in one way
	reasonSlow      = "slow"      // its head did not come in time
	reasonLimited   = "limited"
	reasonCaps      = "connections" // the device has too many open
	reasonNoPolicy  = "no-policy"
)

// judge asks the policies of both ends. names are those that led the opener to
// the address once, beside those that do now.
func (in *Inspector) judge(t *table, e ends, s *seen, names []string) ruling {
	r := ruling{generation: t.generation, opener: t.byIP[e.src.Addr()], target: t.byIP[e.dst.Addr()]}
	idOf := func(p *party) ringwall.DeviceID {
		if p == nil {
			return ""
		}
		return p.id
	}
	inside := s.Seen
	judged := false
	f := policy.Flow{Proto: e.proto, At: in.cfg.Now(), Inside: &inside}
	if p := r.opener; p != nil && p.judge != nil {
		known := in.names.Names(p.key, e.dst.Addr())
		for _, n := range names {
			if !slices.Contains(known, n) {
				known = append(known, n)
			}
		}
		r.names = known
		if s.Host != "" && !slices.Contains(known, s.Host) && (s.Proto == "tls" || r.target == nil && !t.inside(e.dst.Addr())) {
			inside.ECH, s.unproven = true, true // a name that hides as much as one that cannot be seen
		}
		f.Direction, f.Local, f.Remote, f.Names, f.RemoteDevice = api.FromDevice, e.src, e.dst, known, idOf(r.target)
		r.Verdict, r.device, r.direction = p.judge.Decide(p.restrict, f), p, api.FromDevice
		judged = true
		if !r.Pass && !r.Inspect {
			return r
		}
		r.note(p)
	}
	if p := r.target; p != nil && p.judge != nil {
		inside = s.Seen // whom they call him is not ours to prove
		f.Direction, f.Local, f.Remote, f.Names, f.RemoteDevice = api.ToDevice, e.dst, e.src, nil, idOf(r.opener)
		v := p.judge.Decide(p.restrict, f)
		if !judged || !v.Pass || v.Would && !r.Would || v.Inspect {
			inspect := r.Inspect || v.Inspect
			r.Verdict, r.device, r.direction = v, p, api.ToDevice
			if v.Pass || v.Inspect {
				r.Inspect = inspect
			}
		}
		judged = true
		if v.Pass {
			r.limits = appendLimit(r.limits, p, v)
		}
	}
	if !judged {
		r.Reason = reasonStranger
	}
	return r
}

func (r *ruling) note(p *party) {
	if r.Pass {
		r.limits = appendLimit(r.limits, p, r.Verdict)
	}
}

func appendLimit(list []bound, p *party, v policy.Verdict) []bound {
	if v.Limit == nil {
		return list
	}
	return append(list, bound{p.id, v.Term, *v.Limit})
}
