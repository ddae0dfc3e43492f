package mqttport

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// old speaks MQTT 3.1.1 by hand, so that the test says each byte.
type old struct {
	net.Conn
	r *bufio.Reader
}

func packet(head byte, body []byte) []byte {
	b := []byte{head}
	n := len(body)
	for {
		d := byte(n % 128)
		if n /= 128; n > 0 {
			b = append(b, d|0x80)
			continue
		}
		return append(append(b, d), body...)
	}
}

func text(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

func dialOld(t testing.TB, s *site, gw ringwall.GatewayID, conf *tls.Config) *old {
	t.Helper()
	c, err := tls.Dial("tcp", s.port.Addr().String(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	o := &old{c, bufio.NewReader(c)}
	o.send(t, packet(0x10, append(append(text("MQTT"), 4, 2, 0, 0), text(string(gw))...))) // keep alive 0: for ever, it asks
	if kind, body, err := o.read(); err != nil || kind != 2 || !bytes.Equal(body, []byte{0, 0}) {
		t.Fatalf("CONNACK: type %d, %x, %v", kind, body, err)
	}
	return o
}

func (o *old) send(t testing.TB, b []byte) {
	t.Helper()
	if _, err := o.Write(b); err != nil {
		t.Fatal(err)
	}
}

func (o *old) publish(t testing.TB, id uint16, topic string, payload []byte) {
	t.Helper()
	o.send(t, packet(0x32, append(binary.BigEndian.AppendUint16(text(topic), id), payload...)))
}

func (o *old) read() (kind byte, body []byte, err error) {
	head, err := o.r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(o.r) // the same form for lengths below 2^28
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(o.r, body)
	return head >> 4, body, err
}

func TestOldTerminal_isAcknowledged(t *testing.T) {
	s := newSite(t, nil)
	gw, conf := s.enrol()
	o := dialOld(t, s, gw, conf)
	o.publish(t, 9, api.Topic(s.org, gw, api.TopicReport), marshal(batch(1, 1, 3)))
	if kind, body, err := o.read(); err != nil || kind != 4 || !bytes.Equal(body, []byte{0, 9}) {
		t.Fatalf("PUBACK: type %d, %x, %v", kind, body, err)
	}
	if n := s.stored(); n != 3 {
		t.Errorf("%d records are stored, want 3", n)
	}
}

func TestOldTerminal_malformed_endsAndHarmsNobody(t *testing.T) {
	s := newSite(t, nil)
	witness, witnessConf := s.enrol()
	w := dialOld(t, s, witness, witnessConf)
	gw, conf := s.enrol()
	topic := api.Topic(s.org, gw, api.TopicReport)
	for name, b := range map[string][]byte{
		"second connect":         packet(0x10, append(append(text("MQTT"), 4, 2, 0, 60), text(string(gw))...)),
		"length that never ends": {0x30, 0xff, 0xff, 0xff, 0xff, 0xff},
		"length over the limit":  {0x30, 0xff, 0xff, 0xff, 0x7f},
		"QoS 2":                  packet(0x34, append(binary.BigEndian.AppendUint16(text(topic), 1), '{', '}')),
		"QoS 3":                  packet(0x36, append(binary.BigEndian.AppendUint16(text(topic), 1), '{', '}')),
		"topic cut":              packet(0x32, []byte{0xff, 0xff, 'a'}),
		"reserved type":          packet(0x00, nil),
		"another's topic":        packet(0x32, append(binary.BigEndian.AppendUint16(text(api.Topic(s.org, witness, api.TopicReport)), 1), '{', '}')),
		"no batch":               packet(0x32, append(binary.BigEndian.AppendUint16(text(topic), 1), "nonsense"...)),
	} {
		o := dialOld(t, s, gw, conf)
		o.send(t, b)
		if kind, body, err := o.read(); err == nil {
			t.Errorf("%s: packet of type %d came back: %x", name, kind, body)
		}
	}
	w.publish(t, 1, api.Topic(s.org, witness, api.TopicReport), marshal(batch(1, 1, 1)))
	if kind, _, err := w.read(); err != nil || kind != 4 {
		t.Errorf("the witness was disturbed: type %d, %v", kind, err)
	}
}

func TestPort_limits(t *testing.T) {
	s := newSite(t, func(c *Config) { c.MaxStrangers = 3 })
	// Strangers who say nothing fill the door.
	for range 3 {
		c, err := net.Dial("tcp", s.port.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	gw, conf := s.enrol()
	deadline := time.Now().Add(20 * time.Second)
	for s.port.door.strangers.Load() < 3 {
		if time.Now().After(deadline) {
			t.Fatal("strangers were not counted")
		}
		time.Sleep(time.Millisecond)
	}
	if c, err := tls.Dial("tcp", s.port.Addr().String(), conf); err == nil {
		c.Close()
		t.Fatal("a connection past the limit of strangers was served")
	}
	if st := s.port.Stats(); st.Refused == 0 {
		t.Errorf("Stats() = %+v", st)
	}
	_ = gw
}

// A terminal that reads nothing costs a bounded queue and ends; others go on.
func TestSlowTerminal_isCutOff(t *testing.T) {
	s := newSite(t, nil)
	gw, conf := s.enrol()
	o := dialOld(t, s, gw, conf)
	if tc, ok := o.Conn.(*tls.Conn).NetConn().(*net.TCPConn); ok {
		_ = tc.SetReadBuffer(4096)
	}
	o.send(t, packet(0x82, append(append([]byte{0, 1}, text(api.Topic(s.org, gw, api.TopicPoke))...), 0)))
	if kind, _, err := o.read(); err != nil || kind != 9 {
		t.Fatalf("SUBACK: type %d, %v", kind, err)
	}
	ended := func() bool { cl, here := s.port.srv.Clients.Get(string(gw)); return !here || cl.Closed() }
	deadline := time.Now().Add(30 * time.Second)
	for !ended() {
		if time.Now().After(deadline) {
			t.Fatal("a terminal that does not read is still served")
		}
		s.port.Poke(s.org, gw, 1<<63)
	}
}

func FuzzReadBatch(f *testing.F) {
	good, err := api.AppendTerminalBatch(nil, batch(1, 1, 2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(marshal(batch(1, 1, 2)))
	binary, err := api.AppendBatch(nil, batch(1, 1, 2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(binary)
	f.Add([]byte{1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, compact, err := readBatch(b)
		if err != nil || !compact {
			return
		}
		again, err := api.AppendTerminalBatch(nil, got)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if back, _, err := readBatch(again); err != nil || len(back.Records) != len(got.Records) {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}

// FuzzDoor sends a terminal's bytes, after a good CONNECT or without one, and
// wants the door to stand.
func FuzzDoor(f *testing.F) {
	s := newSite(f, nil)
	gw, _ := s.enrol()
	topic := api.Topic(s.org, gw, api.TopicReport)
	connect := func(version byte) []byte {
		body := append(text("MQTT"), version, 2, 0, 60)
		if version == 5 {
			body = append(body, 0)
		}
		return packet(0x10, append(body, text(string(gw))...))
	}
	f.Add(byte(4), packet(0x32, append(binary.BigEndian.AppendUint16(text(topic), 1), "{}"...)))
	f.Add(byte(5), packet(0x32, append(append(binary.BigEndian.AppendUint16(text(topic), 1), 0), "{}"...)))
	f.Add(byte(5), packet(0x82, append([]byte{0, 1, 0}, append(text(topic), 0)...)))
	f.Add(byte(5), packet(0x30, append(text(""), 3, 0x23, 0, 1)))
	f.Add(byte(0), []byte{0x10, 0})
	f.Add(byte(5), []byte{0xe0, 2, 0, 5})
	f.Fuzz(func(t *testing.T, version byte, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		theirs, ours := net.Pipe()
		c := &conn{Conn: ours, raw: ours, door: s.port.door}
		c.shake.Do(func() { c.who = terminal{s.org, gw} }) // as if it had shown its certificate
		s.port.door.strangers.Add(1)
		s.port.door.work.Add(1)
		go func() {
			defer s.port.door.work.Done()
			s.port.door.serve(c, s.port.srv.EstablishConnection)
		}()
		done := make(chan struct{})
		go func() { defer close(done); _, _ = io.Copy(io.Discard, theirs) }()
		_ = theirs.SetDeadline(time.Now().Add(5 * time.Second))
		if version == 4 || version == 5 {
			_, _ = theirs.Write(connect(version))
		}
		_, _ = theirs.Write(b)
		theirs.Close()
		<-done
		if n := s.port.Stats().Panics; n > 0 {
			t.Fatalf("the library panicked on % x", b)
		}
	})
}
