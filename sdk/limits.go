package sdk

import (
	"encoding/json"
	"os"
	"sync"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// meters are the limits of the device and of its terms, with what was used of
// them.
type meters struct {
	mu sync.Mutex
	by map[string]*meter // by term; "" = the whole device
}

// maxMeters bounds them; a policy has fewer terms.
const maxMeters = 10_000

// of returns the meters of a flow with verdict v.
func (m *meters) of(f *inForce, v policy.Verdict) []*meter {
	if f.device == nil || f.device.Limit == nil && v.Limit == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*meter
	if f.device.Limit != nil {
		out = append(out, m.get("", *f.device.Limit))
	}
	if v.Limit != nil {
		out = append(out, m.get(v.Term, *v.Limit))
	}
	return out
}

func (m *meters) get(term string, l api.Limit) *meter {
	if len(m.by) >= maxMeters {
		clear(m.by) // of policies long gone
	}
	one, ok := m.by[term]
	if !ok {
		one = &meter{term: term}
		m.by[term] = one
	}
	one.set(l)
	return one
}

// meter is one limit and what was used of it.
type meter struct {
	term string

	mu                    sync.Mutex
	limit                 api.Limit
	bytes, packets, flows bucket
	open                  uint64
	used                  uint64 // of the quota, in period
	period                string
	changed               bool // since it was saved
}

// bucket is a token bucket that holds one second's worth; it may be overdrawn,
// and then says how long until it is not.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) fill(rate uint64, now time.Time) {
	if b.at.IsZero() {
		b.tokens = float64(rate)
	} else {
		b.tokens = min(b.tokens+now.Sub(b.at).Seconds()*float64(rate), float64(rate))
	}
	b.at = now
}

func (m *meter) set(l api.Limit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limit != l {
		m.limit, m.bytes, m.packets, m.flows = l, bucket{}, bucket{}, bucket{}
	}
}

// roll begins a new period of the quota when one has begun.
func (m *meter) roll(now time.Time) {
	layout := map[string]string{"hour": "2006-01-02T15", "day": "2006-01-02", "month": "2006-01"}[m.limit.Per]
	if p := now.UTC().Format(layout); layout != "" && p != m.period {
		m.period, m.used, m.changed = p, 0, true
	}
}

// enter asks for one more flow; it returns the bound that forbids it, or "".
func (m *meter) enter(now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roll(now)
	l := m.limit
	if l.Quota > 0 && m.used >= l.Quota {
		return "quota"
	}
	if l.Flows > 0 && m.open >= l.Flows {
		return "flows"
	}
	if l.NewFlows > 0 {
		m.flows.fill(l.NewFlows, time.Now())
		if m.flows.tokens < 1 {
			return "newFlows"
		}
		m.flows.tokens--
	}
	m.open++
	return ""
}

// join counts a flow that is open already.
func (m *meter) join() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open++
}

func (m *meter) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open--
}

// take uses n bytes. It returns for how long to wait before more are used, or
// the bound that is used up. Of a rate, strict refuses what others wait for.
func (m *meter) take(n int, now time.Time, strict bool) (wait time.Duration, bound string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roll(now)
	l := m.limit
	if l.Quota > 0 && m.used+uint64(n) > l.Quota {
		return 0, "quota"
	}
	if l.ByteRate > 0 {
		m.bytes.fill(l.ByteRate, time.Now())
		if strict && m.bytes.tokens < float64(n) {
			return 0, "byteRate"
		}
	}
	if l.PacketRate > 0 {
		m.packets.fill(l.PacketRate, time.Now())
		if strict && m.packets.tokens < 1 {
			return 0, "packetRate"
		}
	}
	if l.ByteRate > 0 {
		m.bytes.tokens -= float64(n)
		wait = owed(m.bytes.tokens, l.ByteRate)
	}
	if l.PacketRate > 0 {
		m.packets.tokens -= float64(packetsOf(n))
		wait = max(wait, owed(m.packets.tokens, l.PacketRate))
	}
	if l.Quota > 0 {
		m.used += uint64(n)
		m.changed = true
	}
	return wait, ""
}

func owed(tokens float64, rate uint64) time.Duration {
	if tokens >= 0 {
		return 0
	}
	return time.Duration(-tokens / float64(rate) * float64(time.Second))
}

// quotaOnDisk is what was used of one quota.
type quotaOnDisk struct {
	Term   string `json:"term"`
	Period string `json:"period"`
	Used   uint64 `json:"used"`
}

// load reads what was used of quotas before the client was opened.
func (m *meters) load(c *Client) {
	m.by = map[string]*meter{}
	b, err := os.ReadFile(c.cfg.path(quotaFile))
	if err != nil {
		return
	}
	var kept []quotaOnDisk
	if err := json.Unmarshal(b, &kept); err != nil {
		c.log.Error("what was used of quotas cannot be read", "err", err)
		return
	}
	for _, k := range kept[:min(len(kept), maxMeters)] {
		m.by[k.Term] = &meter{term: k.Term, period: k.Period, used: k.Used}
	}
}

// save writes what was used of quotas, if that has changed.
func (m *meters) save(c *Client) error {
	m.mu.Lock()
	kept, changed := []quotaOnDisk{}, false
	for _, one := range m.by {
		one.mu.Lock()
		if one.period != "" {
			kept = append(kept, quotaOnDisk{one.term, one.period, one.used})
		}
		changed = changed || one.changed
		one.changed = false
		one.mu.Unlock()
	}
	m.mu.Unlock()
	if !changed {
		return nil
	}
	b, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return c.cfg.Disk.WriteFile(siteQuota, c.cfg.path(quotaFile), b, 0o600)
}
