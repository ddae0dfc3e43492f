package segment_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/powercut/powercuttest"
	"github.com/ringwall/ringwall/internal/segment"
)

// sender is a gateway that trims what was acknowledged.
type sender struct {
	id    ringwall.GatewayID
	acked uint64
	made  uint64
}

func (g *sender) text(seq uint64) string { return fmt.Sprintf("%s/%d", g.id, seq) }

// send sends the next records, and sometimes some again. What it has trimmed
// it cannot send: when the store wants that, it is lost.
func (g *sender) send(s *segment.Store, n, again int, pad []byte) error {
	g.made = max(g.made, g.acked+uint64(n))
	from := g.acked + 1
	from -= min(uint64(again), from-1)
	var records []api.Record
	for seq := from; seq <= g.made; seq++ {
		if seq%3 == 0 {
			r, err := flowOf(seq)
			if err != nil {
				return err
			}
			records = append(records, r)
			continue
		}
		records = append(records, alert(seq, g.text(seq)+string(pad)))
	}
	ack, err := g.submit(s, batch(9, records...))
	if ringwall.CodeOf(err) == ringwall.Conflict {
		return fmt.Errorf("gateway %s was acknowledged %d, and now: %w", g.id, g.acked, err)
	}
	if err != nil {
		return err
	}
	if ack.Seq < g.acked {
		return fmt.Errorf("gateway %s was acknowledged %d, and now %d", g.id, g.acked, ack.Seq)
	}
	g.acked = ack.Seq
	return nil
}

// submit sends a batch in the binary form.
func (g *sender) submit(s *segment.Store, b api.Batch) (ack api.BatchAck, err error) {
	data, err := api.AppendBatch(nil, b)
	if err != nil {
		return ack, err
	}
	done := make(chan struct{})
	s.Submit(org, g.id, data, func(a api.BatchAck, e error) {
		ack, err = a, e
		close(done)
	})
	<-done
	return ack, err
}

// flowOf is the flow report of a Seq, of one of five devices.
func flowOf(seq uint64) (api.Record, error) {
	at := time.Unix(int64(seq), 0).UTC()
	b, err := flow.Record{Start: at, End: at, Device: ringwall.DeviceID(fmt.Sprintf("dev_%d", seq%5)), Direction: flow.FromDevice, Proto: 6, PacketsUp: seq, Generation: seq}.MarshalBinary()
	return api.Record{Seq: seq, Time: at, Kind: api.RecordFlow, Bin: b}, err
}

// indexed compares the flow reports that the index finds with those that the
// frames hold: each once, no other.
func indexed(s *segment.Store) error {
	want := map[string]int{}
	if _, err := s.Scan(context.Background(), segment.Cursor{}, func(g ringwall.GatewayID, _ ringwall.OrgID, r api.Record) error {
		if r.Kind == api.RecordFlow {
			want[fmt.Sprint(g, r.Seq)]++
		}
		return nil
	}); err != nil {
		return err
	}
	for d := range 5 {
		q := segment.Query{Org: org, Device: ringwall.DeviceID(fmt.Sprintf("dev_%d", d)), Limit: 7}
		for {
			p, err := s.FlowPage(context.Background(), q)
			if err != nil {
				return err
			}
			for _, r := range p.Items {
				want[fmt.Sprint(r.Gateway, r.Packets)]--
			}
			if q.Cursor = p.Next; p.Next == "" {
				break
			}
		}
	}
	for k, n := range want {
		if n != 0 {
			return fmt.Errorf("flow report %s is found %d times too few", k, n)
		}
	}
	return nil
}

func scenario(t *testing.T, rig *powercuttest.Rig) error {
	dir := filepath.Join(rig.Dir, "data", "segments")
	rng := rig.Rand
	gateways := []*sender{{id: "gw_1"}, {id: "gw_2"}, {id: "gw_3"}}
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	cfg := segment.Config{SegmentBytes: 8 << 10, RunRows: 9, Disk: rig.Disk, Now: func() time.Time { return now }}

	// The projector keeps what it has read together with its cursor, durably.
	var at segment.Cursor
	read := map[ringwall.GatewayID][]string{}
	project := func(s *segment.Store) error {
		var err error
		at, err = s.Scan(context.Background(), at, func(g ringwall.GatewayID, _ ringwall.OrgID, r api.Record) error {
			if r.Seq != uint64(len(read[g])+1) {
				return fmt.Errorf("gateway %s: seq %d is read after %d", g, r.Seq, len(read[g]))
			}
			text := string(r.Data)
			if r.Kind == api.RecordFlow {
				var f flow.Record
				if err := f.UnmarshalBinary(r.Bin); err != nil {
					return err
				}
				text = fmt.Sprintf("%q", fmt.Sprintf("%s/%d", g, f.Generation))
			}
			read[g] = append(read[g], text)
			return nil
		})
		return err
	}
	for life := 0; life < 10; life++ {
		if rng.IntN(4) == 0 {
			rig.Kill(rng.IntN(6))
		}
		s, err := segment.Open(dir, cfg)
		rig.Revive()
		if errors.Is(err, powercuttest.ErrKilled) {
			if rng.IntN(2) == 0 {
				rig.Cut(t)
			}
			continue
		}
		if err != nil {
			return err
		}
		err = func() error {
			if rng.IntN(2) == 0 {
				if err := project(s); err != nil {
					return err
				}
			}
			for range rng.IntN([]int{3, 8, 40}[rng.IntN(3)]) {
				now = now.Add(time.Minute)
				g := gateways[rng.IntN(len(gateways))]
				if err := g.send(s, 1+rng.IntN(4), rng.IntN(3), make([]byte, rng.IntN(300))); err != nil {
					return err
				}
				switch rng.IntN(10) {
				case 0:
					if err := project(s); err != nil {
						return err
					}
				case 2:
					if err := indexed(s); err != nil {
						return err
					}
				case 1:
					if err := s.Expire(now.Add(-10*time.Minute), at); err != nil {
						return err
					}
				}
			}
			// The last batches are under way when the end comes.
			rig.Kill(rng.IntN(2))
			for _, g := range gateways {
				if err := g.send(s, 1, 0, nil); err != nil && ringwall.CodeOf(err) != ringwall.Unavailable {
					return err
				}
			}
			return nil
		}()
		rig.Kill(0)
		s.Close()
		rig.Revive()
		if err != nil {
			return err
		}
		if rng.IntN(2) == 0 {
			rig.Cut(t)
		}
	}
	s, err := segment.Open(dir, cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, g := range gateways {
		if err := g.send(s, 1, 0, nil); err != nil {
			return err
		}
	}
	if err := project(s); err != nil {
		return err
	}
	if err := indexed(s); err != nil {
		return err
	}
	for _, g := range gateways {
		if got := uint64(len(read[g.id])); got < g.acked {
			return fmt.Errorf("gateway %s: %d records are read, %d were acknowledged", g.id, got, g.acked)
		}
		for i, text := range read[g.id] {
			if want := g.text(uint64(i + 1)); len(text) < len(want)+1 || text[1:len(want)+1] != want {
				return fmt.Errorf("gateway %s: record %d is %.30q", g.id, i+1, text)
			}
		}
	}
	return nil
}

func TestStore_powerCuts(t *testing.T) {
	sites := []durable.Site{
		durable.SiteOpenFile, durable.SiteOpenDir, durable.SiteFrames, durable.SiteSegmentDir,
		segment.SiteMkdir, segment.SiteMeta, segment.SiteBase,
	}
	all := append(powercuttest.SiteConstants(t, "."), sites[:4]...)
	slices.Sort(all)
	if got := slices.Sorted(slices.Values(sites)); !slices.Equal(got, all) {
		t.Errorf("the test knows the fsyncs %q, the code has %q", got, all)
	}
	powercuttest.Mutate(t, sites, 25, scenario)
}
