package mqttport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Desk is the platform behind the door. Its methods are called concurrently.
type Desk interface {
	// Admit says as whom the holder of a certificate may speak; the chain has been
	// verified.
	Admit(ctx context.Context, cert *x509.Certificate) (ringwall.OrgID, ringwall.GatewayID, error)
	// Report stores a batch and returns when it is durable. The acknowledgement
	// counts beside an error too.
	Report(ctx context.Context, org ringwall.OrgID, gw ringwall.GatewayID, b api.Batch) (api.BatchAck, error)
	// Desired answers a request for the newest document.
	Desired(ctx context.Context, org ringwall.OrgID, gw ringwall.GatewayID, req api.DesiredRequest) (api.DesiredAnswer, error)
	// Terminal answers the same for a constrained terminal; nil = it has the newest.
	Terminal(ctx context.Context, org ringwall.OrgID, gw ringwall.GatewayID, have uint64) (*api.SignedTerminal, error)
}

// Config of a Port.
type Config struct {
	// Listener is where terminals come; the port owns it.
	Listener net.Listener
	// TLS holds the platform's certificate and, as ClientCAs, the authority of
	// terminals.
	TLS  *tls.Config
	Desk Desk
	// MaxTerminals bounds the connections; 0 = 50,000.
	MaxTerminals int
	// MaxStrangers bounds those that have not shown who they are; 0 = 512.
	MaxStrangers int
	Log          *slog.Logger // nil = silent
}

// Bounds of what one terminal may cost.
const (
	// maxPacket is the largest packet: a batch with its topic and properties.
	maxPacket = api.MaxBatchBytes + 4096
	// maxQueue is how many messages may wait for a terminal: a poke replaces the
	// one before, and answers are written at once.
	maxQueue = 8
	// maxInflight is how many reports a terminal may send ahead.
	maxInflight = 16
)

// Port is the door.
type Port struct {
	cfg  Config
	tls  *tls.Config
	door *doorway
	srv  *mqtt.Server
	log  *slog.Logger

	ctx    context.Context // of the desk's work; ends with Close
	cancel context.CancelFunc
	closed sync.Once

	refused, reports, rejected, panics atomic.Uint64
}

// New serves at cfg.Listener until Close.
func New(cfg Config) (*Port, error) {
	if cfg.Listener == nil || cfg.TLS == nil || cfg.TLS.ClientCAs == nil || cfg.Desk == nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "the MQTT door needs a listener, a certificate, the authority of its terminals and a desk")
	}
	if cfg.MaxTerminals <= 0 {
		cfg.MaxTerminals = 50_000
	}
	if cfg.MaxStrangers <= 0 {
		cfg.MaxStrangers = 512
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Port{cfg: cfg, tls: cfg.TLS.Clone(), log: cfg.Log}
	p.tls.ClientAuth = tls.RequireAndVerifyClientCert
	if p.tls.MinVersion < tls.VersionTLS12 {
		p.tls.MinVersion = tls.VersionTLS12 // small TLS stacks still stop there
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.door = &doorway{Listener: cfg.Listener, port: p, open: map[*conn]struct{}{}}
	can := mqtt.NewDefaultServerCapabilities()
	can.MaximumClients = int64(cfg.MaxTerminals)
	can.MaximumPacketSize = maxPacket
	can.MaximumClientWritesPending = maxQueue
	can.ReceiveMaximum, can.MaximumInflight = maxInflight, maxInflight
	can.MaximumSessionExpiryInterval, can.TopicAliasMaximum, can.MaximumQos = 0, 0, 1
	can.RetainAvailable, can.WildcardSubAvailable, can.SharedSubAvailable, can.SubIDAvailable = 0, 0, 0, 0
	can.MinimumProtocolVersion = 4
	can.Compatibilities.NoInheritedPropertiesOnAck = true
	// The library logs packets with what is in them; what is worth a line, the hook
	// says.
	p.srv = mqtt.New(&mqtt.Options{Capabilities: can, InlineClient: true, Logger: slog.New(slog.DiscardHandler), SysTopicResendInterval: 24 * 3600})
	if err := p.srv.AddHook(&hook{port: p}, nil); err != nil {
		p.cancel()
		return nil, ringwall.Errorf(ringwall.Internal, "setting up the MQTT door: %w", err)
	}
	if err := p.srv.AddListener(p.door); err != nil {
		p.cancel()
		return nil, ringwall.Errorf(ringwall.Internal, "setting up the MQTT door: %w", err)
	}
	if err := p.srv.Serve(); err != nil {
		p.cancel()
		return nil, ringwall.Errorf(ringwall.Internal, "opening the MQTT door: %w", err)
	}
	return p, nil
}

// Addr returns where it listens.
func (p *Port) Addr() net.Addr { return p.door.Addr() }

// Run serves until ctx ends, then closes.
func (p *Port) Run(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	p.Close()
	return nil
}

// Close ends all connections and waits for the work under way.
func (p *Port) Close() {
	p.closed.Do(func() {
		p.door.shut()
		p.door.hangUp()
		_ = p.srv.Close()
		p.cancel()
		p.door.work.Wait()
	})
}

// Poke tells a terminal, if it is here and listens, that there is a newer
// generation. It does not wait for it.
func (p *Port) Poke(org ringwall.OrgID, gw ringwall.GatewayID, generation uint64) {
	if _, here := p.srv.Clients.Get(string(gw)); here {
		_ = p.srv.Publish(api.Topic(org, gw, api.TopicPoke), strconv.AppendUint(nil, generation, 10), false, 0)
	}
}

// Cut ends the connection of a terminal whose rights have ended.
func (p *Port) Cut(gw ringwall.GatewayID) {
	if cl, here := p.srv.Clients.Get(string(gw)); here {
		_ = p.srv.DisconnectClient(cl, packets.ErrNotAuthorized)
	}
}

// Stats are figures for metrics.
type Stats struct {
	Terminals int    // connected now
	Reports   uint64 // batches acknowledged
	Rejected  uint64 // batches and requests that were not taken
	Refused   uint64 // connections that were not let in
	Panics    uint64 // of the library, each of which ended one connection
}

// Stats returns figures.
func (p *Port) Stats() Stats {
	return Stats{
		Terminals: int(atomic.LoadInt64(&p.srv.Info.ClientsConnected)), Reports: p.reports.Load(), Rejected: p.rejected.Load(), Refused: p.refused.Load(),
		Panics: p.panics.Load(),
	}
}
