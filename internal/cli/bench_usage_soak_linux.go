package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/cdrfile"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/gen"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/spool"
)

// A soak keeps so many cards live for so long: somebody writes files of records into
// a spool directory at a steady rate, and the engine takes them from there, as it
// takes them from a charging gateway. One record in misuseEvery is misuse, of a card
// that is not used otherwise in that second; the time from the moment at which its
// line was made to the moment at which its alert is handed over is measured. That
// includes waiting until the file is full and renamed.

const (
	misuseEvery = 20_000
	fileEvery   = 100 * time.Millisecond // a file holds the records of so long
	maxBehind   = 20                     // files that may wait before the writer does
)

// soak is a run of it.
type soak struct {
	f       benchUsageFlags
	dir     string
	keys    *cdr.Keys
	made    sync.Map // of the id of a card that is misused, when its line was made
	mu      sync.Mutex
	waits   []time.Duration
	written atomic.Uint64
	wrong   atomic.Uint64 // records of misuse
	waiting atomic.Int64  // files
}

func benchUsageSoak(ctx context.Context, env Env, f benchUsageFlags) (err error) {
	if f.rate < 1000 || f.rate > 20_000_000 || f.cards < 100_000 || f.cards > 200_000_000 {
		return usagef("--rate is 1000 to 20000000, --cards of --soak 100000 to 200000000")
	}
	dir, err := os.MkdirTemp(f.dir, "ringwall-soak-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	key := []byte("ringwall bench usage")
	s := &soak{f: f, dir: filepath.Join(dir, "spool"), keys: usage.KeysOf(key)}
	for _, d := range []string{s.dir, filepath.Join(dir, "state")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	book, err := rules.NewBook(rules.BookSpec{Settings: []rules.Spec{{}, {Customer: "soak", Judged: true, Services: []string{"data"}, Peers: []string{"198.18.0.1", "iot.example"}, Homes: []string{"460"}, Fixed: true}}}, s.keys)
	if err != nil {
		return err
	}
	set := usage.NewSet(usage.SetConfig{
		Engine: usage.Config{Key: key, Book: book, Duplicates: 1 << 22, NoTotals: true, Now: time.Now, Name: soakName},
		Emit:   s.emit,
	})
	defer func() { err = errors.Join(err, set.Close()) }()
	for i := 0; i < f.cards; i += speedBlock {
		r := usage.Range{First: ringwall.IMSI(cdr.IMSIOf(speedFirst + uint64(i))), N: min(speedBlock, f.cards-i), Settings: 1}
		if err := set.Announce(r); err != nil {
			return err
		}
	}
	if err := s.once(ctx, set); err != nil {
		return err
	}
	known := set.Stats().Records
	src, err := spool.NewDir(spool.DirConfig{
		Dir: s.dir, State: filepath.Join(dir, "state"), File: cdrfile.Config{Keys: s.keys}, Settle: -1, Poll: 10 * time.Millisecond,
		Event: func(e spool.Event) {
			if e.What == spool.Read {
				s.waiting.Add(-1)
				// What was read is not needed any more: no snapshot is taken here.
				_ = os.Remove(filepath.Join(s.dir, e.Entry.Name)) // else the disk fills, which tells itself
			}
		},
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stderr, "ringwall: %d cards, %d records a second for %v\n", f.cards, f.rate, f.soak)
	before, began := spent(), time.Now()
	running, stop := context.WithCancel(ctx)
	defer stop()
	g, running := errgroup.WithContext(running)
	g.Go(func() error {
		err := usage.Run(running, usage.RunConfig{Set: set, Source: src})
		if running.Err() != nil {
			return nil // we stopped it
		}
		return err
	})
	g.Go(func() error {
		defer stop()
		if err := s.write(running); err != nil {
			return err
		}
		// What was written is judged before the end.
		for set.Stats().Records < known+s.written.Load() && running.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	took := time.Since(began)
	return s.tell(env, set, took, before, known)
}

// once makes each card live: with a record of an hour ago, which binds it to its
// equipment and puts it in its place.
func (s *soak) once(ctx context.Context, set *usage.Set) error {
	sec := uint32(time.Now().Unix() - 3600)
	apn, plmn := s.keys.APNKey([]byte("iot.example")), cdr.ParsePLMN("46004")
	for i := uint64(0); i < uint64(s.f.cards); {
		p, err := set.Get(ctx)
		if err != nil {
			return err
		}
		p.Reset()
		for len(p.Events) < cdr.MaxBatch && i < uint64(s.f.cards) {
			area := uint32(i/1000%50_000 + 1)
			p.Events = append(p.Events, cdr.Event{
				Card: speedFirst + i, IMEI: 86_000_000_000_001 + i, Peer: cdr.AddressPeer(198<<24 | 18<<16 | 1), APN: apn, PLMN: plmn, Sec: sec,
				Area: area, Cell: s.keys.CellNumber(plmn, area, 1<<20+i/50), Volume: 2000, Use: cdr.NewUse(cdr.Data, 0, 60, 0),
			})
			p.Lines = append(p.Lines, i+1)
			i++
		}
		set.Submit(p)
	}
	return set.Flush()
}

// soakName names a card by its number: the measurement needs to know whose alert
// it is.
func soakName(card uint64) (ringwall.SIMID, ringwall.OrgID, bool) {
	return ringwall.SIMID("sim_" + strconv.FormatUint(card, 10)), "", true
}

func (s *soak) emit(_ *usage.Parcel, alerts []ringwall.Alert) error {
	now := time.Now()
	for _, a := range alerts {
		if a.Rule != rules.Service {
			continue
		}
		if at, ok := s.made.LoadAndDelete(strings.TrimPrefix(a.Subject.ID, "sim_")); ok {
			s.mu.Lock()
			s.waits = append(s.waits, now.Sub(at.(time.Time)))
			s.mu.Unlock()
		}
	}
	return nil
}

// write puts file after file into the spool, at the rate that was asked for.
func (s *soak) write(ctx context.Context) error {
	r := rand.New(rand.NewPCG(s.f.seed, 7))
	per := max(1, int(float64(s.f.rate)*fileEvery.Seconds()))
	began := time.Now()
	var line []byte
	for n := 0; time.Since(began) < s.f.soak; n++ {
		name := filepath.Join(s.dir, fmt.Sprintf("%012d.csv", n))
		f, err := os.OpenFile(name+".tmp", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		out := bufio.NewWriterSize(f, 1<<20)
		out.WriteString(gen.Header)
		for i := range per {
			line = s.line(line[:0], r, n*per+i)
			if _, err := out.Write(line); err != nil {
				return errors.Join(err, f.Close())
			}
		}
		if err := errors.Join(out.Flush(), f.Close(), os.Rename(name+".tmp", name)); err != nil {
			return err
		}
		s.written.Add(uint64(per))
		s.waiting.Add(1)
		// A steady rate; who is behind catches up, but never by more than some files.
		for ctx.Err() == nil && (time.Since(began) < time.Duration(n+1)*fileEvery || s.waiting.Load() > maxBehind) {
			time.Sleep(time.Millisecond)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// line makes the n-th record.
func (s *soak) line(b []byte, r *rand.Rand, n int) []byte {
	card := r.Uint64N(uint64(s.f.cards))
	now := time.Now()
	b = strconv.AppendUint(b, uint64(n)+1<<40, 16)
	b = append(b, ',')
	b = strconv.AppendInt(b, now.Unix(), 10)
	b = append(b, ',')
	at := len(b)
	b = strconv.AppendUint(b, speedFirst+card, 10)
	b = append(b[:at], b[at+1:]...)
	b = append(b, ',')
	b = strconv.AppendUint(b, 86_000_000_000_000+card, 10)
	if n%misuseEvery == misuseEvery-1 {
		s.wrong.Add(1)
		s.made.Store(strconv.FormatUint(speedFirst+card, 10), now)
		b = append(b, "0,sms,mo,8613900000000,,,,"...)
	} else {
		b = append(b, "0,data,,198.18.0.1,iot.example,1200,800,"...)
	}
	b = strconv.AppendUint(b, card/1000%50_000+1, 10)
	b = append(b, ',')
	b = strconv.AppendUint(b, 1<<20+card/50, 10)
	return append(b, ",60,46004,\n"...)
}

func (s *soak) tell(env Env, set *usage.Set, took time.Duration, before spending, known uint64) error {
	after := spent()
	st, m := set.Stats(), set.Memory()
	st.Records -= known
	slices.Sort(s.waits)
	if len(s.waits) == 0 {
		return ringwall.Errorf(ringwall.Internal, "no misuse was found of %d records of it", s.wrong.Load())
	}
	at := func(q float64) time.Duration { return s.waits[min(int(q*float64(len(s.waits))), len(s.waits)-1)] }
	rate := float64(st.Records) / took.Seconds()
	w := env.Stdout
	fmt.Fprintf(w, "%d cards live, %.1f bytes a card and %.1f beside; %d records in %v: %.0f a second\n", m.Cards, m.PerCard, m.SidePerCard, st.Records, took.Round(time.Second), rate)
	fmt.Fprintf(w, "processor time %.1f s, writer included: %.2f cores; %d MiB resident at most\n", (after.cpu - before.cpu).Seconds(), (after.cpu-before.cpu).Seconds()/took.Seconds(), after.peak>>20)
	fmt.Fprintf(w, "misuse: %d records, %d found; from record to alert median %v, p99 %v, worst %v\n", s.wrong.Load(), len(s.waits), at(0.5).Round(time.Millisecond), at(0.99).Round(time.Millisecond), s.waits[len(s.waits)-1].Round(time.Millisecond))
	fmt.Fprintf(w, "written %d, judged %d, unknown %d, duplicate %d\n", s.written.Load(), st.Records, st.Unknown, st.Duplicate)
	if st.Records != s.written.Load() || st.Unknown != 0 || at(0.99) > time.Second || rate < 0.98*float64(s.f.rate) {
		return errFound
	}
	return nil
}
