package assess

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// DeviceResult is one device of a manufacturer: its result, and what became of
// the tasks that were the manufacturer's.
type DeviceResult struct {
	Device    ringwall.DeviceID
	Model     string
	Result    Result
	Remedials []api.Remedial
}

// MakerDetail is a manufacturer's score with what it follows from.
type MakerDetail struct {
	api.MakerScore
	Median, Worst float64       // expected risk over its devices, 0 to 100
	ShareHigh     float64       // of the graded ones
	Failures      []Failure     // commonest first, at most five
	Contradicted  int           // declared passes that were measured to fail
	Responded     int           // its tasks that were done
	Waiting       int           // its tasks that are open
	Response      time.Duration // median from opening to done; 0 when none was
}

// Failure is an indicator that some devices fail.
type Failure struct {
	Indicator string
	Title     string
	Devices   int
}

const (
	// fewDevices is the number below which a score is told as one of few.
	fewDevices = 5
	// perContradiction is what a false declaration costs in points of a score, up
	// to maxContradiction: a maker that misleads is worse than one that is silent.
	perContradiction = 4.0
	maxContradiction = 20.0
	maxFailures      = 5
	// prior is the weight of "we do not know" in a score, in devices.
	prior = 1.0
)

// Maker scores a manufacturer over its devices, 0 (bad) to 100 (good): a
// hundred less the median risk, a fifth of the way to the worst one, less what
// false declarations cost, drawn to the middle as if one device of even risk
// were among them. The interval is what sampling so few devices leaves open (95
// % of Student's t over their risks, never narrower than their own best and
// worst cases on average), cut to 0 to 100.
//
// It is a statement about the devices that are here, and says so.
func Maker(r *Rubric, name string, devices []DeviceResult) MakerDetail {
	m := MakerDetail{MakerScore: api.MakerScore{Name: name, Devices: len(devices), Least: 0, Most: 100, Score: 50, Reasons: []string{}}}
	var risks, spread []float64
	count := map[string]int{}
	models := map[string]bool{}
	var times []time.Duration
	for _, d := range devices {
		for _, x := range d.Result.Doubted {
			m.Contradicted += len(x.Indicators)
		}
		for _, t := range d.Remedials {
			switch {
			case t.Party != ringwall.PartManufacturer:
			case t.Status == "done":
				m.Responded++
				times = append(times, max(0, t.Updated.Sub(t.Opened)))
			default:
				m.Waiting++
			}
		}
		switch d.Result.Grade {
		case ringwall.HighRisk:
			m.High++
		case ringwall.MediumRisk:
			m.Medium++
		case ringwall.LowRisk:
			m.Low++
		default:
			continue
		}
		m.Graded++
		models[d.Model] = true
		risks = append(risks, d.Result.Risk)
		spread = append(spread, (d.Result.RiskMax-d.Result.RiskBest)/2)
		for i := range d.Result.Settled {
			if f := &d.Result.Settled[i]; f.Outcome == ringwall.Fail && r.rank(f) > said {
				count[f.Indicator]++
			}
		}
	}
	if len(times) > 0 {
		slices.Sort(times)
		m.Response = times[len(times)/2]
	}
	if m.Graded == 0 {
		m.Reasons = append(m.Reasons, fmt.Sprintf("none of its %d devices has a grade: nothing can be said of it", m.Devices))
		return m
	}
	slices.Sort(risks)
	m.Median, m.Worst = median(risks), risks[len(risks)-1]
	m.ShareHigh = float64(m.High) / float64(m.Graded)
	for _, in := range r.Indicators {
		if n := count[in.ID]; n > 0 {
			m.Failures = append(m.Failures, Failure{in.ID, in.Title, n})
		}
	}
	slices.SortStableFunc(m.Failures, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Devices, a.Devices), cmp.Compare(a.Indicator, b.Indicator))
	})
	m.Failures = m.Failures[:min(len(m.Failures), maxFailures)]
	m.score(risks, spread)
	m.explain(len(models))
	return m
}

func (m *MakerDetail) score(risks, spread []float64) {
	n := float64(len(risks))
	lies := min(maxContradiction, perContradiction*float64(m.Contradicted))
	s := 100 - (0.8*m.Median + 0.2*m.Worst) - lies
	s = (n*s + prior*50) / (n + prior)
	half := max(mean(spread)/math.Sqrt(n), 1.0)
	if len(risks) > 1 {
		half = max(half, student(len(risks)-1)*deviation(risks)/math.Sqrt(n))
	} else {
		half = max(half, 25)
	}
	m.Score = tenth(min(100, max(0, s)))
	m.Least, m.Most = tenth(max(0, m.Score-half)), tenth(min(100, m.Score+half))
}

func (m *MakerDetail) explain(models int) {
	say := func(format string, args ...any) { m.Reasons = append(m.Reasons, fmt.Sprintf(format, args...)) }
	say("of its %d devices here %d are high, %d medium and %d low risk; the middle one has %.0f of 100, the worst %.0f", m.Devices, m.High, m.Medium, m.Low, m.Median, m.Worst)
	if m.Graded < fewDevices {
		say("only %d of its devices (%d models) were graded: what is said of it lies between %.0f and %.0f", m.Graded, models, m.Least, m.Most)
	}
	if m.Contradicted > 0 {
		say("%d times a measurement contradicted what was declared", m.Contradicted)
	}
	var common []string
	for _, f := range m.Failures {
		common = append(common, fmt.Sprintf("%s (%d of %d)", f.Indicator, f.Devices, m.Graded))
	}
	if len(common) > 0 {
		say("commonest failures: %s", strings.Join(common, ", "))
	}
	if m.Responded+m.Waiting > 0 {
		if m.Responded > 0 {
			say("%d of its %d tasks are done, half of them within %.0f days", m.Responded, m.Responded+m.Waiting, math.Ceil(m.Response.Hours()/24))
		} else {
			say("none of its %d tasks is done", m.Waiting)
		}
	}
}

func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

func mean(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}

func deviation(xs []float64) float64 {
	m, sum := mean(xs), 0.0
	for _, x := range xs {
		sum += (x - m) * (x - m)
	}
	return math.Sqrt(sum / float64(len(xs)-1))
}

// student returns the two-sided 95 % point of Student's t.
func student(freedom int) float64 {
	points := [...]float64{12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23}
	if freedom <= len(points) {
		return points[freedom-1]
	}
	return 2.0
}

func tenth(f float64) float64 { return math.Round(f*10) / 10 }
