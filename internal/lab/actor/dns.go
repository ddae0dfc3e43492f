package actor

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Record is one name of the range's internet.
type Record struct {
	Addrs []netip.Addr `json:"addrs"`
	// Show is how many of the addresses one answer holds, drawn afresh each
	// time, as content networks do; 0 = all, in order.
	Show int    `json:"show,omitempty"`
	TTL  uint32 `json:"ttl"`
}

// DNSSettings are the zone data of the name server.
type DNSSettings struct {
	// Zones are the names it answers for with authority; below them, what
	// Records does not hold does not exist. Everything else is refused.
	Zones   []string          `json:"zones"`
	Records map[string]Record `json:"records"` // by name, lower case, no dot at the end
}

// DNSStats count what the name server did.
type DNSStats struct {
	Queries  uint64 `json:"queries"`
	NXDomain uint64 `json:"nxdomain"`
}

// nameServer is the authoritative server of the range's zones and, since there
// are no others, its resolver. It answers over UDP and TCP (RFC 1035).
func nameServer(e *Env) (Ops, error) {
	s, err := settings[DNSSettings](e)
	if err != nil {
		return nil, err
	}
	ns := &zone{s: s, rng: rand.New(rand.NewPCG(e.Seed, 53))}
	addr := net.JoinHostPort(e.Addr.String(), "53")
	pc, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		return nil, err
	}
	for _, srv := range []*dns.Server{{PacketConn: pc, Handler: ns}, {Listener: l, Handler: ns}} {
		e.Go("serving DNS", func(ctx context.Context) error {
			stop := context.AfterFunc(ctx, func() { _ = srv.Shutdown() })
			defer stop()
			return srv.ActivateAndServe()
		})
	}
	return Ops{"stats": op(func(context.Context, struct{}) (any, error) {
		ns.mu.Lock()
		defer ns.mu.Unlock()
		return ns.stats, nil
	})}, nil
}

type zone struct {
	s DNSSettings

	mu    sync.Mutex // guards what follows
	rng   *rand.Rand
	stats DNSStats
}

// ServeDNS answers one question.
func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery {
		m.Rcode = dns.RcodeFormatError
		_ = w.WriteMsg(m) // the asker is gone: nothing to tell it
		return
	}
	z.answer(m, q.Question[0])
	_ = w.WriteMsg(m)
}

func (z *zone) answer(m *dns.Msg, q dns.Question) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.stats.Queries++
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	ours := false
	for _, zone := range z.s.Zones {
		ours = ours || name == zone || strings.HasSuffix(name, "."+zone)
	}
	r, ok := z.s.Records[name]
	if !ok {
		z.stats.NXDomain++
		m.Rcode = dns.RcodeNameError
		m.Authoritative = ours
		return
	}
	m.Authoritative = true
	if q.Qtype != dns.TypeA && q.Qtype != dns.TypeANY {
		return // the name exists, with nothing of this type
	}
	addrs := r.Addrs
	if r.Show > 0 && r.Show < len(addrs) {
		addrs = make([]netip.Addr, r.Show)
		for i, j := range z.rng.Perm(len(r.Addrs))[:r.Show] {
			addrs[i] = r.Addrs[j]
		}
	}
	for _, a := range addrs {
		m.Answer = append(m.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: r.TTL},
			A:   a.AsSlice(),
		})
	}
}
