package nft

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/google/nftables/expr"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// limits puts what bounds the flows of a device. Each bound is an element of a
// set of its kind, keyed by the number of the limit, so that all flows that it
// speaks of share it; other sets say which limit an end is under. A device with
// addresses of both families has each bound once for each: sets do not span
// tables.
func (c *site) limits(p put, d *policy.Device) {
	if len(d.Limits) == 0 {
		return
	}
	m := num(d.Mark)
	for _, f := range familiesOf(d) {
		p(setLimited, f, element{key: m})
	}
	for i := range d.Limits {
		l := &d.Limits[i]
		if l.Inspect {
			continue
		}
		id := num(l.ID)
		for _, f := range familiesOf(d) {
			p(setLimitOwner, f, element{key: id, val: m})
			if l.Term == "" {
				p(setDevLimit, f, element{key: m, val: id})
			}
			if len(l.Names) > 0 {
				p(setLimitNames, f, element{key: cat(m, id), comment: strconv.Itoa(i + 1)})
			}
			for _, b := range bounds(&l.Limit) {
				comment := ""
				if b.set == setOverQuota {
					comment = periodOf(l.Limit.Per, c.Now())
				}
				p(b.set, f, element{key: id, expr: b.expr, comment: comment})
			}
		}
		p.boxes(setLimit, setLimitI, m, l.Boxes, id)
		p.boxes(setInLimit, setInLimitI, m, l.In, id)
	}
}

type bound1 struct {
	set  string
	expr expr.Any
}

// Bursts: a rate of packets is of a second, and what comes at once within a
// quarter of one is not over it. Of octets the kernel lets pass what belongs to a
// whole second at once; only a packet that is larger than that needs more.
const (
	burstShare = 4
	fullPacket = 1600
)

// bounds returns the expressions that match what is over a limit.
func bounds(l *api.Limit) []bound1 {
	var out []bound1
	rate := func(set string, n uint64, typ expr.LimitType, burst uint64) {
		if n > 0 {
			out = append(out, bound1{set, &expr.Limit{Type: typ, Rate: min(n, math.MaxUint32), Over: true, Unit: expr.LimitTimeSecond, Burst: uint32(min(burst, math.MaxUint32))}})
		}
	}
	rate(setOverPackets, l.PacketRate, expr.LimitTypePkts, max(l.PacketRate/burstShare, 1))
	rate(setOverBytes, l.ByteRate, expr.LimitTypePktBytes, max(l.ByteRate, fullPacket)-l.ByteRate)
	rate(setOverNew, l.NewFlows, expr.LimitTypePkts, max(l.NewFlows/burstShare, 1))
	if l.Flows > 0 {
		out = append(out, bound1{setOverFlows, &expr.Connlimit{Count: uint32(min(l.Flows, math.MaxUint32)), Flags: expr.NFT_CONNLIMIT_F_INV}})
	}
	if l.Quota > 0 {
		out = append(out, bound1{setOverQuota, &expr.Quota{Bytes: l.Quota, Over: true}})
	}
	return out
}

// periodOf names the period of a quota that t falls into, in UTC.
func periodOf(per string, t time.Time) string {
	t = t.UTC()
	switch per {
	case "hour":
		return t.Format("hour 2006-01-02T15")
	case "day":
		return t.Format("day 2006-01-02")
	case "month":
		return t.Format("month 2006-01")
	}
	return "always"
}

// periodEnd returns when the period of a quota ends; zero when it never does.
func periodEnd(per string, t time.Time) time.Time {
	t = t.UTC()
	switch per {
	case "hour":
		return t.Truncate(time.Hour).Add(time.Hour)
	case "day":
		return time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, time.UTC)
	case "month":
		return time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Time{}
}

// Consumed returns how many bytes of each quota are used, by the id of its limit
// and its period, for Restore after the tables were lost with a reboot.
func (f *Firewall) Consumed(ctx context.Context) ([]Consumption, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return f.consumed()
}

func (f *Firewall) consumed() ([]Consumption, error) {
	at := map[Consumption]uint64{}
	var order []Consumption
	for _, fam := range routed() {
		_, err := f.wire.dump(f.sets[setID{fam, setOverQuota}], func(e *found) {
			if e.quota == nil {
				return
			}
			k := Consumption{Limit: u32(string(e.key)), Period: e.comment(), V6: fam == ipv6}
			if _, ok := at[k]; !ok {
				order = append(order, k)
			}
			at[k] = min(e.quota.consumed, e.quota.bytes)
		})
		if err != nil {
			return nil, err
		}
	}
	out := make([]Consumption, 0, len(order))
	for _, k := range order {
		n := at[k]
		k.Bytes = n
		out = append(out, k)
	}
	return out, nil
}

// Restore tells what was consumed before the tables were lost. The next Apply
// starts those quotas from there whose period is still the same; what the
// kernel knows of itself is not lowered.
func (f *Firewall) Restore(list []Consumption) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.restore = append([]Consumption(nil), list...)
}

// Roll starts the quotas anew whose period is over. Apply does so as well. It
// answers at once where none is, so that it may be called every few seconds.
func (f *Firewall) Roll(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.in == nil || f.rolls.IsZero() || f.cfg.Now().Before(f.rolls) {
		return nil
	}
	_, err := f.apply(f.in.plan)
	return err
}

// rolled notes when the first of the quotas of a plan is to start anew, and
// changes those whose period is another than when they were put there.
func (f *Firewall) rolled(old, next *force, c *change) {
	p := &next.plan
	f.rolls = time.Time{}
	for i := range p.Devices {
		d := &p.Devices[i]
		for j := range d.Limits {
			l := &d.Limits[j]
			if l.Limit.Quota == 0 {
				continue
			}
			if at := periodEnd(l.Limit.Per, next.at); !at.IsZero() && (f.rolls.IsZero() || at.Before(f.rolls)) {
				f.rolls = at
			}
		}
	}
	if old == nil || old.at.IsZero() {
		return
	}
	then, cur := f.cfg.at(old.at), f.cfg.at(next.at)
	for i := range old.plan.Devices {
		a := &old.plan.Devices[i]
		if len(a.Limits) == 0 {
			continue
		}
		b, ok := p.Device(a.Mark)
		if !ok || !sameDevice(a, &b) {
			continue // towards has it
		}
		before, after := items{}, items{}
		then.limits(f.take(before), a)
		cur.limits(f.take(after), &b)
		c.between(before, after)
	}
}

// carry fills in what quotas that are about to be put anew have consumed.
func (f *Firewall) carry(b *change) error {
	var quotas []int
	for i := range b.add {
		if b.add[i].set.name == setOverQuota {
			quotas = append(quotas, i)
		}
	}
	if len(quotas) == 0 {
		return nil
	}
	now, err := f.consumed()
	if err != nil {
		return err
	}
	for _, i := range quotas {
		e := &b.add[i]
		q := *e.e.expr.(*expr.Quota)
		for _, c := range append(now, f.restore...) {
			if c.Limit == u32(string(e.e.key)) && c.V6 == (e.set.family == ipv6) && c.Period == e.e.comment {
				q.Consumed = max(q.Consumed, c.Bytes)
			}
		}
		e.e.expr = &q
	}
	return nil
}

// limitIDs reads which limits bound what names open, by the device and the place
// among its limits: the process that binds addresses knows no plan. What was read
// is good as long as nobody but this connection has changed anything.
func (f *Firewall) limitIDs(fam family) (map[[2]uint32]uint32, error) {
	gen, err := f.binder.generation()
	if err != nil {
		return nil, err
	}
	if f.namedOK && gen == f.namedGen {
		return f.named[fam], nil
	}
	named := map[family]map[[2]uint32]uint32{}
	for _, fam := range routed() {
		named[fam] = map[[2]uint32]uint32{}
		whole, err := f.binder.dump(f.sets[setID{fam, setLimitNames}], func(e *found) {
			if at, err := strconv.ParseUint(e.comment(), 10, 32); err == nil && len(e.key) == 8 {
				named[fam][[2]uint32{u32(string(e.key)), uint32(at)}] = u32(string(e.key[4:]))
			}
		})
		if err != nil {
			return nil, fmt.Errorf("reading the limits of names: %w", err)
		}
		if !whole {
			gen = 0 // read it again the next time
		}
	}
	f.named, f.namedGen, f.namedOK = named, gen, true
	return named[fam], nil
}

// limitKey is what of an address is under a limit: its place among the limits of
// the device.
type limitKey struct {
	key   []byte
	limit uint32
}

// limitKeys returns what of services is under which limit. They stand in order of
// precedence: what an earlier one speaks of is not the later's.
func limitKeys(fam family, services []policy.Service) []limitKey {
	var out []limitKey
	var before []policy.Service
	for _, s := range services {
		if s.Inspect {
			continue
		}
		for _, k := range serviceKeys(fam, []policy.Service{s}) {
			if s.Limit > 0 && !slices.ContainsFunc(before, func(b policy.Service) bool { return servesKey(fam, b, k) }) {
				out = append(out, limitKey{k, s.Limit})
			}
		}
		before = append(before, s)
	}
	return out
}

// servesKey reports whether a service speaks of all that a key does.
func servesKey(fam family, s policy.Service, k []byte) bool {
	for _, b := range serviceKeys(fam, []policy.Service{s}) {
		proto, port := b[0] == 0 || b[0] == k[0], string(b[4:6]) == "\x00\x00" || string(b[4:6]) == string(k[4:6])
		if proto && port {
			return true
		}
	}
	return false
}

// limitChains judge what is over a limit. Everything that gets here is allowed
// otherwise.
func limitChains(c site, v ipv) []chainDef {
	var out []chainDef
	add := func(name string, rules ...exprs) {
		out = append(out, chainDef{family: v.family, name: name, rules: rules})
	}
	add("over", rule(mark(r0), get(setLimitOwner, r0, r0), setMark(r0), goTo("r_"+ReasonLimited)))
	// The first packet of a connection is not yet confirmed.
	first := rule(ct(expr.CtKeySTATUS, r0), bits(r0, ctConfirmed), eq(r0, num(0)))
	add("bounds", // the mark is that of the limit
		rule(mark(r0), in(setOverQuota, r0), goTo("over")),
		rule(first, mark(r0), in(setOverFlows, r0), goTo("over")),
		rule(first, mark(r0), in(setOverNew, r0), goTo("over")),
		rule(mark(r0), in(setOverPackets, r0), goTo("over")),
		rule(mark(r0), in(setOverBytes, r0), goTo("over")),
	)
	side := func(name string, owner exprs, key exprs, exactSet, rangeSet string, more ...string) {
		again := rule(owner, setMark(r0))
		then := func(set string) exprs { return rule(get(set, r0, r0), setMark(r0), goTo("bounds")) }
		var rules []exprs
		for _, set := range append([]string{exactSet}, more...) {
			if set != exactSet {
				// An address that is allowed as such counts against no name's limit.
				rules = append(rules, append(exact(key, setAllow, v.protoReg(), ret()), rule(key, in(setAllowI, r0), ret()))...)
			}
			rules = append(rules,
				rule(key, then(set)),
				rule(key, imm(v.portReg(), num(0)), then(set)),
				rule(key, imm(v.protoReg(), num(0)), imm(v.portReg(), num(0)), then(set)))
			if set == exactSet {
				rules = append(rules, rule(key, then(rangeSet)))
			}
		}
		add(name+"_ends", rules...)
		add(name, append([]exprs{},
			rule(mark(r0), get(setDevLimit, r0, r0), setMark(r0), jumpTo("bounds")),
			again,
			jumpTo(name+"_ends"),
		)...)
	}
	from := rule(v.origSrc(r0), get(setOwner, r0, r0))
	to := rule(v.origDst(r0), get(setOwner, r0, r0))
	if c.Host {
		from, to = v.self(r0), v.self(r0)
	}
	side("limit_from", from, v.openerKey(), setLimit, setLimitI, setLimitDyn)
	side("limit_to", to, v.targetKey(), setInLimit, setInLimitI)
	if !c.Host {
		add("limits", concat(
			owner(v.origSrc), one(rule(mark(r0), in(setLimited, r0), jumpTo("limit_from"))),
			owner(v.origDst), one(rule(mark(r0), in(setLimited, r0), jumpTo("limit_to"))))...)
	}
	return out
}

// ctConfirmed is IPS_CONFIRMED of linux/netfilter/nf_conntrack_common.h.
const ctConfirmed = 8
