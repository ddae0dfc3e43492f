package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/cdrfile"
	"github.com/ringwall/ringwall/internal/broker"
	"github.com/ringwall/ringwall/internal/gtpprime"
	"github.com/ringwall/ringwall/internal/kafka"
	"github.com/ringwall/ringwall/internal/radiusport"
	"github.com/ringwall/ringwall/internal/spine/usagelog"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/inlog"
	"github.com/ringwall/ringwall/internal/usage/quarantine"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/shard"
	"github.com/ringwall/ringwall/internal/usage/spool"
	"github.com/ringwall/ringwall/internal/usagenode"
)

// usageRole are the flags of "ringwall up --role usage".
type usageRole struct {
	node, key, settings, cards, areas, mapping string
	shards, replicas, most                     int
	snapshots                                  string
	listen, cert, certKey, ca                  string
	peers, servers                             []string
	credentials                                string
	spools                                     []string
	marker                                     string
	gtpp, radius, radiusSecret                 string
	allow                                      []string
	brokers                                    []string
	topic, form                                string
	partitions                                 []int32
	adopt, bringOnly, tell                     bool
}

func (r *usageRole) flags(fl *pflag.FlagSet) {
	fl.StringVar(&r.node, "node", "", "usage: name of this machine (default: its host name)")
	fl.IntVar(&r.shards, "shards", 16, "usage: how many shards the cards are divided into; never changes for one log")
	fl.IntVar(&r.replicas, "replicas", 1, "usage: on how many machines everything stands, 1, 3 or 5")
	fl.StringVar(&r.snapshots, "snapshots", "", "usage: directory for snapshots that all machines share (default: in the log's own store)")
	fl.StringVar(&r.listen, "cluster-listen", "", "usage: address for the other machines' logs, such as 10.0.0.1:6222")
	fl.StringSliceVar(&r.peers, "cluster-peer", nil, "usage: address of another machine; repeat")
	fl.StringVar(&r.cert, "cluster-cert", "", "usage: certificate (PEM) that this machine shows the others")
	fl.StringVar(&r.certKey, "cluster-key", "", "usage: its key (PEM)")
	fl.StringVar(&r.ca, "cluster-ca", "", "usage: authority (PEM) of all machines' certificates")
	fl.StringSliceVar(&r.servers, "usage-log", nil, "usage: addresses of a NATS cluster of your own, such as tls://nats-1:4222, instead of servers in these machines")
	fl.StringVar(&r.credentials, "usage-log-credentials", "", "usage: its credentials file")
	fl.StringVar(&r.key, "usage-key", "", "usage: file with the secret that all machines share, at least 16 bytes")
	fl.StringVar(&r.settings, "settings", "", "usage: what cards are judged by, JSON, as of ringwall usage --settings; put into the log at the start")
	fl.StringVar(&r.cards, "cards", "", "usage: the cards and their allowed uses, CSV; put into the log at the start")
	fl.BoolVar(&r.adopt, "adopt", false, "usage: judge cards that nobody announced by what they were first seen to do")
	fl.IntVar(&r.most, "max-cards", 0, "usage: how many cards a shard has room for, 64 bytes each (default: as many as there are)")
	fl.StringVar(&r.areas, "areas", "", "usage: areas and cells with places and risks, CSV or JSON; the same on all machines")
	fl.StringVar(&r.mapping, "mapping", "", "records: how other systems' CSV differs, JSON")
	fl.StringSliceVar(&r.spools, "spool", nil, "records: directory into which files of usage records are put; repeat")
	fl.StringVar(&r.marker, "spool-marker", "", "records: a file is complete when one of its name and this ending is there, such as .done (default: when it rests)")
	fl.StringVar(&r.gtpp, "gtpp-listen", "", "records: address for GTP' from network elements, UDP and TCP")
	fl.StringSliceVar(&r.allow, "allow", nil, "records: networks of those who may send by GTP' and RADIUS; repeat")
	fl.StringVar(&r.radius, "radius-listen", "", "records: UDP address for RADIUS accounting")
	fl.StringVar(&r.radiusSecret, "radius-secret-file", "", "records: file with its secret")
	fl.StringSliceVar(&r.brokers, "kafka", nil, "records: addresses of Kafka brokers; repeat")
	fl.StringVar(&r.topic, "kafka-topic", "", "records: the topic with usage records")
	fl.StringVar(&r.form, "kafka-form", kafka.CSV, `records: what its messages hold: "csv", "ber" or "batch"`)
	fl.Int32SliceVar(&r.partitions, "kafka-partition", nil, "records: its partitions that this machine brings; each to one machine")
	fl.BoolVar(&r.tell, "tell", false, "usage: write every alert of all machines to standard output, one JSON object a line; whoever reads tells by their ids what comes twice")
	fl.BoolVar(&r.bringOnly, "bring-only", false, "usage: bring records and hold a part of the log, but judge none")
}

// usageMachine is a machine of the role while it is being put together.
type usageMachine struct {
	env     Env
	r       usageRole
	log     *slog.Logger
	dir     string
	secret  []byte
	keys    *cdr.Keys
	mapping cdr.Mapping
	noteBad func(cdr.Bad) // keeps a record that could not be read
	close   []func() error
	serve   []func(context.Context) error
}

// runUsageRole runs this machine until ctx ends.
func runUsageRole(ctx context.Context, env Env, f upFlags) error {
	m := &usageMachine{env: env, r: f.machine, dir: f.data, log: slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: logLevel(f.verbose)}))}
	if m.dir == "" {
		m.dir = defaultData
	}
	return m.run(ctx, func(*usagenode.Config) {})
}

// run runs a machine until ctx ends, as change would have it.
func (m *usageMachine) run(ctx context.Context, change func(*usagenode.Config)) (err error) {
	defer func() {
		for _, c := range m.close {
			err = errors.Join(err, c())
		}
	}()
	cfg, err := m.config()
	if err != nil {
		return err
	}
	change(&cfg)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	failed := make(chan error, len(m.serve))
	for _, s := range m.serve {
		wg.Go(func() {
			if err := s(ctx); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	err = usagenode.Run(ctx, cfg)
	select {
	case e := <-failed:
		err = errors.Join(err, e)
	default:
	}
	return err
}

// logLevel is what is logged.
func logLevel(verbose bool) slog.Level {
	if verbose {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func (m *usageMachine) config() (c usagenode.Config, err error) {
	r := &m.r
	if r.key == "" {
		return c, usagef("--role usage needs --usage-key, a file with a secret that all machines share")
	}
	if m.secret, err = readKey(r.key); err != nil {
		return c, err
	}
	m.keys = usage.KeysOf(m.secret)
	if r.node == "" {
		if r.node, err = hostName(); err != nil {
			return c, err
		}
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return c, ringwall.Errorf(ringwall.Unavailable, "making the data directory: %w", err)
	}
	bad, err := quarantine.Open(filepath.Join(m.dir, "quarantine.jsonl"), quarantine.Config{Now: m.env.Now})
	if err != nil {
		return c, err
	}
	m.close = append(m.close, bad.Close)
	m.noteBad = func(b cdr.Bad) { bad.Add("", "", b) }
	c = usagenode.Config{
		Name: r.node, Dir: m.dir, Servers: r.servers, Credentials: r.credentials, Shards: r.shards, Replicas: r.replicas, Snapshots: r.snapshots,
		Judge: !r.bringOnly, Now: m.env.Now, Log: m.log,
	}
	if err := m.cluster(&c); err != nil {
		return c, err
	}
	if m.mapping, err = r.readMapping(); err != nil {
		return c, err
	}
	if c.Machine, err = m.judge(); err != nil {
		return c, err
	}
	if c.Sources, err = m.sources(); err != nil {
		return c, err
	}
	if r.tell {
		out := json.NewEncoder(m.env.Stdout)
		c.Consumer, c.Tell = "tell-"+hex.EncodeToString([]byte(r.node)), func(a ringwall.Alert) error { return out.Encode(a) }
	}
	said, err := m.said()
	if err != nil {
		return c, err
	}
	c.Ready = func(log *usagelog.Cluster) {
		m.log.Info("usage log reached", "shards", r.shards, "replicas", r.replicas)
		m.say(log, said)
	}
	return c, nil
}

// readMapping is how other systems' CSV differs.
func (r *usageRole) readMapping() (m cdr.Mapping, err error) {
	if r.mapping == "" {
		return m, nil
	}
	text, err := os.ReadFile(r.mapping)
	if err != nil {
		return m, openError(r.mapping, err)
	}
	return cdr.ParseMapping(text)
}

// cluster sets how this machine finds the others.
func (m *usageMachine) cluster(c *usagenode.Config) error {
	r := &m.r
	if r.listen == "" && r.ca == "" && len(r.peers) == 0 {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(r.cert, r.certKey)
	if err != nil {
		return ringwall.Errorf(ringwall.Invalid, "--cluster-cert and --cluster-key: %w", err)
	}
	pem, err := os.ReadFile(r.ca)
	if err != nil {
		return ringwall.Errorf(ringwall.Invalid, "--cluster-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return ringwall.Errorf(ringwall.Invalid, "--cluster-ca: %q holds no certificate", r.ca)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool}
	if len(r.servers) > 0 {
		c.TLS = conf
		return nil
	}
	c.Cluster = &broker.Cluster{Name: r.node, Listen: r.listen, Peers: r.peers, TLS: conf}
	return nil
}

// judge is what shards are judged with.
func (m *usageMachine) judge() (func(int) shard.Machine, error) {
	var areas *rules.Areas
	if m.r.areas != "" {
		f, err := openInput(m.r.areas)
		if err != nil {
			return nil, err
		}
		defer f.Close() // it was only read
		if areas, err = rules.ReadAreas(f, m.keys); err != nil {
			return nil, fmt.Errorf("%s: %w", m.r.areas, err)
		}
	}
	return func(n int) shard.Machine {
		return shard.NewEngine(shard.EngineConfig{
			Usage: usage.Config{Key: m.secret, Keys: m.keys, Areas: areas, Adopt: m.r.adopt, MaxCards: m.r.most, NoTotals: true, Now: m.env.Now},
			Shard: n, Shards: m.r.shards,
		})
	}, nil
}

// said are the entries that tell every shard of settings and cards.
func (m *usageMachine) said() (all []shard.Entry, err error) {
	u := &usageRun{env: m.env, secret: m.secret, keys: m.keys}
	if m.r.settings != "" {
		book, err := u.readBook(m.r.settings)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := book.Encode(&b); err != nil {
			return nil, err
		}
		all = append(all, shard.Entry{Kind: shard.Settings, Payload: b.Bytes()})
	}
	if m.r.cards == "" {
		return all, nil
	}
	f, err := openInput(m.r.cards)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	cards, err := usage.ReadCards(f, m.secret)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.r.cards, err)
	}
	for _, c := range shard.Declare(cards) {
		b, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		all = append(all, shard.Entry{Kind: shard.Cards, Payload: b})
	}
	return all, nil
}

// say puts what is said into the log, of every shard what is its own.
func (m *usageMachine) say(log *usagelog.Cluster, all []shard.Entry) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for s := range m.r.shards {
		for _, e := range all {
			e, any := shard.Own(e, s, m.r.shards)
			if !any {
				continue
			}
			if _, err := log.Append(ctx, s, e.Append(nil)); err != nil {
				m.log.Error("settings and cards are not all in the log; start again", "shard", s, "err", err)
				return
			}
		}
	}
}

// sources are what this machine brings.
func (m *usageMachine) sources() (all []usagenode.Source, err error) {
	for _, dir := range m.r.spools {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		state, done := filepath.Join(m.dir, "spool", ringwall.DeriveID("spool", abs)), filepath.Join(abs, "done")
		if err := os.MkdirAll(done, 0o700); err != nil {
			return nil, ringwall.Errorf(ringwall.Unavailable, "making the directory for files that were read: %w", err)
		}
		all = append(all, usagenode.Source{Name: m.r.node + ":" + abs, Open: func(from []byte) (cdr.Source, error) {
			return spool.NewDir(spool.DirConfig{
				Dir: abs, State: state, Marker: m.r.marker, Done: done, From: from, Now: m.env.Now,
				File:  cdrfile.Config{Keys: m.keys, Mapping: m.mapping, Bad: m.noteBad},
				Event: func(e spool.Event) { m.log.Info("spool", "what", e.What, "file", e.Entry.Name, "err", e.Err) },
			})
		}})
	}
	if len(m.r.brokers) > 0 {
		if m.r.topic == "" || len(m.r.partitions) == 0 {
			return nil, usagef("--kafka needs --kafka-topic and the partitions that this machine brings, --kafka-partition")
		}
		// A source gives the same records in the same order: several partitions of one
		// would come as they are fetched.
		for _, p := range m.r.partitions {
			all = append(all, m.partition(fmt.Sprintf("kafka:%s:%d", m.r.topic, p), p))
		}
	}
	if m.r.gtpp == "" && m.r.radius == "" {
		return all, nil
	}
	in, err := inlog.Open(filepath.Join(m.dir, "received"), inlog.Config{})
	if err != nil {
		return nil, err
	}
	m.close = append(m.close, in.Close)
	if err := m.servers(in); err != nil {
		return nil, err
	}
	return append(all, usagenode.Source{Name: m.r.node + ":received", Open: func(from []byte) (cdr.Source, error) {
		s, err := in.Source(inlog.SourceConfig{Keys: m.keys, From: from, Bad: m.noteBad})
		return received{s, in}, err
	}}), nil
}

// partition is a partition of the topic.
func (m *usageMachine) partition(name string, p int32) usagenode.Source {
	return usagenode.Source{Name: name, Open: func(from []byte) (cdr.Source, error) {
		return kafka.New(kafka.Config{
			Server: kafka.Server{Brokers: m.r.brokers}, Topic: m.r.topic, Keys: m.keys, Form: m.r.form, Mapping: m.mapping, From: from, Partitions: []int32{p},
			Bad: m.noteBad, Trouble: func(err error) { m.log.Warn("kafka", "err", err) },
		})
	}}
}

// received is what servers received; what is durable in the shards' logs is
// forgotten here.
type received struct {
	*inlog.Source
	log *inlog.Log
}

// Commit implements shard.Committer.
func (r received) Commit(position []byte) error { return r.log.Commit(position) }

// servers opens the doors for network elements.
func (m *usageMachine) servers(in *inlog.Log) error {
	var allow []netip.Prefix
	for _, a := range m.r.allow {
		p, err := netip.ParsePrefix(a)
		if err != nil {
			return usagef("--allow %q is no network such as 10.1.0.0/16", a)
		}
		allow = append(allow, p)
	}
	if len(allow) == 0 {
		return usagef("--gtpp-listen and --radius-listen need --allow: the networks of those who may send")
	}
	udp := func(addr string) (*net.UDPConn, error) {
		a, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return nil, usagef("%q is no address: %v", addr, err)
		}
		return net.ListenUDP("udp", a)
	}
	if m.r.gtpp != "" {
		u, err := udp(m.r.gtpp)
		if err != nil {
			return err
		}
		t, err := net.Listen("tcp", m.r.gtpp)
		if err != nil {
			return ringwall.Errorf(ringwall.Unavailable, "listening on %q: %w", m.r.gtpp, err)
		}
		s, err := gtpprime.New(gtpprime.Config{UDP: u, TCP: t, Sink: in, State: filepath.Join(m.dir, "gtpp"), Allow: allow, Log: m.log})
		if err != nil {
			return err
		}
		m.close = append(m.close, s.Close)
		m.serve = append(m.serve, s.Serve)
	}
	if m.r.radius != "" {
		u, err := udp(m.r.radius)
		if err != nil {
			return err
		}
		secret, err := os.ReadFile(m.r.radiusSecret)
		if err != nil {
			return ringwall.Errorf(ringwall.Invalid, "--radius-secret-file: %w", err)
		}
		var clients []radiusport.Client
		for _, p := range allow {
			clients = append(clients, radiusport.Client{Network: p, Secret: bytes.TrimSpace(secret)})
		}
		s := radiusport.New(radiusport.Config{UDP: u, Clients: clients, Sink: in, Keys: m.keys, Bad: m.noteBad, Now: m.env.Now, Log: m.log})
		m.serve = append(m.serve, s.Serve)
	}
	return nil
}
