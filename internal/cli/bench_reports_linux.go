package cli

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/segment"
)

// benchReportsFlags are the flags of "ringwall bench reports".
type benchReportsFlags struct {
	gateways, batch, again int
	lasts, warm            time.Duration
	dir                    string
	keep                   bool

	rows  uint64
	query bool
}

func newBenchReports(env Env) *cobra.Command {
	var f benchReportsFlags
	c := &cobra.Command{
		Use:   "reports",
		Short: "Send flow reports to a platform over mutual TLS, or ask for them among many",
		Long: `Send flow reports to a platform over mutual TLS, as many as it takes, and count them afterwards in its segments.

The platform is a whole one ("ringwall up") in a process of its own; this process is its gateways, each with its own
certificate and connection, and one batch on the way at a time. What is printed as acknowledged was so after the fsync.
Some batches are sent twice: afterwards every record must be stored once.

With --rows, flow reports are written into segments on this disk instead, and with --query those are asked.`,
		Example: "  ringwall bench reports\n  ringwall bench reports --rows 100000000 --query --dir /var/tmp/rows --keep",
		Args:    exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if f.rows > 0 || f.query {
				return benchRows(c.Context(), env, f)
			}
			return benchReports(c.Context(), env, f)
		},
	}
	fl := c.Flags()
	fl.IntVar(&f.gateways, "gateways", 1000, "connections")
	fl.IntVar(&f.batch, "batch", 100, "records of one batch")
	fl.IntVar(&f.again, "again", 50, "every how manieth batch is sent twice; 0 = none")
	fl.DurationVar(&f.lasts, "for", 20*time.Second, "how long is measured")
	fl.DurationVar(&f.warm, "warm", 3*time.Second, "how long reports are sent before")
	fl.StringVar(&f.dir, "dir", "", "where the data goes (default: a temporary directory)")
	fl.BoolVar(&f.keep, "keep", false, "leave the data there")
	fl.Uint64Var(&f.rows, "rows", 0, "write this many flow reports into segments instead")
	fl.BoolVar(&f.query, "query", false, "ask for flow reports among those in --dir")
	return c
}

// benchDir returns the directory of the data and what removes it.
func benchDir(f benchReportsFlags) (string, func() error, error) {
	if f.dir != "" {
		if err := os.MkdirAll(f.dir, 0o700); err != nil {
			return "", nil, err
		}
		if f.keep {
			return f.dir, func() error { return nil }, nil
		}
		return f.dir, func() error { return os.RemoveAll(f.dir) }, nil
	}
	dir, err := os.MkdirTemp("", "ringwall-bench-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}

// made is what one gateway sends over and over: bodies of records, to which
// each batch gives Seqs of its own.
type made struct {
	bodies [][]byte
	bytes  int // of all flow reports
	least  int
}

// reportsOf makes the flow reports of one gateway: ten cameras that mostly
// speak to their cloud, and now and then to what is refused.
func reportsOf(gateway, n int, now time.Time) (m made, err error) {
	rng := rand.New(rand.NewPCG(uint64(gateway), 1))
	m.least = 1 << 30
	for i := range n {
		b, err := benchFlow(rng, uint64(gateway), uint64(gateway)*10+uint64(i%10), now.Add(-time.Duration(n-i)*100*time.Millisecond)).MarshalBinary()
		if err != nil {
			return m, err
		}
		body, err := api.AppendRecord(nil, api.Record{Time: now, Kind: api.RecordFlow, Bin: b})
		if err != nil {
			return m, err
		}
		m.bodies = append(m.bodies, body)
		m.bytes += len(b)
		m.least = min(m.least, len(b))
	}
	return m, nil
}

// benchFlow is a flow report as cameras make them.
func benchFlow(rng *rand.Rand, gateway, device uint64, at time.Time) flow.Record {
	r := flow.Record{
		Start: at, End: at.Add(time.Duration(rng.IntN(60_000)) * time.Millisecond), Device: benchDevice(device), Direction: flow.FromDevice, Proto: 6,
		Local:      netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 77, byte(gateway), byte(10 + device%10)}), uint16(32768+rng.IntN(28000))),
		Generation: 7, PacketsUp: uint64(rng.IntN(1000)), PacketsDown: uint64(rng.IntN(1000)), BytesUp: uint64(rng.IntN(1 << 20)), BytesDown: uint64(rng.IntN(1 << 16)),
	}
	switch k := rng.IntN(100); {
	case k < 80: // the vendor's cloud, one of a few hosts
		host := rng.IntN(40)
		r.Remote, r.Name = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(host)}), 443), fmt.Sprintf("cloud-%d.vendor.example", host)
		r.Reason, r.Term, r.Inside = "allow", "class:camera/cloud", flow.Inside{Proto: "tls", Host: r.Name}
	case k < 95: // time
		r.Proto, r.Remote, r.Name, r.Reason, r.Term = 17, netip.MustParseAddrPort("203.0.113.123:123"), "time.vendor.example", "allow", "class:camera/time"
	default: // anywhere in the world
		r.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(20 + rng.IntN(150)), byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256))}), []uint16{23, 80, 443, 2323, 6667}[rng.IntN(5)])
		r.Verdict, r.Reason, r.PacketsDown, r.BytesDown = flow.Refused, "default", 0, 0
	}
	return r
}

func benchDevice(n uint64) ringwall.DeviceID {
	return ringwall.DeviceID(fmt.Sprintf("dev_%026d", n))
}

// sent is what one gateway did.
type sent struct {
	acked uint64
	waits []time.Duration // while it was measured
	again int
}

func benchReports(ctx context.Context, env Env, f benchReportsFlags) (err error) {
	if f.gateways < 1 || f.gateways > 50_000 || f.batch < 1 || f.batch > api.MaxBatchRecords || f.lasts <= 0 || f.lasts > time.Hour {
		return usagef("--gateways is up to 50,000, --batch up to %d, --for up to an hour", api.MaxBatchRecords)
	}
	if err := raiseFiles(uint64(f.gateways) + 4096); err != nil {
		return err
	}
	dir, remove, err := benchDir(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := startPlatform(ctx, env, dir, "127.0.0.1:0")
	if err != nil {
		return err
	}
	running := true
	defer func() {
		if running {
			err = errors.Join(err, p.stop())
		}
	}()
	began := time.Now()
	all, err := p.enrol(ctx, f.gateways)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stderr, "ringwall: %d gateways enrolled in %v\n", f.gateways, time.Since(began).Round(time.Second))
	began = time.Now()
	defer hangUpAll(all)
	if err := connect(ctx, all); err != nil {
		return err
	}
	fmt.Fprintf(env.Stderr, "ringwall: %d connections with mutual TLS in %v\n", f.gateways, time.Since(began).Round(time.Millisecond))
	outcome, err := p.send(ctx, env, f, all)
	if err != nil {
		return err
	}
	hangUpAll(all)
	running = false
	if err := p.stop(); err != nil {
		return err
	}
	return proveOnce(ctx, env, dir, all, outcome)
}

// send has all gateways send, and prints what came of it.
func (p *benchPlatform) send(ctx context.Context, env Env, f benchReportsFlags, all []*fleetGateway) ([]sent, error) {
	out := make([]sent, len(all))
	things := make([]made, len(all))
	var total, count, least = 0, 0, 1 << 30
	for i := range all {
		var err error
		if things[i], err = reportsOf(i, 5*f.batch, time.Now()); err != nil {
			return nil, err
		}
		total, count, least = total+things[i].bytes, count+len(things[i].bodies), min(least, things[i].least)
	}
	var measuring atomic.Bool
	var acked atomic.Uint64
	stop := make(chan struct{})
	errs := make(chan error, len(all))
	var wg sync.WaitGroup
	for i, g := range all {
		wg.Go(func() {
			if err := g.report(ctx, f, things[i], &out[i], stop, &measuring, &acked); err != nil {
				errs <- fmt.Errorf("gateway %d: %w", i, err)
			}
		})
	}
	wait := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case err := <-errs:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	at, err := func() (at [2]benchMoment, err error) {
		for i, d := range []time.Duration{f.warm, f.lasts} {
			if err := wait(d); err != nil {
				return at, err
			}
			if at[i], err = p.moment(ctx, &acked); err != nil {
				return at, err
			}
			measuring.Store(i == 0)
		}
		return at, nil
	}()
	close(stop)
	wg.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	if err != nil {
		return nil, err
	}
	var waits []time.Duration
	again := 0
	for i := range out {
		waits = append(waits, out[i].waits...)
		again += out[i].again
	}
	if len(waits) == 0 {
		return nil, ringwall.Errorf(ringwall.Unavailable, "no batch was acknowledged while it was measured")
	}
	slices.Sort(waits)
	took := at[1].when.Sub(at[0].when)
	per := func(n float64) float64 { return n / took.Seconds() }
	records := float64(at[1].acked - at[0].acked)
	w := env.Stdout
	fmt.Fprintf(w, "%d gateways over mutual TLS, batches of %d, reports of %.0f bytes (at least %d), %v\n", len(all), f.batch, float64(total)/float64(count), least, took.Round(time.Millisecond))
	fmt.Fprintf(w, "acknowledged after fsync: %.0f records/s, %.0f batches/s\n", per(records), per(records)/float64(f.batch))
	fmt.Fprintf(w, "fsyncs: %.0f/s, %.0f records each; %.1f MB/s into segments\n", per(at[1].metric("evidence_syncs_total")-at[0].metric("evidence_syncs_total")),
		records/max(1, at[1].metric("evidence_syncs_total")-at[0].metric("evidence_syncs_total")), per(at[1].metric("evidence_bytes")-at[0].metric("evidence_bytes"))/1e6)
	fmt.Fprintf(w, "indexed meanwhile: %.0f reports/s; batches not yet in the index at the end: %.0f\n", per(at[1].metric("evidence_index_rows")-at[0].metric("evidence_index_rows")), at[1].metric("evidence_index_behind_batches"))
	fmt.Fprintf(w, "batch to acknowledgement: median %v, p99 %v, worst %v\n", waits[len(waits)/2].Round(10*time.Microsecond), waits[len(waits)*99/100].Round(10*time.Microsecond), waits[len(waits)-1].Round(10*time.Microsecond))
	theirs, ours := at[1].platform.cpu-at[0].platform.cpu, at[1].bench.cpu-at[0].bench.cpu
	fmt.Fprintf(w, "processors: the platform %.2f, the gateways %.2f of this machine's; %.0f records a second of the platform's time\n", theirs.Seconds()/took.Seconds(), ours.Seconds()/took.Seconds(), records/theirs.Seconds())
	fmt.Fprintf(w, "memory of the platform: %.0f MB, of the gateways %.0f MB\n", float64(at[1].platform.rss)/1e6, float64(at[1].bench.rss)/1e6)
	fmt.Fprintf(w, "sent twice: %d batches\n", again)
	return out, nil
}

// benchMoment is what was known at one moment.
type benchMoment struct {
	when            time.Time
	acked           uint64
	platform, bench burden
	metrics         map[string]float64
}

func (m benchMoment) metric(name string) float64 { return m.metrics["ringwall_"+name] }

func (p *benchPlatform) moment(ctx context.Context, acked *atomic.Uint64) (m benchMoment, err error) {
	if m.metrics, err = p.metrics(ctx); err != nil {
		return m, err
	}
	if m.platform, err = usageOf(p.cmd.Process.Pid); err != nil {
		return m, err
	}
	if m.bench, err = usageOf(os.Getpid()); err != nil {
		return m, err
	}
	m.when, m.acked = time.Now(), acked.Load()
	return m, nil
}

// report sends batch after batch until stop is closed.
func (g *fleetGateway) report(ctx context.Context, f benchReportsFlags, m made, s *sent, stop <-chan struct{}, measuring *atomic.Bool, acked *atomic.Uint64) error {
	subject := api.ReportSubject(g.org, g.id)
	head, err := api.AppendBatch(nil, api.Batch{Epoch: 1})
	if err != nil {
		return err
	}
	head = binary.AppendUvarint(head[:len(head)-1], uint64(f.batch)) // in the place of no records
	var buf []byte
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		buf = append(buf[:0], head...)
		at := n * f.batch % len(m.bodies)
		for i := range f.batch {
			buf = binary.AppendUvarint(buf, s.acked+uint64(i)+1)
			buf = append(buf, m.bodies[(at+i)%len(m.bodies)]...)
		}
		times := 1
		if f.again > 0 && n%f.again == f.again-1 {
			times, s.again = 2, s.again+1
		}
		began := time.Now()
		var ack api.BatchAck
		for range times {
			answer, err := g.conn.Request(ctx, subject, buf)
			if err != nil {
				return err
			}
			if err := json.Unmarshal(answer, &ack); err != nil {
				return err
			}
			if ack.Error != "" || ack.Seq != s.acked+uint64(f.batch) {
				return ringwall.Errorf(ringwall.Conflict, "batch to %d is answered %+v", s.acked+uint64(f.batch), ack)
			}
		}
		if measuring.Load() && times == 1 {
			s.waits = append(s.waits, time.Since(began))
		}
		acked.Add(ack.Seq - s.acked)
		s.acked = ack.Seq
	}
}

// proveOnce reads all segments back: of each gateway every record up to the
// last acknowledged, each once and in order; and as many in the index.
func proveOnce(ctx context.Context, env Env, dir string, all []*fleetGateway, out []sent) error {
	began := time.Now()
	s, err := segment.Open(filepath.Join(dir, "segments"), segment.Config{})
	if err != nil {
		return err
	}
	defer s.Close()
	next := map[ringwall.GatewayID]uint64{}
	var stored uint64
	if _, err := s.Scan(ctx, segment.Cursor{}, func(gw ringwall.GatewayID, _ ringwall.OrgID, r api.Record) error {
		if r.Seq != next[gw]+1 {
			return ringwall.Errorf(ringwall.Conflict, "gateway %s: seq %d is stored after %d", gw, r.Seq, next[gw])
		}
		next[gw] = r.Seq
		stored++
		return nil
	}); err != nil {
		return err
	}
	var acked uint64
	for i, g := range all {
		acked += out[i].acked
		if next[g.id] < out[i].acked {
			return ringwall.Errorf(ringwall.Conflict, "gateway %s: %d were acknowledged, %d are stored", g.id, out[i].acked, next[g.id])
		}
	}
	if _, err := s.FlowPage(ctx, segment.Query{Org: all[0].org, Limit: 1}); err != nil { // brings the index up
		return err
	}
	rows := s.Stats().Rows
	fmt.Fprintf(env.Stdout, "read back in %v: %d records acknowledged, %d stored, each once and in order; %d in the index\n", time.Since(began).Round(time.Millisecond), acked, stored, rows)
	if rows != stored {
		return ringwall.Errorf(ringwall.Conflict, "%d records are stored and %d in the index", stored, rows)
	}
	return nil
}
