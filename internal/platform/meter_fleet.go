package platform

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// fleetEvery is how old the counts of gateways may be: who asks oftener is
// answered from the last look.
const fleetEvery = 10 * time.Second

// fleetMeter counts the gateways of all organisations by what somebody should
// look at. It names no gateway and no organisation: who reads metrics need not be
// entitled to know whose they are.
type fleetMeter struct {
	p    *Platform
	keep *keptScopes

	flags, states, lost, clock, waiting *prometheus.Desc

	mu     sync.Mutex
	at     time.Time
	counts fleetCounts
	failed bool
}

// fleetCounts is what one look found.
type fleetCounts struct {
	flags, states map[string]int
	lost          uint64
	clock         time.Duration // the farthest off
	waiting       int           // usage descriptions
}

func newFleetMeter(p *Platform) *fleetMeter {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("ringwall_"+name, help, labels, nil)
	}
	return &fleetMeter{
		p: p, keep: &keptScopes{auditor: p.auditor, now: p.core.now},
		flags:   desc("gateway_flags", "Gateways of which somebody should look at this, by flag; revoked ones have none.", "flag"),
		states:  desc("gateways", "Gateways by state.", "state"),
		lost:    desc("gateway_lost_reports", "Reports that gateways dropped for want of disk or could not write, as they say now."),
		clock:   desc("gateway_clock_offset_seconds_max", "The farthest that a gateway's clock is off."),
		waiting: desc("descriptions_waiting", "Usage descriptions that wait for a person."),
	}
}

// Describe is of prometheus.Collector.
func (m *fleetMeter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.flags, m.states, m.lost, m.clock, m.waiting} {
		ch <- d
	}
}

// Collect is of prometheus.Collector. When the database cannot be asked there are
// no values: what is not known is not zero.
func (m *fleetMeter) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	if now := m.p.core.now(); now.Sub(m.at) >= fleetEvery || m.failed {
		ctx, cancel := context.WithTimeout(context.Background(), admitTime)
		c, err := m.look(ctx)
		cancel()
		if m.at, m.counts, m.failed = now, c, err != nil; err != nil {
			m.p.core.log.Error("gateways not counted", "cause", err)
		}
	}
	c, failed := m.counts, m.failed
	m.mu.Unlock()
	if failed {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, f := range api.GatewayFlags() {
		gauge(m.flags, float64(c.flags[f]), f)
	}
	for _, s := range []string{"online", "away", "revoked"} {
		gauge(m.states, float64(c.states[s]), s)
	}
	gauge(m.lost, float64(c.lost))
	gauge(m.clock, c.clock.Seconds())
	gauge(m.waiting, float64(c.waiting))
}

// look counts. It is called with mu held.
func (m *fleetMeter) look(ctx context.Context) (fleetCounts, error) {
	c := fleetCounts{flags: map[string]int{}, states: map[string]int{}}
	orgs, err := m.p.orgs(ctx, m.keep)
	if err != nil {
		return c, err
	}
	for _, o := range orgs {
		scope, err := m.keep.get(ctx, audit.SysMeter, audit.SystemMeter, o.ID)
		if err != nil {
			return c, err
		}
		if err := m.p.store.View(ctx, func(tx *sqlstore.Tx) error {
			gs, err := tx.AllGateways(scope)
			if err != nil {
				return err
			}
			if err := showGateways(tx, scope, gs, m.p.core.now()); err != nil {
				return err
			}
			for _, g := range gs {
				c.add(g)
			}
			waiting, err := tx.MUDsWaiting(scope, maxMUDTasks)
			c.waiting += len(waiting)
			return err
		}); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (c *fleetCounts) add(g api.Gateway) {
	switch {
	case !g.Revoked.IsZero():
		c.states["revoked"]++
		return
	case g.Online:
		c.states["online"]++
	default:
		c.states["away"]++
	}
	for _, f := range g.Flags {
		c.flags[f]++
	}
	if h := g.Health; h != nil {
		c.lost += h.Lost + h.Unwritten
		c.clock = max(c.clock, h.Clock.Abs())
	}
}
