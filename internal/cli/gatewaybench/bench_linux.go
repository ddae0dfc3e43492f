// Package gatewaybench measures a gateway: what it forwards, beside others who
// do the same, and what it does while its policy changes.
//
// Everything happens in network namespaces of this machine, in threes: devices,
// gateway, world. Each contender has its own three, all are there at once, and
// they are measured in turn, round by round, so that each meets the same
// machine. A figure is the median over the rounds, and a ratio the median of
// the ratios within each round to plain forwarding, which is measured twice a
// round: how far the second stands from the first is what the machine's noise
// does. Sender, gateway and receiver share one processor, as on a small gateway
// everything does; the sender's share is printed too, since it dilutes ratios.
//
// Run owns all goroutines and namespaces; when it returns there are none. It
// needs root.
package gatewaybench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// Options of a run. The zero value of a number means what its comment says.
type Options struct {
	Devices    []int         // 1, 100, 10,000
	Rounds     int           // 7
	Slot       time.Duration // that one contender is measured at a time; 200 ms
	Workloads  []string      // all
	Only       []string      // contenders and parts of the second axis whose names hold one of these; all, plain forwarding always
	Peers      []Contender   // measured beside ours
	SkipChange bool          // leave out the second axis
	SkipSpeed  bool          // leave out the first
	Agent      []string      // the command line of the agent's program; nil leaves its memory out
	Log        io.Writer     // talk
}

// Report is what a run found.
type Report struct {
	Machine string    `json:"machine"`
	Date    time.Time `json:"date"`
	Rounds  int       `json:"rounds"`
	Slot    string    `json:"slot"`
	Speed   []Row     `json:"speed,omitempty"`
	Change  []Figure  `json:"change,omitempty"`
	Bars    []Bar     `json:"bars,omitempty"`
}

// Row is one contender under one workload.
type Row struct {
	Workload  string  `json:"workload"`
	Devices   int     `json:"devices"`
	Contender string  `json:"contender"`
	Rate      float64 `json:"rate"` // packets, flows or bytes a second, the median
	Ratio     float64 `json:"ratio"`
	Low       float64 `json:"ratio_low"` // the quartiles of the ratio
	High      float64 `json:"ratio_high"`
	Loss      float64 `json:"loss"` // share of what was sent that did not arrive
	Tapped    float64 `json:"tapped,omitempty"`
	Note      string  `json:"note,omitempty"`
}

// Figure is one measurement of the second axis.
type Figure struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Of    string  `json:"of,omitempty"`
}

// Bar is something that is demanded, and whether it holds.
type Bar struct {
	What  string  `json:"what"`
	Want  string  `json:"want"`
	Value float64 `json:"value"`
	Holds bool    `json:"holds"`
}

// Contender is a way to forward the packets of devices.
type Contender struct {
	Name string
	// Start makes the gateway of r one, and answers how to end it. A Note of the
	// contender says in what it differs from its kind.
	Start func(ctx context.Context, r *Rig) (*Running, error)
	// Most is the largest number of devices that it is measured with; 0 = any.
	Most int
	// Asked says to measure it only when Options.Only names it from the beginning.
	Asked bool
}

// Running is a contender at work.
type Running struct {
	Stop func() error
	// Tap reads what its taps have seen and lost; nil when it has none.
	Tap func() (seen, lost uint64)
	// Warm reports whether it is ready for a workload that goes on; nil = it is.
	Warm func() bool
	Note string
}

func (o *Options) defaults() {
	if len(o.Devices) == 0 {
		o.Devices = []int{1, 100, 10_000}
	}
	if o.Rounds <= 0 {
		o.Rounds = 7
	}
	if o.Slot <= 0 {
		o.Slot = 200 * time.Millisecond
	}
	if len(o.Workloads) == 0 {
		o.Workloads = []string{Small, SmallAll, Large, Flows, Stream}
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
}

// Workloads. Whatever the number of devices in the policy, talkers of their flows
// are going on at once in Small and Large; in SmallAll all of them are: each
// device's with each of its destinations, one packet after the other, so that
// no cache of a processor helps anybody.
const (
	Small    = "64 B"
	SmallAll = "64 B all flows"
	Large    = "1400 B"
	Flows    = "new flows"
	Stream   = "TCP"
)

// talkers is how many flows go on at once, spread over the devices.
const talkers = 1000

// Run measures. It answers what it has when ctx ends.
func Run(ctx context.Context, o Options) (Report, error) {
	o.defaults()
	rep := Report{Machine: machine(), Date: time.Now().UTC().Truncate(time.Second), Rounds: o.Rounds, Slot: o.Slot.String()}
	release, err := reserve()
	if err != nil {
		return rep, err
	}
	defer release()
	if !o.SkipSpeed {
		for _, n := range o.Devices {
			rows, err := speed(ctx, o, n)
			rep.Speed = append(rep.Speed, rows...)
			if err != nil {
				return rep, fmt.Errorf("measuring %d devices: %w", n, err)
			}
		}
	}
	if !o.SkipChange {
		figs, err := change(ctx, o)
		rep.Change = figs
		if err != nil {
			return rep, fmt.Errorf("measuring what changes: %w", err)
		}
	}
	rep.Bars = bars(rep)
	return rep, nil
}

// percentile of a sorted list.
func percentile[T any](sorted []T, p float64) (v T) {
	if len(sorted) == 0 {
		return v
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

func sorted(list []float64) []float64 { slices.Sort(list); return list }
