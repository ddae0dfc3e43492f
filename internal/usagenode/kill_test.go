package usagenode_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
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
	"github.com/ringwall/ringwall/internal/usage/shard"
	"github.com/ringwall/ringwall/internal/usage/shard/shardtest"
	"github.com/ringwall/ringwall/internal/usagenode"
)

// child is what a machine of the test is told.
type child struct {
	Name        string
	Dir         string
	Listen      string
	Peers       []string
	Certificate []byte
	Key         []byte // PKCS #8
	Records     int
}

const (
	childEnv = "RINGWALL_TEST_USAGE_MACHINE"
	shards   = 6
	cards    = 211
	blocks   = 10_000 // cards stand in blocks of their own, so that all shards have some
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

// counted is a Tally of usage records.
type counted struct {
	*shardtest.Tally
	seg shard.Segments
}

func newCounted(s int) shard.Machine {
	return &counted{Tally: shardtest.NewTally(shards)(s).(*shardtest.Tally)}
}

func (m *counted) Apply(e *shard.Entry, after uint64, out *shard.Output) error {
	if e.Kind != shard.Records {
		return m.Tally.Apply(e, after, out)
	}
	m.seg.Reset(e.Payload)
	var uses []uint64
	for {
		b, err := m.seg.Next(after)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		for i := range b.Events {
			uses = append(uses, 1, b.Events[i].Card)
		}
	}
	return m.Tally.Apply(&shard.Entry{Kind: shard.Records, Payload: shardtest.Uses(uses...)}, 0, out)
}

// uses is a source of one machine: so many records, a batch now and then.
type uses struct {
	name string
	n    int
	at   int
	keys *cdr.Keys
}

func card(name string, i int) uint64 {
	return 1_460_000_000_000_000 + uint64((i*i+len(name)+int(name[len(name)-1])*i)%cards)*blocks
}

func (s *uses) Next(ctx context.Context, b *cdr.Batch) error {
	b.Reset()
	if s.at >= s.n {
		return io.EOF
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Millisecond):
	}
	for end := min(s.n, s.at+20); s.at < end; s.at++ {
		b.Events = append(b.Events, cdr.Event{Card: card(s.name, s.at), Sec: 1_780_000_000 + uint32(s.at), Use: cdr.NewUse(cdr.Data, 0, 1, 0)})
		b.Lines = append(b.Lines, uint64(s.at)+1)
	}
	return nil
}

func (s *uses) Position() []byte { return strconv.AppendInt(nil, int64(s.at), 10) }

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
	n := usagenode.Config{
		Name: c.Name, Dir: c.Dir, Shards: shards, Replicas: 3, LogBytes: 64 << 20, Every: 300 * time.Millisecond,
		Cluster: &broker.Cluster{Name: c.Name, Listen: c.Listen, Peers: c.Peers, TLS: conf},
		Judge:   true, Machine: newCounted, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if c.Records > 0 {
		n.Sources = []usagenode.Source{{Name: c.Name, Open: func(p []byte) (cdr.Source, error) {
			s := &uses{name: c.Name, n: c.Records, keys: cdr.NewKeys([32]byte{1})}
			if len(p) > 0 {
				if s.at, err = strconv.Atoi(string(p)); err != nil {
					return nil, err
				}
			}
			return s, nil
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
const kills = 5

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
	records := 3_000 + n*150
	dir := t.TempDir()
	cert, key := authority(t)
	addrs := ports(t, 4)
	files := make([]string, 3)
	want := map[uint64]uint64{}
	for i := range files {
		c := child{Name: fmt.Sprint("m", i), Dir: filepath.Join(dir, fmt.Sprint("m", i)), Listen: addrs[i], Peers: addrs, Certificate: cert, Key: key, Records: records}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = filepath.Join(dir, c.Name+".json")
		if err := os.WriteFile(files[i], b, 0o600); err != nil {
			t.Fatal(err)
		}
		for r := range records {
			want[card(c.Name, r)]++
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
	for i := range procs {
		up(i)
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

	// All is taken when the snapshots say so; each machine writes them down.
	deadline := time.Now().Add(90 * time.Second)
	for {
		got, told, err := known(ctx, log)
		if err == nil && same(got, want) && heard(told, want) {
			said, err := alerts(ctx, log, want)
			if err != nil {
				t.Fatal(err)
			}
			for id, n := range said {
				if n > 1 {
					t.Errorf("alert %s was handed out %d times", id, n)
				}
			}
			for c, uses := range want {
				for u := uint64(10); u <= uses; u += 10 {
					id := ringwall.AlertID(fmt.Sprintf("alr_%d_%d", c, u))
					if said[id] == 0 {
						t.Errorf("alert %s was never said", id)
					}
					delete(said, id)
				}
			}
			if len(said) > 0 {
				t.Errorf("%d alerts that follow from no record", len(said))
			}
			break
		}
		if time.Now().After(deadline) {
			status, serr := log.Status(ctx)
			for _, s := range status {
				t.Logf("%+v", s)
			}
			t.Log(serr)
			lost, again := 0, 0
			for c, n := range want {
				lost += int(max(n, got[c]) - got[c])
				again += int(max(n, got[c]) - n)
			}
			t.Fatalf("after %d kills %d records are lost and %d taken twice; shards were told of %d things (%v)", n, lost, again, len(told), err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func same(a, b map[uint64]uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// heard reports whether shards were told of every tenth use.
func heard(told map[uint64]bool, want map[uint64]uint64) bool {
	for c, uses := range want {
		for u := uint64(10); u <= uses; u += 10 {
			if !told[c<<16|u] {
				return false
			}
		}
	}
	return true
}

// known reads what the newest snapshots say.
func known(ctx context.Context, log *usagelog.Cluster) (cards map[uint64]uint64, told map[uint64]bool, err error) {
	cards, told = map[uint64]uint64{}, map[uint64]bool{}
	for s := range shards {
		m := shardtest.NewTally(shards)(s).(*shardtest.Tally)
		err := log.Get(ctx, s, func(_ uint64, r io.Reader) error { _, err := m.Restore(r); return err })
		if err != nil && ringwall.CodeOf(err) != ringwall.NotFound {
			return cards, told, err
		}
		for c, n := range m.Cards {
			cards[c] = n
		}
		for c := range m.Told {
			told[c] = true
		}
	}
	return cards, told, nil
}

// alerts consumes all that was said.
func alerts(ctx context.Context, log *usagelog.Cluster, want map[uint64]uint64) (map[ringwall.AlertID]int, error) {
	total := 0
	for _, n := range want {
		total += int(n / 10)
	}
	said := map[ringwall.AlertID]int{}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := log.Consume(ctx, "test", func(a ringwall.Alert) error {
		said[a.ID]++
		if len(said) >= total {
			time.AfterFunc(300*time.Millisecond, cancel) // whatever comes after is too much
		}
		return nil
	})
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return said, err
}

