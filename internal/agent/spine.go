package agent

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/enrol"
	"github.com/ringwall/ringwall/internal/spine"
)

// uplink is the connection to the platform.
type uplink struct {
	agent *Agent
	conn  atomic.Pointer[spine.Conn]
	acked atomic.Pointer[api.BatchAck] // the last; nil before the first
	batch []byte                       // room for a batch; only the uploader uses it

	// What the platform of this connection was found not to understand: a platform of
	// the protocol before ours.
	plain atomic.Bool // batches in binary form
	older atomic.Bool // questions in our version of the protocol
}

// requestTimeout bounds one question to the platform.
const requestTimeout = 15 * time.Second

// redial is how long a connection that cannot even be tried, for want of a
// readable certificate, is left alone.
const redial = time.Minute

// run keeps the connection. The gateway serves without one.
func (u *uplink) run(ctx context.Context, ready func()) error {
	ready()
	for {
		if err := u.serve(ctx); err != nil && ctx.Err() == nil {
			u.agent.log.Error("no connection to the platform is possible", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(redial):
		}
	}
}

// serve asks for the desired state: when the connection comes, when the
// platform pokes, and now and then. It returns with ctx or an error.
func (u *uplink) serve(ctx context.Context) error {
	a := u.agent
	conf, err := a.cfg.tlsConfig(a.timeFloor)
	if err != nil {
		return err
	}
	conn, err := spine.Dial(ctx, spine.Config{
		Servers: a.id.Spine, TLS: conf, Name: string(a.id.Gateway), Inbox: spine.Inbox(string(a.id.Gateway)), Log: a.log,
		Dial: a.spineDial(),
		Changed: func(up bool) {
			if up {
				u.plain.Store(false) // it may be another
				u.older.Store(false)
				poke(a.fetch)
			}
		},
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	u.conn.Store(conn)
	defer u.conn.Store(nil)
	stop, err := conn.Subscribe(api.PokeSubject(a.id.Org, a.id.Gateway), func([]byte) { poke(a.fetch) })
	if err != nil {
		return err
	}
	defer stop()
	for {
		jitter := a.cfg.Poll/10 - rand.N(a.cfg.Poll/5+1)
		timer := time.NewTimer(a.cfg.Poll + jitter)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-a.fetch:
		case <-timer.C:
		}
		timer.Stop()
		if err := u.ask(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("desired state was not had", "err", err)
		}
	}
}

// spineDial returns how to connect to the platform, nil for the usual way.
func (a *Agent) spineDial() func(network, address string) (net.Conn, error) {
	if !a.cfg.Host {
		return nil
	}
	return func(network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
		defer cancel()
		return a.cfg.dial(ctx, network, address)
	}
}

// timeFloor returns the latest time that the platform has vouched for.
func (a *Agent) timeFloor() time.Time {
	t := a.id.Enrolled
	if a.keeper == nil { // no gateway: nothing is desired of it
		return t
	}
	if i := a.keeper.View().Desired.Issued; i.After(t) {
		t = i
	}
	return t
}

// ask fetches the desired state and takes it.
func (u *uplink) ask(ctx context.Context) error {
	a := u.agent
	in := api.DesiredRequest{Version: u.protocol()}
	if a.keeper != nil {
		in.Have = a.keeper.Have()
	}
	key := u.renewal(&in)
	var onTrial uint64
	if a.control != nil {
		onTrial = a.control.onTrial()
	}
	var out api.DesiredAnswer
	sent := time.Now()
	if err := u.request(ctx, api.DesiredSubject(a.id.Org, a.id.Gateway), in, &out); err != nil {
		return err
	}
	if in.Version == api.Version && strings.Contains(out.Error, notSpoken) {
		a.log.Info("the platform speaks the protocol before ours", "protocol", api.Version-1)
		u.older.Store(true)
		in.Version, out, sent = u.protocol(), api.DesiredAnswer{}, time.Now()
		if err := u.request(ctx, api.DesiredSubject(a.id.Org, a.id.Gateway), in, &out); err != nil {
			return err
		}
	}
	if a.control != nil && out.Error == "" {
		if in.Have != onTrial {
			onTrial = 0 // it did not speak of it
		}
		a.control.answered(sent, out.Time, onTrial, 0, 0)
	}
	if key != nil && out.Renewed != nil {
		u.renew(*out.Renewed, key)
	}
	switch {
	case out.Error != "":
		return ringwall.Errorf(ringwall.Unavailable, "the platform answers: %.200s", out.Error)
	case out.Signed == nil || a.keeper == nil:
		return nil
	}
	// Reading a document takes several times the room that it then needs, and the next
	// may be weeks away.
	return a.memory.during(func() error { return a.accept(ctx, *out.Signed) })
}

// renewal asks for a new certificate when the old one has served two thirds of
// its life, and returns the key that it will be for.
func (u *uplink) renewal(in *api.DesiredRequest) *ecdsa.PrivateKey {
	a := u.agent
	cert, err := a.cfg.store().KeyPair()
	if err == nil && cert.Leaf != nil && !enrol.Due(cert.Leaf, a.cfg.Now()) {
		return nil
	}
	key, csr, err := enrol.NewKey()
	if err != nil {
		a.log.Error("no key for a new certificate", "err", err)
		return nil
	}
	in.CSR = csr
	return key
}

// renew takes a new certificate. The connection goes on with the old one; the
// next one uses the new. Other addresses and signing keys are taken when the
// agent starts again.
func (u *uplink) renew(answer api.EnrolAnswer, key *ecdsa.PrivateKey) {
	a := u.agent
	if answer.Org != a.id.Org || answer.Gateway != a.id.Gateway {
		a.log.Error("the platform certifies another gateway", "gateway", answer.Gateway)
		return
	}
	if _, err := a.cfg.adopt(answer, key); err != nil {
		a.log.Error("new certificate is not taken", "err", err)
		return
	}
	a.log.Info("certificate is renewed")
}

// notSpoken is how a platform says that a protocol is newer than its own.
const notSpoken = "is not spoken here"

// protocol returns the version in which the platform is asked.
func (u *uplink) protocol() int {
	if u.older.Load() {
		return api.Version - 1
	}
	return api.Version
}

// keptBatch is the largest room for a batch that is kept for the next.
const keptBatch = 256 << 10

// report sends a batch: in binary form, and as the JSON of the protocol before
// where the platform cannot read that. Such a platform says so with an answer that
// names no epoch; one that can read a batch names the batch's, whatever it thinks
// of it.
func (u *uplink) report(ctx context.Context, b api.Batch) (ack api.BatchAck, err error) {
	subject := api.ReportSubject(u.agent.id.Org, u.agent.id.Gateway)
	if !u.plain.Load() {
		data, err := api.AppendBatch(u.batch[:0], b)
		if err != nil {
			return ack, err
		}
		if u.batch = data; cap(data) > keptBatch {
			u.batch = nil
		}
		if err := u.exchange(ctx, subject, data, &ack); err != nil || ack.Epoch != 0 || ack.Error == "" {
			return ack, err
		}
	}
	b.Version = api.Version - 1
	refusal := ack.Error
	ack = api.BatchAck{}
	if err := u.request(ctx, subject, b, &ack); err != nil {
		return ack, err
	}
	switch was := u.plain.Load(); {
	case ack.Epoch == 0 && ack.Error != "":
		u.plain.Store(false) // the form was not what it minded
	case !was:
		u.agent.log.Info("the platform takes no batches in binary form; sending JSON", "it says", refusal)
		u.plain.Store(true)
	}
	return ack, nil
}

func (u *uplink) request(ctx context.Context, subject string, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return u.exchange(ctx, subject, data, out)
}

func (u *uplink) exchange(ctx context.Context, subject string, data []byte, out any) error {
	conn := u.conn.Load()
	if conn == nil || !conn.Connected() {
		return ringwall.Errorf(ringwall.Unavailable, "there is no connection to the platform")
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := conn.Request(ctx, subject, data)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return ringwall.Errorf(ringwall.Invalid, "reading the platform's answer: %w", err)
	}
	return nil
}

// flushEvery is how long a record that is not urgent may wait for the disk.
const flushEvery = time.Second

// upload sends the log to the platform until it is acknowledged, and trims it.
func (a *Agent) upload(ctx context.Context, ready func()) error {
	ready()
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	s := sender{agent: a}
	for {
		l := a.books.current()
		var more <-chan struct{}
		if l != nil {
			more = l.More()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		case <-t.C:
			if l != nil {
				if err := l.SyncAll(); err != nil {
					a.log.Error("write-ahead log has stopped", "err", err)
				}
			}
		}
		for l != nil && ctx.Err() == nil && s.step(ctx) {
		}
	}
}

// sender knows how far the platform is.
type sender struct {
	agent *Agent
	epoch uint64
	next  uint64 // Seq to send next
	wait  time.Time
	pause time.Duration
}

// Pauses after a batch that was not taken.
const (
	pauseFirst = 200 * time.Millisecond
	pauseMost  = 30 * time.Second
)

// step sends one batch and reports whether to go on at once.
func (s *sender) step(ctx context.Context) bool {
	a := s.agent
	l := a.books.current()
	if conn := a.up.conn.Load(); l == nil || conn == nil || !conn.Connected() || time.Now().Before(s.wait) {
		return false
	}
	if s.epoch != l.Epoch() {
		s.epoch, s.next = l.Epoch(), l.First()
	}
	records, err := l.Read(s.next, api.MaxBatchRecords)
	if err != nil {
		a.log.Error("write-ahead log cannot be read", "err", err)
		return s.rest()
	}
	if len(records) == 0 {
		return false
	}
	sent := time.Now()
	ack, err := a.up.report(ctx, api.Batch{Version: api.Version, Epoch: s.epoch, Lost: l.Lost() + a.books.unwritten.Load(), Records: records})
	if err == nil && ack.Epoch != s.epoch {
		err = ringwall.Errorf(ringwall.Invalid, "the platform acknowledges epoch %d, this is %d: %.200s", ack.Epoch, s.epoch, ack.Error)
	}
	if err == nil && ack.Error != "" {
		err = errors.New(ack.Error)
		if ack.Seq+1 != s.next && ack.Seq <= l.Last() {
			// The platform has less, or more, than we think: go on from there.
			a.log.Warn("platform wants other records", "have", ack.Seq, "sent", s.next, "err", err)
			s.next = ack.Seq + 1
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			a.log.Warn("batch was not taken", "err", err)
		}
		return s.rest()
	}
	s.pause = 0
	s.next = ack.Seq + 1
	a.up.acked.Store(&ack)
	if a.control != nil {
		a.control.answered(sent, ack.Time, 0, ack.Epoch, ack.Seq)
	}
	if err := l.Trim(ack.Seq); err != nil {
		a.log.Error("write-ahead log cannot be trimmed", "err", err)
	}
	return true
}

// rest lets some time pass before the next batch, longer each time.
func (s *sender) rest() bool {
	s.pause = min(max(2*s.pause, pauseFirst), pauseMost)
	s.wait = time.Now().Add(s.pause/2 + rand.N(s.pause/2))
	return false
}
