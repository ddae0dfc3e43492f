package sdk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/policy"
)

// books are the reports: what has happened since the last minute, and the log.
type books struct {
	c     *Client
	more  chan struct{} // of length 1: something may be sent
	acked atomic.Uint64

	bytesUp, bytesDown atomic.Uint64
	leaves             leafBooks

	mu       sync.Mutex
	from     time.Time // of the minute
	repeats  map[repeatKey]*repeat
	peers    map[peerKey]*api.Peer
	known    map[netip.Addr]struct{}
	features api.Features
	dests    map[netip.Addr]struct{}
	saw      time.Time // when the device was last said to be here
}

// repeatKey is what makes refusals the same.
type repeatKey struct {
	reason, term, name, path string
	proto                    string
	direction                api.Direction
	remote                   netip.AddrPort
}

type repeat struct {
	record flow.Record
	more   uint64
}

type peerKey struct {
	direction api.Direction
	domain    string
	addr      netip.Addr
	proto     string
	port      uint16
}

// Bounds of what is remembered within a minute, and of the peers ever met.
const (
	maxRepeats = 1024
	maxPeers   = 4096
	minute     = time.Minute
	sayHere    = 10 * time.Minute
)

func (b *books) open(c *Client) {
	b.c, b.more = c, make(chan struct{}, 1)
	b.from, b.saw = c.cfg.Now(), c.cfg.Now()
	b.repeats, b.peers = map[repeatKey]*repeat{}, map[peerKey]*api.Peer{}
	b.known, b.dests = map[netip.Addr]struct{}{}, map[netip.Addr]struct{}{}
}

// json writes a record that is rare, and waits for the disk.
func (b *books) json(kind api.RecordKind, v any) {
	data, err := json.Marshal(v)
	if err == nil {
		_, err = b.c.wal.Append(kind, b.c.cfg.Now().UTC(), data)
	}
	if err != nil {
		b.c.log.Error("report is not kept", "kind", kind, "err", err)
	}
}

// flow writes a record of a flow; the disk has it within a second.
func (b *books) flow(r flow.Record) {
	data, err := r.MarshalBinary()
	if err == nil {
		_, err = b.c.wal.AppendAsync(api.RecordFlow, b.c.cfg.Now().UTC(), data)
	}
	if err != nil {
		b.c.log.Error("report is not kept", "kind", api.RecordFlow, "err", err)
	}
}

func (b *books) count(up, down int) {
	b.bytesUp.Add(uint64(up))
	b.bytesDown.Add(uint64(down))
}

// opened notes a flow that passes.
func (b *books) opened(fl policy.Flow, v policy.Verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.features.Flows++
	b.dest(fl.Remote.Addr())
	if v.Reason != policy.ReasonLearn && !v.Would {
		return
	}
	k := peerKey{direction: fl.Direction, proto: fl.Proto, port: fl.Remote.Port()}
	if fl.Direction == api.ToDevice {
		k.port = fl.Local.Port()
	}
	if len(fl.Names) > 0 {
		k.domain = fl.Names[0]
	}
	k.addr = fl.Remote.Addr()
	p := b.peers[k]
	if p == nil {
		if len(b.peers) >= maxPeers {
			return
		}
		p = &api.Peer{Direction: k.direction, Addr: k.addr, Domain: k.domain, Proto: k.proto, Port: k.port, First: b.c.cfg.Now().UTC()}
		b.peers[k] = p
	}
	p.Count++
}

func (b *books) dest(a netip.Addr) {
	if len(b.dests) < maxPeers {
		b.dests[a] = struct{}{}
	}
	if _, ok := b.known[a]; !ok && len(b.known) < maxPeers {
		b.known[a] = struct{}{}
		b.features.NewDests++
	}
}

// closed reports a flow that has ended. The caller holds l.mu.
func (b *books) closed(l *live) {
	b.mu.Lock()
	b.features.PktsUp += l.packetsUp.Load()
	b.features.PktsDn += l.packetsDown.Load()
	b.mu.Unlock()
	b.flow(l.record(b.c.cfg.Now()))
}

// refused reports a refusal, or what would have been one: the first of its kind in a minute at once, the
// others as one record when the minute is over.
func (b *books) refused(r *Refusal, fl *policy.Flow, would bool) {
	k := repeatKey{r.Reason, r.Term, r.Name, r.Path, r.Proto, r.Direction, r.Remote}
	if r.Direction == api.ToDevice { // whoever calls has another port each time
		k.remote = netip.AddrPortFrom(r.Remote.Addr(), r.Port)
	}
	now := b.c.cfg.Now()
	rec := recordOf(b.c.force.Load(), fl, policy.Verdict{Pass: would, Would: would, Reason: r.Reason, Term: r.Term})
	rec.Start, rec.End, rec.Limit, rec.Generation = now, now, r.Limit, r.Generation
	rec.PacketsUp = 1
	if r.Direction == api.ToDevice {
		rec.PacketsUp, rec.PacketsDown = 0, 1
	}
	b.mu.Lock()
	if !would {
		b.features.Refused++
	}
	if k.remote.Addr().IsValid() {
		b.dest(k.remote.Addr())
	}
	one := b.repeats[k]
	if one != nil || len(b.repeats) >= maxRepeats {
		if one == nil { // past the bound all are counted together
			k = repeatKey{reason: r.Reason, direction: r.Direction}
			if one = b.repeats[k]; one == nil {
				one = &repeat{record: rec}
				one.record.Remote, one.record.Name = netip.AddrPortFrom(netip.IPv4Unspecified(), 0), ""
				one.record.PacketsUp, one.record.PacketsDown = 0, 0
				b.repeats[k] = one
			}
		}
		one.more++
		one.record.End = now
		b.mu.Unlock()
		return
	}
	b.repeats[k] = &repeat{record: rec}
	b.mu.Unlock()
	rec.First = true
	b.flow(rec)
}

// tick ends the minute when it is over.
func (b *books) tick() {
	b.mu.Lock()
	over := b.c.cfg.Now().Sub(b.from) >= minute
	b.mu.Unlock()
	if over {
		b.flush(false)
	}
}

// flush reports the minute.
func (b *books) flush(last bool) {
	c := b.c
	now := c.cfg.Now().UTC()
	b.mu.Lock()
	repeats, peers, features := b.repeats, b.peers, b.features
	features.From, features.Dests = b.from.UTC(), uint64(len(b.dests))
	features.BytesUp, features.BytesDn = b.bytesUp.Swap(0), b.bytesDown.Swap(0)
	b.repeats, b.peers, b.features = map[repeatKey]*repeat{}, map[peerKey]*api.Peer{}, api.Features{}
	clear(b.dests)
	b.from = now
	here := now.Sub(b.saw) >= sayHere
	if here {
		b.saw = now
	}
	b.mu.Unlock()
	b.flushLeaves(features.From)
	for _, one := range repeats {
		if one.more == 0 {
			continue
		}
		r := one.record
		r.More = one.more - 1
		if r.PacketsDown > 0 {
			r.PacketsDown = one.more
		} else {
			r.PacketsUp = one.more
		}
		b.flow(r)
	}
	f := c.force.Load()
	if f.device != nil {
		features.Device = f.device.Device
		b.json(api.RecordFeatures, features)
		if len(peers) > 0 {
			seen := api.PeersSeen{Device: f.device.Device}
			for _, p := range peers {
				seen.Peers = append(seen.Peers, *p)
			}
			b.json(api.RecordPeers, seen)
		}
	}
	if !last {
		b.health(f)
		if here {
			c.sight(c.id.Uplink)
		}
	}
	if err := c.meters.save(c); err != nil {
		c.log.Error("what was used of quotas is not kept", "err", err)
	}
}

func (b *books) health(f *inForce) {
	c := b.c
	n := 0
	if f.device != nil {
		n = 1
	}
	b.json(api.RecordHealth, api.Health{
		Version: ringwall.Version, Uptime: time.Since(c.began), Tier: "sdk", Devices: n, WALBytes: c.wal.Bytes(), Protocol: api.Version, Lost: c.wal.Lost(),
	})
}

// syncEvery is how long a record of a flow may wait for the disk.
const syncEvery = time.Second

// upload sends the log until the platform has it.
func (c *Client) upload(ctx context.Context) {
	c.books.health(c.force.Load()) // that it is here
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	var rest pause
	next := c.wal.First()
	for {
		var again <-chan time.Time
		if c.up.connected() {
			for ctx.Err() == nil {
				sent, err := c.send(ctx, &next)
				if err != nil {
					if ctx.Err() == nil {
						c.log.Debug("batch was not taken", "err", err)
					}
					again = time.After(rest.next())
					break
				}
				rest.reset()
				if !sent {
					break
				}
			}
		}
		if again != nil {
			select {
			case <-ctx.Done():
			case <-again:
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-c.wal.More():
		case <-c.books.more:
		case <-tick.C:
			if err := c.wal.SyncAll(); err != nil {
				c.log.Error("write-ahead log has stopped", "err", err)
			}
		}
	}
}

// SyncReports returns when all that was reported so far is on disk: nothing of it
// is lost any more, whatever is killed.
func (c *Client) SyncReports() error { return c.wal.SyncAll() }

// send sends one batch, from *next on, and reports whether there was one.
func (c *Client) send(ctx context.Context, next *uint64) (bool, error) {
	records, err := c.wal.Read(*next, api.MaxBatchRecords)
	if err != nil || len(records) == 0 {
		return false, err
	}
	var ack api.BatchAck
	b := api.Batch{Version: api.Version, Epoch: c.wal.Epoch(), Lost: c.wal.Lost(), Records: records}
	data, err := api.AppendBatch(nil, b)
	if err != nil {
		return false, err
	}
	if err := c.request(ctx, api.TopicReport, data, &ack); err != nil {
		return false, err
	}
	c.heard()
	switch {
	case ack.Epoch != b.Epoch && ack.Error == "":
		return false, ringwall.Errorf(ringwall.Invalid, "the platform acknowledges epoch %d, this is %d", ack.Epoch, b.Epoch)
	case ack.Error != "":
		if ack.Epoch == b.Epoch && ack.Seq+1 != *next && ack.Seq <= c.wal.Last() {
			*next = ack.Seq + 1 // it has less, or more, than we thought
		}
		return false, ringwall.Errorf(ringwall.Unavailable, "the platform answers: %.200s", ack.Error)
	}
	*next = ack.Seq + 1
	c.books.acked.Store(ack.Seq)
	return true, c.wal.Trim(ack.Seq)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
