package snmp

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
)

type oid = asn1.ObjectIdentifier

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

// Context tags of the PDUs, and versions as they are written.
const (
	tagGet      = 0
	tagResponse = 2
	tagSet      = 3
	tagReport   = 8
	version1    = 0
	version2c   = 1
	version3    = 3
)

func versionName(v int) string { return map[int]string{version1: "1", version2c: "2c"}[v] }

func null() asn1.RawValue { return asn1.NullRawValue }

func octets(s string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagOctetString, Bytes: []byte(s)}
}

// write returns a request with one binding.
func write(version int, community string, tag, id int, b binding) ([]byte, error) {
	body, err := asn1.Marshal(pdu{ID: id, Bindings: []binding{b}})
	if err != nil {
		return nil, fmt.Errorf("writing SNMP request: %w", err)
	}
	var seq asn1.RawValue
	if _, err := asn1.Unmarshal(body, &seq); err != nil {
		return nil, fmt.Errorf("writing SNMP request: %w", err)
	}
	return asn1.Marshal(message{version, []byte(community), asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: seq.Bytes}})
}

// read reads a response to request id that carries one value. A value that does
// not exist (RFC 3416 section 4.2.1) is no value.
func read(b []byte, version, id int) (p pdu, ok bool) {
	var m message
	if rest, err := asn1.Unmarshal(b, &m); err != nil || len(rest) > 0 || m.Version != version {
		return p, false
	}
	if m.PDU.Class != asn1.ClassContextSpecific || m.PDU.Tag != tagResponse {
		return p, false
	}
	if _, err := asn1.UnmarshalWithParams(m.PDU.FullBytes, &p, "tag:2"); err != nil {
		return p, false
	}
	if p.ID != id || len(p.Bindings) != 1 {
		return p, false
	}
	if p.Status == 0 && p.Bindings[0].Value.Class == asn1.ClassContextSpecific {
		p.Status = 2 // noSuchName, as version 1 would say
	}
	return p, true
}

// text returns the value of the one binding when it is an octet string.
func text(p pdu) (string, bool) {
	if len(p.Bindings) != 1 {
		return "", false
	}
	v := p.Bindings[0].Value
	return string(v.Bytes), v.Class == asn1.ClassUniversal && v.Tag == asn1.TagOctetString
}

// header3 is the head of a message of version 3 (RFC 3412 section 6).
type header3 struct {
	ID, MaxSize int
	Flags       []byte
	Model       int
}

type message3 struct {
	Version  int
	Header   header3
	Security []byte
	Scoped   asn1.RawValue
}

type security3 struct {
	Engine        []byte
	Boots, Time   int
	User          []byte
	Auth, Privacy []byte
}

// discovery is a request without a name, that every engine of version 3 answers
// with a report (RFC 3414 section 4): reportable, no authentication.
func discovery() []byte {
	return []byte{
		0x30, 0x3a, 2, 1, version3, 0x30, 0x0f, 2, 2, 0x52, 0x57, 2, 3, 0, 0xff, 0xe3, 4, 1, 4, 2, 1, 3, 4, 0x10, 0x30, 0x0e, 4, 0, 2, 1, 0, 2, 1, 0, 4, 0, 4, 0, 4, 0,
		0x30, 0x12, 4, 0, 4, 0, 0xa0, 0x0c, 2, 2, 0x52, 0x57, 2, 1, 0, 2, 1, 0, 0x30, 0,
	}
}

// readEngine reads the engine id in the answer to a discovery.
func readEngine(b []byte) (string, bool) {
	var m message3
	if rest, err := asn1.Unmarshal(b, &m); err != nil || len(rest) > 0 || m.Version != version3 {
		return "", false
	}
	var s security3
	if rest, err := asn1.Unmarshal(m.Security, &s); err != nil || len(rest) > 0 {
		return "", false
	}
	// The report itself: without it, it is our own question come back.
	if len(s.Engine) < 5 || len(s.Engine) > 32 || !bytes.Contains(m.Scoped.FullBytes, []byte{0xa0 | tagReport}) {
		return "", false
	}
	return hex.EncodeToString(s.Engine), true
}
