package radiusport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/radius"
	"github.com/ringwall/ringwall/internal/usage/inlog"
)

var keys = cdr.NewKeys([32]byte{5})

// port is a server that runs over a log, with a client.
type port struct {
	*Server
	t    *testing.T
	log  *inlog.Log
	conn *net.UDPConn
	id   byte

	mu   sync.Mutex
	fail error
	bad  []cdr.Bad
}

// AddBatch is the log's, or fails.
func (p *port) AddBatch(b *cdr.Batch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	return p.log.AddBatch(b)
}

func start(t *testing.T) *port {
	t.Helper()
	l, err := inlog.Open(t.TempDir(), inlog.Config{})
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	p := &port{t: t, log: l}
	p.Server = New(Config{
		UDP: udp, Sink: p, Keys: keys, Now: func() time.Time { return time.Unix(1763733727, 0) },
		Clients: []Client{{netip.MustParsePrefix("127.0.0.0/8"), []byte("other")}, {netip.MustParsePrefix("127.0.0.1/32"), []byte("secret")}},
		Bad: func(b cdr.Bad) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.bad = append(p.bad, b)
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Serve(ctx) }()
	p.conn, err = net.DialUDP("udp", nil, udp.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// ask sends a request and reports whether it was answered.
func (p *port) ask(r radius.Request, secret string, wait time.Duration) bool {
	p.t.Helper()
	b, err := radius.Encode(r, []byte(secret))
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatal(err)
	}
	p.conn.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, radius.MaxPacket)
	n, err := p.conn.Read(buf)
	return err == nil && radius.Answers(buf[:n], r.ID, [16]byte(b[4:20]), []byte(secret))
}

func (p *port) want(r radius.Request) {
	p.t.Helper()
	if !p.ask(r, "secret", 10*time.Second) {
		p.t.Errorf("request %d was not answered", r.ID)
	}
}

func (p *port) report(status radius.Status, session string, at int64, up, down uint64) radius.Request {
	p.id++
	return radius.Request{
		ID: p.id, Status: status, Session: session, Event: time.Unix(1763733727+at, 0).UTC(), NASName: "ggsn-1", APN: "iot.example", IMSI: "460001234567890", IMEISV: "3569380356438012",
		Address: netip.MustParseAddr("10.1.2.3"), Up: up, Down: down, Duration: time.Duration(at) * time.Second, Location: radius.Location{Kind: "tai+ecgi", PLMN: "46000", Area: 20225, Cell: 123456},
	}
}

func (p *port) records() (rs []cdr.Record) {
	p.t.Helper()
	s, err := p.log.Source(inlog.SourceConfig{Keys: keys, Once: true})
	if err != nil {
		p.t.Fatal(err)
	}
	var b cdr.Batch
	for s.Next(context.Background(), &b) == nil {
		for i := range b.Events {
			var r cdr.Record
			if err := b.Record(i, &r); err != nil {
				p.t.Fatal(err)
			}
			r.Line = 0
			rs = append(rs, r)
		}
	}
	return rs
}

func TestServer_session(t *testing.T) {
	p := start(t)
	p.want(p.report(radius.Start, "s1", 0, 0, 0))
	again := p.report(radius.Interim, "s1", 60, 100, 1<<33)
	p.want(again)
	p.want(again) // the answer was lost
	p.want(p.report(radius.Stop, "s1", 90, 150, 1<<33+7))
	p.want(p.report(radius.Interim, "unseen", 600, 1e9, 1e9)) // it began before this server
	p.want(p.report(radius.Interim, "unseen", 700, 1e9+5, 1e9))
	p.want(p.report(radius.Interim, "unseen", 650, 1e9+3, 1e9)) // overtaken
	p.want(p.report(radius.Stop, "unseen", 800, 1e9+6, 1e9))
	one := cdr.Record{
		IMSI: "460001234567890", IMEI: "3569380356438012", Service: cdr.Data, APN: "iot.example", PLMN: "46000", Area: "20225", Cell: "123456", Address: "10.1.2.3", Partial: true,
	}
	at := func(id string, at int64, up, down uint64, lasted int, last bool) cdr.Record {
		r := one
		r.ID, r.Time, r.Up, r.Down, r.Duration, r.Partial = id, time.Unix(1763733727+at, 0).UTC(), up, down, time.Duration(lasted)*time.Second, !last
		return r
	}
	want := []cdr.Record{
		at("ggsn-1/s1.start@1763733727", 0, 0, 0, 0, false), at("ggsn-1/s1.interim@1763733787", 60, 100, 1<<33, 60, false), at("ggsn-1/s1.stop@1763733817", 90, 50, 7, 30, true),
		at("ggsn-1/unseen.interim@1763734327", 600, 0, 0, 0, false), at("ggsn-1/unseen.interim@1763734427", 700, 5, 0, 100, false), at("ggsn-1/unseen.interim@1763734377", 650, 0, 0, 0, false),
		at("ggsn-1/unseen.stop@1763734527", 800, 1, 0, 100, true),
	}
	if d := cmp.Diff(want, p.records()); d != "" {
		t.Error(d)
	}
	if st := p.Stats(); st.Records != 7 || st.Again != 1 {
		t.Errorf("%+v", st)
	}
}

// What is not durable is not answered, and what it would have counted comes when
// the client asks again.
func TestServer_sinkFails(t *testing.T) {
	p := start(t)
	p.want(p.report(radius.Start, "s", 0, 0, 0))
	p.mu.Lock()
	p.fail = errors.New("no room")
	p.mu.Unlock()
	r := p.report(radius.Interim, "s", 60, 100, 0)
	if p.ask(r, "secret", 100*time.Millisecond) {
		t.Error("answered what is not durable")
	}
	p.mu.Lock()
	p.fail = nil
	p.mu.Unlock()
	p.want(r)
	if got := p.records(); len(got) != 2 || got[1].Up != 100 {
		t.Errorf("%+v", got)
	}
}

// Who does not know the secret is not heard. The negative control is the same
// request with it.
func TestServer_strangers(t *testing.T) {
	p := start(t)
	r := p.report(radius.Start, "s", 0, 0, 0)
	for _, secret := range []string{"guess", "other"} { // "other" is that of the wider network
		if p.ask(r, secret, 50*time.Millisecond) {
			t.Errorf("the secret %q was taken", secret)
		}
	}
	if p.Stats().Strangers != 2 || p.records() != nil {
		t.Errorf("%+v", p.Stats())
	}
	p.want(r)
	if len(p.records()) != 1 {
		t.Error("the right request left no record")
	}
}

func TestServer_badRequests(t *testing.T) {
	p := start(t)
	r := p.report(radius.Start, "s", 0, 0, 0)
	r.IMSI = ""
	p.want(r) // answered, or it would come for ever
	p.want(radius.Request{ID: 200, Status: radius.On, NASName: "ggsn-1"})
	p.conn.Write([]byte("nonsense"))
	r = p.report(radius.Start, "s\n", 0, 0, 0)
	r.Event, r.Location = time.Time{}, radius.Location{Kind: "rai", PLMN: "46000", Area: 9}
	p.want(r)
	got := p.records()
	want := cdr.Record{
		ID: "ggsn-1/s?.start@1763733727", Time: time.Unix(1763733727, 0).UTC(), Estimated: true, IMSI: "460001234567890", IMEI: "3569380356438012", Service: cdr.Data, APN: "iot.example", PLMN: "46000",
		Area: "9", Address: "10.1.2.3", Partial: true,
	}
	if d := cmp.Diff([]cdr.Record{want}, got); d != "" {
		t.Error(d)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.bad) != 2 || p.Stats().Bad != 2 {
		t.Errorf("%+v", p.bad)
	}
}

func TestSessions_bounded(t *testing.T) {
	s := newSessions(10)
	for i := range 1000 {
		s.used("nas", radius.Request{Status: radius.Interim, Session: string(rune('a' + i)), Up: uint64(i)})
		if i%2 == 0 {
			s.keep()
		} else {
			s.undo()
		}
	}
	if s.order.Len() != 10 || len(s.by) != 10 {
		t.Errorf("%d and %d sessions, want 10", s.order.Len(), len(s.by))
	}
	a := newAnswered()
	for i := range remembered + 100 {
		a.add(requestKey{auth: [16]byte{byte(i), byte(i >> 8), byte(i >> 16)}})
	}
	if len(a.set) != remembered || len(a.order) != remembered {
		t.Errorf("%d answers are remembered", len(a.set))
	}
}
