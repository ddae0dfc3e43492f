package sdk

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/policy"
)

// live is one flow that is open.
type live struct {
	c       *Client
	start   time.Time
	release func()        // closes what it goes over
	gone    chan struct{} // closed with the flow

	mu      sync.Mutex
	flow    policy.Flow
	seen    policy.Seen // what flow.Inside points to
	verdict policy.Verdict
	force   *inForce
	meters  []*meter
	over    bool // it has been reported

	up, down, packetsUp, packetsDown atomic.Uint64

	under atomic.Pointer[inForce] // by which it was judged last
	cause atomic.Pointer[Refusal] // why it was cut
	ended sync.Once
}

// flows are those that are open.
type flows struct {
	mu   sync.Mutex
	open map[*live]struct{} // nil once the client is closed
}

func (f *flows) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.open)
}

// list returns those that are open.
func (f *flows) list() []*live {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]*live, 0, len(f.open))
	for l := range f.open {
		out = append(out, l)
	}
	return out
}

// end closes all, for good.
func (f *flows) end(error) {
	all := f.list()
	f.mu.Lock()
	f.open = nil
	f.mu.Unlock()
	for _, l := range all {
		l.cut(&Refusal{Reason: reasonClosed})
	}
}

// judge judges all that is open by what is in force now, and cuts what may not
// be any more.
func (f *flows) judge(c *Client) {
	now := c.force.Load()
	for _, l := range f.list() {
		l.judge(now)
	}
}

// judge judges the flow anew, and cuts it if it may not be any more.
func (l *live) judge(now *inForce) {
	l.mu.Lock()
	fl := l.flow
	fl.RemoteDevice = ""
	v := l.c.decide(now, &fl)
	if v.Pass {
		l.verdict, l.force = v, now
		l.under.Store(now)
		l.settle(l.c.meters.of(now, v))
	}
	l.mu.Unlock()
	if !v.Pass {
		l.cut(now.refusal(v, &fl))
	}
}

// refused returns why the flow may not go on, nil if it may: from the moment in
// which a policy is in force, nothing is sent or handed out against it.
func (l *live) refused() error {
	if now := l.c.force.Load(); l.under.Load() != now {
		l.judge(now)
	}
	if r := l.cause.Load(); r != nil {
		return r
	}
	return nil
}

// settle moves the flow to other meters. The caller holds l.mu.
func (l *live) settle(meters []*meter) {
	same := len(meters) == len(l.meters)
	for i := range meters {
		same = same && meters[i] == l.meters[i]
	}
	if same || l.over {
		return
	}
	for _, m := range l.meters {
		m.leave()
	}
	for _, m := range meters {
		m.join()
	}
	l.meters = meters
}

// open judges a flow and opens it if it may be: release closes what it goes
// over. The error is a *Refusal, which has been reported.
func (c *Client) open(fl policy.Flow, release func()) (*live, error) {
	f := c.force.Load()
	v := c.decide(f, &fl)
	if !v.Pass {
		return nil, c.refuse(f, v, &fl)
	}
	meters := c.meters.of(f, v)
	for i, m := range meters {
		if bound := m.enter(c.cfg.Now()); bound != "" {
			for _, back := range meters[:i] {
				back.leave()
			}
			v = policy.Verdict{Reason: policy.ReasonLimited, Term: m.term}
			return nil, c.refuseLimited(f, v, &fl, bound)
		}
	}
	l := &live{c: c, start: c.cfg.Now(), release: release, gone: make(chan struct{}), flow: fl, verdict: v, force: f, meters: meters}
	l.under.Store(f)
	if fl.Inside != nil {
		l.seen = *fl.Inside
		l.flow.Inside = &l.seen
	}
	c.flows.mu.Lock()
	closed := c.flows.open == nil
	if !closed {
		c.flows.open[l] = struct{}{}
	}
	c.flows.mu.Unlock()
	if closed {
		for _, m := range meters {
			m.leave()
		}
		return nil, f.refusal(policy.Verdict{Reason: reasonClosed}, &fl)
	}
	c.books.opened(fl, v)
	if now := c.force.Load(); now != f { // another policy came in between, and may not have seen this flow
		nudge(c.look)
	}
	return l, nil
}

// refuse reports a refusal and returns it.
func (c *Client) refuse(f *inForce, v policy.Verdict, fl *policy.Flow) *Refusal {
	return c.refuseLimited(f, v, fl, "")
}

func (c *Client) refuseLimited(f *inForce, v policy.Verdict, fl *policy.Flow, bound string) *Refusal {
	r := f.refusal(v, fl)
	r.Limit = bound
	c.books.refused(r, fl, false)
	if c.cfg.Refused != nil {
		c.cfg.Refused(r)
	}
	return r
}

// admit judges what stands inside an open flow next, such as a request.
func (l *live) admit(seen policy.Seen) error {
	l.mu.Lock()
	fl := l.flow
	fl.RemoteDevice = ""
	fl.Inside = &seen
	f := l.c.force.Load()
	v := l.c.decide(f, &fl)
	if v.Pass {
		l.seen = seen
		l.flow.Inside, l.verdict, l.force = &l.seen, v, f
		l.under.Store(f)
		l.settle(l.c.meters.of(f, v))
		l.mu.Unlock()
		if v.Would {
			l.c.books.refused(f.refusal(v, &fl), &fl, true)
		}
		return nil
	}
	l.mu.Unlock()
	return l.c.refuse(f, v, &fl)
}

// cut ends the flow at once: whoever reads or writes gets why.
func (l *live) cut(why *Refusal) {
	l.cause.CompareAndSwap(nil, why)
	l.release()
	l.close()
}

// err returns why the flow was cut, else err.
func (l *live) err(err error) error {
	if r := l.cause.Load(); r != nil && err != nil {
		return r
	}
	return err
}

// close reports the flow, once.
func (l *live) close() {
	l.ended.Do(func() {
		close(l.gone)
		l.c.flows.mu.Lock()
		delete(l.c.flows.open, l)
		l.c.flows.mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, m := range l.meters {
			m.leave()
		}
		l.meters, l.over = nil, true
		l.c.books.closed(l)
	})
}

// segment is what one packet of a stream is taken to carry.
const segment = 1448

func packetsOf(n int) uint64 { return uint64(max(1, (n+segment-1)/segment)) }

// sent counts n bytes that went out, got n that came in.
func (l *live) sent(n int) {
	l.up.Add(uint64(n))
	l.packetsUp.Add(packetsOf(n))
	l.c.books.count(n, 0)
}

func (l *live) got(n int) {
	l.down.Add(uint64(n))
	l.packetsDown.Add(packetsOf(n))
	l.c.books.count(0, n)
}

// record is the flow's report. The caller holds l.mu.
func (l *live) record(end time.Time) flow.Record {
	r := recordOf(l.force, &l.flow, l.verdict)
	r.Start, r.End = l.start, end
	r.PacketsUp, r.PacketsDown, r.BytesUp, r.BytesDown = l.packetsUp.Load(), l.packetsDown.Load(), l.up.Load(), l.down.Load()
	if why := l.cause.Load(); why != nil && why.Reason != reasonClosed {
		r.Verdict, r.Reason, r.Term, r.Limit = flow.Refused, why.Reason, why.Term, why.Limit
	}
	return r
}

func recordOf(f *inForce, fl *policy.Flow, v policy.Verdict) flow.Record {
	r := flow.Record{
		Device: f.own(), Direction: flow.FromDevice, Proto: protoNumber(fl.Proto), Local: fl.Local, Remote: fl.Remote, Reason: v.Reason, Term: v.Term, Generation: f.generation,
	}
	if fl.Direction == api.ToDevice {
		r.Direction = flow.ToDevice
	}
	if !r.Local.IsValid() && f.device != nil {
		r.Local = netip.AddrPortFrom(f.device.Binding.IP, 0)
	}
	if !r.Local.IsValid() {
		r.Local = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	}
	if !r.Remote.IsValid() {
		r.Remote = netip.AddrPortFrom(netip.IPv4Unspecified(), fl.Remote.Port())
	}
	if len(fl.Names) > 0 {
		r.Name = fl.Names[0]
	}
	if s := fl.Inside; s != nil {
		r.Inside = flow.Inside{Proto: s.Proto, Host: s.Host, Method: s.Method, Path: s.Path}
	}
	switch {
	case !v.Pass:
		r.Verdict = flow.Refused
	case v.Would:
		r.Verdict = flow.WouldRefuse
	}
	return r
}

func protoNumber(name string) uint8 {
	switch name {
	case "tcp":
		return 6
	case "udp":
		return 17
	case "icmp":
		return 1
	}
	return 0
}
