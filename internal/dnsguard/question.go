package dnsguard

import (
	"context"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// Verdicts of reports.
const (
	bound    = "bound"
	refused  = "refused"
	stripped = "stripped"
	failed   = "failed"
)

// canary is the name by which browsers ask whether they may resolve past us; no
// such name means they may not.
const canary = "use-application-dns.net"

// Answer answers one question of the device with this address. What it opens
// is open when it returns. It returns nil when nothing is to be said.
func (g *Guard) Answer(ctx context.Context, src netip.Addr, req *dns.Msg) *dns.Msg {
	if req.Response {
		return nil
	}
	tab, err := g.policy()
	if err != nil {
		return reply(req, dns.RcodeServerFailure)
	}
	who := tab.asker(src)
	report := api.DNSReport{Device: who.id}
	if !g.rates.take(src) {
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
	if name == canary {
		return say(refused, reasonCanary, dns.RcodeNameError)
	}
	gr := tab.grant(who, name)
	if !gr.resolve {
		return say(refused, gr.reason, dns.RcodeNameError)
	}
	switch q.Qtype {
	case dns.TypeA, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeCNAME, dns.TypeSRV:
	case dns.TypeAAAA:
		return say(stripped, reasonIPv6, dns.RcodeSuccess)
	case dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB, dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY:
		return say(refused, reasonType, dns.RcodeNotImplemented)
	default:
		if !gr.raw { // a way out for data that needs no address
			return say(stripped, reasonType, dns.RcodeSuccess)
		}
	}
	if !tab.Resolver.IsValid() {
		return say(failed, reasonUpstream, dns.RcodeServerFailure)
	}
	up, err := g.exchange(ctx, tab.Resolver.String(), q)
	if err != nil {
		return say(failed, reasonUpstream, dns.RcodeServerFailure)
	}
	return g.release(ctx, src, q, up, req, report)
}

// release binds what an upstream's answer names and passes it on. The policy is
// looked up again under the lock: it may have changed while the resolver
// thought.
func (g *Guard) release(ctx context.Context, src netip.Addr, q dns.Question, up, req *dns.Msg, report api.DNSReport) *dns.Msg {
	say := func(verdict, reason string, rcode int) *dns.Msg {
		report.Verdict, report.Reason = verdict, reason
		g.reports.add(report)
		return reply(req, rcode)
	}
	unlock, err := lock(g.cfg.PolicyFile, unix.LOCK_SH)
	if err != nil {
		return say(failed, reasonBind, dns.RcodeServerFailure)
	}
	defer unlock()
	tab, err := g.policy()
	if err != nil {
		return say(failed, reasonBind, dns.RcodeServerFailure)
	}
	who := tab.asker(src)
	report.Device = who.id
	gr := tab.grant(who, report.Name)
	if !gr.resolve {
		return say(refused, gr.reason, dns.RcodeNameError)
	}
	inside := tab.inside
	if gr.raw {
		inside = func(netip.Addr) bool { return false }
	}
	ans := clean(q, up, inside)
	if ans.rcode != dns.RcodeSuccess {
		code := ans.rcode
		if code != dns.RcodeNameError {
			code = dns.RcodeServerFailure
		}
		return say(failed, reasonUpstream, code)
	}
	if len(gr.services)+len(gr.remedies) > 0 && !g.quotas.take(who.mark, ans.addrs, ans.life) {
		return say(refused, reasonTooMany, dns.RcodeServerFailure)
	}
	var list []nft.Binding
	for _, a := range ans.addrs {
		if who.mark == 0 || tab.inside(a) {
			continue
		}
		b := nft.Binding{Mark: who.mark, Addr: a, Name: report.Name, Life: ans.life}
		if len(gr.services) > 0 {
			b.Services, b.Remediation = gr.services, false
			list = append(list, b)
		}
		if len(gr.remedies) > 0 {
			b.Services, b.Remediation = gr.remedies, true
			list = append(list, b)
		}
	}
	if err := g.cfg.Firewall.BindAll(ctx, list); err != nil {
		report.Addrs = ans.addrs
		return say(failed, reasonBind, dns.RcodeServerFailure)
	}
	m := reply(req, dns.RcodeSuccess)
	m.Answer = ans.records
	report.Addrs = ans.addrs
	report.Verdict, report.Reason = bound, gr.reason
	if ans.stripped != "" && len(ans.addrs) == 0 {
		report.Verdict, report.Reason = stripped, ans.stripped
	}
	g.reports.add(report)
	return m
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
