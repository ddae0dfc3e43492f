package dnsguard

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/miekg/dns"
)

const (
	// upstreamWait is how long one try waits; a client asks again after 5 s, so
	// that three tries fit.
	upstreamWait = 1500 * time.Millisecond
	// udpSize is the size of answer that we say we take; it passes everywhere in
	// one piece (DNS flag day 2020).
	udpSize = 1232
	// maxStray bounds the wrong answers that one try looks at: who floods us with
	// guesses gets no more of them.
	maxStray = 64
)

// errMismatch is an answer that does not belong to the question.
var errMismatch = errors.New("answer does not match the question")

// exchange asks the resolver: twice by UDP, then by TCP, which is also used
// when an answer is cut short.
func (g *Guard) exchange(ctx context.Context, resolver string, q dns.Question) (*dns.Msg, error) {
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
	m := new(dns.Msg)
	m.Id = randomID()
	m.RecursionDesired = true
	m.Question = []dns.Question{{Name: randomCase(q.Name), Qtype: q.Qtype, Qclass: dns.ClassINET}}
	m.SetEdns0(udpSize, false)
	wire, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("asking for %q: %w", q.Name, err)
	}
	c, err := g.cfg.Dial(ctx, network, resolver)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", resolver, err)
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	if network == "tcp" {
		wire = append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
	}
	if _, err := c.Write(wire); err != nil {
		return nil, fmt.Errorf("asking %s: %w", resolver, err)
	}
	buf := make([]byte, 4096)
	for range maxStray {
		raw, err := readMessage(c, network, buf)
		if err != nil {
			return nil, fmt.Errorf("waiting for %s: %w", resolver, err)
		}
		resp := new(dns.Msg)
		if resp.Unpack(raw) == nil && belongs(resp, m) {
			return resp, nil
		}
		if network == "tcp" {
			return nil, fmt.Errorf("waiting for %s: %w", resolver, errMismatch)
		}
	}
	return nil, fmt.Errorf("waiting for %s: %w", resolver, errMismatch)
}

func readMessage(c net.Conn, network string, buf []byte) ([]byte, error) {
	if network != "tcp" {
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
