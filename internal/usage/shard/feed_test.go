package shard_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/shard"
)

func records(n int) (all []cdr.Record) {
	for i := range n {
		all = append(all, cdr.Record{
			ID: fmt.Sprint("r", i), Time: time.Unix(1_780_000_000+int64(i), 0).UTC(), IMSI: ringwall.IMSI(fmt.Sprintf("46000%010d", i*7919%300_000)),
			Service: cdr.SMS, Direction: cdr.Terminated, Peer: fmt.Sprintf("+86138%08d", i),
		})
	}
	return all
}

// odd gives batches of odd sizes: a life ends them elsewhere than the one before.
type odd struct {
	all  []cdr.Record
	keys *cdr.Keys
	at   int
	rng  *rand.Rand
	from int
}

func (s *odd) Next(ctx context.Context, b *cdr.Batch) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	b.Reset()
	s.from = s.at
	for end := min(len(s.all), s.at+1+s.rng.IntN(cdr.MaxBatch)); s.at < end; s.at++ {
		e, err := s.keys.Event(&s.all[s.at])
		if err != nil {
			return err
		}
		b.Events, b.Lines = append(b.Events, e), append(b.Lines, uint64(s.at)+1000)
	}
	b.Detail = s
	if len(b.Events) == 0 {
		return io.EOF
	}
	return nil
}
func (s *odd) Record(i int, r *cdr.Record) error { *r = s.all[s.from+i]; return nil }
func (s *odd) Position() []byte                  { return fmt.Appendf(nil, "%d", s.at) }

// TestCut_livesOverlapAndEachEventIsTakenOnce reads a source in many lives, each of
// which forgets its newest turns, and takes from the pieces what a shard takes.
func TestCut_livesOverlapAndEachEventIsTakenOnce(t *testing.T) {
	const shards = 3
	all := records(300_000)
	keys := cdr.NewKeys([32]byte{1})
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	taken, last := map[uint64]int{}, [shards]uint64{}
	var saved []byte
	overlaps := 0
	for life, done := 0, false; !done; life++ {
		src := &odd{all: all, keys: keys, rng: rand.New(rand.NewPCG(rng.Uint64(), 2))}
		c, err := shard.NewCut(t.Context(), 7, shards, saved, func(p []byte) (cdr.Source, error) {
			if len(p) > 0 {
				if _, err := fmt.Sscan(string(p), &src.at); err != nil {
					return nil, err
				}
			}
			return src, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for turns := 1 + rng.IntN(3); turns > 0 || life > 30; turns-- {
			pieces, err := c.Next(t.Context())
			if errors.Is(err, io.EOF) {
				done = true
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pieces {
				if p.First <= last[p.Shard] {
					overlaps++
				}
				var s shard.Segments
				s.Reset(p.Payload)
				for {
					b, err := s.Next(last[p.Shard])
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					for i := range b.Events {
						if usage.PartitionOf(b.Events[i].Card, shards) != p.Shard {
							t.Fatal("an event came to a shard that is not its card's")
						}
						var r cdr.Record
						if err := b.Record(i, &r); err != nil {
							t.Fatal(err)
						}
						want := all[b.Lines[i]-1000]
						if want.Line = b.Lines[i]; r != want {
							t.Fatalf("line %d reads %+v, want %+v", b.Lines[i], r, want)
						}
						taken[b.Lines[i]]++
					}
				}
				last[p.Shard] = max(last[p.Shard], p.Last)
			}
			if rng.IntN(3) == 0 {
				saved = c.Position()
			}
		}
		c.Close()
	}
	if overlaps == 0 {
		t.Error("no life came again with what the one before had given; nothing is proved")
	}
	for i := range all {
		if n := taken[uint64(i)+1000]; n != 1 {
			t.Fatalf("record %d was taken %d times", i, n)
		}
	}
}

func FuzzSegments(f *testing.F) {
	src := &odd{all: records(40), keys: cdr.NewKeys([32]byte{1}), rng: rand.New(rand.NewPCG(1, 1))}
	c, err := shard.NewCut(context.Background(), 7, 1, nil, func([]byte) (cdr.Source, error) { return src, nil })
	if err != nil {
		f.Fatal(err)
	}
	defer c.Close()
	for {
		pieces, err := c.Next(context.Background())
		if err != nil {
			break
		}
		for _, p := range pieces {
			f.Add(p.Payload, uint64(3))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, after uint64) {
		var s shard.Segments
		s.Reset(b)
		for {
			b, err := s.Next(after)
			if err == io.EOF {
				return
			}
			if err != nil {
				if ringwall.CodeOf(err) != ringwall.Invalid {
					t.Fatal(err)
				}
				return
			}
			var r cdr.Record
			for i := range b.Events {
				_ = b.Record(i, &r)
			}
		}
	})
}
