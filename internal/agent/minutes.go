package agent

import (
	"cmp"
	"context"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/nft"
)

// minutes reports each minute what the devices' traffic was like, what those
// that learn were seen to need, and how the gateway is.
func (a *Agent) minutes(ctx context.Context, ready func()) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	before, err := a.fence.Counters(ctx)
	if err != nil && ctx.Err() == nil {
		a.log.Warn("counters cannot be read", "err", err)
	}
	before = a.keptCounts(before)
	if err == nil {
		a.keepCounts(before)
	}
	// What was let go of after the last run had told of all, its own last records
	// among it, is told now.
	lost := a.tellLost(a.toldLosses())
	ready()
	a.health()
	for {
		select {
		case <-ctx.Done():
			a.minute(context.WithoutCancel(ctx), before)
			a.tellLost(lost)
			return nil
		case <-t.C:
			before = a.minute(ctx, before)
			lost = a.tellLost(lost)
			a.keepQuotas(ctx)
			a.health()
		}
	}
}

// minute reports features and peers; before are the counters of the minute
// before, and the answer those of now.
func (a *Agent) minute(ctx context.Context, before map[uint32]nft.Counts) map[uint32]nft.Counts {
	v := a.view.Load()
	a.watch.mu.Lock()
	features := a.watch.meter.TakeFeatures()
	var peers []api.PeersSeen
	for _, d := range v.desired.Devices {
		// A device in mode enforce has learned; Taint has seen to it that nothing
		// of after an alert is in here.
		if d.Mode == ringwall.Enforce {
			continue
		}
		if list := a.watch.meter.TakePeers(d.Device); len(list) > 0 {
			peers = append(peers, api.PeersSeen{Device: d.Device, Peers: list})
		}
	}
	a.watch.mu.Unlock()
	now, err := a.fence.Counters(ctx)
	if err != nil {
		a.log.Warn("counters cannot be read", "err", err)
		now = before // the next minute has it all
	}
	a.lookups.take(features)
	features = withRefused(features, refusals(v.desired.Devices, before, now), a.cfg.Now())
	if err == nil {
		withTotals(features, v.desired.Devices, now)
		// First the mark up to where it is told, then what is told: should the end come
		// between, a minute's own count is lost, and the totals have it; it is never told
		// twice.
		a.keepCounts(now)
	}
	for _, f := range features {
		a.books.note(api.RecordFeatures, f)
	}
	for _, p := range peers {
		a.books.note(api.RecordPeers, p)
	}
	return now
}

// refusals returns how many packets of each device the kernel has refused
// between two readings of its counters. Counters that are lower than before
// have begun anew.
func refusals(devices []api.DevicePolicy, before, now map[uint32]nft.Counts) map[ringwall.DeviceID]uint64 {
	out := map[ringwall.DeviceID]uint64{}
	for _, d := range devices {
		n := now[d.Mark].Refused.Packets + now[d.Mark].Forged.Packets
		if old := before[d.Mark].Refused.Packets + before[d.Mark].Forged.Packets; old <= n {
			n -= old
		}
		if n > 0 {
			out[d.Device] = n
		}
	}
	return out
}

// withRefused puts the refusals into the newest features of each device, in
// place of the meter's own count, which only knows what it saw.
func withRefused(features []api.Features, refused map[ringwall.DeviceID]uint64, now time.Time) []api.Features {
	for i := len(features) - 1; i >= 0; i-- {
		f := &features[i]
		f.Refused = refused[f.Device]
		delete(refused, f.Device)
	}
	for dev, n := range refused {
		features = append(features, api.Features{Device: dev, From: now.Add(-tick).Truncate(tick), Refused: n})
	}
	return features
}

// tellLost reports, by kind, what the log has let go of for want of disk since that
// was last told, and, once it can be written again, what never reached it. before is
// what it had let go of then.
func (a *Agent) tellLost(before map[api.RecordKind]uint64) map[api.RecordKind]uint64 {
	l := a.books.current()
	if l == nil {
		return before
	}
	detail := map[string]string{}
	total := uint64(0)
	missed, now := a.books.missed(), l.Losses()
	for _, kind := range slices.Compact(slices.Sorted(slices.Values(slices.AppendSeq(slices.Collect(maps.Keys(missed)), maps.Keys(now))))) {
		n := missed[kind]
		if now[kind] > before[kind] { // else it is another log, or nothing new
			n += now[kind] - before[kind]
		}
		if n > 0 {
			detail[cmp.Or(string(kind), "unknown")] = decimal(n)
			total += n
		}
	}
	if total > 0 {
		a.keepTold(l.Epoch(), now)
		a.notice(api.Notice{Kind: api.NoticeLostReports, Text: "reports were lost: the log's disk was full or did not work", Detail: detail, Count: total})
	}
	return now
}

// health reports the gateway's own state.
func (a *Agent) health() {
	v := a.view.Load()
	packets, drops := a.watch.counts()
	processes := a.processes()
	h := api.Health{
		Version: Version, Uptime: a.cfg.Now().Sub(a.started), Tier: a.tier(), Devices: len(v.desired.Devices),
		Packets: packets, TapDrops: drops, WALBytes: a.books.bytes(), DNSRunning: a.guard.running() != 0,
		TunnelKey: a.tunnelPublic(),
		Protocol:  api.Version, Clock: a.control.clockSkew(), Unwritten: a.books.unwritten.Load(), Processes: processes,
	}
	for _, n := range processes {
		h.RSSBytes += n
	}
	if l := a.books.current(); l != nil {
		h.Lost, h.Losses, h.LogShare = l.Lost(), a.books.losses(), l.Pressure().Share()
	}
	old := a.control.aged()
	h.FailOpen, h.FailClosed = len(old.Open), len(old.Closed)
	if a.inspector != nil {
		h.Inspector = map[bool]string{true: "running", false: "stopped"}[a.inspector.running() != 0]
	}
	a.books.note(api.RecordHealth, h)
}

// processes returns the resident memory of this program's processes.
func (a *Agent) processes() map[string]int64 {
	out := map[string]int64{"agent": rss(os.Getpid())}
	for name, g := range map[string]*guard{"dns": a.guard, "inspect": a.inspector} {
		if g != nil && g.running() != 0 {
			out[name] = rss(g.running())
		}
	}
	return out
}

// rss returns the resident memory of a process, 0 if there is none.
func rss(pid int) int64 {
	if pid == 0 {
		return 0
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
