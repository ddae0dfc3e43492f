package dnsguard

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall/api"
)

const (
	// upstreamWait is how long one try waits; a client asks again after 5 s, so
	// that three tries fit.
	upstreamWait = 1500 * time.Millisecond
	// lookupWait bounds all tries together.
	lookupWait = 5 * time.Second
	// resolverRest is how long a resolver that did not answer is asked after the
	// others.
	resolverRest = 30 * time.Second
	// udpSize is the size of answer that we say we take; it passes everywhere in
	// one piece (DNS flag day 2020).
	udpSize = 1232
	// maxStray bounds the wrong answers that one try looks at: who floods us with
	// guesses gets no more of them.
	maxStray = 64
	// padTo is the block to which questions over TLS are padded (RFC 8467 section
	// 4.1).
	padTo = 128
)

var (
	// errMismatch is an answer that does not belong to the question.
	errMismatch = errors.New("answer does not match the question")
	errNobody   = errors.New("no resolver is named")
)

// lookup answers a question out of the cache or by asking, and says for how long
// the answer has been kept. Devices that ask for the same at the same time ask
// once (which takes a forger's many chances too).
func (g *Guard) lookup(ctx context.Context, from []api.Resolver, q dns.Question) (*dns.Msg, time.Duration, error) {
	key := cacheKey{strings.ToLower(q.Name), q.Qtype}
	if m, age, ok := g.cache.get(from, key); ok {
		return withOwner(m, q), age, nil
	}
	ch := g.flight.DoChan(fmt.Sprint(key, from), func() (any, error) {
		// Of everybody who waits: not ended with the one who came first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupWait)
		defer cancel()
		at := g.cfg.Uptime()
		m, err := g.exchange(ctx, from, dns.Question{Name: key.name, Qtype: q.Qtype, Qclass: dns.ClassINET})
		if err == nil {
			g.cache.put(from, key, m, at)
		}
		return m, err
	})
	select {
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	case r := <-ch:
		if r.Err != nil {
			return nil, 0, r.Err
		}
		return withOwner(r.Val.(*dns.Msg), q), 0, nil
	}
}

// withOwner returns an answer in which records of the name that was asked for
// bear it as this asker wrote it: some clients compare the capitals. The answer
// itself is shared and not changed.
func withOwner(m *dns.Msg, q dns.Question) *dns.Msg {
	out := *m
	out.Answer = make([]dns.RR, len(m.Answer))
	for i, rr := range m.Answer {
		out.Answer[i] = rr
		if strings.EqualFold(rr.Header().Name, q.Name) && rr.Header().Name != q.Name {
			out.Answer[i] = dns.Copy(rr)
			out.Answer[i].Header().Name = q.Name
		}
	}
	return &out
}

// exchange asks the resolvers, those that answered lately first.
func (g *Guard) exchange(ctx context.Context, from []api.Resolver, q dns.Question) (*dns.Msg, error) {
	err := errNobody
	for _, r := range g.awake(from) {
		var m *dns.Msg
		if r.Name != "" || len(r.Pins) > 0 {
			m, err = g.askTLS(ctx, r, q)
		} else {
			m, err = g.askPlain(ctx, r.Addr.String(), q)
		}
		if err == nil {
			return m, nil
		}
		g.rest(r.Addr)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// awake returns the resolvers, those that rest last.
func (g *Guard) awake(list []api.Resolver) []api.Resolver {
	if len(list) < 2 {
		return list
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Uptime()
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b api.Resolver) int {
		x, y := g.resting[a.Addr] > now, g.resting[b.Addr] > now
		switch {
		case x == y:
			return 0
		case x:
			return 1
		}
		return -1
	})
	return out
}

func (g *Guard) rest(a netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Uptime()
	for k, until := range g.resting {
		if until <= now {
			delete(g.resting, k)
		}
	}
	if g.resting == nil {
		g.resting = map[netip.AddrPort]time.Duration{}
	}
	g.resting[a] = now + resolverRest
}

// askPlain asks twice by UDP, then by TCP, which is also used when an answer is
// cut short.
func (g *Guard) askPlain(ctx context.Context, resolver string, q dns.Question) (*dns.Msg, error) {
	var last error
	for range 2 {
		m, err := g.ask(ctx, "udp", resolver, q)
		if err == nil && !m.Truncated {
			return m, nil
		}
		if err == nil {
			break
		}
		last = err
		if ctx.Err() != nil {
			return nil, last
		}
	}
	m, err := g.ask(ctx, "tcp", resolver, q)
	if err != nil {
		return nil, errors.Join(last, err)
	}
	return m, nil
}

// ask sends one question by a socket of its own.
func (g *Guard) ask(ctx context.Context, network, resolver string, q dns.Question) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, upstreamWait)
	defer cancel()
	m := ourQuestion(q, false)
	c, err := g.cfg.Dial(ctx, network, resolver)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", resolver, err)
	}
	defer c.Close()
	return converse(ctx, c, network == "tcp", m)
}

// ourQuestion makes the question that is sent: with an id and capitals of our
// own.
func ourQuestion(q dns.Question, pad bool) *dns.Msg {
	m := new(dns.Msg)
	m.Id = randomID()
	m.RecursionDesired = true
	m.Question = []dns.Question{{Name: randomCase(q.Name), Qtype: q.Qtype, Qclass: dns.ClassINET}}
	m.SetEdns0(udpSize, false)
	if pad {
		opt := m.IsEdns0()
		p := &dns.EDNS0_PADDING{}
		opt.Option = append(opt.Option, p)
		p.Padding = make([]byte, (padTo-m.Len()%padTo)%padTo)
	}
	return m
}

// converse sends m and waits for its answer.
func converse(ctx context.Context, c net.Conn, stream bool, m *dns.Msg) (*dns.Msg, error) {
	wire, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("asking for %q: %w", m.Question[0].Name, err)
	}
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	if stream {
		wire = append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
	}
	if _, err := c.Write(wire); err != nil {
		return nil, fmt.Errorf("asking a resolver: %w", err)
	}
	buf := make([]byte, 4096)
	for range maxStray {
		raw, err := readMessage(c, stream, buf)
		if err != nil {
			return nil, fmt.Errorf("waiting for a resolver: %w", err)
		}
		resp := new(dns.Msg)
		if resp.Unpack(raw) == nil && belongs(resp, m) {
			return resp, nil
		}
		if stream {
			break
		}
	}
	return nil, fmt.Errorf("waiting for a resolver: %w", errMismatch)
}

func readMessage(c net.Conn, stream bool, buf []byte) ([]byte, error) {
	if !stream {
		n, err := c.Read(buf)
		return buf[:n], err
	}
	var n [2]byte
	if _, err := io.ReadFull(c, n[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(n[:]))
	_, err := io.ReadFull(c, raw)
	return raw, err
}

// belongs reports whether resp answers m: same id, same question, same
// capitals.
func belongs(resp, m *dns.Msg) bool {
	return resp.Response && resp.Id == m.Id && resp.Opcode == dns.OpcodeQuery && len(resp.Question) == 1 && resp.Question[0] == m.Question[0]
}

func randomID() uint16 {
	var b [2]byte
	randomBytes(b[:])
	return binary.BigEndian.Uint16(b[:])
}

// randomCase gives each letter of a name a random case, which an honest answer
// repeats and a forged one has to guess.
func randomCase(name string) string {
	b := []byte(name)
	r := make([]byte, len(b))
	randomBytes(r)
	for i, c := range b {
		if ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') && r[i]&1 == 1 {
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}

func randomBytes(b []byte) {
	if _, err := rand.Read(b); err != nil {
		panic("dnsguard: the system's random source failed: " + err.Error())
	}
}
