package platform

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/tunnel"
)

// Files of tunnels in the data directory.
const (
	tunnelKeyFile    = "tunnel.key"    // in keys/: the platform's end
	recordingKeyFile = "recording.key" // in keys/: opens recordings
	tunnelsDir       = "tunnels"       // recordings, ORG/TUNNEL/NAME.age
	recordedSuffix   = ".age"
	recordingSuffix  = ".open" // one that is being written
)

const (
	// maxRecording bounds one recording; a tunnel whose recording is full carries
	// nothing more.
	maxRecording = 1 << 30
	// maxTunnelConns bounds the connections through one tunnel at once.
	maxTunnelConns = 64
	settleEvery    = time.Second
)

// tunnelDoor is what gateways are told of the platform's end; an empty endpoint
// means that there is none.
type tunnelDoor struct {
	endpoint string
	public   []byte
}

// tunnelDesk carries the connections of people through tunnels and records
// them. What is in the database decides; the desk follows it, at once where it is
// told and within a second otherwise.
type tunnelDesk struct {
	*core
	hub      *tunnel.Hub
	dir      string
	identity *age.X25519Identity
	wake     chan struct{}

	mu     sync.Mutex
	live   map[ringwall.TunnelID]*liveTunnel
	closed bool
}

// liveTunnel is one tunnel with what goes through it now.
type liveTunnel struct {
	tun   api.RemoteTunnel
	conns map[uint32]net.Conn
	next  uint32
	rec   *tunnel.Recorder
	file  *os.File
	name  string
	ended bool
}

// openTunnels opens the platform's end, if it is to have one.
func (p *Platform) openTunnels() error {
	if p.cfg.TunnelListen == "" {
		return nil
	}
	_, text, err := net.SplitHostPort(p.cfg.TunnelListen)
	port, err2 := strconv.ParseUint(text, 10, 16)
	if err != nil || err2 != nil {
		return ringwall.Errorf(ringwall.Invalid, "%q is no place for tunnels; say a UDP port such as \":51820\"", p.cfg.TunnelListen)
	}
	key, err := tunnel.LoadKey(filepath.Join(p.dir, keysDir, tunnelKeyFile))
	if err != nil {
		return err
	}
	identity, err := recordingKey(filepath.Join(p.dir, keysDir, recordingKeyFile))
	if err != nil {
		return err
	}
	hub, err := tunnel.OpenHub(key, uint16(port), p.core.log)
	if err != nil {
		return err
	}
	endpoint := p.cfg.TunnelAdvertise
	if endpoint == "" {
		endpoint = net.JoinHostPort(tunnelHost(p.cfg), strconv.Itoa(int(hub.Port())))
	}
	p.tunnelDoor = tunnelDoor{endpoint, key.Public()}
	p.tunnels = &tunnelDesk{
		core: p.core, hub: hub, dir: filepath.Join(p.dir, tunnelsDir), identity: identity,
		wake: make(chan struct{}, 1), live: map[ringwall.TunnelID]*liveTunnel{},
	}
	return nil
}

// tunnelAddr is where the platform's end listens on this machine, "" when it does not.
func (p *Platform) tunnelAddr() string {
	if p.tunnels == nil {
		return ""
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(p.tunnels.hub.Port())))
}

// tunnelHost is under which name gateways find the platform: the first that it
// was given, else where the spine is.
func tunnelHost(c Config) string {
	if len(c.Names) > 0 {
		return c.Names[0]
	}
	for _, a := range c.Advertise {
		if _, rest, ok := strings.Cut(a, "://"); ok {
			a = rest
		}
		if host, _, err := net.SplitHostPort(a); err == nil {
			return host
		}
	}
	if at, err := netip.ParseAddrPort(c.SpineListen); err == nil && !at.Addr().IsUnspecified() {
		return at.Addr().String()
	}
	return "127.0.0.1"
}

// recordingKey reads the key that opens recordings, or draws it.
func recordingKey(path string) (*age.X25519Identity, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, err
		}
		return id, durable.WriteFile(path, []byte(id.String()+"\n"), 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key of recordings: %w", err)
	}
	id, err := age.ParseX25519Identity(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "%q holds no key of recordings", path)
	}
	return id, nil
}

// run follows the database until ctx ends, then ends all connections.
func (p *Platform) runTunnels(ctx context.Context, ready func()) error {
	d := p.tunnels
	d.salvage(ctx)
	ready()
	err := p.rounds(ctx, settleEvery, d.wake, func(k *keptScopes, org ringwall.OrgID) error {
		scope, err := k.get(ctx, audit.SysProject, audit.SystemProject, org)
		if err != nil {
			return err
		}
		due, err := d.expireTunnels(ctx, scope)
		if err != nil {
			return err
		}
		for _, t := range due {
			d.follow(t)
		}
		return d.settle(ctx, scope)
	})
	d.close()
	return err
}

// settle lets those gateways in through which tunnels of an organisation are
// open, and ends what is not open any more.
func (d *tunnelDesk) settle(ctx context.Context, scope audit.Scope) error {
	open := map[ringwall.TunnelID]bool{}
	keys := map[ringwall.GatewayID][]byte{}
	if err := d.store.View(ctx, func(tx *sqlstore.Tx) error {
		tunnels, err := tx.OpenTunnels(scope, "")
		if err != nil {
			return err
		}
		for _, t := range tunnels {
			open[t.ID] = true
			if _, ok := keys[t.Gateway]; ok {
				continue
			}
			g, err := tx.Gateway(scope, t.Gateway)
			if err != nil {
				return err
			}
			keys[t.Gateway] = nil
			if g.Health != nil && g.Revoked.IsZero() {
				keys[t.Gateway] = g.Health.TunnelKey
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for gw, key := range keys {
		if len(key) == 0 {
			continue // it has not said yet that it can
		}
		if err := d.hub.Allow(gw, key); err != nil {
			d.log.Warn("gateway is not let in for tunnels", "gateway", gw, "cause", err)
		}
	}
	d.mu.Lock()
	var over []*liveTunnel
	for id, l := range d.live {
		if l.tun.Org == scope.Org() && !open[id] {
			over = append(over, l)
		}
	}
	d.mu.Unlock()
	for _, l := range over {
		d.end(l)
		if _, ok := keys[l.tun.Gateway]; !ok {
			d.hub.Forget(l.tun.Gateway)
		}
	}
	return nil
}

// follow does at once what the database says of a tunnel since now.
func (d *tunnelDesk) follow(t api.RemoteTunnel) {
	if t.State != api.TunnelApproved {
		d.mu.Lock()
		l := d.live[t.ID]
		d.mu.Unlock()
		if l != nil {
			d.end(l)
		}
	}
	nudge(d.wake)
}

// connect carries one connection through an approved tunnel. Each byte is in
// the recording before it goes on.
func (d *tunnelDesk) connect(ctx context.Context, a audit.Actor, t api.RemoteTunnel) (net.Conn, error) {
	if t.State != api.TunnelApproved || !t.Expires.After(d.now()) {
		return nil, ringwall.Errorf(ringwall.Conflict, "the tunnel is %s", t.State)
	}
	scope, err := d.auditor.Authorise(ctx, audit.System(audit.SysProject, t.Org), audit.SystemProject, audit.Target{Kind: "tunnel", ID: string(t.ID), Org: t.Org})
	if err != nil {
		return nil, err
	}
	if err := d.settle(ctx, scope); err != nil {
		return nil, err
	}
	raw, err := d.hub.Dial(ctx, t.Gateway, t.ID)
	if err != nil {
		return nil, err
	}
	l, n, err := d.enter(ctx, t, raw)
	if err != nil {
		raw.Close()
		return nil, err
	}
	if err := l.rec.Write(n, tunnel.Opened, []byte(a.String())); err != nil {
		d.leave(l, n)
		raw.Close()
		return nil, err
	}
	// Had the tunnel ended since, the desk would have closed it by now, or will.
	return &recorded{Conn: raw, rec: l.rec, n: n, leave: func() { d.leave(l, n) }}, nil
}

// enter notes a connection, beginning the recording with the first.
func (d *tunnelDesk) enter(ctx context.Context, t api.RemoteTunnel, c net.Conn) (*liveTunnel, uint32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, 0, ringwall.Errorf(ringwall.Unavailable, "the platform stops")
	}
	l := d.live[t.ID]
	if l == nil {
		l = &liveTunnel{tun: t, conns: map[uint32]net.Conn{}}
		if err := d.begin(ctx, l); err != nil {
			return nil, 0, err
		}
		d.live[t.ID] = l
	}
	if len(l.conns) >= maxTunnelConns {
		return nil, 0, ringwall.Errorf(ringwall.Unavailable, "%d connections go through this tunnel already", maxTunnelConns)
	}
	l.next++
	l.conns[l.next] = c
	return l, l.next, nil
}

// begin opens a recording. The caller holds mu.
func (d *tunnelDesk) begin(ctx context.Context, l *liveTunnel) error {
	now := d.now().UTC()
	l.name = now.Format("20060102T150405.000")
	dir := filepath.Join(d.dir, string(l.tun.Org), string(l.tun.ID))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the place of recordings: %w", err)
	}
	var err error
	if l.file, err = os.OpenFile(filepath.Join(dir, l.name+recordedSuffix+recordingSuffix), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return fmt.Errorf("beginning a recording: %w", err)
	}
	if l.rec, err = tunnel.NewRecorder(l.file, d.identity.Recipient(), maxRecording, d.now); err != nil {
		return errors.Join(err, l.file.Close())
	}
	return d.noteRecording(ctx, l.tun.Org, l.tun.ID, api.TunnelRecording{Name: l.name, Begun: now}, 0)
}

// leave forgets a connection that has ended.
func (d *tunnelDesk) leave(l *liveTunnel, n uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(l.conns, n)
}

// end closes the connections of a tunnel and its recording.
func (d *tunnelDesk) end(l *liveTunnel) {
	d.mu.Lock()
	if l.ended {
		d.mu.Unlock()
		return
	}
	l.ended = true
	delete(d.live, l.tun.ID)
	for n, c := range l.conns {
		_ = l.rec.Write(n, tunnel.Closed, []byte("the tunnel ended"))
		c.Close()
	}
	count := l.next
	d.mu.Unlock()
	ctx := context.Background()
	err := errors.Join(l.rec.Close(), l.file.Sync(), l.file.Close())
	path := l.file.Name()
	done, fault := d.finish(path)
	if err = errors.Join(err, fault); err != nil {
		d.log.Error("recording is not whole", "tunnel", l.tun.ID, "cause", err)
		done.Torn = true
	}
	if err := d.noteRecording(ctx, l.tun.Org, l.tun.ID, done, count); err != nil {
		d.log.Error("end of a recording is not noted", "tunnel", l.tun.ID, "cause", err)
	}
}

// finish gives a recording that is not written any more its name, and says what it is.
func (d *tunnelDesk) finish(path string) (r api.TunnelRecording, err error) {
	final := strings.TrimSuffix(path, recordingSuffix)
	r.Name = strings.TrimSuffix(filepath.Base(final), recordedSuffix)
	if err := os.Rename(path, final); err != nil {
		return r, err
	}
	f, err := os.Open(final)
	if err != nil {
		return r, err
	}
	defer f.Close()
	h := sha256.New()
	r.Bytes, err = io.Copy(h, f)
	r.SHA256 = hex.EncodeToString(h.Sum(nil))
	return r, err
}

// maxRecordings bounds what one tunnel may have; each start of the platform
// begins one.
const maxRecordings = 1000

// noteRecording keeps what is known of a recording with its tunnel, and in the
// record of acts by way of the scope it takes.
func (d *tunnelDesk) noteRecording(ctx context.Context, org ringwall.OrgID, id ringwall.TunnelID, r api.TunnelRecording, conns uint32) error {
	return d.turn(ctx, org, func(t *turn) error {
		own, err := t.projector()
		if err != nil {
			return err
		}
		_, err = t.tx.UpdateTunnel(own, id, func(tun *api.RemoteTunnel) error {
			tun.Connections += int(conns)
			i := slices.IndexFunc(tun.Recordings, func(x api.TunnelRecording) bool { return x.Name == r.Name })
			switch {
			case i >= 0:
				r.Begun = tun.Recordings[i].Begun
				tun.Recordings[i] = r
			case len(tun.Recordings) >= maxRecordings:
				return ringwall.Errorf(ringwall.Unavailable, "the tunnel has %d recordings", maxRecordings)
			default:
				tun.Recordings = append(tun.Recordings, r)
			}
			return nil
		})
		return err
	})
}

// salvage ends recordings that a killed program left: what is in them stays.
func (d *tunnelDesk) salvage(ctx context.Context) {
	left, err := filepath.Glob(filepath.Join(d.dir, "*", "*", "*"+recordingSuffix))
	if err != nil {
		return
	}
	for _, path := range left {
		r, err := d.finish(path)
		r.Torn = true
		id := ringwall.TunnelID(filepath.Base(filepath.Dir(path)))
		org := ringwall.OrgID(filepath.Base(filepath.Dir(filepath.Dir(path))))
		if err = errors.Join(err, d.noteRecording(ctx, org, id, r, 0)); err != nil {
			d.log.Error("recording of a former run is not kept", "tunnel", id, "cause", err)
		}
	}
}

func (d *tunnelDesk) close() {
	d.mu.Lock()
	d.closed = true
	all := make([]*liveTunnel, 0, len(d.live))
	for _, l := range d.live {
		all = append(all, l)
	}
	d.mu.Unlock()
	for _, l := range all {
		d.end(l)
	}
}

// recorded is a connection of which everything is recorded before it goes on.
type recorded struct {
	net.Conn
	rec   *tunnel.Recorder
	n     uint32
	once  sync.Once
	leave func()
}

func (c *recorded) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		if err := c.rec.Write(c.n, tunnel.Received, b[:n]); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (c *recorded) Write(b []byte) (int, error) {
	if err := c.rec.Write(c.n, tunnel.Sent, b); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// CloseWrite ends one direction.
func (c *recorded) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *recorded) Close() error {
	c.once.Do(func() {
		_ = c.rec.Write(c.n, tunnel.Closed, nil) // a recording that is closed has said so itself
		c.leave()
	})
	return c.Conn.Close()
}

// ConnectTunnel carries one connection of a person through an approved tunnel.
func (s *service) ConnectTunnel(ctx context.Context, a audit.Actor, id ringwall.TunnelID) (net.Conn, error) {
	var t api.RemoteTunnel
	if err := s.view(ctx, a, audit.TunnelUse, on("tunnel", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		t, err = tx.Tunnel(scope, id)
		return err
	}); err != nil {
		return nil, err
	}
	if s.tunnels == nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "this platform has no door for tunnels")
	}
	return s.tunnels.connect(ctx, a, t)
}

// recordingPage bounds one page of a recording, in bytes of what went through.
const recordingPage = 1 << 20

// TunnelRecording reads a page of what went through a tunnel.
func (s *service) TunnelRecording(ctx context.Context, a audit.Actor, id ringwall.TunnelID, name, cursor string) (page api.Page[api.TunnelFrame], err error) {
	page.Items = []api.TunnelFrame{}
	var t api.RemoteTunnel
	if err := s.view(ctx, a, audit.TunnelReview, on("tunnel", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		t, err = tx.Tunnel(scope, id)
		return err
	}); err != nil {
		return page, err
	}
	i := slices.IndexFunc(t.Recordings, func(r api.TunnelRecording) bool { return r.Name == name })
	if i < 0 || s.tunnels == nil {
		return page, ringwall.Errorf(ringwall.NotFound, "no recording %.60q of this tunnel", name)
	}
	if t.Recordings[i].SHA256 == "" {
		return page, ringwall.Errorf(ringwall.Unavailable, "the recording is still being written; close the tunnel first")
	}
	from := 0
	if cursor != "" {
		if from, err = strconv.Atoi(cursor); err != nil || from < 0 {
			return page, ringwall.Errorf(ringwall.Invalid, "cursor is none of this list")
		}
	}
	f, err := os.Open(filepath.Join(s.tunnels.dir, string(t.Org), string(id), t.Recordings[i].Name+recordedSuffix))
	if err != nil {
		return page, ringwall.Errorf(ringwall.Unavailable, "the recording cannot be read: %w", err)
	}
	defer f.Close()
	n, bytes, full := 0, 0, errors.New("page is full")
	err = tunnel.ReadRecording(f, s.tunnels.identity, func(fr tunnel.Frame) error {
		if n++; n <= from {
			return nil
		}
		if bytes += len(fr.Data) + 64; bytes > recordingPage && len(page.Items) > 0 {
			page.Next = strconv.Itoa(n - 1)
			return full
		}
		page.Items = append(page.Items, api.TunnelFrame{Time: fr.Time, Conn: fr.Conn, What: fr.What.String(), Data: fr.Data})
		return nil
	})
	if errors.Is(err, full) || err != nil && t.Recordings[i].Torn && ringwall.CodeOf(err) != ringwall.Unverified {
		err = nil
	}
	return page, err
}
