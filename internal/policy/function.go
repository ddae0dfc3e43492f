package policy

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Bounds of a function profile.
const (
	maxNumbers = 1000
	maxPlaces  = 4096
	maxHours   = 32
	maxAPNs    = 16
)

// CompileFunction turns what a SIM is for into what the operator switches, what
// a gateway enforces and what usage records are judged by. The three say the
// same as far as each of them can: an operator and usage records know no names,
// so that a peer known by name is for the gateway alone; a gateway knows no
// places and no calls. The terms have ids below "function/"; in a list of terms
// they count together (see Input.Function). The error has code Invalid.
func CompileFunction(p api.FunctionProfile) (api.FunctionPlan, error) {
	if err := checkFunction(&p); err != nil {
		return api.FunctionPlan{}, ringwall.Errorf(ringwall.Invalid, "function profile %q: %w", short(p.Name), err)
	}
	var out api.FunctionPlan
	out.Rules.Services = []string{}
	out.Terms = []api.Term{}
	call := func(u *api.CallUse, service string, most *uint64) api.OperatorService {
		if u == nil || !u.In && !u.Out {
			return api.OperatorService{}
		}
		s := api.OperatorService{In: u.In, Out: u.Out}
		if !u.Any {
			s.Numbers = slices.Clone(u.Numbers)
		}
		out.Rules.Services = append(out.Rules.Services, service)
		*most = u.Month
		if !u.Out {
			out.Rules.OnlyIn = append(out.Rules.OnlyIn, service)
		}
		if !u.In {
			out.Rules.OnlyOut = append(out.Rules.OnlyOut, service)
		}
		return s
	}
	if p.Data != nil {
		out.Rules.Services = append(out.Rules.Services, "data")
	}
	out.Operator.SMS = call(p.SMS, "sms", &out.Rules.Messages)
	out.Operator.Voice = call(p.Voice, "voice", &out.Rules.Calls)
	out.Rules.Peers = usageNumbers(p.SMS, p.Voice)
	data(&p, &out)
	if b := p.Place; b != nil {
		out.Operator.Countries, out.Operator.Areas, out.Operator.Cells = slices.Clone(b.Countries), slices.Clone(b.Areas), slices.Clone(b.Cells)
		out.Rules.Countries, out.Rules.Areas, out.Rules.Cells = slices.Clone(b.Countries), slices.Clone(b.Areas), slices.Clone(b.Cells)
	}
	out.Rules.Hours = slices.Clone(p.Hours)
	slices.Sort(out.Rules.Peers)
	out.Rules.Peers = slices.Compact(out.Rules.Peers)
	return out, nil
}

// usageNumbers returns the numbers by which records are judged. They know one
// list for calls and messages: where either is open to any number, it says
// nothing of the other.
func usageNumbers(uses ...*api.CallUse) []string {
	var out []string
	for _, u := range uses {
		if u == nil || !u.In && !u.Out {
			continue
		}
		if u.Any {
			return nil
		}
		out = append(out, u.Numbers...)
	}
	return out
}

// data compiles the use of data.
func data(p *api.FunctionProfile, out *api.FunctionPlan) {
	const why = "function"
	if p.Data == nil {
		for _, dir := range []api.Direction{api.FromDevice, api.ToDevice} {
			for _, n := range []netip.Prefix{allPrefix(), netip.PrefixFrom(netip.IPv6Unspecified(), 0)} {
				id := "function/no-data-" + string(dir)
				if n.Addr().Is6() {
					id += "/6"
				}
				out.Terms = append(out.Terms, api.Term{ID: id, Action: api.Deny, Direction: dir, CIDR: n, Proto: "any", Why: why})
			}
		}
		return
	}
	d := p.Data
	out.Operator.APNs = slices.Clone(d.APNs)
	out.Operator.Data.Out = true
	if d.Bytes > 0 {
		out.Limit = &api.Limit{Quota: d.Bytes, Per: "month"}
		out.Rules.Bytes, out.Operator.Bytes = d.Bytes, d.Bytes
	}
	for _, a := range d.APNs {
		out.Rules.Peers = append(out.Rules.Peers, strings.ToLower(a))
	}
	peers := d.Peers
	if d.Any {
		peers = append([]api.FunctionPeer{{CIDR: allPrefix(), Proto: "any"}, {CIDR: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Proto: "any"}}, peers...)
	}
	var nets []netip.Prefix
	named := d.Any
	for i, q := range peers {
		t := peerTerm(q)
		t.Why = why
		if t.Direction == api.ToDevice {
			out.Operator.Data.In = true
		}
		if q.CIDR.IsValid() {
			nets = append(nets, q.CIDR.Masked())
		} else {
			named = true
		}
		base := "function/" + strconv.Itoa(i+1)
		if len(p.Hours) == 0 {
			t.ID = base
			out.Terms = append(out.Terms, t)
		}
		for j := range p.Hours {
			t.ID, t.Window = base+"/"+strconv.Itoa(j+1), &p.Hours[j]
			out.Terms = append(out.Terms, t)
		}
	}
	if named {
		return // who knows addresses alone would refuse what the names lead to
	}
	slices.SortFunc(nets, comparePrefix)
	out.Operator.Peers = slices.Compact(nets)
	for _, n := range out.Operator.Peers {
		out.Rules.Peers = append(out.Rules.Peers, n.String())
	}
}

func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

func peerTerm(q api.FunctionPeer) api.Term {
	t := api.Term{ID: "peer", Action: api.Allow, Direction: q.Direction, CIDR: q.CIDR, Domain: q.Domain, Controller: q.Controller, Proto: q.Proto, Ports: q.Ports, Inside: q.Inside}
	if t.Direction == "" {
		t.Direction = api.FromDevice
	}
	return t
}

func checkFunction(p *api.FunctionProfile) error {
	bad := func(format string, args ...any) error { return ringwall.Errorf(ringwall.Invalid, format, args...) }
	if p.Name == "" || len(p.Name) > 128 {
		return bad("its name has 1 to 128 octets")
	}
	for _, c := range []struct {
		what string
		use  *api.CallUse
	}{{"voice", p.Voice}, {"sms", p.SMS}} {
		u := c.use
		if u == nil {
			continue
		}
		if u.Any == (len(u.Numbers) > 0) && (u.In || u.Out) {
			return bad("%s: want numbers, or any", c.what)
		}
		if len(u.Numbers) > maxNumbers {
			return bad("%s: %d numbers are more than %d", c.what, len(u.Numbers), maxNumbers)
		}
		for i, n := range u.Numbers {
			if digits := strings.TrimPrefix(n, "+"); len(digits) < 3 || len(digits) > 15 || strings.Trim(digits, "0123456789") != "" {
				return bad("%s: number %d of the list is not 3 to 15 digits", c.what, i+1) // never the number itself
			}
		}
	}
	if len(p.Hours) > maxHours {
		return bad("%d windows are more than %d", len(p.Hours), maxHours)
	}
	for i := range p.Hours {
		if _, err := parseWindow(&p.Hours[i]); err != nil {
			return err
		}
	}
	if err := checkPlace(p.Place); err != nil {
		return err
	}
	d := p.Data
	if d == nil {
		return nil
	}
	if !d.Any && len(d.Peers) == 0 {
		return bad("data: want peers, or any")
	}
	if len(d.APNs) > maxAPNs || max(1, len(p.Hours))*(len(d.Peers)+2) > MaxTerms/2 {
		return bad("data: more APNs, or more peers in more windows, than can be enforced")
	}
	for _, a := range d.APNs { // TS 23.003 section 9.1: labels as of a domain name
		if len(a) > 100 || CheckName(a) != nil {
			return bad("data: %q is no APN", short(a))
		}
	}
	for i, q := range d.Peers {
		t := peerTerm(q)
		t.ID = strconv.Itoa(i + 1)
		if err := Check(t); err != nil {
			return err
		}
	}
	return nil
}

func checkPlace(b *api.PlaceBounds) error {
	if b == nil {
		return nil
	}
	bad := func(format string, args ...any) error {
		return ringwall.Errorf(ringwall.Invalid, "place: "+format, args...)
	}
	if len(b.Countries) > maxPlaces || len(b.Areas) > maxPlaces || len(b.Cells) > maxPlaces {
		return bad("more than %d of a kind", maxPlaces)
	}
	for _, c := range b.Countries {
		if len(c) != 3 || strings.Trim(c, "0123456789") != "" {
			return bad("%q is no mobile country code", short(c))
		}
	}
	for _, list := range [][]string{b.Areas, b.Cells} {
		for _, s := range list {
			if s == "" || len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
				return bad("%q is no area and no cell", short(s))
			}
		}
	}
	return nil
}
