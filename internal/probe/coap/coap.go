// Package coap finds resources that a device serves over CoAP to whoever asks,
// without DTLS and without a login: what it tells (CO-09), and that it is managed
// in plain text (CO-07).
//
// It reads the list of resources and, by GET alone, which is safe by definition, a
// few of them; nothing is written and nothing observed. A path that nobody can have
// is the negative control: a device that serves it serves anything, and its answers
// mean nothing. No content is kept.
//
// Standards: RFC 7252 sections 3, 4.2 and 5.8.1, RFC 6690 section 4, RFC 7959
// section 2 (blocks).
package coap

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
)

// Probe is the CoAP probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "coap", Title: "CoAP: resources that are served to anybody",
		Sends:      "over UDP 5683 a GET of the list of resources (up to 8 blocks), of a path that does not exist, and of at most 8 of the resources, each three times at most",
		Indicators: []string{"CO-07", "CO-09"}, Needs: []string{"coap"}, Intrusion: assess.Asks, Together: true, Reaches: []string{"udp/5683"},
	}
}

// Port is where CoAP speaks in clear.
const Port = 5683

const (
	answerIn    = 800 * time.Millisecond
	asks        = 3
	maxBlocks   = 8
	maxReads    = 8
	maxDatagram = 4 << 10
)

// resources is what a device showed.
type resources struct {
	listed   []string
	readable []string
	locked   int
	anything bool // it serves a path that nobody has
	heard    bool
	gain     float64 // bytes of the first answer for each byte asked
}

// Run looks at the target's resources.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	r, err := look(ctx, env.Net, t.AddrPort(Port))
	if err != nil || !r.heard || ctx.Err() != nil {
		return assess.Answer{}, err
	}
	return assess.Answer{Findings: judge(r), Services: []api.Service{{Proto: "udp", Port: Port, Name: "coap"}}}, nil
}

func look(ctx context.Context, n assess.Network, address string) (resources, error) {
	var r resources
	c, err := n.DialContext(ctx, "udp", address)
	if err != nil {
		return r, ringwall.Errorf(ringwall.Unavailable, "opening a socket: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var list strings.Builder
	for block := range uint32(maxBlocks) {
		m, ok := ask(ctx, c, "/.well-known/core", block)
		if !ok {
			break
		}
		if block == 0 {
			r.heard, r.gain = true, float64(len(m.payload)+8)/float64(len(get("/.well-known/core", 0, make([]byte, 4), 0)))
		}
		if m.code != codeContent {
			break
		}
		list.Write(m.payload)
		if !m.more() {
			break
		}
	}
	if !r.heard {
		return r, nil
	}
	if m, ok := ask(ctx, c, "/rw-"+strings.ToLower(rand.Text()[:10]), 0); ok && m.code == codeContent {
		r.anything = true
		return r, nil
	}
	r.listed = links(list.String())
	tried := 0
	for _, p := range r.listed {
		if p == "/.well-known/core" || tried == maxReads || strings.ContainsAny(p, "?") {
			continue
		}
		tried++
		switch m, ok := ask(ctx, c, p, 0); {
		case ok && m.code == codeContent:
			r.readable = append(r.readable, p)
		case ok && (m.code == codeUnauthorised || m.code == codeForbidden):
			r.locked++
		}
	}
	return r, nil
}

// ask sends one GET until it is answered; an acknowledgement alone announces an
// answer that comes later (RFC 7252 section 5.2.2).
func ask(ctx context.Context, c net.Conn, path string, block uint32) (message, bool) {
	var seed [6]byte
	_, _ = rand.Read(seed[:]) // it never fails (crypto/rand)
	id, token := binary.BigEndian.Uint16(seed[:]), seed[2:]
	buf := make([]byte, maxDatagram)
	for range asks {
		if c.SetDeadline(time.Now().Add(answerIn)) != nil || ctx.Err() != nil {
			return message{}, false
		}
		if _, err := c.Write(get(path, id, token, block)); err != nil {
			return message{}, false
		}
		for range 8 {
			k, err := c.Read(buf)
			if err != nil {
				break
			}
			m, err := parse(buf[:k])
			if err != nil || !bytes.Equal(m.token, token) || m.code < 0x40 || m.kind == 2 && m.id != id {
				continue // not ours, or our own question come back
			}
			m.payload = bytes.Clone(m.payload)
			if m.kind == 0 { // a separate answer wants to be acknowledged
				_, _ = c.Write(binary.BigEndian.AppendUint16([]byte{0x60, 0}, m.id))
			}
			return m, true
		}
	}
	return message{}, false
}

// judge answers CO-07 and CO-09.
func judge(r resources) []ringwall.Finding {
	told := ringwall.Finding{Indicator: "CO-09", Confidence: ringwall.Confirmed}
	plain := ringwall.Finding{Indicator: "CO-07", Confidence: ringwall.Confirmed}
	switch {
	case r.anything:
		told.Confidence, told.Title = ringwall.Observed, "CoAP on this device serves anything that is asked for, so its answers mean nothing"
		told.Evidence = []string{"negative control: a path that does not exist was served"}
		return []ringwall.Finding{told}
	case len(r.readable) > 0:
		told.Outcome, told.Title = ringwall.Fail, fmt.Sprintf("CoAP serves %d resources to whoever asks", len(r.readable))
		plain.Outcome, plain.Title = ringwall.Fail, "its CoAP resources answer in plain text and without a login"
		for _, p := range r.readable {
			told.Evidence = append(told.Evidence, "read "+p)
		}
	case len(r.listed) > 0:
		told.Outcome, told.Title = ringwall.Partial, fmt.Sprintf("CoAP lists %d resources for whoever asks; those that were tried are closed", len(r.listed))
		plain.Outcome, plain.Title = ringwall.Partial, "its CoAP service is reached in plain text"
	default:
		plain.Outcome, plain.Title = ringwall.Partial, "its CoAP service is reached in plain text"
		plain.Evidence = []string{"it answered, and listed nothing"}
		return []ringwall.Finding{plain}
	}
	told.Evidence = append(told.Evidence, fmt.Sprintf("%d resources listed, %d of those tried refused", len(r.listed), r.locked),
		fmt.Sprintf("the list is %.1f times as long as the question", r.gain), "negative control: a path that does not exist was not served")
	plain.Evidence = []string{"it answered on UDP port 5683, without DTLS"}
	return []ringwall.Finding{plain, told}
}
