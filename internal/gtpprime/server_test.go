package gtpprime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/gtpp"
	"github.com/ringwall/ringwall/cdr/ts32298"
	"github.com/ringwall/ringwall/internal/usage/inlog"
)

// sink is a working sink in memory, that can be made to fail and to wait.
type sink struct {
	mu      sync.Mutex
	records []string
	fail    error
	wait    chan struct{}
}

func (s *sink) AddRecords(_ string, records [][]byte) error {
	s.mu.Lock()
	wait := s.wait
	s.mu.Unlock()
	if wait != nil {
		<-wait
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, r := range records {
		s.records = append(s.records, string(r))
	}
	return nil
}

func (s *sink) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// gateway is a server that runs.
type gateway struct {
	*Server
	t    *testing.T
	stop func()
	udp  netip.AddrPort
	tcp  string
}

func start(t *testing.T, c Config) *gateway {
	t.Helper()
	var err error
	if c.UDP, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0"))); err != nil {
		t.Fatal(err)
	}
	if c.TCP, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if c.State == "" {
		c.State = t.TempDir()
	}
	if c.Allow == nil {
		c.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	g := &gateway{Server: s, t: t, udp: c.UDP.LocalAddr().(*net.UDPAddr).AddrPort(), tcp: c.TCP.Addr().String()}
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(g.stop)
	return g
}

// element is a network element: it asks and waits for the answer.
type element struct {
	t    *testing.T
	conn net.Conn
}

func (g *gateway) element(network string) *element {
	g.t.Helper()
	to := g.udp.String()
	if network == "tcp" {
		to = g.tcp
	}
	conn, err := net.Dial(network, to)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	return &element{g.t, conn}
}

func (e *element) send(m gtpp.Message) {
	e.t.Helper()
	b, err := gtpp.Append(nil, m)
	if err != nil {
		e.t.Fatal(err)
	}
	if _, err := e.conn.Write(b); err != nil {
		e.t.Fatal(err)
	}
}

// receive waits for a message; false when none comes in time.
func (e *element) receive(wait time.Duration) (gtpp.Message, bool) {
	e.t.Helper()
	e.conn.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, gtpp.MaxMessage)
	n := 0
	if _, tcp := e.conn.(*net.TCPConn); tcp {
		if _, err := io.ReadFull(e.conn, buf[:6]); err != nil {
			return gtpp.Message{}, false
		}
		n, _ = gtpp.Size(buf[:6])
		if _, err := io.ReadFull(e.conn, buf[6:n]); err != nil {
			return gtpp.Message{}, false
		}
	} else {
		var err error
		if n, err = e.conn.Read(buf); err != nil {
			return gtpp.Message{}, false
		}
	}
	m, err := gtpp.Decode(buf[:n])
	if err != nil {
		e.t.Fatal(err)
	}
	return m, true
}

func (e *element) ask(m gtpp.Message) gtpp.Message {
	e.t.Helper()
	e.send(m)
	a, ok := e.receive(10 * time.Second)
	if !ok {
		e.t.Fatalf("no answer to %+v", m)
	}
	if a.Sequence != m.Sequence {
		e.t.Fatalf("the answer to %d is one to %d", m.Sequence, a.Sequence)
	}
	return a
}

func packet(seq uint16, command uint8, records ...string) gtpp.Message {
	p := &gtpp.Packet{Format: gtpp.BER}
	for _, r := range records {
		p.Records = append(p.Records, []byte(r))
	}
	return gtpp.Message{Version: 2, Type: gtpp.DataTransferRequest, Sequence: seq, Command: command, Packet: p}
}

func (e *element) want(m gtpp.Message, cause uint8) {
	e.t.Helper()
	a := e.ask(m)
	if a.Type != gtpp.DataTransferResponse || a.Cause != cause || !slices.Equal(a.Responded, []uint16{m.Sequence}) {
		e.t.Errorf("packet %d was answered %+v, want the cause %d", m.Sequence, a, cause)
	}
}

func TestServer_transfer(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		s := &sink{}
		g := start(t, Config{Sink: s})
		e := g.element(network)
		e.want(packet(1, gtpp.Send, "a", "b"), gtpp.Accepted)
		e.want(packet(1, gtpp.Send, "a", "b"), gtpp.AlreadyFulfilled) // the answer was lost
		e.want(packet(1, gtpp.Send), gtpp.AlreadyFulfilled)           // was it received
		e.want(packet(2, gtpp.Send), gtpp.Accepted)                   // it was not
		e.want(packet(2, gtpp.Send, "c"), gtpp.Accepted)              // so it is sent
		e.want(packet(1, gtpp.Send, "d"), gtpp.Accepted)              // the element began anew
		e.want(gtpp.Message{Version: 2, Type: gtpp.DataTransferRequest, Sequence: 3, Command: gtpp.Send}, gtpp.MandatoryMissing)
		e.want(gtpp.Message{Version: 2, Type: gtpp.DataTransferRequest, Sequence: 4}, gtpp.MandatoryMissing)
		e.want(packet(5, 77, "x"), gtpp.MandatoryIncorrect)
		m := packet(6, gtpp.Send, "x")
		m.Packet.Format = 2
		e.want(m, gtpp.DecodingError)
		if got := s.got(); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
			t.Errorf("%s: the sink has %q", network, got)
		}
		if st := g.Stats(); st.Packets != 3 || st.Records != 4 || st.Again != 2 {
			t.Errorf("%s: %+v", network, st)
		}
		// From another element the same number is another packet, and for another
		// gateway's sake the same element may be asked over another way.
		if network == "udp" {
			g.element("tcp").want(packet(1, gtpp.Send, "d"), gtpp.AlreadyFulfilled)
		}
	}
}

// The answer comes when the sink has the records, and not before; what the element
// sends again meanwhile is not stored twice.
func TestServer_answersWhenDurable(t *testing.T) {
	s := &sink{wait: make(chan struct{})}
	g := start(t, Config{Sink: s})
	e := g.element("udp")
	e.send(packet(1, gtpp.Send, "a"))
	e.send(packet(1, gtpp.Send, "a"))
	if m, ok := e.receive(100 * time.Millisecond); ok {
		t.Fatalf("answered %+v while nothing was durable", m)
	}
	close(s.wait)
	if m, ok := e.receive(10 * time.Second); !ok || m.Cause != gtpp.Accepted {
		t.Errorf("then answered %+v", m)
	}
	e.want(packet(2, gtpp.Send, "b"), gtpp.Accepted)
	if got := s.got(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("the sink has %q", got)
	}
}

// A sink that cannot is not acknowledged, and the packet is taken when it can.
func TestServer_sinkFails(t *testing.T) {
	s := &sink{fail: errors.New("no room")}
	g := start(t, Config{Sink: s})
	e := g.element("udp")
	e.want(packet(1, gtpp.Send, "a"), gtpp.NoResources)
	s.mu.Lock()
	s.fail = nil
	s.mu.Unlock()
	e.want(packet(1, gtpp.Send, "a"), gtpp.Accepted)
	if g.Stats().Refused != 1 || len(s.got()) != 1 {
		t.Errorf("%+v, %q", g.Stats(), s.got())
	}
}

// Packets that may be duplicates are held through a restart, until they are
// cancelled or released.
func TestServer_possibleDuplicates(t *testing.T) {
	s, state := &sink{}, t.TempDir()
	g := start(t, Config{Sink: s, State: state, MaxHeld: 1000})
	e := g.element("udp")
	e.want(packet(1, gtpp.SendPossibleDuplicates, "a"), gtpp.Accepted)
	e.want(packet(1, gtpp.SendPossibleDuplicates, "a"), gtpp.AlreadyFulfilled)
	e.want(packet(2, gtpp.SendPossibleDuplicates, "b"), gtpp.Accepted)
	e.want(packet(3, gtpp.SendPossibleDuplicates, "c", "d"), gtpp.Accepted)
	e.want(packet(4, gtpp.SendPossibleDuplicates, string(make([]byte, 900))), gtpp.NoResources)
	release := func(seq uint16, list ...uint16) gtpp.Message {
		return gtpp.Message{Version: 2, Type: gtpp.DataTransferRequest, Sequence: seq, Command: gtpp.Release, Released: list}
	}
	cancel := func(seq uint16, list ...uint16) gtpp.Message {
		return gtpp.Message{Version: 2, Type: gtpp.DataTransferRequest, Sequence: seq, Command: gtpp.Cancel, Cancelled: list}
	}
	e.want(release(5, 1, 9), gtpp.SequenceListIncorrect) // all or nothing
	e.want(release(6), gtpp.MandatoryMissing)
	if got := s.got(); got != nil {
		t.Errorf("the sink has %q before anything was released", got)
	}
	e.want(release(7, 1), gtpp.Accepted)
	e.want(release(7, 1), gtpp.DuplicatesFulfilled)
	e.want(cancel(8, 2), gtpp.Accepted)
	before := e.ask(gtpp.Message{Version: 2, Type: gtpp.EchoRequest, Sequence: 9})
	g.stop()

	g = start(t, Config{Sink: s, State: state})
	e = g.element("udp")
	after := e.ask(gtpp.Message{Version: 2, Type: gtpp.EchoRequest, Sequence: 10})
	if !before.HasRecovery || after.Recovery != before.Recovery+1 {
		t.Errorf("the restart counter was %d and is %d", before.Recovery, after.Recovery)
	}
	e.want(cancel(11, 2), gtpp.SequenceListIncorrect)
	e.want(release(12, 3), gtpp.Accepted)
	if got := s.got(); !slices.Equal(got, []string{"a", "c", "d"}) {
		t.Errorf("the sink has %q", got)
	}
	g.stop()
	if len(g.held.packets) != 0 || g.held.bytes != 0 {
		t.Errorf("%d packets of %d bytes are still held", len(g.held.packets), g.held.bytes)
	}
}

func TestServer_otherMessages(t *testing.T) {
	g := start(t, Config{Sink: &sink{}})
	e := g.element("udp")
	if a := e.ask(gtpp.Message{Version: 0, Long: true, Type: gtpp.EchoRequest, Sequence: 1}); a.Type != gtpp.EchoResponse || !a.Long {
		t.Errorf("an echo of version 0: %+v", a)
	}
	if a := e.ask(gtpp.Message{Version: 1, Type: gtpp.NodeAliveRequest, Sequence: 2, Node: netip.MustParseAddr("192.0.2.1")}); a.Type != gtpp.NodeAliveResponse || a.Version != 1 {
		t.Errorf("node alive: %+v", a)
	}
	if a := e.ask(gtpp.Message{Version: 2, Type: gtpp.RedirectionRequest, Sequence: 3, Cause: gtpp.SystemFailure}); a.Type != gtpp.RedirectionResponse || a.Cause != gtpp.ServiceNotSupported {
		t.Errorf("a redirection of a gateway: %+v", a)
	}
	e.conn.Write([]byte{0x8f, 240, 0, 0, 0, 4})
	if a, ok := e.receive(10 * time.Second); !ok || a.Type != gtpp.VersionNotSupported || a.Sequence != 4 {
		t.Errorf("version 4: %+v", a)
	}
	e.conn.Write([]byte{0x4f, 240, 0, 3, 0, 5, 252, 0, 9})
	if a, ok := e.receive(10 * time.Second); !ok || a.Type != gtpp.DataTransferResponse || a.Cause != gtpp.InvalidFormat || a.Sequence != 5 {
		t.Errorf("a packet that ends too early: %+v", a)
	}
	e.conn.Write([]byte{0x32, 1})
	e.conn.Write(nil)
	if a := e.ask(gtpp.Message{Version: 2, Type: gtpp.EchoRequest, Sequence: 6}); a.Type != gtpp.EchoResponse {
		t.Errorf("after nonsense: %+v", a)
	}
	// On a stream nonsense ends the connection, and no other.
	c := g.element("tcp")
	c.conn.Write([]byte{0x32, 1, 0, 4, 0, 0, 0, 0})
	if _, ok := c.receive(10 * time.Second); ok {
		t.Error("GTP on a stream was answered")
	}
	g.element("tcp").want(packet(1, gtpp.Send, "a"), gtpp.Accepted)
}

// Who is not allowed is not heard. The negative control is the same message from
// an address that is.
func TestServer_strangers(t *testing.T) {
	s := &sink{}
	g := start(t, Config{Sink: s, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}})
	e := g.element("udp")
	e.send(packet(1, gtpp.Send, "forged"))
	c := g.element("tcp")
	c.conn.Write([]byte{0x4f, 1, 0, 0, 0, 1})
	if _, ok := c.receive(10 * time.Second); ok {
		t.Error("a stranger was answered on a stream")
	}
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.9:0")), net.UDPAddrFromAddrPort(g.udp))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	(&element{t, conn}).want(packet(1, gtpp.Send, "right"), gtpp.Accepted)
	if got := s.got(); !slices.Equal(got, []string{"right"}) || g.Stats().Strangers != 2 {
		t.Errorf("the sink has %q; %+v", got, g.Stats())
	}
}

func TestServer_goDown(t *testing.T) {
	g := start(t, Config{Sink: &sink{}})
	e, silent := g.element("udp"), g.element("udp")
	for _, x := range []*element{e, silent} {
		x.want(packet(1, gtpp.Send, fmt.Sprint(x)), gtpp.Accepted)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	got := make(chan int)
	go func() { got <- g.GoDown(ctx, []netip.Addr{netip.MustParseAddr("192.0.2.9")}) }()
	m, ok := e.receive(10 * time.Second)
	if !ok || m.Type != gtpp.RedirectionRequest || m.Cause != gtpp.ThisNodeGoesDown || len(m.Use) != 1 {
		t.Fatalf("%+v", m)
	}
	e.send(gtpp.Answer(m, gtpp.Accepted))
	if n := <-got; n != 1 {
		t.Errorf("%d peers did not answer, want one", n)
	}
}

// The whole way: from an element over the log to events.
func TestServer_toTheLog(t *testing.T) {
	l, err := inlog.Open(t.TempDir(), inlog.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g := start(t, Config{Sink: l})
	var a ts32298.Appender
	for seq := range uint16(4) {
		var records []string
		for i := range 100 {
			r := cdr.Record{ID: fmt.Sprint("n/", int(seq)*100+i), Time: time.Unix(1763733727, 0), IMSI: "460001234567890", Service: cdr.Data}
			b, err := a.Append(nil, &r)
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, string(b))
		}
		g.element([]string{"udp", "tcp"}[seq%2]).want(packet(seq, gtpp.Send, records...), gtpp.Accepted)
	}
	s, err := l.Source(inlog.SourceConfig{Keys: cdr.NewKeys([32]byte{}), Once: true})
	if err != nil {
		t.Fatal(err)
	}
	var b cdr.Batch
	n := 0
	for s.Next(context.Background(), &b) == nil {
		n += len(b.Events)
	}
	if n != 400 {
		t.Errorf("%d events, want 400", n)
	}
}

func TestPeers_bounded(t *testing.T) {
	s, err := New(Config{Sink: &sink{}, State: t.TempDir(), MaxPeers: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 1000 {
		from := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		for seq := range uint16(window/100 + 3) {
			s.transfer(from, packet(seq, gtpp.Send, "x"))
		}
		s.note(netip.AddrPortFrom(from, 1))
	}
	one := netip.MustParseAddr("10.9.9.9")
	for seq := range uint16(window + 500) {
		s.transfer(one, packet(seq, gtpp.Send, "x"))
	}
	if len(s.peers) > 10 || len(s.udp) > 10 || len(s.peers[one].done) > window || len(s.peers[one].order) > window {
		t.Errorf("%d peers, %d ways, %d packets", len(s.peers), len(s.udp), len(s.peers[one].done))
	}
}

func FuzzHandle(f *testing.F) {
	for _, m := range []gtpp.Message{packet(1, gtpp.Send, "a"), packet(2, gtpp.SendPossibleDuplicates, "b"), {Version: 2, Type: gtpp.DataTransferRequest, Command: gtpp.Release, Released: []uint16{2}}, {Type: gtpp.EchoRequest, Long: true}} {
		b, err := gtpp.Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s, err := New(Config{Sink: &sink{}, State: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	from := netip.MustParseAddrPort("127.0.0.1:3386")
	f.Fuzz(func(t *testing.T, in []byte) {
		if a := s.handle(from, in); a != nil {
			if _, err := gtpp.Decode(a); err != nil {
				t.Fatalf("the answer is none: %v", err)
			}
		}
	})
}
