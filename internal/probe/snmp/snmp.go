// Package snmp asks whether a device answers SNMP to a default community
// (CO-10).
//
// It reads one value (sysObjectID) with "public" and "private", and first with
// a random community: an agent that answers that answers anybody. Nothing is
// ever written, so whether a community may write stays unknown. Silence counts
// only of a device that is alive, and as an observation. Standards: RFC 1157
// section 4 (version 1), RFC 3416 section 3 (version 2c).
package snmp

import (
	"context"
	"crypto/rand"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
)

// Probe is the SNMP probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "snmp", Title: "SNMP: answers to default communities", Sends: "GET of one value over UDP 161 with three communities, each twice at most",
		Indicators: []string{"CO-10"}, Intrusion: assess.Asks,
	}
}

// Port is where SNMP agents listen.
const Port = 161

const (
	answerIn  = 600 * time.Millisecond
	asks      = 2 // a datagram may be lost
	maxAnswer = 4 << 10
)

// Run asks the agent.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	if !env.Alive {
		return assess.Answer{}, nil
	}
	return assess.Answer{Findings: []ringwall.Finding{judge(ctx, env.Net, t.AddrPort(Port))}}, nil
}

func judge(ctx context.Context, n assess.Network, address string) ringwall.Finding {
	f := ringwall.Finding{Indicator: "CO-10", Confidence: ringwall.Observed}
	control, closed := answers(ctx, n, address, "rw-"+rand.Text()[:8])
	switch {
	case closed:
		f.Outcome, f.Title = ringwall.Pass, "there is no SNMP agent"
		f.Evidence = []string{"UDP port 161 is closed"}
		return f
	case control:
		f.Outcome, f.Confidence, f.Title = ringwall.Fail, ringwall.Confirmed, "SNMP answers whoever asks, with any community"
		f.Evidence = []string{"a random community was answered"}
		return f
	}
	for _, c := range []string{"public", "private"} {
		if yes, _ := answers(ctx, n, address, c); yes {
			f.Outcome, f.Confidence = ringwall.Fail, ringwall.Confirmed
			f.Title = fmt.Sprintf("SNMP answers to the default community %q", c)
			f.Evidence = []string{"negative control: a random community was not answered", "a value was read"}
			return f
		}
	}
	f.Outcome, f.Title = ringwall.Pass, "SNMP answers no default community"
	f.Evidence = []string{"no answer on UDP port 161 to a random and two default communities"}
	if ctx.Err() != nil {
		f.Outcome, f.Title = ringwall.Unknown, "SNMP could not be asked in time"
	}
	return f
}

// answers reports whether the agent gives a value for this community. closed:
// the host says that nothing listens.
func answers(ctx context.Context, n assess.Network, address, community string) (yes, closed bool) {
	c, err := n.DialContext(ctx, "udp", address)
	if err != nil {
		return false, false
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var seed [4]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return false, false
	}
	id := int(binary.BigEndian.Uint32(seed[:]) >> 2)
	request, err := get(community, id)
	if err != nil {
		return false, false
	}
	buf := make([]byte, maxAnswer)
	for range asks {
		if c.SetDeadline(time.Now().Add(answerIn)) != nil || ctx.Err() != nil {
			return false, false
		}
		if _, err := c.Write(request); err != nil {
			return false, errors.Is(err, syscall.ECONNREFUSED)
		}
		got, err := c.Read(buf)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return false, true
		}
		if err == nil && isAnswer(buf[:got], id) {
			return true, false
		}
	}
	return false, false
}

// message is an SNMP message (RFC 3416 section 3).
type message struct {
	Version   int
	Community []byte
	PDU       asn1.RawValue
}

type binding struct {
	Name  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type pdu struct {
	ID, Status, Index int
	Bindings          []binding
}

// Context tags of the PDUs.
const (
	tagGet      = 0
	tagResponse = 2
	version2c   = 1
)

// get returns a GetRequest for sysObjectID.0.
func get(community string, id int) ([]byte, error) {
	body, err := asn1.Marshal(pdu{ID: id, Bindings: []binding{{asn1.ObjectIdentifier{1, 3, 6, 1, 2, 1, 1, 2, 0}, asn1.NullRawValue}}})
	if err != nil {
		return nil, fmt.Errorf("writing SNMP request: %w", err)
	}
	var seq asn1.RawValue
	if _, err := asn1.Unmarshal(body, &seq); err != nil {
		return nil, fmt.Errorf("writing SNMP request: %w", err)
	}
	return asn1.Marshal(message{version2c, []byte(community), asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tagGet, IsCompound: true, Bytes: seq.Bytes}})
}

// isAnswer reports whether b is a response to request id that carries a value.
func isAnswer(b []byte, id int) bool {
	var m message
	if rest, err := asn1.Unmarshal(b, &m); err != nil || len(rest) > 0 {
		return false
	}
	if m.PDU.Class != asn1.ClassContextSpecific || m.PDU.Tag != tagResponse {
		return false
	}
	var p pdu
	if _, err := asn1.UnmarshalWithParams(m.PDU.FullBytes, &p, "tag:2"); err != nil {
		return false
	}
	return p.ID == id && p.Status == 0 && len(p.Bindings) == 1
}
