package platform

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/broker"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/mudfetch"
	"github.com/ringwall/ringwall/internal/registry"
	"github.com/ringwall/ringwall/internal/segment"
	"github.com/ringwall/ringwall/internal/spine"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/trust"
	"github.com/ringwall/ringwall/internal/webhook"
)

// What lies in the data directory. All of it is made at the first start and
// readable by its owner alone; a backup is a copy of all of it, taken while
// the platform is stopped.
const (
	LockFile    = "lock"     // held while a platform runs on the directory
	TokenFile   = "token"    // API token of the local command line
	keysDir     = "keys"     // ca.key, ca.crt, desired.key: package identity
	stateDir    = "state"    // ringwall.db, data.key: package sqlstore
	auditDir    = "audit"    // the record of acts: package audit
	evidenceDir = "segments" // reports of gateways: package segment
	spineDir    = "spine"    // the stream of events: package broker
	usageDir    = "usage"    // what is known of card usage, and its key: package usage
	recordedDir = "recorded" // of a demo that plays the range's recording
)

// Config of a Platform. The zero value of a field is good unless it says
// "needed". Nothing of it can be changed while the platform runs.
type Config struct {
	DataDir string // needed

	// Listen is where the API and the console are; "" = 127.0.0.1:8080. On a
	// loopback address they speak plain HTTP, elsewhere TLS with a certificate
	// of the embedded authority.
	Listen string
	// Plain makes them speak plain HTTP elsewhere too: behind a proxy that does
	// TLS.
	Plain bool
	// EnrolListen is where gateways enrol, and nothing else is served; "" =
	// 127.0.0.1:8443. Always TLS with a certificate of the embedded authority,
	// which a gateway knows by its file (CAFile) or its pin.
	EnrolListen string
	// SpineListen is where gateways connect; "" = 127.0.0.1:4222. Always TLS.
	SpineListen string
	// MQTTListen is where terminals and applications with the SDK connect by MQTT;
	// "" = nowhere. Always mutual TLS.
	MQTTListen string
	// Names are the host names and addresses under which the platform is
	// reached; certificates carry them. Those it listens on are added.
	Names []string
	// Advertise lists the addresses of the spine that gateways are given, such
	// as "tls://platform.example:4222"; nil = those it listens on.
	Advertise []string

	// TunnelListen is the UDP port for tunnels to devices, such as ":51820"; "" = none.
	// It is open on all addresses and answers only gateways with an approved tunnel.
	TunnelListen string
	// TunnelAdvertise is where gateways find it, host:port; "" = the first of Names,
	// else the host of the spine.
	TunnelAdvertise string

	// Org is the name of the first organisation; "" = "Home".
	Org string
	// Terminal is where the first start shows the administrator's password;
	// needed at the first start.
	Terminal io.Writer

	Log *slog.Logger     // nil = silent
	Now func() time.Time // nil = time.Now

	Trust    trust.Config
	Incident incident.Config
	Registry registry.Config

	// MUDRoots is a file of certificates (PEM): those who may vouch for signers of
	// usage descriptions to every organisation, which each may add to; "" = none. It is
	// read at the start.
	MUDRoots string

	// Keep is how long evidence is kept in the segments; 0 = 90 days.
	Keep time.Duration

	// Runner assesses devices; nil where the platform reaches none.
	Runner *assess.Runner
	// Operator is the way to the telecom operator of the SIMs; nil = none.
	Operator simPort
	// Usage lists files of usage records, of all organisations' cards: those of CSV
	// are followed, others read when they rest.
	Usage []UsageFile
	// UsageSources makes their other inputs, such as spool directories; nil = none.
	UsageSources func(UsageWorld) (UsageInputs, error)
	// UsageCluster has cards judged by other machines; Usage and UsageSources are then theirs to have. nil = they are judged here.
	UsageCluster *UsageCluster
	// UsageDays is for how many days judged usage records are kept, so that changed
	// settings can be tried over them; 0 = 30. UsageBytes bounds what they take; 0 =
	// 20 GiB.
	UsageDays  int
	UsageBytes int64
	// WarnPlain lets warnings go to addresses without TLS and on this machine.
	WarnPlain bool
	// Demo runs the range beside the platform; nil = none.
	Demo *DemoConfig
}

func (c Config) defaults() Config {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8080"
	}
	if c.EnrolListen == "" {
		c.EnrolListen = "127.0.0.1:8443"
	}
	if c.SpineListen == "" {
		c.SpineListen = "127.0.0.1:4222"
	}
	if c.Org == "" {
		c.Org = "Home"
	}
	if c.Terminal == nil {
		c.Terminal = io.Discard
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Keep <= 0 {
		c.Keep = defaultKeep
	}
	if c.UsageDays <= 0 {
		c.UsageDays = defaultUsageDays
	}
	if c.UsageBytes <= 0 {
		c.UsageBytes = defaultUsageBytes
	}
	return c
}

// Platform is the server side of Ringwall in one process.
type Platform struct {
	*service
	cfg Config
	dir string
	org ringwall.OrgID // the first organisation
	// vulnFile is when the file of vulnerability data that was last read changed.
	// It belongs to the task that assesses.
	vulnFile time.Time

	lock   *os.File
	trail  *audit.Log
	broker *broker.Broker
	conn   *spine.Conn
	certs  *certificates
	listen net.Listener // of the API and the console
	door   net.Listener // of enrolment
	desk   *gatewayDesk
	proj   *projector
	pub    *publisher
	meters *meters
	sims   atomic.Pointer[simPort]
	wake   chan struct{} // of the responder, of length 1

	wakeSIMs chan struct{} // of the one that asks operators, of length 1
	// wakeRollouts is of the one that carries rollouts, of length 1.
	wakeRollouts chan struct{}
	// compared is when volumes were last compared; it belongs to the task that looks
	// around.
	compared map[ringwall.OrgID]time.Time
}

// New opens everything and serves nothing yet but the spine. It makes what is
// missing in the data directory. Codes: Conflict when another process runs on
// the directory. Run must be called, or Close.
func New(ctx context.Context, cfg Config) (_ *Platform, err error) {
	cfg = cfg.defaults()
	p := &Platform{cfg: cfg, dir: cfg.DataDir, wake: make(chan struct{}, 1), wakeSIMs: make(chan struct{}, 1), wakeRollouts: make(chan struct{}, 1), compared: map[ringwall.OrgID]time.Time{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if cfg.DataDir == "" {
		return nil, ringwall.Errorf(ringwall.Invalid, "the platform needs a data directory")
	}
	if cfg.UsageCluster != nil && (len(cfg.Usage) > 0 || cfg.UsageSources != nil || cfg.Demo != nil) {
		return nil, ringwall.Errorf(ringwall.Invalid, "usage records are judged here or by other machines, not both")
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	if p.lock, err = lockDir(filepath.Join(p.dir, LockFile)); err != nil {
		return nil, err
	}
	if err := p.openStores(ctx); err != nil {
		return nil, err
	}
	if p.org, err = p.bootstrap(ctx, cfg.Terminal, cfg.Org); err != nil {
		return nil, err
	}
	if err := p.openSpine(ctx); err != nil {
		return nil, err
	}
	if err := p.openTunnels(); err != nil {
		return nil, err
	}
	if p.listen, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "listening on %q for the API: %w", cfg.Listen, err)
	}
	if p.door, err = net.Listen("tcp", cfg.EnrolListen); err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "listening on %q for enrolment: %w", cfg.EnrolListen, err)
	}
	if err := p.openMQTT(); err != nil {
		return nil, err
	}
	return p, p.assemble(ctx)
}

// openStores opens what is on the disk: the record of acts first, since
// nothing is done without it.
func (p *Platform) openStores(ctx context.Context) (err error) {
	c := &core{
		log: p.cfg.Log, now: p.cfg.Now, trust: p.cfg.Trust, incident: p.cfg.Incident, registry: p.cfg.Registry,
		wakeOutbox: func() {}, wakeResponder: func() { nudge(p.wake); nudge(p.wakeSIMs) },
		later: newLater(),
		poke:  func(ringwall.OrgID, ringwall.GatewayID, uint64) {},
	}
	p.service = &service{core: c, hub: newHub(), gatewayRevoked: func(ringwall.GatewayID) {}, wakeRollout: func() { nudge(p.wakeRollouts) }, hooks: webhook.New(webhook.Config{Plain: p.cfg.WarnPlain, Now: c.now}), muds: mudfetch.New(mudfetch.Config{Now: c.now})}
	if c.mudRoots, err = readMUDRoots(p.cfg.MUDRoots); err != nil {
		return err
	}
	if p.trail, err = audit.Open(filepath.Join(p.dir, auditDir)); err != nil {
		return err
	}
	if c.auditor, err = audit.New(audit.Config{Recorder: p.trail, Now: c.now}); err != nil {
		return err
	}
	if err := keysPresent(p.dir); err != nil {
		return err
	}
	if c.authority, err = identity.OpenAuthority(filepath.Join(p.dir, keysDir), c.now); err != nil {
		return err
	}
	if c.evidenceKey, err = identity.EvidenceKey(filepath.Join(p.dir, keysDir)); err != nil {
		return err
	}
	if c.signer, err = identity.OpenSigner(filepath.Join(p.dir, keysDir)); err != nil {
		return err
	}
	// State comes after the keys, so that state without keys is never a first
	// start that was cut short.
	if c.store, err = sqlstore.Open(ctx, filepath.Join(p.dir, stateDir)); err != nil {
		return err
	}
	c.hears = newHearing(c.now)
	if p.segments, err = segment.Open(filepath.Join(p.dir, evidenceDir), segment.Config{Now: c.now}); err != nil {
		return err
	}
	login, err := c.auditor.Authorise(ctx, audit.System(audit.SysIdentity, ""), audit.SystemAuthenticate, audit.Target{Kind: "platform"})
	if err != nil {
		return err
	}
	passwords := identity.NewPasswords()
	p.people = &people{auth: identity.NewAuthenticator(c.store.Logins(), login, passwords, c.now), passwords: passwords, trail: p.trail}
	return nil
}

// openSpine starts the broker and connects to it inside the process.
func (p *Platform) openSpine(ctx context.Context) (err error) {
	// The desk comes first: a gateway may be at the door when the broker opens.
	p.desk = &gatewayDesk{core: p.core, segments: p.segments, scopes: map[deskKey]audit.Scope{}, protocols: map[ringwall.GatewayID]int{}}
	p.gatewayRevoked = p.desk.forget
	p.certs = newCertificates(p.authority, certNames(p.cfg), p.core.now)
	p.broker, err = broker.Start(broker.Config{
		Dir: filepath.Join(p.dir, spineDir), Listen: p.cfg.SpineListen, TLS: p.certs.server(p.authority.Pool()), Verify: p.admit, Log: p.core.log,
	})
	if err != nil {
		return err
	}
	p.spineAddrs = advertised(p.cfg, p.broker.Addr())
	if p.conn, err = spine.Dial(ctx, spine.Config{InProcess: p.broker.InProcess, Token: p.broker.Token(), Name: "platform", Log: p.core.log}); err != nil {
		return err
	}
	p.poke = poker(p.core, p.conn)
	return p.conn.Stream(ctx)
}

// admitTime bounds the question to the database that a connection costs.
const admitTime = 5 * time.Second

// admit says what the holder of a certificate may do on the spine: it must be a
// gateway that the database knows.
func (p *Platform) admit(cert *x509.Certificate) (broker.Grant, error) {
	org, gw, err := identity.GatewayOf(cert)
	if err != nil {
		return broker.Grant{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), admitTime)
	defer cancel()
	if _, err := p.desk.scope(ctx, org, gw, audit.GatewayDesired); err != nil {
		return broker.Grant{}, err
	}
	return broker.GatewayGrant(org, gw), nil
}

// assemble makes the parts that Run runs.
func (p *Platform) assemble(ctx context.Context) error {
	project, err := p.auditor.Authorise(ctx, audit.System(audit.SysProject, ""), audit.SystemProject, audit.Target{Kind: "platform"})
	if err != nil {
		return err
	}
	outbox, err := p.auditor.Authorise(ctx, audit.System(audit.SysOutbox, ""), audit.SystemOutbox, audit.Target{Kind: "platform"})
	if err != nil {
		return err
	}
	p.meters = newMeters(p)
	p.proj = &projector{core: p.core, segments: p.segments, scope: project, where: func(c segment.Cursor) { p.meters.projected.Store(c.Frame) }}
	p.pub = &publisher{store: p.store, scope: outbox, wake: make(chan struct{}, 1), log: p.core.log, publish: p.conn.PublishEvent}
	p.wakeOutbox = func() { nudge(p.pub.wake) }
	p.usage = &usageDesk{
		core: p.core, home: p.org, dir: filepath.Join(p.dir, usageDir), files: p.cfg.Usage, open: p.cfg.UsageSources, days: p.cfg.UsageDays, bytes: p.cfg.UsageBytes,
		every: snapshotEvery,
	}
	if p.cfg.Operator != nil {
		p.sims.Store(&p.cfg.Operator)
	}
	if p.cfg.Runner != nil {
		p.assessor = newAssessor(ctx, p.core, p.cfg.Runner)
	}
	return nil
}

// Addr returns where the API and the console listen.
func (p *Platform) Addr() net.Addr { return p.listen.Addr() }

// EnrolAddr returns where gateways enrol, over TLS.
func (p *Platform) EnrolAddr() net.Addr { return p.door.Addr() }

// CAFile returns the path of the authority's certificate.
func (p *Platform) CAFile() string { return filepath.Join(p.dir, keysDir, "ca.crt") }

// SpineAddr returns where gateways connect.
func (p *Platform) SpineAddr() net.Addr { return p.broker.Addr() }

// Org returns the first organisation.
func (p *Platform) Org() ringwall.OrgID { return p.org }

// Service returns what the faces stand on.
func (p *Platform) Service() httpapi.Service { return p.service }

// Close closes what New has opened, the last first. Run calls it.
func (p *Platform) Close() error {
	var errs []error
	for _, l := range []net.Listener{p.listen, p.door} {
		if l == nil {
			continue
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if p.service != nil && p.assessor != nil {
		p.assessor.close()
	}
	if p.service != nil && p.tunnels != nil {
		errs = append(errs, p.tunnels.hub.Close())
	}
	if p.service != nil {
		p.mqtt.close()
	}
	if p.conn != nil {
		p.conn.Close()
	}
	if p.broker != nil {
		p.broker.Close()
	}
	if p.service != nil && p.segments != nil {
		errs = append(errs, p.segments.Close())
	}
	if p.service != nil && p.store != nil {
		errs = append(errs, p.store.Close())
	}
	if p.trail != nil {
		errs = append(errs, p.trail.Close())
	}
	if p.lock != nil {
		errs = append(errs, p.lock.Close())
	}
	return errors.Join(errs...)
}
