package dnsguard

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/rulefile"
)

// Verdicts of reports.
const (
	bound    = "bound"
	refused  = "refused"
	stripped = "stripped"
	failed   = "failed"
)

// Answer answers one question of the device with this address. What it opens
// is open when it returns. It returns nil when nothing is to be said.
func (g *Guard) Answer(ctx context.Context, src netip.Addr, req *dns.Msg) *dns.Msg {
	return g.answer(ctx, source{addr: src}, req)
}

func (g *Guard) answer(ctx context.Context, from source, req *dns.Msg) *dns.Msg {
	if req.Response {
		return nil
	}
	tab, err := g.policy.Load()
	if err != nil {
		return reply(req, dns.RcodeServerFailure)
	}
	who := tab.asker(from)
	report := api.DNSReport{Device: who.id}
	if !g.rates.take(from.addr, who.lookups) {
		report.Verdict, report.Reason = refused, reasonRate
		g.reports.add(report)
		return nil
	}
	if req.Opcode != dns.OpcodeQuery {
		return reply(req, dns.RcodeNotImplemented)
	}
	if len(req.Question) != 1 || req.Question[0].Qclass != dns.ClassINET {
		report.Verdict, report.Reason = refused, reasonForm
		g.reports.add(report)
		return reply(req, dns.RcodeFormatError)
	}
	q := req.Question[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	report.Name, report.Type = name, dns.TypeToString[q.Qtype]
	say := func(verdict, reason string, rcode int) *dns.Msg {
		report.Verdict, report.Reason = verdict, reason
		g.reports.add(report)
		return reply(req, rcode)
	}
	if policy.CheckName(name) != nil {
		// Escaped octets and what else stands in no name that a policy has.
		report.Name = ""
		return say(refused, reasonForm, dns.RcodeNameError)
	}
	if canary(name) {
		return say(refused, reasonCanary, dns.RcodeNameError)
	}
	if hidesNames(name) && who.state >= policy.StateEnforce && !who.named(name) {
		return say(refused, reasonResolver, dns.RcodeNameError)
	}
	gr := tab.grant(who, name)
	if !gr.resolve && !gr.closes() {
		return say(refused, gr.reason, dns.RcodeNameError)
	}
	base := gr.base
	if gr.raw {
		base = domainOf(name)
	}
	if !g.tunnels.take(who.key, base, name) && !gr.raw {
		return say(refused, reasonTunnel, dns.RcodeNameError)
	}
	switch q.Qtype {
	case dns.TypeA, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeCNAME, dns.TypeSRV:
	case dns.TypeAAAA:
		if !who.ip6 {
			return say(stripped, reasonIPv6, dns.RcodeSuccess)
		}
	case dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB, dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY:
		return say(refused, reasonType, dns.RcodeNotImplemented)
	default:
		if !gr.raw { // a way out for data that needs no address
			return say(stripped, reasonType, dns.RcodeSuccess)
		}
	}
	up, age, err := g.lookup(ctx, tab.resolvers(), q)
	if err != nil {
		return say(failed, reasonUpstream, dns.RcodeServerFailure)
	}
	return g.release(ctx, from, q, up, age, req, report)
}

// release binds what an upstream's answer names and passes it on. The policy is
// looked up again under the lock: it may have changed while the resolver
// thought.
func (g *Guard) release(ctx context.Context, from source, q dns.Question, up *dns.Msg, age time.Duration, req *dns.Msg, report api.DNSReport) *dns.Msg {
	say := func(verdict, reason string, rcode int) *dns.Msg {
		report.Verdict, report.Reason = verdict, reason
		g.reports.add(report)
		return reply(req, rcode)
	}
	unlock, err := rulefile.Share(rulefile.LockOf(g.cfg.PolicyFile))
	if err != nil {
		return say(failed, reasonBind, dns.RcodeServerFailure)
	}
	defer unlock()
	tab, err := g.policy.Load()
	if err != nil {
		return say(failed, reasonBind, dns.RcodeServerFailure)
	}
	who := tab.asker(from)
	report.Device = who.id
	gr := tab.grant(who, report.Name)
	if !gr.resolve && !gr.closes() {
		return say(refused, gr.reason, dns.RcodeNameError)
	}
	inside := tab.inside
	switch {
	case gr.raw:
		inside = func(netip.Addr) bool { return false }
	case len(gr.private) > 0:
		inside = nowhere
	}
	ans := clean(q, up, age, inside)
	report.Chain = ans.chain
	if ans.rcode != dns.RcodeSuccess {
		code := ans.rcode
		if code != dns.RcodeNameError {
			code = dns.RcodeServerFailure
		}
		return say(failed, reasonUpstream, code)
	}
	if !gr.raw && slices.ContainsFunc(ans.chain, who.denies) {
		return say(refused, reasonDenied, dns.RcodeNameError)
	}
	now := g.cfg.Uptime()
	opens := len(gr.services)+len(gr.remedies)+len(gr.programs) > 0
	list, ok := g.room(ctx, tab, who, gr, report.Name, ans.addrs, now)
	if !ok && opens {
		return say(refused, reasonTooMany, dns.RcodeServerFailure)
	}
	var hold []netip.Addr
	for _, a := range ans.addrs {
		b := g.bindings(tab, who, gr, report.Name, a, ans.life)
		if len(b) > 0 {
			hold = append(hold, a)
		}
		list = append(list, b...)
	}
	report.Addrs = ans.addrs
	// What others know of the name they know before it opens anything, and what is
	// bound is noted before it is told.
	if (opens || gr.watched) && len(hold) > 0 {
		if err := g.book.note(who, report.Name, hold, ans.life, now, len(gr.remedies) > 0); err != nil && gr.looks {
			return say(failed, reasonBind, dns.RcodeServerFailure)
		}
	}
	if err := g.cfg.Firewall.BindAll(ctx, list); err != nil {
		return say(failed, reasonBind, dns.RcodeServerFailure)
	}
	if !gr.resolve {
		// Its addresses are closed now, by whatever name or number they are reached.
		report.Addrs = nil
		return say(refused, gr.reason, dns.RcodeNameError)
	}
	m := reply(req, dns.RcodeSuccess)
	m.Answer = ans.records
	report.Verdict, report.Reason = bound, gr.reason
	if ans.stripped != "" && len(ans.addrs) == 0 {
		report.Verdict, report.Reason = stripped, ans.stripped
	}
	g.reports.add(report)
	return m
}

// room makes room for addresses, and answers what has to end for it.
func (g *Guard) room(ctx context.Context, tab *table, who asker, gr grant, name string, addrs []netip.Addr, now time.Duration) ([]nft.Binding, bool) {
	if who.mark == 0 || len(addrs) == 0 {
		return nil, true
	}
	gone, ok := g.book.admit(who.key, name, addrs, now, func() map[netip.Addr]bool {
		if g.cfg.Flows == nil {
			return nil
		}
		used, err := g.cfg.Flows.InUse(ctx, who.mark)
		if err != nil {
			return nil
		}
		return used
	})
	var list []nft.Binding
	for _, x := range gone {
		for _, b := range g.bindings(tab, who, gr, name, x.Addr, ending) {
			if !b.Denied { // what is closed stays closed
				list = append(list, b)
			}
		}
	}
	return list, ok
}

// reply returns an answer without records. A denial without an SOA record is
// kept by no cache (RFC 2308 section 5), so that what is allowed later works at
// once.
func reply(req *dns.Msg, rcode int) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(req, rcode)
	m.RecursionAvailable = true
	if len(m.Question) > 1 {
		m.Question = m.Question[:1]
	}
	if req.IsEdns0() != nil {
		m.SetEdns0(udpSize, false)
	}
	return m
}
