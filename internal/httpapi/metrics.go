package httpapi

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// meters are the metrics of this package.
type meters struct {
	requests *prometheus.HistogramVec
	inFlight prometheus.Gauge
	streams  prometheus.Gauge
}

func newMeters(reg prometheus.Registerer) *meters {
	m := &meters{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ringwall_http_request_seconds", Help: "Time to answer a request, by route and status.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10, 30},
		}, []string{"route", "status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "ringwall_http_requests_in_flight", Help: "Requests being answered, event streams included."}),
		streams:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "ringwall_http_event_streams", Help: "Open event streams."}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.inFlight, m.streams)
	}
	return m
}

// seen counts one answer. Routes are patterns, so their number is bounded.
func (m *meters) seen(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}
