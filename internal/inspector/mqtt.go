package inspector

import (
	"context"
	"encoding/binary"

	"github.com/ringwall/ringwall/internal/inspector/peek"
	"github.com/ringwall/ringwall/internal/policy"
)

// Reason codes of MQTT 5.0 (section 2.4) and return codes of 3.1.1.
const (
	notAuthorized = 0x87
	refused311    = 0x05
	failed311     = 0x80
)

// mqttSeen is what a packet shows to the policy.
func mqttSeen(method, topic string) *seen {
	return &seen{Seen: policy.Seen{Proto: "mqtt", Method: method, Path: topic, Complete: true}}
}

// mqtt serves a client that speaks MQTT. Its CONNECT, what it publishes (the will
// too) and what it subscribes to are judged, and what the other end publishes to
// it is held against what it may subscribe to: a session may be older than the
// policy.
func (s *session) mqtt(ctx context.Context) *seen {
	st := s.in.stream(s.client, s.first)
	defer st.release()
	s.first = nil
	var in peek.MQTTReader
	var back *talk
	last := mqttSeen("", "")
	wait := s.in.cfg.HeadWait
	for {
		var p peek.Packet
		err := st.until(wait, func(b []byte) (err error) {
			p, err = in.Next(b)
			return err
		})
		wait = idleWait // its keep alive is the other end's to watch
		if err == nil && back == nil && p.Type != peek.MQTTConnect {
			err = &peek.Malformed{What: "it does not begin with CONNECT"}
		}
		if err != nil {
			s.endClient(ctx, err, last, st, "mqtt", back)
			return last
		}
		what, d := s.rulePacket(&p)
		if what != nil {
			last = what
		}
		if what != nil && !d.Pass {
			s.refuse(d, what)
			text, goOn := refusePacket(&p, in.Version())
			if text != nil && !s.deny(back, text) || !goOn || s.discard(st, int64(p.Head)+p.Rest) != nil {
				s.endTalk(back)
				return last
			}
			continue
		}
		if back == nil {
			if !s.call(ctx, d) {
				return last
			}
			version := in.Version()
			back = s.begin(s.mqttBack(version))
		}
		if s.forward(st, s.server, &s.up, int64(p.Head)+p.Rest) != nil {
			s.endTalk(back)
			return last
		}
	}
}

// rulePacket judges a packet of the client. It answers with what decided: what
// was refused, or the last of what passes; nil = nothing in it is judged.
func (s *session) rulePacket(p *peek.Packet) (*seen, ruling) {
	var list []*seen
	keep := true // judged again as long as the connection lasts
	switch p.Type {
	case peek.MQTTConnect:
		list = append(list, mqttSeen("CONNECT", ""))
		if p.Topic != "" {
			list = append(list, mqttSeen("PUBLISH", p.Topic))
		}
	case peek.MQTTPublish:
		list, keep = append(list, mqttSeen("PUBLISH", p.Topic)), false
	case peek.MQTTSubscribe:
		for _, f := range p.Filters {
			list = append(list, mqttSeen("SUBSCRIBE", f))
		}
	default:
		return nil, ruling{}
	}
	var d ruling
	for _, what := range list {
		if d = s.rule(what); !d.Pass {
			return what, d
		}
	}
	what := list[len(list)-1]
	if !keep {
		if d.Would {
			s.in.reports.refuse(s.ends, &d, what)
		}
		return what, d
	}
	if p.Type == peek.MQTTSubscribe && !s.hasRoom(len(list)) {
		d.Pass, d.Reason = false, reasonCaps
		return what, d
	}
	for _, what := range list {
		if !s.pass(d, what) {
			d.Pass = false
			return what, d
		}
	}
	return what, d
}

// hasRoom reports whether so many more subscriptions can be kept.
func (s *session) hasRoom(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.facts)+n <= maxFacts
}

// refusePacket returns what the client is told of a refused packet, and whether
// the connection can go on: as far as its version has words for it.
func refusePacket(p *peek.Packet, version uint8) (text []byte, goOn bool) {
	id := binary.BigEndian.AppendUint16(nil, p.ID)
	switch {
	case p.Type == peek.MQTTConnect && version >= 5:
		return []byte{peek.MQTTConnack << 4, 3, 0, notAuthorized, 0}, false
	case p.Type == peek.MQTTConnect:
		return []byte{peek.MQTTConnack << 4, 2, 0, refused311}, false
	case p.Type == peek.MQTTSubscribe && version >= 5:
		text = append([]byte{peek.MQTTSuback << 4, byte(3 + len(p.Filters))}, id...)
		text = append(text, 0)
		for range p.Filters {
			text = append(text, notAuthorized)
		}
		return text, true
	case p.Type == peek.MQTTSubscribe && version == 4:
		text = append([]byte{peek.MQTTSuback << 4, byte(2 + len(p.Filters))}, id...)
		for range p.Filters {
			text = append(text, failed311)
		}
		return text, true
	case version >= 5 && p.QoS == 1:
		return append([]byte{peek.MQTTPuback << 4, 3}, append(id, notAuthorized)...), true
	case version >= 5 && p.QoS == 2:
		return append([]byte{peek.MQTTPubrec << 4, 3}, append(id, notAuthorized)...), true
	case version >= 5:
		return []byte{peek.MQTTDisconnect << 4, 2, notAuthorized, 0}, false
	}
	return nil, false // MQTT 3.1.1 section 3.3.5: close the connection
}

// mqttBack tells the size of what the other end sends, and judges what it
// publishes.
func (s *session) mqttBack(version uint8) func([]byte) (int, int64, error) {
	var out peek.MQTTReader
	out.SetVersion(version)
	return func(b []byte) (int, int64, error) {
		p, err := out.Next(b)
		if isMalformed(err) {
			// Where its packets end is not known any more: neither is what they are.
			s.cut()
			return 0, 0, errJudged
		}
		if err != nil || p.Type != peek.MQTTPublish {
			return p.Head, p.Rest, err
		}
		what := mqttSeen("SUBSCRIBE", p.Topic)
		switch d := s.rule(what); {
		case !d.Pass:
			s.refuse(d, what)
			s.cut()
			return 0, 0, errJudged
		case d.Would:
			s.in.reports.refuse(s.ends, &d, what)
		}
		return p.Head, p.Rest, nil
	}
}
