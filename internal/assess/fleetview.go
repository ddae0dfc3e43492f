package assess

import (
	"cmp"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Shared is one secret that stands in more than one place: in devices or images
// of one maker or of several.
type Shared struct {
	Mark     string
	Kind     string
	Known    string // name of the known default or test key that it is
	Sources  []string
	Vendors  []string
	Devices  []ringwall.DeviceID
	Anywhere bool // in those of more than one vendor
}

// SharedSecrets returns the secrets that more than one device, or images of
// more than one vendor, have in common; those across vendors come first.
// Certificates of authorities are often the same by right: only kinds that
// should be a device's own are looked at.
func SharedSecrets(xs []api.Examination) []Shared {
	by := map[string]*Shared{}
	for _, x := range xs {
		for _, s := range x.Secrets {
			if s.Mark == "" || s.Kind == "certificate" && x.Kind == api.ExamFirmware {
				continue
			}
			h := by[s.Mark]
			if h == nil {
				h = &Shared{Mark: s.Mark, Kind: s.Kind, Known: s.Known}
				by[s.Mark] = h
			}
			h.Known = cmp.Or(h.Known, s.Known)
			h.Sources = add(h.Sources, x.Source)
			if x.Identity.Vendor != "" {
				h.Vendors = add(h.Vendors, x.Identity.Vendor)
			}
			if x.Device != "" {
				h.Devices = add(h.Devices, x.Device)
			}
		}
	}
	var out []Shared
	for _, h := range by {
		h.Anywhere = len(h.Vendors) > 1
		if h.Anywhere || len(h.Devices) > 1 {
			out = append(out, *h)
		}
	}
	slices.SortFunc(out, func(a, b Shared) int {
		return cmp.Or(
			cmp.Compare(len(b.Vendors), len(a.Vendors)), cmp.Compare(len(b.Devices), len(a.Devices)),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Mark, b.Mark),
		)
	})
	return out
}

func add[T cmp.Ordered](s []T, v T) []T {
	i, found := slices.BinarySearch(s, v)
	if found {
		return s
	}
	return slices.Insert(s, i, v)
}

// Point is the state of a fleet at one time.
type Point struct {
	Time                        time.Time
	High, Medium, Low, Ungraded int
	Risk                        float64 // mean of the expected risk of those that have a grade
}

// Trend returns the state of a fleet at each of the times, from all assessments
// that were ever made: of each device the newest that had ended by then counts.
// A device that was not yet assessed is not counted; times may come in any
// order and are answered in theirs.
func Trend(history []api.Assessment, times []time.Time) []Point {
	byDevice := map[ringwall.DeviceID][]api.Assessment{}
	for _, a := range history {
		byDevice[a.Device] = append(byDevice[a.Device], a)
	}
	for _, as := range byDevice {
		slices.SortFunc(as, func(a, b api.Assessment) int { return cmp.Or(a.Ended.Compare(b.Ended), cmp.Compare(a.ID, b.ID)) })
	}
	devices := make([]ringwall.DeviceID, 0, len(byDevice))
	for d := range byDevice {
		devices = append(devices, d)
	}
	slices.Sort(devices)
	out := make([]Point, 0, len(times))
	for _, at := range times {
		p, sum := Point{Time: at}, 0.0
		for _, d := range devices {
			as := byDevice[d]
			n, _ := slices.BinarySearchFunc(as, at, func(a api.Assessment, at time.Time) int {
				if a.Ended.After(at) {
					return 1
				}
				return -1
			})
			if n == 0 {
				continue
			}
			a := as[n-1]
			switch a.Grade {
			case ringwall.HighRisk:
				p.High++
			case ringwall.MediumRisk:
				p.Medium++
			case ringwall.LowRisk:
				p.Low++
			default:
				p.Ungraded++
				continue
			}
			sum += a.Risk
		}
		if n := p.High + p.Medium + p.Low; n > 0 {
			p.Risk = round(sum / float64(n))
		}
		out = append(out, p)
	}
	return out
}

// Change is one device whose grade or answers differ between two assessments.
type Change struct {
	Device      ringwall.DeviceID
	Before, Now ringwall.Grade
	Worse       []string // indicators that came to fail
	Better      []string // that failed and do not any more, as measured
}

// Compare returns how an assessment differs from the one before it.
func Compare(before, now api.Assessment) Change {
	c := Change{Device: now.Device, Before: before.Grade, Now: now.Grade}
	old := map[string]ringwall.Outcome{}
	for _, f := range before.Findings {
		old[f.Indicator] = f.Outcome
	}
	for _, f := range now.Findings {
		was := old[f.Indicator]
		switch {
		case f.Outcome == ringwall.Fail && was != ringwall.Fail:
			c.Worse = append(c.Worse, f.Indicator)
		case was == ringwall.Fail && f.Outcome != ringwall.Fail && f.Outcome != ringwall.Unknown:
			c.Better = append(c.Better, f.Indicator)
		}
	}
	slices.Sort(c.Worse)
	slices.Sort(c.Better)
	return c
}
