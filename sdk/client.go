package sdk

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/enforce"
	"github.com/ringwall/ringwall/internal/enrol"
	"github.com/ringwall/ringwall/internal/wal"
)

// Client is the SDK of one application.
type Client struct {
	cfg     Config
	id      Identity
	log     *slog.Logger
	keeper  *enforce.Keeper
	wal     *wal.Log
	lock    *os.File
	up      uplink
	began   time.Time
	process *process

	force  atomic.Pointer[inForce]
	flows  flows
	meters meters
	books  books
	names  names
	first  chan struct{} // closed when a policy is in force
	once   sync.Once

	fetch chan struct{} // of length 1: ask for the policy
	look  chan struct{} // of length 1: judge what is open anew

	// accepting guards the order of taking documents and putting them in force.
	accepting sync.Mutex
	contact   *enforce.Contact

	cancel context.CancelFunc
	work   sync.WaitGroup
	closed sync.Once
	err    error // of Close
}

// requestTimeout bounds one question to the platform.
const requestTimeout = 15 * time.Second

// Open enrols the client if it has not been, puts the last policy in force and
// goes to the platform for a newer one. It waits for the first policy for
// Config.Wait at most. ctx is of Open alone. Codes: NotFound when the client is
// not enrolled and has no token, Conflict when another works in the state
// directory, and those of enrolment.
func Open(ctx context.Context, cfg Config) (_ *Client, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	if err := cfg.Disk.MkdirAll(siteState, cfg.State, 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	c := &Client{
		cfg: cfg, log: cfg.Log, began: time.Now(), first: make(chan struct{}), fetch: make(chan struct{}, 1), look: make(chan struct{}, 1), process: thisProcess(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if c.lock, err = lockFileAt(cfg.path(lockFile)); err != nil {
		return nil, err
	}
	if c.id, err = cfg.identity(ctx); err != nil {
		return nil, err
	}
	if err := c.openState(); err != nil {
		return nil, err
	}
	addrs := c.id.Uplink
	if len(cfg.Uplink) > 0 {
		addrs = cfg.Uplink
	}
	conf, err := cfg.uplinkTLS(c.timeFloor)
	if err != nil {
		return nil, err
	}
	if c.up, err = dialUplink(context.WithoutCancel(ctx), addrs, uplinkConfig{
		id: c.id, tls: conf, client: c, poked: func() { nudge(c.fetch) },
		changed: func(up bool) {
			if up {
				nudge(c.fetch)
				nudge(c.books.more)
			}
		},
	}); err != nil {
		return nil, err
	}
	c.sight(addrs)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	for _, f := range []func(context.Context){c.follow, c.watch, c.upload} {
		c.work.Go(func() { f(run) })
	}
	wait, stop := context.WithTimeout(ctx, cfg.Wait)
	defer stop()
	select {
	case <-c.first:
	case <-wait.Done():
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.log.Warn("no policy has come yet; everything is refused until one does")
	}
	return c, nil
}

// openState opens what is on the disk.
func (c *Client) openState() (err error) {
	var faults []error
	c.keeper, faults, err = enforce.OpenKeeper(c.cfg.path(enforceDir), enforce.Config{
		Org: c.id.Org, Gateway: c.id.Gateway, Keys: enrol.Keys(c.id.SigningKeys), Now: c.cfg.Now, Disk: c.cfg.Disk,
	})
	if err != nil {
		return err
	}
	for _, f := range faults {
		c.log.Error("state cannot be read", "err", f)
	}
	dir := c.cfg.path(logDir)
	c.wal, err = wal.Open(dir, wal.Config{MaxBytes: c.cfg.LogBytes, Disk: c.cfg.Disk})
	if err != nil {
		aside, serr := wal.SetAside(dir)
		if serr != nil {
			return errors.Join(err, serr)
		}
		c.log.Error("reports cannot be read; they are set aside", "err", err, "at", aside)
		if c.wal, err = wal.Open(dir, wal.Config{MaxBytes: c.cfg.LogBytes, Disk: c.cfg.Disk}); err != nil {
			return err
		}
	}
	c.flows.open = map[*live]struct{}{}
	c.books.open(c)
	c.meters.load(c)
	c.contact = enforce.OpenContact(c.cfg.path(enforceDir), c.keeper.View().Desired.Issued, c.cfg.Now(), true, time.Since(c.began))
	c.apply()
	return nil
}

// timeFloor returns the latest time that the platform has vouched for.
func (c *Client) timeFloor() time.Time {
	t := c.id.Enrolled
	if c.keeper != nil {
		if i := c.keeper.View().Desired.Issued; i.After(t) {
			t = i
		}
	}
	return t
}

// Identity returns who the client is.
func (c *Client) Identity() Identity { return c.id }

// Close ends what was opened through the client, makes its reports durable, and
// waits for all its goroutines. What was not sent is sent by the next Client.
func (c *Client) Close() error {
	c.closed.Do(func() {
		if c.cancel != nil {
			c.cancel()
		}
		if c.up != nil {
			c.up.close()
		}
		c.work.Wait()
		var errs []error
		if c.wal != nil {
			c.flows.end(net.ErrClosed)
			c.books.flush(true)
			errs = append(errs, c.meters.save(c), c.wal.Close())
		}
		if c.lock != nil {
			errs = append(errs, c.lock.Close())
		}
		c.err = errors.Join(errs...)
	})
	return c.err
}

// follow asks for the policy: when the connection comes, when the platform
// pokes, and now and then.
func (c *Client) follow(ctx context.Context) {
	for {
		timer := time.NewTimer(c.cfg.Poll + c.cfg.Poll/10 - rand.N(c.cfg.Poll/5+1))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.fetch:
		case <-timer.C:
		}
		timer.Stop()
		if !c.up.connected() {
			continue
		}
		if err := c.ask(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("policy was not had", "err", err)
		}
	}
}

func (c *Client) ask(ctx context.Context) error {
	in := api.DesiredRequest{Version: api.Version, Have: c.keeper.Have()}
	var key *ecdsa.PrivateKey
	if cert, err := c.cfg.store().KeyPair(); err == nil && cert.Leaf != nil && enrol.Due(cert.Leaf, c.cfg.Now()) {
		if key, in.CSR, err = enrol.NewKey(); err != nil {
			return err
		}
	}
	var out api.DesiredAnswer
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if err := c.request(ctx, api.TopicStatus, data, &out); err != nil {
		return err
	}
	if out.Error != "" {
		return ringwall.Errorf(ringwall.Unavailable, "the platform answers: %.200s", out.Error)
	}
	c.heard()
	if key != nil && out.Renewed != nil && out.Renewed.Org == c.id.Org && out.Renewed.Gateway == c.id.Gateway {
		// The connection goes on with the old certificate; the next has the new one.
		if _, err := c.cfg.adopt(*out.Renewed, key); err != nil {
			c.log.Error("new certificate is not taken", "err", err)
		}
	}
	if out.Signed == nil {
		return nil
	}
	return c.accept(*out.Signed)
}

// accept takes a document and puts it in force, or reports why not.
func (c *Client) accept(signed api.Signed) error {
	c.accepting.Lock()
	defer c.accepting.Unlock()
	ack := api.Ack{At: c.cfg.Now().UTC()}
	lifted, err := c.keeper.Accept(signed)
	if err != nil {
		ack.Error = err.Error()
		if e, ok := errors.AsType[*ringwall.Error](err); ok {
			ack.Error = e.Text
		}
		ack.Generation = c.keeper.View().Desired.Generation
		c.books.json(api.RecordAck, ack)
		return fmt.Errorf("taking a policy: %w", err)
	}
	// No policy closes the way to the platform, so nothing has to be confirmed.
	if _, err := c.keeper.Confirm(c.keeper.View().Desired.Generation); err != nil {
		return err
	}
	c.apply()
	v := c.keeper.View()
	ack.Generation, ack.Hash = v.Desired.Generation, digest(signed.Payload)
	c.books.json(api.RecordAck, ack)
	for _, l := range lifted {
		c.books.json(api.RecordHold, api.HoldReport{Hold: l.Hold, Lifted: true, Why: l.Why, InForce: ack.At})
	}
	return nil
}

func (c *Client) heard() {
	c.accepting.Lock()
	defer c.accepting.Unlock()
	if err := c.contact.Heard(c.cfg.Now(), time.Since(c.began)); err != nil {
		c.log.Warn("when the platform was heard is not kept", "err", err)
	}
}

func (c *Client) request(ctx context.Context, leaf string, data []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := c.up.request(ctx, leaf, data)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return ringwall.Errorf(ringwall.Invalid, "reading the platform's answer: %w", err)
	}
	return nil
}

// sight reports the application as a device, so that it has a policy.
func (c *Client) sight(addrs []string) {
	host, _ := os.Hostname()
	now := c.cfg.Now().UTC()
	c.books.json(api.RecordPresence, api.Sighting{
		MAC: api.OwnMAC(c.id.Gateway), IP: c.cfg.ownAddress(addrs), Port: "sdk", Hostname: host, First: now, Last: now, Presence: ringwall.Online,
	})
}

// ownAddress returns the address to report: policies are keyed on one.
func (c Config) ownAddress(addrs []string) netip.Addr {
	usable := func(a netip.Addr) bool { return a.Is4() && !a.IsLoopback() && !a.IsUnspecified() }
	if c.Address.IsValid() {
		return c.Address
	}
	for _, a := range append(addrs, "x://192.0.2.1:9") { // the last for the default route; nothing is sent
		if _, rest, ok := cutScheme(a); ok {
			if conn, err := net.Dial("udp4", rest); err == nil {
				local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
				conn.Close()
				if usable(local) {
					return local
				}
			}
		}
	}
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && usable(ip.Unmap()) {
				return ip.Unmap()
			}
		}
	}
	return api.LeafIP("", "sdk") // no network at all: a stand-in
}

func nudge(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
