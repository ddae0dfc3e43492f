package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
)

// Observation is one need of a device that was seen: some flows of one kind.
type Observation struct {
	Direction api.Direction `json:"direction"`
	Addr      netip.Addr    `json:"addr,omitzero"` // the other end
	Name      string        `json:"name,omitempty"`
	Proto     string        `json:"proto"`
	Port      uint16        `json:"port"` // of the side that was connected to
	First     time.Time     `json:"first"`
	Last      time.Time     `json:"last"`
	Flows     uint64        `json:"flows"`
	Bytes     uint64        `json:"bytes,omitempty"`
	// Refused flows show what was tried, not what is needed.
	Refused bool `json:"refused,omitempty"`
	// Device is the other end where it is behind the same gateway.
	Device ringwall.DeviceID `json:"device,omitempty"`
}

// ObserveFlow returns what a flow report shows.
func ObserveFlow(r flow.Record) Observation {
	o := Observation{
		Direction: api.Direction(r.Direction), Addr: r.Remote.Addr().Unmap(), Name: r.Name, Proto: flow.ProtoName(r.Proto), Port: r.Remote.Port(),
		First: r.Start, Last: r.End, Flows: 1, Bytes: r.BytesUp + r.BytesDown, Refused: r.Verdict == flow.Refused,
	}
	if o.Direction == api.ToDevice {
		o.Port = r.Local.Port()
	}
	if o.Proto == "any" { // a protocol that terms do not name
		o.Proto = strconv.Itoa(int(r.Proto))
	}
	return o
}

// ObservePeer returns what a peer shows that a gateway noted and reported at a
// moment, the zero time if that is not known. Of its days the first and that
// one count.
func ObservePeer(p api.Peer, reported time.Time) Observation {
	o := Observation{Direction: p.Direction, Addr: p.Addr.Unmap(), Name: p.Domain, Proto: p.Proto, Port: p.Port, First: p.First, Last: p.First, Flows: max(1, p.Count)}
	if reported.After(o.Last) {
		o.Last = reported
	}
	return o
}

// LearnOptions say what counts as a need. Zero values are replaced by those
// that the fields name.
type LearnOptions struct {
	// MinDays is on how many days (UTC) a need must have been seen: 2.
	MinDays int
	// MinFlows is how often in all: 3.
	MinFlows uint64
	// Alert is when the first alert about the device was raised, zero if never. What was
	// first seen from then on is not learned: it may be what the alert is about.
	Alert time.Time
	// MinRange is how many ports of one end make a range, when at least Density of the
	// range was seen: 8, 0.5. MaxPorts is how many single ports one end may have: 16.
	MinRange int
	Density  float64
	MaxPorts int
	// MaxTerms bounds the draft: MaxLearned.
	MaxTerms int
	// IP6 says that the device has IPv6; without, such needs cannot be met.
	IP6 bool
}

// DraftTerm is a proposed term with its evidence.
type DraftTerm struct {
	Term  api.Term     `json:"term"`
	Flows uint64       `json:"flows"`
	Bytes uint64       `json:"bytes,omitempty"`
	Days  int          `json:"days"`
	First time.Time    `json:"first"`
	Last  time.Time    `json:"last"`
	Addrs []netip.Addr `json:"addrs,omitempty"` // some of those that were reached by it
	Ports int          `json:"ports,omitempty"` // how many were seen
	// Note says where the term is wider than what was seen; NoteKey and NoteParams
	// the same, for other languages.
	Note       string            `json:"note,omitempty"`
	NoteKey    string            `json:"noteKey,omitempty"`
	NoteParams map[string]string `json:"noteParams,omitempty"`
}

// Dropped is what was seen and is not proposed.
type Dropped struct {
	Observation
	Days int    `json:"days"`
	Why  string `json:"why"`
	// Key and Params say why for other languages.
	Key    string            `json:"key"`
	Params map[string]string `json:"params,omitempty"`
}

// Draft is a proposal of least privilege. A person approves it.
type Draft struct {
	Terms   []DraftTerm `json:"terms"`
	Dropped []Dropped   `json:"dropped"`
	// Covered counts needs that the present terms meet already.
	Covered int `json:"covered"`
}

// APITerms returns the proposed terms alone.
func (d *Draft) APITerms() []api.Term {
	out := make([]api.Term, 0, len(d.Terms))
	for _, t := range d.Terms {
		out = append(out, t.Term)
	}
	return out
}

// Bounds of one draft, so that a scan that was observed costs bounded memory.
const (
	maxNeeds     = 100_000
	maxDraftAddr = 8
)

// endKey is one other end.
type endKey struct {
	dir    api.Direction
	name   string
	addr   netip.Addr
	device ringwall.DeviceID
	proto  string
}

func (k endKey) String() string {
	return string(k.dir) + ":" + cmp.Or(k.name, string(k.device), k.addr.String()) + ":" + k.proto
}

// need is all that was seen of one end and port.
type need struct {
	Observation
	days  map[int64]bool
	addrs map[netip.Addr]bool
}

func (n *need) add(o *Observation) {
	if n.Flows == 0 || o.First.Before(n.First) {
		n.First = o.First
	}
	if o.Last.After(n.Last) {
		n.Last = o.Last
	}
	n.Flows, n.Bytes = n.Flows+o.Flows, n.Bytes+o.Bytes
	for _, t := range []time.Time{o.First, o.Last} {
		day, _ := floorDiv(t.Unix(), 86400)
		n.days[day] = true
	}
	if o.Addr.IsValid() && len(n.addrs) < maxDraftAddr {
		n.addrs[o.Addr] = true
	}
}

// Learn proposes the least that a device needs, out of what it was seen to do
// on site under the present terms of d. Addresses that a device found by name
// become the name, also where it then went to one of them without asking
// again; ports become a range only where they are dense. Whatever is not
// proposed is listed with the reason.
func Learn(seen []Observation, d api.DevicePolicy, site Site, o LearnOptions) Draft {
	o.MinDays, o.MinFlows, o.MinRange = cmp.Or(o.MinDays, 2), cmp.Or(o.MinFlows, 3), cmp.Or(o.MinRange, 8)
	o.Density, o.MaxPorts, o.MaxTerms = cmp.Or(o.Density, 0.5), cmp.Or(o.MaxPorts, 16), cmp.Or(o.MaxTerms, MaxLearned)
	l := learner{o: o, judge: NewJudge(enforced(d), site), needs: map[endKey]map[uint16]*need{}, named: map[netip.Addr]string{}}
	for i := range seen {
		if n := lowerASCII(strings.TrimSuffix(seen[i].Name, ".")); n != "" && seen[i].Addr.IsValid() && CheckName(n) == nil && seen[i].Direction == api.FromDevice {
			if have, ok := l.named[seen[i].Addr]; !ok || n < have {
				l.named[seen[i].Addr] = n
			}
		}
	}
	for i := range seen {
		l.take(seen[i])
	}
	l.propose()
	slices.SortFunc(l.out.Dropped, func(a, b Dropped) int {
		return cmp.Or(cmp.Compare(a.Why, b.Why), cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Name, b.Name), a.Addr.Compare(b.Addr), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Port, b.Port))
	})
	return l.out
}

// enforced is d as if it were enforced and trusted: what its terms say.
func enforced(d api.DevicePolicy) api.DevicePolicy {
	d.Mode, d.Trust = ringwall.Enforce, ringwall.T3
	return d
}

type learner struct {
	o     LearnOptions
	judge *Judge
	needs map[endKey]map[uint16]*need
	named map[netip.Addr]string
	count int
	out   Draft
}

func (l *learner) drop(o Observation, days int, why api.Said) {
	if len(l.out.Dropped) < maxNeeds {
		l.out.Dropped = append(l.out.Dropped, Dropped{o, days, why.Text, why.Key, why.Params})
	}
}

// take files one observation under its need, or drops it.
func (l *learner) take(o Observation) {
	o.Name = lowerASCII(strings.TrimSuffix(o.Name, "."))
	key := endKey{dir: o.Direction, proto: o.Proto}
	switch {
	case o.Direction != api.FromDevice && o.Direction != api.ToDevice, o.Proto != "tcp" && o.Proto != "udp" && o.Proto != "icmp":
		l.drop(o, 1, because("none", "no term can speak of it"))
		return
	case o.Refused:
		l.drop(o, 1, because("refused", "it was refused: what was tried is no need"))
		return
	case o.Device != "":
		key.device = o.Device
	case o.Direction == api.FromDevice && o.Name != "" && CheckName(o.Name) == nil:
		key.name = o.Name
	case o.Direction == api.FromDevice && l.named[o.Addr] != "":
		key.name = l.named[o.Addr]
	case !o.Addr.IsValid():
		l.drop(o, 1, because("unknown", "the other end is not known"))
		return
	case o.Addr.Is6() && !l.o.IP6:
		l.drop(o, 1, because("ip6", "IPv6 is closed to the device"))
		return
	default:
		key.addr = o.Addr
	}
	if o.Proto == "icmp" {
		o.Port = 0
	}
	ports := l.needs[key]
	if ports == nil {
		ports = map[uint16]*need{}
		l.needs[key] = ports
	}
	n := ports[o.Port]
	if n == nil {
		if l.count == maxNeeds {
			l.drop(o, 1, because("kinds", "more kinds of flows were seen than are looked at"))
			return
		}
		l.count++
		n = &need{Observation: o, days: map[int64]bool{}, addrs: map[netip.Addr]bool{}}
		n.Flows, n.Bytes, n.Name, n.Device = 0, 0, key.name, key.device
		ports[o.Port] = n
	}
	n.add(&o)
}

// propose turns needs into terms.
func (l *learner) propose() {
	keys := make([]endKey, 0, len(l.needs))
	for k := range l.needs {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b endKey) int { return strings.Compare(a.String(), b.String()) })
	for _, k := range keys {
		ports := make([]uint16, 0, len(l.needs[k]))
		for p := range l.needs[k] {
			ports = append(ports, p)
		}
		slices.Sort(ports)
		if k.proto == "icmp" {
			l.end(k, []portRun{{0, 0, 1}})
			continue
		}
		l.end(k, l.runs(ports))
	}
	slices.SortStableFunc(l.out.Terms, func(a, b DraftTerm) int { return cmp.Compare(b.Flows, a.Flows) })
	for len(l.out.Terms) > l.o.MaxTerms {
		last := l.out.Terms[len(l.out.Terms)-1]
		l.out.Terms = l.out.Terms[:len(l.out.Terms)-1]
		o := Observation{Direction: last.Term.Direction, Name: last.Term.Domain, Device: last.Term.Device, Addr: last.Term.CIDR.Addr(), Proto: last.Term.Proto, First: last.First, Last: last.Last, Flows: last.Flows, Bytes: last.Bytes}
		if len(last.Term.Ports) > 0 {
			o.Port = last.Term.Ports[0].First
		}
		l.drop(o, last.Days, because("terms", "more than {most} terms: a device that needs so many is no thing of one purpose", "most", l.o.MaxTerms))
	}
	slices.SortFunc(l.out.Terms, func(a, b DraftTerm) int { return strings.Compare(a.Term.ID, b.Term.ID) })
}

// portRun is a closed range of ports of which n were seen.
type portRun struct {
	first, last uint16
	n           int
}

// runs puts sorted ports into ranges where they are dense (no gap is wider than
// the density allows, and there are enough), and leaves the rest as they are.
func (l *learner) runs(ports []uint16) []portRun {
	gap := max(1, int(1/l.o.Density))
	var out []portRun
	for i := 0; i < len(ports); {
		end := i
		for end+1 < len(ports) && int(ports[end+1])-int(ports[end]) <= gap {
			end++
		}
		if end-i+1 >= l.o.MinRange {
			out = append(out, portRun{ports[i], ports[end], end - i + 1})
		} else {
			for _, p := range ports[i : end+1] {
				out = append(out, portRun{p, p, 1})
			}
		}
		i = end + 1
	}
	return out
}

// end proposes terms for one other end.
func (l *learner) end(k endKey, runs []portRun) {
	singles := 0
	for _, r := range runs {
		if r.first == r.last {
			singles++
		}
	}
	for _, r := range runs {
		all := need{days: map[int64]bool{}, addrs: map[netip.Addr]bool{}}
		for p := int(r.first); p <= int(r.last); p++ {
			n := l.needs[k][uint16(p)]
			if n == nil {
				continue
			}
			if all.Flows == 0 {
				all.Observation = n.Observation
				all.Flows, all.Bytes = 0, 0
			}
			all.add(&n.Observation)
			for d := range n.days {
				all.days[d] = true
			}
			for a := range n.addrs {
				if len(all.addrs) < maxDraftAddr {
					all.addrs[a] = true
				}
			}
		}
		all.Port = r.first
		switch why, covered := l.refuses(k, r, &all, singles); {
		case covered:
			l.out.Covered++
			continue
		case why.Key != "":
			l.drop(all.Observation, len(all.days), why)
			continue
		}
		l.out.Terms = append(l.out.Terms, draftTerm(k, r, &all))
	}
}

// refuses says why a need becomes no term: none is needed, or the reason that it
// returns; one without a key is none.
func (l *learner) refuses(k endKey, r portRun, n *need, singles int) (why api.Said, covered bool) {
	f := Flow{Direction: k.dir, Proto: k.proto, RemoteDevice: k.device, At: n.Last}
	addr := n.Addr
	if !addr.IsValid() {
		addr = netip.AddrFrom4([4]byte{192, 0, 2, 1}) // of the documentation: no term means it
	}
	f.Remote, f.Local = netip.AddrPortFrom(addr, r.first), netip.AddrPortFrom(addr, r.first)
	if k.name != "" {
		f.Names = []string{k.name}
	}
	v := l.judge.Decide(ringwall.Unrestricted, f)
	covered = v.Pass
	for p := int(r.first) + 1; p <= int(r.last) && covered; p++ {
		if l.needs[k][uint16(p)] != nil {
			f.Remote, f.Local = netip.AddrPortFrom(addr, uint16(p)), netip.AddrPortFrom(addr, uint16(p))
			covered = l.judge.Decide(ringwall.Unrestricted, f).Pass
		}
	}
	switch {
	case covered:
		return why, true
	case v.Reason == ReasonDeny:
		why = because("deny", "the term {term} denies it", "term", strconv.Quote(v.Term))
	case !l.o.Alert.IsZero() && !n.First.Before(l.o.Alert):
		why = because("alert", "it was first seen after an alert")
	case len(n.days) < l.o.MinDays:
		why = because("days", "it was seen on {n} days, fewer than {least}", "n", len(n.days), "least", l.o.MinDays)
	case n.Flows < l.o.MinFlows:
		why = because("flows", "it was seen {n} times, fewer than {least}", "n", n.Flows, "least", l.o.MinFlows)
	case r.first == r.last && singles > l.o.MaxPorts:
		why = because("ports", "it is one of {n} scattered ports, more than {most}", "n", singles, "most", l.o.MaxPorts)
	}
	return why, false
}

func draftTerm(k endKey, r portRun, n *need) DraftTerm {
	t := api.Term{Action: api.Allow, Direction: k.dir, Proto: k.proto, Domain: k.name, Device: k.device, Why: "learned"}
	var note api.Said
	t.ID = "learned:" + k.String() + ":" + strconv.Itoa(int(r.first))
	if k.addr.IsValid() {
		t.CIDR = netip.PrefixFrom(k.addr, k.addr.BitLen())
	}
	if k.proto != "icmp" {
		t.Ports = []api.PortRange{{First: r.first, Last: r.last}}
		if int(r.last)-int(r.first)+1 > r.n {
			note = because("some", "{n} of the ports from {first} to {last} were seen", "n", r.n, "first", r.first, "last", r.last)
		}
		if r.first != r.last {
			t.ID += "-" + strconv.Itoa(int(r.last))
		}
		if k.name != "" && int(r.last)-int(r.first) >= MaxNamePorts {
			t.Ports = []api.PortRange{{First: 0, Last: 0xffff}}
			note = because("all", "{n} ports from {first} to {last} were seen; a name can have so many only as all of them", "n", r.n, "first", r.first, "last", r.last)
		}
	}
	out := DraftTerm{Term: t, Flows: n.Flows, Bytes: n.Bytes, Days: len(n.days), First: n.First, Last: n.Last, Ports: r.n, Note: note.Text, NoteKey: note.Key, NoteParams: note.Params}
	for a := range n.addrs {
		out.Addrs = append(out.Addrs, a)
	}
	slices.SortFunc(out.Addrs, netip.Addr.Compare)
	return out
}
