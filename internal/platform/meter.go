package platform

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// meters are the metrics of the assembly. They are read when somebody asks.
type meters struct {
	registry  *prometheus.Registry
	projected atomic.Uint64 // the frame that the projector has come to
}

func newMeters(p *Platform) *meters {
	m := &meters{registry: prometheus.NewRegistry()}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ringwall_" + name, Help: help}, f)
	}
	m.registry.MustRegister(
		newFleetMeter(p),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("spine_connections", "Clients of the spine, the platform's own included.", func() float64 { return float64(p.broker.Connections()) }),
		gauge("evidence_bytes", "Bytes of stored reports.", func() float64 { return float64(p.segments.Stats().Bytes) }),
		gauge("evidence_segments", "Files of stored reports.", func() float64 { return float64(p.segments.Stats().Segments) }),
		gauge("evidence_batches_total", "Batches of reports stored since the beginning.", func() float64 { return float64(p.segments.Stats().Frames) }),
		gauge("evidence_records_total", "Records stored since the start.", func() float64 { return float64(p.segments.Stats().Records) }),
		gauge("evidence_syncs_total", "Group commits, an fsync each, since the start.", func() float64 { return float64(p.segments.Stats().Syncs) }),
		gauge("evidence_index_rows", "Flow reports in the index.", func() float64 { return float64(p.segments.Stats().Rows) }),
		gauge("evidence_index_runs", "Runs of the index of flow reports.", func() float64 { return float64(p.segments.Stats().Runs) }),
		gauge("evidence_index_behind_batches", "Stored batches that are not in the index yet.", func() float64 { return float64(p.segments.Stats().Behind) }),
		gauge("evidence_index_failed", "1 when the index could not be kept up at the last try.", func() float64 {
			if p.segments.Stats().Index != nil {
				return 1
			}
			return 0
		}),
		gauge("evidence_lost_records", "Records that gateways declared lost since the start.", func() float64 { return float64(p.segments.Stats().Lost) }),
		gauge("projector_behind_batches", "Stored batches that are not yet turned into state; since the start of the process it is known after the first.", func() float64 {
			at, all := m.projected.Load(), p.segments.Stats().Frames
			if at == 0 || at >= all {
				return 0
			}
			return float64(all - at)
		}),
	)
	return m
}
