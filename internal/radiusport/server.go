// Package radiusport takes RADIUS accounting (RFC 2866) as usage records: the exit
// of an access point name tells when a card's session begins, what it has used so
// far, and when it ends.
//
// A request is answered only when Sink has made its record durable; when it cannot,
// there is no answer, and the client asks again. A request that comes again is
// answered again and is no second record. Counters of RADIUS run from the beginning
// of a session; a record has what was used since the report before. A session whose
// beginning this server has not seen (it was started since) is counted from the
// first report of it on, and no report makes more of it. Records carry ids made of
// client, session, kind and time, so that the engine judges once what a client tells
// twice. A request that names no IMSI is answered and told to Bad.
//
// Each client has a secret of its own, by its network; others are counted and not
// answered. RADIUS protects with MD5 alone: see package radius. Memory is bounded by
// Config.MaxSessions and a queue of 4,096 requests, past which requests are dropped
// and counted; clients send them again.
//
// Serve owns its goroutines, ends them with its context, and closes the socket.
package radiusport

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/radius"
)

// Sink takes records. AddBatch returns when they are durable; the batch is its
// caller's again then.
type Sink interface {
	AddBatch(b *cdr.Batch) error
}

// Client is who may send.
type Client struct {
	Network netip.Prefix
	Secret  []byte
}

// Config configures a Server.
type Config struct {
	UDP     *net.UDPConn
	Clients []Client
	Sink    Sink
	Keys    *cdr.Keys
	// MaxSessions bounds the sessions whose counters are remembered; 0 = 2,000,000.
	// Past it the one that was silent longest is forgotten.
	MaxSessions int
	Bad         func(cdr.Bad)
	Now         func() time.Time // nil = time.Now
	Log         *slog.Logger     // nil = none
}

// Stats counts what happened.
type Stats struct {
	Records   uint64 `json:"records"`
	Again     uint64 `json:"again"`     // requests that came again
	Dropped   uint64 `json:"dropped"`   // for want of room in the queue
	Refused   uint64 `json:"refused"`   // not answered, because the sink could not
	Bad       uint64 `json:"bad"`       // requests that are none, or name no card
	Strangers uint64 `json:"strangers"` // of clients that are not known, or with a wrong secret
}

// queued is how many requests wait at most.
const queued = 4096

type request struct {
	radius.Request
	from   netip.AddrPort
	secret []byte
}

// Server is an accounting server.
type Server struct {
	c        Config
	queue    chan request
	sessions *sessions
	answered *answered

	records, again, dropped, refused, bad, strangers atomic.Uint64
}

// New makes a server.
func New(c Config) *Server {
	if c.MaxSessions <= 0 {
		c.MaxSessions = 2_000_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{c: c, queue: make(chan request, queued), sessions: newSessions(c.MaxSessions), answered: newAnswered()}
}

// Stats says what happened.
func (s *Server) Stats() Stats {
	return Stats{Records: s.records.Load(), Again: s.again.Load(), Dropped: s.dropped.Load(), Refused: s.refused.Load(), Bad: s.bad.Load(), Strangers: s.strangers.Load()}
}

// Serve serves until ctx ends, then returns nil, or until the socket fails.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.c.UDP.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { s.work(ctx) })
	buf := make([]byte, radius.MaxPacket)
	for {
		n, from, err := s.c.UDP.ReadFromUDPAddrPort(buf)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				continue
			}
			return ringwall.Errorf(ringwall.Unavailable, "serving RADIUS accounting: %w", err)
		}
		s.take(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), buf[:n])
	}
}

// take reads a request and puts it into the queue.
func (s *Server) take(from netip.AddrPort, b []byte) {
	var secret []byte
	bits := -1
	for _, c := range s.c.Clients {
		if c.Network.Contains(from.Addr()) && c.Network.Bits() > bits {
			secret, bits = c.Secret, c.Network.Bits()
		}
	}
	if secret == nil {
		s.strangers.Add(1)
		return
	}
	r, err := radius.Decode(b, secret)
	switch {
	case ringwall.CodeOf(err) == ringwall.Unverified:
		s.strangers.Add(1)
		return
	case err != nil:
		s.bad.Add(1)
		s.tell(from, err.Error(), b)
		return
	}
	select {
	case s.queue <- request{r, from, secret}:
	default:
		s.dropped.Add(1)
	}
}

func (s *Server) tell(from netip.AddrPort, reason string, raw []byte) {
	if s.c.Bad != nil {
		s.c.Bad(cdr.Bad{Source: "radius " + from.Addr().String(), Reason: reason, Raw: raw})
	}
}

// work makes records of requests, as many at once as wait.
func (s *Server) work(ctx context.Context) {
	var todo []request
	for {
		todo = todo[:0]
		select {
		case <-ctx.Done():
			return
		case r := <-s.queue:
			todo = append(todo, r)
		}
		for more := true; more && len(todo) < cdr.MaxBatch; {
			select {
			case r := <-s.queue:
				todo = append(todo, r)
			default:
				more = false
			}
		}
		s.store(ctx, todo)
	}
}

// store makes durable what requests say, and answers them.
func (s *Server) store(ctx context.Context, todo []request) {
	var recs []cdr.Record
	var fresh []request
	for _, r := range todo {
		if s.answered.has(key(r)) {
			s.again.Add(1)
			s.answer(ctx, r)
			continue
		}
		rec, ok := s.record(r)
		if ok {
			recs = append(recs, rec)
		}
		fresh = append(fresh, r)
	}
	if err := s.add(ctx, recs); err != nil {
		s.sessions.undo()
		s.refused.Add(uint64(len(fresh)))
		s.c.Log.WarnContext(ctx, "accounting requests were not answered", "requests", len(fresh), "error", err)
		return
	}
	s.sessions.keep()
	s.records.Add(uint64(len(recs)))
	for _, r := range fresh {
		s.answered.add(key(r))
		s.answer(ctx, r)
	}
}

func (s *Server) add(ctx context.Context, recs []cdr.Record) error {
	if len(recs) == 0 {
		return nil
	}
	src, err := cdr.NewRecords(s.c.Keys, recs, nil, func(b cdr.Bad) {
		s.bad.Add(1)
		if s.c.Bad != nil {
			b.Source = "radius"
			s.c.Bad(b)
		}
	})
	if err != nil {
		return err
	}
	var b cdr.Batch
	if err := src.Next(ctx, &b); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return nil // all were bad, and told of
	}
	return s.c.Sink.AddBatch(&b)
}

func (s *Server) answer(ctx context.Context, r request) {
	if _, err := s.c.UDP.WriteToUDPAddrPort(radius.Answer(r.Request, r.secret), r.from); err != nil && ctx.Err() == nil {
		s.c.Log.DebugContext(ctx, "answering a RADIUS client", "client", r.from, "error", err)
	}
}

// record makes a record of a request; false = there is none in it.
func (s *Server) record(r request) (cdr.Record, bool) {
	nas := r.NASName
	if nas == "" {
		nas = r.from.Addr().String()
	}
	if r.Status == radius.On || r.Status == radius.Off {
		return cdr.Record{}, false
	}
	if r.IMSI == "" {
		s.bad.Add(1)
		s.tell(r.from, "the request names no IMSI", nil)
		return cdr.Record{}, false
	}
	used := s.sessions.used(nas, r.Request)
	rec := cdr.Record{
		Time: r.Event, IMSI: ringwall.IMSI(r.IMSI), IMEI: ringwall.IMEI(r.IMEISV), Service: cdr.Data, APN: clean(r.APN),
		Up: used.up, Down: used.down, Duration: used.lasted, Partial: r.Status != radius.Stop, PLMN: r.Location.PLMN,
	}
	if rec.Time.IsZero() {
		rec.Time, rec.Estimated = s.c.Now().UTC().Truncate(time.Second).Add(-r.Delay), true
	}
	rec.ID = clean(nas) + "/" + clean(r.Session) + "." + r.Status.String() + "@" + strconv.FormatInt(rec.Time.Unix(), 10)
	if r.Address.IsValid() {
		rec.Address = r.Address.String()
	} else if r.Address6.IsValid() {
		rec.Address = r.Address6.String()
	}
	switch r.Location.Kind {
	case "cgi", "sai", "tai+ecgi":
		rec.Area, rec.Cell = strconv.FormatUint(uint64(r.Location.Area), 10), strconv.FormatUint(uint64(r.Location.Cell), 10)
	case "rai", "tai":
		rec.Area = strconv.FormatUint(uint64(r.Location.Area), 10)
	case "ecgi":
		rec.Cell = strconv.FormatUint(uint64(r.Location.Cell), 10)
	}
	return rec, true
}

// clean makes what is not printable ASCII a '?', and cuts to 64 bytes.
func clean(s string) string {
	b := []byte(s[:min(len(s), 64)])
	for i, c := range b {
		if c < 0x20 || c >= 0x7f {
			b[i] = '?'
		}
	}
	return string(b)
}
