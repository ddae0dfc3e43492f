package mqttport

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// hook is where the library asks what may be, and hands over what was sent. It
// is called from the goroutine that reads a terminal's connection, one packet
// at a time.
type hook struct {
	mqtt.HookBase
	port *Port
}

func (*hook) ID() string { return "ringwall" }

func (*hook) Provides(b byte) bool {
	return bytes.IndexByte([]byte{
		mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnSessionEstablished, mqtt.OnACLCheck, mqtt.OnPublish, mqtt.OnPublishDropped, mqtt.OnDisconnect,
		mqtt.OnPacketRead,
	}, b) >= 0
}

// connOf returns who a client is; ok is false for the server's own.
func connOf(cl *mqtt.Client) (c *conn, ok bool) {
	c, ok = cl.Net.Conn.(*conn)
	return c, ok
}

// OnConnect makes the session that of the certificate, whatever CONNECT says.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c, ok := connOf(cl)
	if !ok {
		return packets.ErrNotAuthorized
	}
	asked := pk.Connect.ClientIdentifier
	if asked != "" && asked != string(c.who.gw) {
		cl.ID = "" // OnConnectAuthenticate answers
		return nil
	}
	cl.ID = string(c.who.gw)
	if asked == "" {
		cl.Properties.Props.AssignedClientID = cl.ID
	}
	// Nothing outlives the connection: what a terminal has to know, it asks for.
	cl.Properties.Clean, cl.Properties.Will = true, mqtt.Will{}
	if k := cl.State.Keepalive; k == 0 || k > maxKeepAlive {
		cl.State.Keepalive, cl.State.ServerKeepalive = maxKeepAlive, true
	}
	return nil
}

func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	c, ok := connOf(cl)
	if !ok || cl.ID == "" || pk.Connect.WillFlag {
		h.port.refused.Add(1)
		return false
	}
	c.settle()
	return true
}

func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	// The library has set the deadline before the terminal was known.
	_ = cl.Net.Conn.SetDeadline(time.Now().Add(time.Duration(cl.State.Keepalive) * 3 / 2 * time.Second))
	h.port.log.Debug("terminal connected", "terminal", cl.ID, "version", cl.Properties.ProtocolVersion)
}

func (h *hook) OnDisconnect(cl *mqtt.Client, err error, _ bool) {
	h.port.log.Debug("terminal disconnected", "terminal", cl.ID, "cause", err)
}

// OnACLCheck lets a terminal write to two topics and read three, all its own.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	c, ok := connOf(cl)
	if !ok {
		return cl.Net.Inline
	}
	leaves := []string{api.TopicAck, api.TopicDesired, api.TopicPoke}
	if write {
		leaves = []string{api.TopicReport, api.TopicStatus}
	}
	for _, leaf := range leaves {
		if topic == api.Topic(c.who.org, c.who.gw, leaf) {
			return true
		}
	}
	if write && cl.Properties.ProtocolVersion < 5 {
		cl.Stop(packets.ErrNotAuthorized) // the library would send a DISCONNECT, which 3.1.1 does not know from a server
	}
	return false
}

// OnPacketRead refuses what the library would take as something else: QoS 2 as
// QoS 1.
func (h *hook) OnPacketRead(_ *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type == packets.Publish && pk.FixedHeader.Qos > 1 {
		return pk, packets.ErrQosNotSupported
	}
	return pk, nil
}

// OnPublishDropped ends a terminal that does not read.
func (h *hook) OnPublishDropped(cl *mqtt.Client, _ packets.Packet) {
	h.port.log.Warn("terminal does not read; its connection ends", "terminal", cl.ID)
	cl.Stop(packets.ErrPendingClientWritesExceeded)
}

// OnPublish hands what a terminal says to the desk. What it returns decides
// about the acknowledgement.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c, ok := connOf(cl)
	if !ok {
		return pk, nil // the port's own poke, for the one subscriber it may have
	}
	if pk.FixedHeader.Retain {
		return pk, h.reject(cl, pk, packets.ErrRetainNotSupported)
	}
	var out []byte
	var err error
	leaf := api.TopicAck
	if pk.TopicName == api.Topic(c.who.org, c.who.gw, api.TopicReport) {
		out, err = h.port.report(c.who, pk.Payload)
	} else {
		leaf = api.TopicDesired
		out, err = h.port.status(c.who, pk.Payload)
	}
	if out != nil {
		if werr := h.answer(cl, c.who, pk, leaf, out); werr != nil {
			h.port.log.Debug("answer not delivered", "terminal", cl.ID, "cause", werr)
		}
	}
	if err != nil {
		h.port.rejected.Add(1)
		h.port.log.Warn("a terminal's message was not taken", "terminal", cl.ID, "bytes", len(pk.Payload), "cause", err)
		return pk, h.reject(cl, pk, reasonOf(err))
	}
	return pk, packets.CodeSuccessIgnore // acknowledged, and passed on to nobody
}

// reject returns what makes the library not acknowledge pk. MQTT 3.1.1 has no
// negative acknowledgement (section 3.4): the connection ends instead.
func (h *hook) reject(cl *mqtt.Client, pk packets.Packet, code packets.Code) error {
	if cl.Properties.ProtocolVersion == 5 && pk.FixedHeader.Qos > 0 {
		return code
	}
	if pk.FixedHeader.Qos > 0 {
		cl.Stop(code)
	}
	return packets.ErrRejectPacket
}

// reasonOf returns the reason code of MQTT 5.0 (section 2.4) for an error.
func reasonOf(err error) packets.Code {
	code := packets.ErrUnspecifiedError
	switch ringwall.CodeOf(err) {
	case ringwall.Invalid:
		code = packets.ErrPayloadFormatInvalid
	case ringwall.Unverified, ringwall.Forbidden, ringwall.NotFound:
		code = packets.ErrNotAuthorized
	case ringwall.Conflict:
		code = packets.ErrImplementationSpecificError
	case ringwall.Unavailable:
		code = packets.ErrServerBusy
	}
	if e, ok := errors.AsType[*ringwall.Error](err); ok {
		code.Reason = e.Text
	}
	return code
}

// answer writes an answer where the terminal wants it, if it has subscribed to
// that.
func (h *hook) answer(cl *mqtt.Client, who terminal, pk packets.Packet, leaf string, out []byte) error {
	topic := pk.Properties.ResponseTopic
	if topic == "" {
		topic = api.Topic(who.org, who.gw, leaf)
	}
	if _, listens := cl.State.Subscriptions.Get(topic); !listens {
		return nil
	}
	return cl.WritePacket(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish}, TopicName: topic, Payload: out,
		Properties: packets.Properties{CorrelationData: pk.Properties.CorrelationData},
	})
}

// report reads a batch in any form, has it stored and answers.
func (p *Port) report(who terminal, payload []byte) (out []byte, err error) {
	b, compact, err := readBatch(payload)
	var ack api.BatchAck
	if err == nil {
		ack, err = p.cfg.Desk.Report(p.ctx, who.org, who.gw, b)
	}
	if err != nil {
		ack.Error = words(err)
	} else {
		p.reports.Add(1)
	}
	if compact {
		return api.AppendTerminalAck(nil, ack), err
	}
	return marshal(ack), err
}

// readBatch reads a batch: JSON, the binary form of protocol 2, or that of the
// constrained terminal.
func readBatch(payload []byte) (b api.Batch, compact bool, err error) {
	switch {
	case len(payload) > api.MaxBatchBytes:
		return b, false, ringwall.Errorf(ringwall.Invalid, "batch of %d bytes is over the limit of %d", len(payload), api.MaxBatchBytes)
	case len(payload) > 0 && payload[0] == api.TerminalVersion:
		b, err = api.ReadTerminalBatch(payload)
		return b, true, err
	}
	b, err = api.ReadBatch(payload)
	return b, false, err
}

// maxStatus bounds a request for the desired state: a certificate request at
// most.
const maxStatus = 16 << 10

// status answers what a terminal says it has with what is newer.
func (p *Port) status(who terminal, payload []byte) (out []byte, err error) {
	if len(payload) > maxStatus {
		err := ringwall.Errorf(ringwall.Invalid, "request of %d bytes is over the limit of %d", len(payload), maxStatus)
		return marshal(api.DesiredAnswer{Error: err.Text}), err
	}
	if len(payload) > 0 && payload[0] == api.TerminalVersion {
		var a api.TerminalAnswer
		s, err := api.ReadTerminalStatus(payload)
		if err == nil {
			a.Signed, err = p.cfg.Desk.Terminal(p.ctx, who.org, who.gw, s.Have)
		}
		if err != nil {
			a = api.TerminalAnswer{Error: words(err)}
		}
		return a.Append(nil), err
	}
	var req api.DesiredRequest
	var a api.DesiredAnswer
	if jerr := json.Unmarshal(payload, &req); jerr != nil {
		err = ringwall.Errorf(ringwall.Invalid, "reading a request for the desired state: %w", jerr)
	} else {
		a, err = p.cfg.Desk.Desired(p.ctx, who.org, who.gw, req)
	}
	if err != nil {
		a = api.DesiredAnswer{Error: words(err)}
	}
	return marshal(a), err
}

// words returns what of an error may be told to a terminal.
func words(err error) string {
	if e, ok := errors.AsType[*ringwall.Error](err); ok {
		return e.Text
	}
	return "the platform failed"
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("mqttport: an answer of plain values cannot be marshalled: " + err.Error())
	}
	return b
}
