package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/radius"
)

// sims knows which SIM card has which address: from RADIUS accounting at the exit
// of an access point name, or, of this machine's own modem, from a file with its
// IMSI. It knows cards by what Desired.SubscriberSalt makes of their IMSI; the
// IMSI itself is in no file, log or report of this program.
//
// The file of sessions belongs to one salt. When the document brings another
// salt, the cards are known again with their next update.
type sims struct {
	agent   *Agent
	secret  []byte
	own     string     // IMSI of this machine's modem
	bound   bool       // the document names its card; guarded by mu
	ownAddr netip.Addr // the modem's address as it was put into the document; guarded by mu

	mu       sync.Mutex
	salt     []byte
	table    *radius.Table
	addrs    map[string]netip.Addr // of table
	dirty    bool                  // not on disk
	answered map[answerKey]time.Time
}

// answerKey names a request, to tell one that was sent again.
type answerKey struct {
	from netip.AddrPort
	auth [16]byte
	id   byte
}

const (
	// siteSIMs is the site of the fsyncs of the sessions' file.
	siteSIMs durable.Site = "agent/sims"
	// simsFile is the sessions' file in the state directory.
	simsFile = "sims.json"
	// maxSecret and maxIMSI bound the files that hold them.
	maxSecret = 4096
	// againWithin is how long the same request counts as sent again.
	againWithin = 30 * time.Second
	maxAnswered = 4096
	// simsEvery is how often what is new only in its times is written to disk.
	simsEvery = time.Minute
)

// savedSIMs is the form of the file.
type savedSIMs struct {
	Salt string `json:"salt"` // of the subscribers: half a SHA-256 of the salt, to know it again
	radius.Saved
}

func saltName(salt []byte) string {
	sum := sha256.Sum256(salt)
	return hex.EncodeToString(sum[:16])
}

// openSIMs reads the secret, the modem's IMSI and the sessions of the last run.
func openSIMs(a *Agent) (*sims, error) {
	s := &sims{agent: a, table: radius.NewTable(radius.Saved{}), answered: map[answerKey]time.Time{}}
	if a.cfg.IMSIFile != "" {
		imsi, err := readSmall(a.cfg.IMSIFile)
		if err != nil {
			return nil, fmt.Errorf("reading the modem's IMSI: %w", err)
		}
		if len(imsi) < 6 || len(imsi) > 15 || strings.Trim(imsi, "0123456789") != "" {
			return nil, ringwall.Errorf(ringwall.Invalid, "the file %q holds no IMSI", a.cfg.IMSIFile)
		}
		s.own = imsi
	}
	if a.cfg.Radius == "" {
		return s, nil
	}
	secret, err := readSmall(a.cfg.RadiusSecret)
	if err != nil {
		return nil, fmt.Errorf("reading the RADIUS secret: %w", err)
	}
	if len(secret) < 8 {
		return nil, &ringwall.Error{Code: ringwall.Invalid, Text: "the RADIUS secret has fewer than 8 bytes", Hint: "MD5 with a short secret is guessed in minutes; take 22 random characters or more (RFC 2865 section 3)"}
	}
	s.secret = []byte(secret)
	s.salt = a.keeper.View().Desired.SubscriberSalt
	b, err := os.ReadFile(a.cfg.path(simsFile))
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	var f savedSIMs
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		// Without sessions no card has an address: closed, until the next update.
		a.log.Error("sessions of SIM cards cannot be read; waiting for their updates", "err", err)
		return s, nil
	}
	if f.Salt == saltName(s.salt) {
		s.table = radius.NewTable(f.Saved)
		s.addrs = s.table.Addresses()
	}
	return s, nil
}

// readSmall reads a small file of one line.
func readSmall(path string) (string, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if fi.Size() > maxSecret {
		return "", ringwall.Errorf(ringwall.Invalid, "%q has %d bytes, the limit is %d", path, fi.Size(), maxSecret)
	}
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}

// overlay puts the addresses of SIM cards into the bindings of d. A card whose
// address is not known has none, and an address that the document gives to
// another device is that device's.
func (s *sims) overlay(d api.Desired) api.Desired {
	if !slices.ContainsFunc(d.Devices, func(p api.DevicePolicy) bool { return p.Binding.Subscriber != "" }) {
		s.mu.Lock()
		s.bound = false
		s.mu.Unlock()
		return d
	}
	own := netip.Addr{}
	subscriber := ""
	if s.own != "" && len(d.SubscriberSalt) > 0 {
		subscriber, own = policy.Subscriber(d.SubscriberSalt, s.own), s.agent.cfg.ownAddress()
	}
	s.mu.Lock()
	if !slices.Equal(s.salt, d.SubscriberSalt) && d.Generation > 0 {
		s.salt, s.table, s.addrs, s.dirty = slices.Clone(d.SubscriberSalt), radius.NewTable(radius.Saved{}), nil, true
	}
	addrs := s.addrs
	s.ownAddr = own
	s.bound = subscriber != "" && slices.ContainsFunc(d.Devices, func(p api.DevicePolicy) bool { return p.Binding.Subscriber == subscriber })
	s.mu.Unlock()
	taken := map[netip.Addr]bool{}
	for _, p := range d.Devices {
		if p.Binding.Subscriber == "" {
			taken[p.Binding.IP] = true
		}
	}
	d.Devices = slices.Clone(d.Devices)
	for i := range d.Devices {
		b := &d.Devices[i].Binding
		if b.Subscriber == "" {
			continue
		}
		b.IP = addrs[b.Subscriber]
		if b.Subscriber == subscriber && own.IsValid() {
			b.IP = own
		}
		if taken[b.IP] {
			b.IP = netip.Addr{}
		}
		taken[b.IP] = b.IP.IsValid()
	}
	return d
}

// moved reports whether this machine's own modem has another address than the
// policy in force knows.
func (s *sims) moved() bool {
	if s.own == "" {
		return false
	}
	now := s.agent.cfg.ownAddress()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bound && now != s.ownAddr
}

// ownAddress returns the address of this machine on its uplink.
func (c Config) ownAddress() netip.Addr {
	i, err := net.InterfaceByName(c.Uplink)
	if err != nil {
		return netip.Addr{}
	}
	addrs, err := i.Addrs()
	if err != nil {
		return netip.Addr{}
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap().Is4() {
			return p.Addr().Unmap()
		}
	}
	return netip.Addr{}
}

// listen takes accounting requests until ctx ends.
func (s *sims) listen(ctx context.Context, ready func()) error {
	a := s.agent
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", a.cfg.Radius)
	if err != nil {
		return fmt.Errorf("listening for RADIUS accounting: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { pc.Close() })
	defer stop()
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		return ringwall.Errorf(ringwall.Invalid, "%q is no UDP address", a.cfg.Radius)
	}
	ready()
	kept := a.cfg.Now()
	wrong := once[netip.Addr]{every: time.Minute, most: 64}
	buf := make([]byte, radius.MaxPacket)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		now := a.cfg.Now()
		var timeout net.Error
		switch {
		case ctx.Err() != nil:
			s.keep()
			return nil
		case errors.As(err, &timeout) && timeout.Timeout():
			s.tick(ctx, now)
		case err != nil:
			return fmt.Errorf("taking RADIUS accounting: %w", err)
		default:
			r, err := radius.Decode(buf[:n], s.secret)
			if err != nil {
				if wrong.first(from.Addr(), now) {
					a.log.Warn("RADIUS packet is not taken", "from", from, "err", err)
				}
				continue
			}
			if !s.take(ctx, r, from, now) {
				continue // not answered, so that it is sent again
			}
			if _, err := conn.WriteToUDPAddrPort(radius.Answer(r, s.secret), from); err != nil && ctx.Err() == nil {
				a.log.Warn("RADIUS request is not answered", "from", from, "err", err)
			}
		}
		if now.Sub(kept) >= simsEvery || now.Before(kept) {
			kept = now
			s.keep()
		}
	}
}

// take takes a request and reports whether it may be answered: what changes who
// may do what is on disk and in the kernel before.
func (s *sims) take(ctx context.Context, r radius.Request, from netip.AddrPort, now time.Time) bool {
	key := answerKey{from, r.Authenticator, r.ID}
	s.mu.Lock()
	if at, ok := s.answered[key]; ok && now.Sub(at) < againWithin && !now.Before(at) {
		s.mu.Unlock()
		return true
	}
	if len(s.salt) == 0 {
		s.mu.Unlock()
		return false // there is no document yet that says how to know a card
	}
	e := radius.Event{
		NAS: r.NASName, Status: r.Status, Session: r.Session, Address: r.Address.Unmap(), At: now.Add(-r.Delay), Arrived: now,
	}
	if e.NAS == "" {
		if e.NAS = r.NAS.String(); !r.NAS.IsValid() {
			e.NAS = from.Addr().String()
		}
	}
	if !r.Event.IsZero() {
		e.At, e.Stamped = r.Event, true
	}
	if r.IMSI != "" {
		e.Subscriber = policy.Subscriber(s.salt, r.IMSI)
	}
	changes, taken, why := s.table.Apply(e)
	s.dirty = s.dirty || taken
	s.mu.Unlock()
	if !taken {
		s.agent.log.Info("RADIUS event changes nothing", "status", r.Status, "from", from, "why", why)
	}
	if len(changes) > 0 && !s.changed(ctx, changes) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answered) >= maxAnswered {
		clear(s.answered)
	}
	s.answered[key] = now
	return true
}

// tick ends what is stale.
func (s *sims) tick(ctx context.Context, now time.Time) {
	s.mu.Lock()
	changes := s.table.Tick(now)
	s.dirty = s.dirty || len(changes) > 0
	s.mu.Unlock()
	if len(changes) > 0 {
		s.changed(ctx, changes)
	}
}

// changed puts in force that cards have got or lost addresses, and reports it.
func (s *sims) changed(ctx context.Context, changes []radius.Change) bool {
	a := s.agent
	s.mu.Lock()
	s.addrs = s.table.Addresses()
	s.mu.Unlock()
	kept := s.keep()
	err := a.apply(ctx)
	if err != nil {
		// What is taken away must not stay: the next try is soon.
		a.log.Error("addresses of SIM cards are not in force", "err", err)
		poke(a.again)
	}
	a.noteView()
	v := a.view.Load()
	for _, c := range changes {
		dev := a.ofSubscriber(v.desired, c.Subscriber)
		if dev == nil {
			continue // no card of ours
		}
		if c.Lost {
			if _, err := a.fence.CutFlows(ctx, dev.Mark); err != nil && ringwall.CodeOf(err) != ringwall.NotFound {
				a.log.Warn("flows of a SIM card that lost its address were not flushed; they are refused all the same", "device", dev.Device, "err", err)
			}
		}
		what := map[bool]string{false: "got", true: "lost"}[c.Lost]
		a.log.Info("SIM card "+what+" an address", "device", dev.Device, "address", c.Address, "why", c.Why)
		a.notice(api.Notice{
			Kind: api.NoticeSubscriber, Device: dev.Device, Addr: netip.AddrPortFrom(c.Address, 0), Text: what,
			Detail: map[string]string{"why": c.Why, "subscriber": c.Subscriber},
		})
	}
	return kept && err == nil
}

func (a *Agent) ofSubscriber(d api.Desired, subscriber string) *api.DevicePolicy {
	for i := range d.Devices {
		if d.Devices[i].Binding.Subscriber == subscriber {
			return &d.Devices[i]
		}
	}
	return nil
}

// keep makes the sessions durable if they have changed.
func (s *sims) keep() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirty {
		return true
	}
	b, err := json.Marshal(savedSIMs{Salt: saltName(s.salt), Saved: s.table.Save()})
	if err == nil {
		err = s.agent.cfg.Disk.WriteFile(siteSIMs, s.agent.cfg.path(simsFile), b, 0o600)
	}
	if err != nil {
		s.agent.log.Error("sessions of SIM cards are not on disk", "err", err)
		return false
	}
	s.dirty = false
	return true
}
