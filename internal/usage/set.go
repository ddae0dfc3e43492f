package usage

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/cross"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// SetConfig configures a Set.
type SetConfig struct {
	// Engine configures each of the engines; MaxAdopted, MaxCards, MaxSide and
	// Duplicates are for all of them together. Its Watch is called from several
	// goroutines.
	Engine Config
	// Workers is how many engines there are, each on a goroutine of its own; 0 = as
	// many as processors.
	Workers int
	// Waiting bounds the batches that are under way; 0 = 4 a worker, at least 8.
	Waiting int
	// Emit is given the alerts of a batch that has some, when all of it has been
	// judged: batches in the order of Submit, alerts in the order of their records.
	// It is called by one goroutine at a time; while it does not return, batches
	// wait. An error
	// stops the set. nil = alerts are counted only.
	Emit func(*Parcel, []ringwall.Alert) error
	// Cross looks at several cards at once (rule sim-box); nil = nobody does. Its
	// Cards are those of Engine.MaxCards, or else all that were adopted or announced,
	// unless it says how many.
	Cross *cross.Config
}

// Set is several engines that share the cards. Records of one card are judged in
// their order; the alerts are those that one engine would make, in the same
// order.
//
// A batch is filled in a Parcel (Get), handed over (Submit), judged by all engines
// at once, each taking its cards, and comes back when its alerts were given to
// Emit. Nothing is copied or allocated for a record. When engines or Emit are
// slow, Get waits. A source that reads details back from its last batch alone
// fills the next when the last was judged (Judge).
//
// Submit, Judge and Flush belong to one goroutine; the other methods may be
// called by any. NewSet starts a goroutine an engine and one for the alerts;
// Close ends them.
type Set struct {
	c       SetConfig
	shards  []*shardOf
	free    chan *Parcel
	order   chan *Parcel
	sent    uint64 // parcels; of the goroutine that submits
	behind  bool   // a parcel was submitted that may not be judged yet
	wait    sync.WaitGroup
	across  *across
	stopped chan struct{} // closed after the first error of Emit
	closed  bool

	mu        sync.Mutex
	cond      sync.Cond
	delivered uint64 // parcels
	err       error  // of Emit
}

// Parcel is a batch on its way through a Set.
type Parcel struct {
	cdr.Batch
	// Position is for the caller: where its input goes on after this batch.
	Position []byte
	// Tag is for the caller.
	Tag any

	parts  [][]uint16 // of each engine, the places of its events
	alerts [][]found  // of each engine
	notes  [][]noted  // of each engine
	now    *acrossNow // that holds for it
	do     func()     // instead: for the goroutine that delivers
	wait   sync.WaitGroup
}

type found struct {
	at    uint16
	alert ringwall.Alert
}

// shardOf is an engine with its goroutine. Whoever has mu may use the engine:
// that goroutine or, for the first engine, the one that calls Judge.
type shardOf struct {
	mu sync.Mutex

	n     int
	e     *Engine
	work  chan task
	notes *[]noted // of the parcel that is judged; nil = none are made
	obs   []cross.Observation
	snap  *taking
}

// task is a batch to judge or something to do between two.
type task struct {
	p  *Parcel
	do func(*Engine)
}

// NewSet returns a set without cards.
func NewSet(c SetConfig) *Set {
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Waiting <= 0 {
		c.Waiting = max(4*c.Workers, 8)
	}
	one := c.Engine.withDefaults()
	all := one
	one.MaxAdopted, one.Duplicates = share(one.MaxAdopted, c.Workers), share(one.Duplicates, c.Workers)
	one.MaxCards, one.MaxSide = share(one.MaxCards, c.Workers), share(one.MaxSide, c.Workers)
	s := &Set{c: c, free: make(chan *Parcel, c.Waiting), order: make(chan *Parcel, c.Waiting), stopped: make(chan struct{})}
	s.cond.L = &s.mu
	if c.Cross != nil {
		s.across = newAcross(s, *c.Cross, &all)
	}
	for n := range c.Workers {
		sh := &shardOf{n: n, work: make(chan task, c.Waiting+1)}
		conf := one
		if c.Cross != nil {
			sh.watch(&conf)
		}
		sh.e = New(conf)
		if s.across != nil {
			sh.e.Spare(s.across.was.usual)
		}
		sh.e.place = [2]int{n, c.Workers}
		s.shards = append(s.shards, sh)
		s.wait.Go(sh.run)
	}
	for range c.Waiting {
		s.free <- &Parcel{parts: make([][]uint16, c.Workers), alerts: make([][]found, c.Workers), notes: make([][]noted, c.Workers)}
	}
	s.wait.Go(s.deliver)
	return s
}

// share is a bound of all, for one of n: with a quarter more, as cards are not
// shared out evenly.
func share(most, n int) int {
	if most <= 0 || n == 1 {
		return most
	}
	return most/n + most/n/4 + 1
}

// Get returns an empty parcel, when there is one. The error is ctx's, or that of
// Emit.
func (s *Set) Get(ctx context.Context) (*Parcel, error) {
	select {
	case p := <-s.free:
		p.Reset()
		p.Position, p.Tag = p.Position[:0], nil
		return p, nil
	default:
	}
	select {
	case p := <-s.free:
		p.Reset()
		p.Position, p.Tag = p.Position[:0], nil
		return p, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.stopped:
		return nil, s.Err()
	}
}

// Drop gives a parcel back that is not submitted.
func (s *Set) Drop(p *Parcel) { s.free <- p }

// Submit hands a filled parcel over. It is not to be touched any more.
func (s *Set) Submit(p *Parcel) {
	s.cut(p)
	for i, part := range p.parts {
		if len(part) > 0 {
			p.wait.Add(1)
			s.shards[i].work <- task{p: p}
		}
	}
	s.behind = true
	s.sent++
	s.order <- p
}

// cut says which events are of which engine.
func (s *Set) cut(p *Parcel) {
	n := len(s.shards)
	if s.across != nil {
		p.now = s.across.now.Load()
	}
	for i := range p.parts {
		p.parts[i] = p.parts[i][:0]
	}
	if n == 1 {
		p.parts[0] = append(p.parts[0], s.shards[0].e.every[:min(len(p.Events), cdr.MaxBatch)]...)
		return
	}
	for i := range p.Events[:min(len(p.Events), cdr.MaxBatch)] {
		to := PartitionOf(p.Events[i].Card, n)
		p.parts[to] = append(p.parts[to], uint16(i))
	}
}

// Judge hands a filled parcel over and returns when it was judged: what stands
// behind its events is not needed any more. The caller's goroutine does the work
// of one engine itself: waking another costs more than a batch.
func (s *Set) Judge(p *Parcel) {
	if s.behind {
		s.Submit(p)
		p.wait.Wait()
		return
	}
	s.cut(p)
	for i, part := range p.parts[1:] {
		if len(part) > 0 {
			p.wait.Add(1)
			s.shards[i+1].work <- task{p: p}
		}
	}
	if len(p.parts[0]) > 0 {
		s.shards[0].judge(p)
	}
	p.wait.Wait()
	s.sent++
	if p.silent() && s.skip() {
		s.free <- p
		return
	}
	s.order <- p
}

// silent reports whether there is nothing to deliver.
func (p *Parcel) silent() bool {
	for i := range p.alerts {
		if len(p.alerts[i])+len(p.notes[i]) > 0 {
			return false
		}
	}
	return true
}

// skip counts the newest parcel as delivered, when all before it are.
func (s *Set) skip() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.delivered+1 != s.sent {
		return false
	}
	s.delivered++
	return true
}

// deliver gives alerts away, batch by batch.
func (s *Set) deliver() {
	for p := range s.order {
		if p.do != nil {
			p.do()
			continue
		}
		p.wait.Wait()
		err := s.emit(p)
		s.mu.Lock()
		if err != nil && s.err == nil {
			s.err = err
			close(s.stopped)
		}
		s.delivered++
		s.mu.Unlock()
		s.cond.Broadcast()
		s.free <- p
	}
}

func (s *Set) emit(p *Parcel) error {
	var across []found
	if s.across != nil {
		across = s.across.take(p)
	}
	n := len(across)
	for i := range p.alerts {
		n += len(p.alerts[i])
	}
	// What follows a failure is not told, and no snapshot covers it.
	if n > 0 && s.c.Emit != nil && s.Err() == nil {
		list := make([]found, 0, n)
		for i := range p.alerts {
			list = append(list, p.alerts[i]...)
		}
		list = append(list, across...) // behind those of the same record
		slices.SortStableFunc(list, func(a, b found) int { return int(a.at) - int(b.at) })
		all := make([]ringwall.Alert, n)
		for i := range list {
			all[i] = list[i].alert
		}
		if err := s.c.Emit(p, all); err != nil {
			return err
		}
	}
	for i := range p.alerts {
		clear(p.alerts[i])
		p.alerts[i] = p.alerts[i][:0]
	}
	return nil
}

// run judges what comes, and takes a snapshot meanwhile.
func (sh *shardOf) run() {
	for {
		var room chan []byte
		sh.mu.Lock()
		if sh.snap != nil && sh.snap.more() {
			room = sh.snap.room
		}
		sh.mu.Unlock()
		select {
		case t, ok := <-sh.work:
			switch {
			case !ok:
				return
			case t.do != nil:
				sh.mu.Lock()
				t.do(sh.e)
				sh.mu.Unlock()
			default:
				sh.judge(t.p)
				t.p.wait.Done()
			}
		case b := <-room:
			sh.mu.Lock()
			if sh.snap != nil {
				sh.snap.step(b)
			}
			sh.mu.Unlock()
		}
	}
}

// judge judges the engine's part of a parcel.
func (sh *shardOf) judge(p *Parcel) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n := sh.n
	if p.notes != nil {
		sh.notes = &p.notes[n]
	}
	sh.e.part(&p.Batch, p.parts[n], func(at uint16, a ringwall.Alert) { p.alerts[n] = append(p.alerts[n], found{at, a}) })
}

// Flush returns when all that was submitted has been judged and its alerts were
// given to Emit. The error is that of Emit.
func (s *Set) Flush() error {
	err := s.flushed(s.sent)
	s.behind = false
	return err
}

// flushed returns when n parcels were delivered.
func (s *Set) flushed(n uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.delivered < n {
		s.cond.Wait()
	}
	return s.err
}

// Err is the error with which Emit stopped the set.
func (s *Set) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the set after all that was submitted has been judged.
func (s *Set) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.Flush()
	for _, sh := range s.shards {
		close(sh.work)
	}
	close(s.order)
	s.wait.Wait()
	for _, sh := range s.shards {
		if cerr := sh.e.Close(); err == nil {
			err = cerr
		}
	}
	return err
}

// Each runs f on each engine, between two batches and after all that was
// submitted before, on the engine's goroutine, and waits. Several engines run it
// at once.
func (s *Set) Each(f func(n int, e *Engine)) {
	var wait sync.WaitGroup
	for _, sh := range s.shards {
		wait.Add(1)
		sh.work <- task{do: func(e *Engine) { f(sh.n, e); wait.Done() }}
	}
	wait.Wait()
}

// of runs f on the engine that a card belongs to.
func (s *Set) of(card uint64, f func(e *Engine)) {
	done := make(chan struct{})
	s.shards[PartitionOf(card, len(s.shards))].work <- task{do: func(e *Engine) { f(e); close(done) }}
	<-done
}

// Workers is how many engines there are.
func (s *Set) Workers() int { return len(s.shards) }

// SetCard registers a card, as Engine.SetCard does.
func (s *Set) SetCard(c Card) (err error) {
	s.of(cardOf(c.IMSI), func(e *Engine) { err = e.SetCard(c) })
	return err
}

// SetCards registers many cards, as Engine.SetCard does, all engines at once. Of
// several errors it returns one.
func (s *Set) SetCards(cards []Card) error {
	errs := make([]error, len(s.shards))
	s.Each(func(n int, e *Engine) {
		for i := range cards {
			if PartitionOf(cardOf(cards[i].IMSI), len(s.shards)) == n && errs[n] == nil {
				errs[n] = e.SetCard(cards[i])
			}
		}
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	s.across.grow(len(cards))
	return nil
}

// RemoveCard forgets a card and its state.
func (s *Set) RemoveCard(imsi ringwall.IMSI) {
	s.of(cardOf(imsi), func(e *Engine) { e.remove(cardOf(imsi)) })
}

// Announce registers the cards of a range, as Engine.Announce does: each engine
// those of its blocks.
func (s *Set) Announce(r Range) error {
	err := s.announce(r)
	if err == nil {
		s.across.grow(r.N)
	}
	return err
}

func (s *Set) announce(r Range) error {
	first, n := cardOf(r.First), uint64(r.N)
	if first == 0 || r.N <= 0 || r.N > 1e12 || r.Dense && len(s.shards) > 1 {
		return ringwall.Errorf(ringwall.Invalid, "a range of %d cards from an IMSI of %d characters is none for %d engines", r.N, len(r.First), len(s.shards))
	}
	if len(s.shards) == 1 {
		var err error
		s.Each(func(_ int, e *Engine) { err = e.Announce(r) })
		return err
	}
	errs := make([]error, len(s.shards))
	s.Each(func(i int, e *Engine) {
		e.ranges = e.ranges.put(span{first, n, r.Settings})
		for at := first; at < first+n; {
			end := min((at/blockCards+1)*blockCards, first+n)
			if PartitionOf(at, len(s.shards)) == i && errs[i] == nil {
				errs[i] = e.table.Announce(at, int(end-at))
			}
			at = end
		}
	})
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("announcing %d cards to engine %d: %w", r.N, i, err)
		}
	}
	return nil
}

// SetBook puts another Book in force after what was submitted so far. Of several
// errors it returns one.
func (s *Set) SetBook(b *rules.Book) error {
	errs := make([]error, len(s.shards))
	usual := &rules.Usual{}
	s.Each(func(n int, e *Engine) {
		if errs[n] = e.SetBook(b); e.env.Usual != nil {
			e.Spare(usual)
		}
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	s.across.rule(b, usual)
	return nil
}

// View returns all that is known of a card (cdr.CardKey), and whether the card
// is.
func (s *Set) View(card uint64) (v rules.View, ok bool) {
	s.of(card, func(e *Engine) { v, ok = e.View(card) })
	return v, ok
}

// Sweep calls f for every card, several engines at once, in steps between which
// records are judged; see Engine.Sweep. f is told which engine calls.
func (s *Set) Sweep(f func(n int, l *rules.Line, side *rules.Side) bool) {
	var wait sync.WaitGroup
	for _, sh := range s.shards {
		wait.Go(func() {
			for at := uint64(0); at != End; {
				done := make(chan struct{})
				sh.work <- task{do: func(e *Engine) {
					at = e.SweepFrom(at, 16*sweepStep, func(l *rules.Line, side *rules.Side) bool { return f(sh.n, l, side) })
					close(done)
				}}
				<-done
			}
		})
	}
	wait.Wait()
}

// Stats sums the counts of all engines.
func (s *Set) Stats() Stats {
	each := make([]Stats, len(s.shards))
	s.Each(func(n int, e *Engine) { each[n] = e.Stats() })
	var sum Stats
	for _, o := range each {
		sum.add(o)
	}
	return sum
}

// Memory sums what all engines take.
func (s *Set) Memory() Memory {
	each := make([]Memory, len(s.shards))
	s.Each(func(n int, e *Engine) { each[n] = e.Memory() })
	var sum Memory
	for _, o := range each {
		sum.add(o)
	}
	if s.across != nil {
		sum.Across = uint64(s.across.bytes.Load())
	}
	return sum
}

// Hash is the sum of the engines' hashes: the same for any number of them, as
// long as no record ids are remembered or all of them still are.
func (s *Set) Hash() uint64 {
	each := make([]uint64, len(s.shards))
	s.Each(func(n int, e *Engine) { each[n] = e.Hash() })
	var sum uint64
	for _, h := range each {
		sum += h
	}
	return sum
}

// blockCards is how many numbers are issued together and belong to one engine.
const blockCards = 10_000
