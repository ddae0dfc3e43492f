package usagenode_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/broker"
	"github.com/ringwall/ringwall/internal/spine/usagelog"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/gen"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/shard"
	"github.com/ringwall/ringwall/internal/usagenode"
)

// child is what a machine of the test is told.
type child struct {
	Name        string
	Dir         string
	Listen      string
	Peers       []string
	Certificate []byte
	Key         []byte        // PKCS #8
	Go          string        // records come once this file is there
	Part        int           // of the records
	Pause       time.Duration // between two pieces; 0 = it brings none
}

const (
	childEnv = "RINGWALL_TEST_USAGE_MACHINE"
	shards   = 6
)

func TestMain(m *testing.M) {
	if file := os.Getenv(childEnv); file != "" {
		if err := machine(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// world is a small fleet with misuse in it, cut in three by cards.
type world struct {
	*gen.World
	key   []byte
	keys  *cdr.Keys
	areas *rules.Areas
}

func newWorld() (*world, error) {
	w := &world{key: []byte("a key that all machines share...")}
	w.keys = usage.KeysOf(w.key)
	var err error
	if w.World, err = gen.New(gen.Config{Seed: 7, Cards: 600, Days: 5, Start: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), Plain: true, Keys: w.keys}); err != nil {
		return nil, err
	}
	w.areas, err = rules.NewAreas(w.Places(), w.keys)
	return w, err
}

func (w *world) machine(n, of int) *shard.Engine {
	return shard.NewEngine(shard.EngineConfig{
		Usage: usage.Config{Key: w.key, Keys: w.keys, Areas: w.areas, Duplicates: 1 << 14}, Shard: n, Shards: of,
	})
}

// said are the entries of every shard that say what the operator knows.
func (w *world) said() (all []shard.Entry, err error) {
	spec := w.Book()
	spec.Version = 1
	book, err := rules.NewBook(spec, w.keys)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := book.Encode(&b); err != nil {
		return nil, err
	}
	var c shard.Control
	for _, cu := range w.Customers() {
		c.Ranges = append(c.Ranges, shard.ControlRange{First: strconv.FormatUint(w.FirstNumber(cu), 10)[1:], N: cu.Cards, Settings: cu.Settings()})
	}
	cards, err := json.Marshal(c)
	return []shard.Entry{{Kind: shard.Settings, Payload: b.Bytes()}, {Kind: shard.Cards, Payload: cards}}, err
}

// slow is one third of the world's records, a few at a time.
type slow struct {
	all   []cdr.Event
	recs  []cdr.Record
	at    int
	from  int
	pause time.Duration
}

func newSlow(w *world, n int, pause time.Duration, position []byte) (*slow, error) {
	s := &slow{pause: pause}
	src := w.Source()
	var b cdr.Batch
	for {
		err := src.Next(context.Background(), &b)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		for i := range b.Events {
			if int(b.Events[i].Card%3) != n {
				continue
			}
			var r cdr.Record
			if err := b.Record(i, &r); err != nil {
				return nil, err
			}
			s.all, s.recs = append(s.all, b.Events[i]), append(s.recs, r)
		}
	}
	if len(position) == 0 {
		return s, nil
	}
	var err error
	s.at, err = strconv.Atoi(string(position))
	return s, err
}

func (s *slow) Next(ctx context.Context, b *cdr.Batch) error {
	b.Reset()
	if s.at >= len(s.all) {
		return io.EOF
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.pause):
	}
	s.from = s.at
	for end := min(len(s.all), s.at+pieces); s.at < end; s.at++ {
		b.Events, b.Lines = append(b.Events, s.all[s.at]), append(b.Lines, uint64(s.at)+1)
	}
	b.Detail = s
	return nil
}

func (s *slow) Record(i int, r *cdr.Record) error { *r = s.recs[s.from+i]; return nil }
func (s *slow) Position() []byte                  { return strconv.AppendInt(nil, int64(s.at), 10) }

// pieces is how many records of a source come at once.
const pieces = 20

func (c child) tls() (*tls.Config, error) {
	key, err := x509.ParsePKCS8PrivateKey(c.Key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(c.Certificate)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{c.Certificate}, PrivateKey: key}}, RootCAs: pool, ClientCAs: pool}, nil
}

func (c child) config() (usagenode.Config, error) {
	conf, err := c.tls()
	if err != nil {
		return usagenode.Config{}, err
	}
	w, err := newWorld()
	if err != nil {
		return usagenode.Config{}, err
	}
	n := usagenode.Config{
		Name: c.Name, Dir: c.Dir, Shards: shards, Replicas: 3, LogBytes: 64 << 20, Every: 300 * time.Millisecond,
		Cluster: &broker.Cluster{Name: c.Name, Listen: c.Listen, Peers: c.Peers, TLS: conf},
		Judge:   true, Machine: func(n int) shard.Machine { return w.machine(n, shards) }, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if c.Pause > 0 {
		n.Sources = []usagenode.Source{{Name: c.Name, Open: func(p []byte) (cdr.Source, error) {
			if _, err := os.Stat(c.Go); err != nil {
				return nil, err // the books come first
			}
			return newSlow(w, c.Part, c.Pause, p)
		}}}
	}
	return n, nil
}

// machine is the process of one machine.
func machine(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c child
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	n, err := c.config()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return usagenode.Run(ctx, n)
}

// authority makes the one certificate that all machines of a test show.
func authority(t *testing.T) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cluster"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if cert, err = x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k); err != nil {
		t.Fatal(err)
	}
	if key, err = x509.MarshalPKCS8PrivateKey(k); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func ports(t *testing.T, n int) (all []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all
}

// kills is how often a machine is killed; RINGWALL_KILLS sets it.
const kills = 3

// TestRun_killedMachinesLoseAndRepeatNothing runs three machines, each a process
// that serves a third of the log, feeds it and judges, and kills one after the
// other with SIGKILL at random moments. A fourth, which only serves, looks on.
func TestRun_killedMachinesLoseAndRepeatNothing(t *testing.T) {
	n := kills
	if s := os.Getenv("RINGWALL_KILLS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		t.Skip("SKIPPED: kills of machines are not part of short runs")
	}
	w, err := newWorld()
	if err != nil {
		t.Fatal(err)
	}
	said, err := w.said()
	if err != nil {
		t.Fatal(err)
	}
	want, one, records := undisturbed(t, w, said)
	defer one.Usage().Close()
	// The records last as long as the kills: a machine brings none while it starts.
	pause := time.Duration(n+4) * 350 * time.Millisecond / time.Duration(records/3/pieces)
	dir := t.TempDir()
	cert, key := authority(t)
	addrs := ports(t, 4)
	files := make([]string, 3)
	for i := range files {
		c := child{Name: fmt.Sprint("m", i), Dir: filepath.Join(dir, fmt.Sprint("m", i)), Listen: addrs[i], Peers: addrs, Certificate: cert, Key: key, Part: i, Pause: pause, Go: filepath.Join(dir, "go")}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = filepath.Join(dir, c.Name+".json")
		if err := os.WriteFile(files[i], b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	procs := make([]*exec.Cmd, 3)
	up := func(i int) {
		t.Helper()
		out, err := os.OpenFile(files[i]+".log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		p := exec.Command(os.Args[0])
		p.Env = append(os.Environ(), childEnv+"="+files[i])
		p.Stderr, p.Stdout = out, out
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		procs[i] = p
	}
	defer func() {
		for i, p := range procs {
			_ = p.Process.Kill()
			_ = p.Wait()
			if t.Failed() {
				b, _ := os.ReadFile(files[i] + ".log")
				t.Logf("machine %d:\n%s", i, b[max(0, len(b)-6000):])
			}
		}
	}()

	for i := range procs {
		up(i)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	onlooker := child{Name: "m3", Dir: filepath.Join(dir, "m3"), Listen: addrs[3], Peers: addrs, Certificate: cert, Key: key}
	conf, err := onlooker.config()
	if err != nil {
		t.Fatal(err)
	}
	reached := make(chan *usagelog.Cluster, 1)
	conf.Judge, conf.Ready = false, func(c *usagelog.Cluster) { reached <- c; <-ctx.Done() }
	ended := make(chan error, 1)
	go func() { ended <- usagenode.Run(ctx, conf) }()
	var log *usagelog.Cluster
	select {
	case log = <-reached:
	case err := <-ended:
		t.Fatal(err)
	case <-time.After(60 * time.Second):
		t.Fatal("the machines do not find each other")
	}

	for _, e := range said {
		for s := range shards {
			if _, err := log.Append(ctx, s, e.Append(nil)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := mrand.New(mrand.NewPCG(seed, 1))
	for k := range n {
		time.Sleep(time.Duration(100+rng.IntN(900)) * time.Millisecond)
		i := k % 3
		if rng.IntN(4) == 0 { // frozen for longer than its leases live, it thinks it owns what it does not
			_ = procs[i].Process.Signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
			_ = procs[i].Process.Signal(syscall.SIGCONT)
		}
		if err := procs[i].Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = procs[i].Wait()
		up(i)
	}

	// All is judged when the sources are at their ends and snapshots cover the logs.
	t.Logf("%d kills", n)
	deadline, least := time.Now().Add(120*time.Second), records
	for left := records; left > 0; time.Sleep(200 * time.Millisecond) {
		if left, err = unread(ctx, log, w); err == nil && left == 0 {
			if left, err = uncovered(ctx, log); err == nil && left == 0 {
				break
			}
		}
		if left = max(left, 1); err == nil && left < least { // they get on
			deadline, least = time.Now().Add(120*time.Second), left
		}
		if time.Now().After(deadline) {
			status, _ := log.Status(ctx)
			for _, s := range status {
				t.Logf("%+v", s)
			}
			t.Fatalf("after %d kills the machines do not come to an end: %d are left (%v)", n, left, err)
		}
	}
	told, err := alerts(ctx, log, len(want))
	if err != nil {
		t.Fatal(err)
	}
	for id, a := range want {
		g, ok := told[id]
		if !ok {
			t.Errorf("never said: %s of %s (%s)", a.Rule, a.Subject.ID, a.Time)
		} else if a.Rule != rules.Box && (!g.Time.Equal(a.Time) || g.Subject != a.Subject || fmt.Sprint(g.Evidence.Facts) != fmt.Sprint(a.Evidence.Facts)) {
			t.Errorf("undisturbed: %+v\nhere: %+v", a, g)
		}
		delete(told, id)
	}
	for _, a := range told {
		t.Errorf("said of no record: %s of %s (%s)", a.Rule, a.Subject.ID, a.Time)
	}
	known := map[uint64]string{}
	for s := range shards {
		m := w.machine(s, shards)
		if err := log.Get(ctx, s, func(_ uint64, r io.Reader) error { _, err := m.Restore(r); return err }); err != nil {
			t.Fatal(err)
		}
		m.Usage().Sweep(func(l *rules.Line, _ *rules.Side) bool {
			v, _ := m.Usage().View(l.Card)
			known[l.Card] = fmt.Sprint(v)
			return true
		})
		m.Usage().Close()
	}
	cards := 0
	one.Usage().Sweep(func(l *rules.Line, _ *rules.Side) bool {
		cards++
		if v, _ := one.Usage().View(l.Card); fmt.Sprint(v) != known[l.Card] {
			t.Errorf("of a card is known, undisturbed:\n%+v\nhere:\n%s", v, known[l.Card])
		}
		return !t.Failed()
	})
	t.Logf("%d records of %d cards, %d alerts, %d kills", records, cards, len(want), n)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// undisturbed is what one engine says and knows that nobody kills.
func undisturbed(t *testing.T, w *world, said []shard.Entry) (map[ringwall.AlertID]ringwall.Alert, *shard.Engine, int) {
	t.Helper()
	one := w.machine(0, 1)
	var out shard.Output
	for _, e := range said {
		if err := one.Apply(&e, 0, &out); err != nil {
			t.Fatal(err)
		}
	}
	cut, err := shard.NewCut(t.Context(), 5, 1, nil, func([]byte) (cdr.Source, error) { return w.Source(), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Close()
	records := 0
	for {
		pieces, err := cut.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pieces {
			records = int(p.Last)
			if err := one.Apply(&shard.Entry{Kind: shard.Records, Payload: p.Payload}, 0, &out); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := map[ringwall.AlertID]ringwall.Alert{}
	for _, a := range out.Alerts {
		want[a.ID] = a
	}
	return want, one, records
}

// unread is how many records the sources have not put into the logs.
func unread(ctx context.Context, log *usagelog.Cluster, w *world) (left int, err error) {
	for i := range 3 {
		s, err := newSlow(w, i, 0, nil)
		if err != nil {
			return 0, err
		}
		place, err := log.Place(ctx, usagenode.SourceID(fmt.Sprint("m", i)))
		if err != nil {
			return 0, err
		}
		n, _ := binary.Uvarint(place)
		left += len(s.all) - int(n)
	}
	return left, nil
}

// uncovered is how many entries no snapshot covers.
func uncovered(ctx context.Context, log *usagelog.Cluster) (left int, err error) {
	all, err := log.Status(ctx)
	for _, s := range all {
		left += int(s.Last - s.Covered)
	}
	return left, err
}

// alerts consumes all that was said, each once.
func alerts(ctx context.Context, log *usagelog.Cluster, total int) (map[ringwall.AlertID]ringwall.Alert, error) {
	told := map[ringwall.AlertID]ringwall.Alert{}
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	err := log.Consume(ctx, "test", func(a ringwall.Alert) error {
		told[a.ID] = a
		if len(told) >= total {
			time.AfterFunc(300*time.Millisecond, cancel) // whatever comes after is too much
		}
		return nil
	})
	return told, err
}
