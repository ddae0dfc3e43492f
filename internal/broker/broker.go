// Package broker is the spine's server inside this process: NATS with
// JetStream that syncs every write before it acknowledges it (its default of
// two minutes loses acknowledged data).
//
// It listens with TLS alone, before a word is spoken, and takes only clients
// whose certificate the authority signed. What a client may publish and hear
// follows from its certificate through Config.Verify, and from nothing that
// the client says. GatewayGrant is what a gateway may: its own reports and
// questions, its own answers and pokes. A connection ends with its
// certificate. The platform itself connects inside the process, with a secret
// that is drawn at the start and never leaves the process.
//
// Nothing that a client does is unbounded: messages, subscriptions, what waits
// to be written, the number of connections and the disk have limits.
//
// Broker owns the server's goroutines and its directory; Close ends them.
package broker

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/spine"
)

const (
	// MaxPayload is the largest message. A batch stays below api.MaxBatchBytes;
	// the room is for the desired state of a gateway with a thousand devices.
	MaxPayload = 8 << 20

	defaultConnections = 50_000   // at some 60 kB each (measured, enforce.md section 3.8)
	maxPending         = 32 << 20 // three of the largest messages
	maxSubscriptions   = 256
	maxStore           = 4 << 30
	maxMemory          = 64 << 20
	authTime           = 10 // seconds for TLS and for the client's first word, its turn included
	// handshakes is how many TLS handshakes go on at once. The others wait: when ten
	// thousand come together and all are worked on, each takes so long that none
	// is done in time. So many let clients a quarter of a second away come in at
	// a thousand a second.
	handshakes = 256
	// turnTime is the longest turn: those who begin handshakes to hold all turns
	// must begin hundreds a second, and still keep nobody out.
	turnTime = time.Second
	// turnWait is how long a turn is waited for. Whoever got one after most of his
	// time is over would only waste it; he tries again a little later instead.
	turnWait  = 3 * time.Second
	writeTime = 10 * time.Second
	pingEvery = 30 * time.Second
	startTime = 20 * time.Second
)

// Grant is what a client may do.
type Grant struct {
	Name      string   // shows in logs
	Publish   []string // subjects, wildcards allowed
	Subscribe []string
}

// GatewayGrant returns what a gateway may do: nothing but speak for itself.
func GatewayGrant(org ringwall.OrgID, gw ringwall.GatewayID) Grant {
	return Grant{
		Name:      string(gw),
		Publish:   []string{api.ReportSubject(org, gw), api.DesiredSubject(org, gw)},
		Subscribe: []string{api.PokeSubject(org, gw), spine.Inbox(string(gw)) + ".>"},
	}
}

// Config of a Broker.
type Config struct {
	Dir string // of the streams
	// Listen is the address for gateways, "host:port"; port 0 takes a free one.
	// "" = nobody outside this process.
	Listen string
	// TLS holds the server's certificate and, in ClientCAs, the authority of the
	// clients'. It is needed with Listen.
	TLS *tls.Config
	// Verify says what the holder of a certificate may do; an error refuses it.
	// The certificate's chain and dates have been checked. It is called for each
	// connection, and must not block for long.
	Verify func(*x509.Certificate) (Grant, error)
	// Store bounds the disk of all streams, bytes; 0 = 4 GiB.
	Store int64
	// Cluster makes this server one of several that hold streams together; nil = it
	// is alone.
	Cluster *Cluster
	// MaxConnections is the most clients at once; 0 = 50,000.
	MaxConnections int
	Log            *slog.Logger // nil = silent
}

// Cluster says how servers find and trust each other.
type Cluster struct {
	// Name of this server, unique in the cluster and the same after a restart.
	Name string
	// Listen is the address for the other servers, "host:port".
	Listen string
	// Peers are the addresses of the others; this server's own may be among them.
	Peers []string
	// TLS holds this server's certificate, which is shown and asked for on both
	// sides, and in RootCAs and ClientCAs the authority of the others'.
	TLS *tls.Config
}

// Broker is a running server.
type Broker struct {
	s     *server.Server
	token string
	log   *slog.Logger
}

// Start starts the server and returns when it serves.
func Start(cfg Config) (*Broker, error) {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		panic("broker: the system's random source failed: " + err.Error())
	}
	b := &Broker{token: hex.EncodeToString(secret[:]), log: log}
	conns := cfg.MaxConnections
	if conns <= 0 {
		conns = defaultConnections
	}
	store := cfg.Store
	if store <= 0 {
		store = maxStore
	}
	opts := &server.Options{
		ServerName: "ringwall", NoSigs: true, MaxPayload: MaxPayload, MaxPending: maxPending, MaxConn: conns + 16, MaxSubs: maxSubscriptions,
		MaxControlLine: 4096, AuthTimeout: authTime, WriteDeadline: writeTime, PingInterval: pingEvery, MaxPingsOut: 2,
		JetStream: true, StoreDir: cfg.Dir, SyncAlways: true, JetStreamMaxStore: store, JetStreamMaxMemory: maxMemory,
		CustomClientAuthentication: &gate{token: b.token, verify: cfg.Verify, log: log},
		DisableShortFirstPing:      true,
	}
	switch {
	case cfg.Listen == "" && cfg.Cluster != nil:
		// A server that listens for no clients joins no others. Who comes by this
		// door has to present Token, which nobody outside this process knows.
		opts.Host, opts.Port = "127.0.0.1", server.RANDOM_PORT
	case cfg.Listen == "":
		opts.DontListen = true
	default:
		if err := listenOptions(opts, cfg); err != nil {
			return nil, err
		}
	}
	if cfg.Cluster != nil {
		if err := clusterOptions(opts, cfg.Cluster); err != nil {
			return nil, err
		}
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("making the spine's server: %w", err)
	}
	s.SetLoggerV2(logger{log}, false, false, false)
	b.s = s
	s.Start()
	if !s.ReadyForConnections(startTime) {
		b.Close()
		return nil, ringwall.Errorf(ringwall.Unavailable, "the spine's server does not listen on %q", cfg.Listen)
	}
	if !s.JetStreamEnabled() {
		b.Close()
		return nil, ringwall.Errorf(ringwall.Unavailable, "the spine's server cannot keep streams in %q", cfg.Dir)
	}
	return b, nil
}

func listenOptions(opts *server.Options, cfg Config) error {
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return ringwall.Errorf(ringwall.Invalid, "address %q of the spine is not host:port", cfg.Listen)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ringwall.Errorf(ringwall.Invalid, "address %q of the spine has no port", cfg.Listen)
	}
	if cfg.TLS == nil || cfg.TLS.ClientCAs == nil || cfg.Verify == nil {
		return ringwall.Errorf(ringwall.Invalid, "the spine listens only with a certificate, an authority and a verifier")
	}
	opts.Host, opts.Port = host, int(n)
	if n == 0 {
		opts.Port = server.RANDOM_PORT
	}
	t := cfg.TLS.Clone()
	t.ClientAuth = tls.RequireAndVerifyClientCert
	t.MinVersion = tls.VersionTLS13
	t.GetConfigForClient = turns(t.GetConfigForClient, handshakes)
	opts.TLSConfig, opts.TLS, opts.TLSVerify, opts.TLSHandshakeFirst, opts.TLSTimeout = t, true, true, true, authTime
	return nil
}

// clusterOptions joins the server with others. Only they come in by that door:
// both ends show a certificate of the authority.
func clusterOptions(opts *server.Options, c *Cluster) error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return ringwall.Errorf(ringwall.Invalid, "address %q of the cluster is not host:port", c.Listen)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return ringwall.Errorf(ringwall.Invalid, "address %q of the cluster has no port", c.Listen)
	}
	if c.TLS == nil || c.TLS.ClientCAs == nil || c.TLS.RootCAs == nil || len(c.TLS.Certificates) == 0 {
		return ringwall.Errorf(ringwall.Invalid, "a cluster needs a certificate and the authority of the others'")
	}
	if c.Name == "" || strings.ContainsAny(c.Name, " .*>") {
		return ringwall.Errorf(ringwall.Invalid, "a server of a cluster needs a name without blanks and dots")
	}
	for _, p := range c.Peers {
		if _, _, err := net.SplitHostPort(p); err != nil {
			return ringwall.Errorf(ringwall.Invalid, "address %q of the cluster is not host:port", p)
		}
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", Host: p})
	}
	t := c.TLS.Clone()
	t.ClientAuth, t.MinVersion = tls.RequireAndVerifyClientCert, tls.VersionTLS13
	opts.ServerName = c.Name
	opts.Cluster = server.ClusterOpts{Name: "ringwall", Host: host, Port: int(n), TLSConfig: t, TLSTimeout: authTime}
	return nil
}

// turns lets n handshakes go on at once. A handshake's context ends with it,
// whatever came of it; whoever dawdles gives up his turn and goes on beside.
func turns(next func(*tls.ClientHelloInfo) (*tls.Config, error), n int) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	slots := make(chan struct{}, n)
	return func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		select {
		case slots <- struct{}{}:
		case <-hello.Context().Done():
			return nil, hello.Context().Err()
		case <-time.After(turnWait):
			return nil, ringwall.Errorf(ringwall.Unavailable, "too many handshakes at once")
		}
		turn, over := context.WithTimeout(hello.Context(), turnTime)
		context.AfterFunc(turn, func() {
			over()
			<-slots
		})
		if next == nil {
			return nil, nil
		}
		return next(hello)
	}
}

// Addr returns the address that gateways connect to; nil when there is none.
func (b *Broker) Addr() net.Addr { return b.s.Addr() }

// InProcess opens a connection inside the process; the client must present
// Token.
func (b *Broker) InProcess() (net.Conn, error) { return b.s.InProcessConn() }

// Token returns what the platform's own client presents. It is drawn anew at
// every start and never written down.
func (b *Broker) Token() string { return b.token }

// Connections returns how many clients there are.
func (b *Broker) Connections() int { return b.s.NumClients() }

// Close ends all connections and closes the streams.
func (b *Broker) Close() {
	b.s.Shutdown()
	b.s.WaitForShutdown()
}

// gate decides who comes in.
type gate struct {
	token  string
	verify func(*x509.Certificate) (Grant, error)
	log    *slog.Logger
}

// Check implements server.Authentication.
func (g *gate) Check(c server.ClientAuthentication) bool {
	if c.Kind() != server.CLIENT {
		return false
	}
	state := c.GetTLSConnectionState()
	if state == nil {
		// Without TLS there is only the inside of the process.
		if subtle.ConstantTimeCompare([]byte(c.GetOpts().Token), []byte(g.token)) != 1 {
			return false
		}
		c.RegisterUser(&server.User{Username: "platform"})
		return true
	}
	if g.verify == nil || len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return false
	}
	cert := state.PeerCertificates[0]
	grant, err := g.verify(cert)
	if err != nil {
		g.log.Warn("spine client refused", "remote", c.RemoteAddress(), "err", err)
		return false
	}
	c.RegisterUser(&server.User{
		Username: grant.Name, ConnectionDeadline: cert.NotAfter,
		Permissions: &server.Permissions{
			// An empty list allows everything: one that is meant to be empty must not.
			Publish:   &server.SubjectPermission{Allow: only(grant.Publish)},
			Subscribe: &server.SubjectPermission{Allow: only(grant.Subscribe)},
		},
	})
	return true
}

func only(subjects []string) []string {
	if len(subjects) == 0 {
		return []string{"_NOTHING_"}
	}
	return subjects
}

// logger hands the server's lines to slog.
type logger struct{ log *slog.Logger }

const serverSays = "spine server says"

func (l logger) Noticef(format string, v ...any) {
	l.log.Debug(serverSays, "line", fmt.Sprintf(format, v...))
}
func (l logger) Warnf(format string, v ...any) {
	if strings.Contains(format, "TLS Handshake First") {
		// It warns of those who do not begin with TLS. They are to fail: it is our
		// setting, said at each start.
		l.Debugf(format, v...)
		return
	}
	l.log.Warn(serverSays, "line", fmt.Sprintf(format, v...))
}
func (l logger) Fatalf(format string, v ...any) {
	l.log.Error(serverSays, "line", fmt.Sprintf(format, v...))
}
func (l logger) Errorf(format string, v ...any) {
	l.log.Error(serverSays, "line", fmt.Sprintf(format, v...))
}
func (l logger) Debugf(format string, v ...any) {
	l.log.Debug(serverSays, "line", fmt.Sprintf(format, v...))
}
func (l logger) Tracef(format string, v ...any) {
	l.log.Debug(serverSays, "line", fmt.Sprintf(format, v...))
}
