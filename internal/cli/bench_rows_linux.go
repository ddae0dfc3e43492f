package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/segment"
)

// What the rows of "ringwall bench reports --rows" are of.
const (
	rowsOrg      = ringwall.OrgID("org_bench")
	rowsGateways = 1000
	rowsDevices  = 10_000
	rowsBatch    = 1000
)

// rowsBegin is when the first of them is; they are a hundred a second.
var rowsBegin = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)

const rowsEvery = 10 * time.Millisecond

// benchRows writes flow reports into segments, by the same way as the platform
// does, and asks for some.
func benchRows(ctx context.Context, env Env, f benchReportsFlags) (err error) {
	if f.rows == 0 && f.dir == "" || f.rows > 10_000_000_000 {
		return usagef("--query needs --rows, up to ten thousand millions, or --dir with rows")
	}
	dir, remove, err := benchDir(f)
	if err != nil {
		return err
	}
	if f.rows > 0 || f.dir == "" {
		defer func() { err = errors.Join(err, remove()) }()
	}
	dir = filepath.Join(dir, "rows")
	if f.rows > 0 {
		if err := writeRows(ctx, env, dir, f.rows); err != nil {
			return err
		}
	}
	if !f.query {
		return nil
	}
	began := time.Now()
	s, err := segment.Open(dir, segment.Config{Now: func() time.Time { return rowsBegin.AddDate(1, 0, 0) }})
	if err != nil {
		return err
	}
	defer s.Close()
	return askRows(ctx, env, s, time.Since(began))
}

func writeRows(ctx context.Context, env Env, dir string, n uint64) error {
	s, err := segment.Open(dir, segment.Config{})
	if err != nil {
		return err
	}
	defer s.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	seqs := make([]uint64, rowsGateways)
	records := make([]api.Record, rowsBatch)
	bins := make([]byte, 0, rowsBatch*flow.MaxEncoded)
	var data []byte
	began, row := time.Now(), uint64(0)
	failed := make(chan error, 1)
	slots := make(chan struct{}, 64)
	for ; row < n; row += rowsBatch {
		if err := ctx.Err(); err != nil {
			return err
		}
		g := rng.Uint64N(rowsGateways)
		bins = bins[:0]
		for i := range records {
			at := rowsBegin.Add(time.Duration(row+uint64(i)) * rowsEvery)
			r := benchFlow(rng, g, g*10+rng.Uint64N(10), at)
			start := len(bins)
			if bins, err = r.AppendBinary(bins); err != nil {
				return err
			}
			seqs[g]++
			records[i] = api.Record{Seq: seqs[g], Time: at, Kind: api.RecordFlow, Bin: bins[start:]}
		}
		if data, err = api.AppendBatch(data[:0], api.Batch{Epoch: 1, Records: records}); err != nil {
			return err
		}
		slots <- struct{}{}
		s.Submit(rowsOrg, ringwall.GatewayID(fmt.Sprintf("gw_%04d", g)), data, func(_ api.BatchAck, err error) {
			<-slots
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
		select {
		case err := <-failed:
			return err
		default:
		}
		if row%10_000_000 == 0 && row > 0 {
			fmt.Fprintf(env.Stderr, "ringwall: %d million rows\n", row/1_000_000)
		}
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
	took := time.Since(began)
	if _, err := s.Flows(ctx, segment.Query{Org: rowsOrg, Limit: 1}); err != nil { // the index, to its end
		return err
	}
	whole := time.Since(began)
	st := s.Stats()
	frames, index, err := sizes(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "%d rows written in %v (%.0f/s), indexed %v later; frames %.2f GB (%.0f B a row), index %.2f GB (%.0f B a row) in %d runs\n",
		st.Rows, took.Round(time.Second), float64(st.Rows)/took.Seconds(), (whole - took).Round(time.Millisecond),
		float64(frames)/1e9, float64(frames)/float64(st.Rows), float64(index)/1e9, float64(index)/float64(st.Rows), st.Runs)
	return nil
}

func sizes(dir string) (frames, index int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range entries {
		i, err := e.Info()
		if err != nil {
			return 0, 0, err
		}
		if filepath.Ext(e.Name()) == ".seg" {
			frames += i.Size()
		} else {
			index += i.Size()
		}
	}
	return frames, index, nil
}

// askRows asks what people ask, each with several values, and tells how long it
// takes; the first round is as it comes, with whatever the disk's cache holds.
func askRows(ctx context.Context, env Env, s *segment.Store, opened time.Duration) error {
	st := s.Stats()
	w := env.Stdout
	fmt.Fprintf(w, "%d rows in %d runs, opened in %v\n", st.Rows, st.Runs, opened.Round(time.Millisecond))
	if st.Rows == 0 {
		return ringwall.Errorf(ringwall.Invalid, "there are no rows")
	}
	end := rowsBegin.Add(time.Duration(st.Rows) * rowsEvery)
	middle := rowsBegin.Add(time.Duration(st.Rows/2) * rowsEvery)
	rng := rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))
	dev := func() ringwall.DeviceID { return benchDevice(rng.Uint64N(rowsDevices)) }
	page := func(make func() segment.Query) func() (int, error) {
		return func() (int, error) {
			q := make()
			q.Org = rowsOrg
			rows, err := s.Flows(ctx, q)
			return len(rows), err
		}
	}
	totals := func(make func() segment.Query) func() (int, error) {
		return func() (int, error) {
			q := make()
			q.Org = rowsOrg
			t, err := s.Totals(ctx, q)
			return int(t.Flows), err
		}
	}
	for _, x := range []struct {
		what string
		ask  func() (int, error)
	}{
		{"newest 100 of a device", page(func() segment.Query { return segment.Query{Device: dev()} })},
		{"newest 100 refused of a device", page(func() segment.Query { return segment.Query{Device: dev(), Verdict: "refused"} })},
		{"a device, one day in the middle, to one name", page(func() segment.Query {
			return segment.Query{Device: dev(), From: middle, To: middle.Add(24 * time.Hour), Name: "cloud-7.vendor.example", Limit: 1000}
		})},
		{"a device, all of its refusals (1,000)", page(func() segment.Query { return segment.Query{Device: dev(), Verdict: "refused", Limit: 1000} })},
		{"a device that is not there", page(func() segment.Query { return segment.Query{Device: "dev_none"} })},
		{"newest 100 refused of all", page(func() segment.Query { return segment.Query{Verdict: "refused"} })},
		{"all, to one address of the world (searches everything)", page(func() segment.Query {
			return segment.Query{Remote: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + rng.IntN(150)), byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256))}), 32)}
		})},
		{"all, to one network of 256 (searches everything)", page(func() segment.Query {
			return segment.Query{Remote: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + rng.IntN(150)), byte(rng.IntN(256)), byte(rng.IntN(256)), 0}), 24)}
		})},
		{"all, port 6667, of one gateway's devices, allowed (none; searches everything)", page(func() segment.Query { return segment.Query{Port: 6667, Verdict: "allowed", Gateway: "gw_0007"} })},
		{"a name nobody has", page(func() segment.Query { return segment.Query{Name: "nobody.example"} })},
		{"refusals per reason per hour and top talkers, a day", totals(func() segment.Query { return segment.Query{From: end.Add(-24 * time.Hour), To: end} })},
		{"the same of everything", totals(func() segment.Query {
			return segment.Query{From: maxTime(rowsBegin, end.Add(-segment.MaxTotals+2*time.Hour)), To: end}
		})},
		{"the same of a device, with its other ends", totals(func() segment.Query {
			return segment.Query{Device: dev(), From: maxTime(rowsBegin, end.Add(-segment.MaxTotals+2*time.Hour)), To: end}
		})},
	} {
		var took []time.Duration
		found := 0
		for range 9 {
			began := time.Now()
			n, err := x.ask()
			if err != nil {
				return fmt.Errorf("asking for %s: %w", x.what, err)
			}
			took = append(took, time.Since(began))
			found += n
		}
		first := took[0]
		slices.Sort(took)
		fmt.Fprintf(w, "%-75s first %7.1f ms, median %7.1f ms, worst %7.1f ms; found %d on average\n", x.what, ms(first), ms(took[len(took)/2]), ms(took[len(took)-1]), found/9)
	}
	// Paging through everything of one device gives each row once.
	q := segment.Query{Org: rowsOrg, Device: dev(), Limit: 1000}
	seen := map[ringwall.FlowID]bool{}
	began := time.Now()
	for {
		p, err := s.FlowPage(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range p.Items {
			if seen[r.ID] {
				return ringwall.Errorf(ringwall.Conflict, "report %s is on two pages", r.ID)
			}
			seen[r.ID] = true
		}
		if q.Cursor = p.Next; p.Next == "" {
			break
		}
	}
	fmt.Fprintf(w, "all %d reports of a device, in pages of 1,000: %.1f ms\n", len(seen), ms(time.Since(began)))
	u, err := usageOf(os.Getpid())
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "memory after it: %.0f MB\n", float64(u.rss)/1e6)
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
