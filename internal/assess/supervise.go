package assess

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Depth is how much of an assessment is made again.
type Depth uint8

// Depths, each with what the one before it does.
const (
	DepthNone  Depth = iota
	DepthMatch       // stored evidence against new data: nothing is sent
	DepthQuick       // ports and greetings
	DepthFull        // all probes but those that strain
	DepthDeep        // all that may strain too, a new image and a new declaration
)

var depthNames = [...]string{"none", "match", "quick", "full", "deep"}

func (d Depth) String() string { return depthNames[min(int(d), len(depthNames)-1)] }

// Limit is how far probes may go at this depth.
func (d Depth) Limit() Intrusion {
	switch d {
	case DepthFull:
		return LogsIn
	case DepthDeep:
		return Strains
	}
	return Asks
}

// Supervision is what a grade demands of those who watch a device.
type Supervision struct {
	Class    ringwall.Class
	Interval time.Duration // between assessments
	Depth    Depth         // of the next one that is due by its interval
}

// SupervisionOf returns how closely a class is watched. What stands in public or
// in production is looked at twice as often, and so is a device that hangs on
// the world by a SIM; nothing is looked at more often than once a day.
func SupervisionOf(c ringwall.Class, p api.Profile) Supervision {
	day := 24 * time.Hour
	s := Supervision{Class: c}
	switch c {
	case ringwall.WatchInRealTime:
		s.Interval, s.Depth = 7*day, DepthFull
	case ringwall.WatchPeriodically:
		s.Interval, s.Depth = 30*day, DepthFull
	default:
		s.Interval, s.Depth = 180*day, DepthQuick
	}
	if p.Use == UsePublic || p.Use == UseProduction {
		s.Interval /= 2
	}
	if p.SIM {
		s.Interval /= 2
	}
	s.Interval = max(s.Interval, day)
	return s
}

// Supervise returns the supervision that a result demands.
func Supervise(res Result) Supervision { return SupervisionOf(res.Class, res.Profile) }

// Text says it in words.
func (s Supervision) Text() string {
	how := map[ringwall.Class]string{
		ringwall.WatchInRealTime:   "watch it in real time",
		ringwall.WatchPeriodically: "watch it periodically",
		ringwall.WatchOccasionally: "watch it occasionally",
	}[s.Class]
	days := s.Interval.Hours() / 24
	if days < 1.5 {
		return how + ", assess it every day"
	}
	return fmt.Sprintf("%s, assess it every %.0f days", how, days)
}

// Occasion is what is known of a device when it is asked whether it is to be
// assessed again. Zero fields say that nothing is known.
type Occasion struct {
	Now         time.Time
	Last        time.Time // of the last assessment; zero = never
	Supervision Supervision
	// Opened are services that were not open at the last assessment.
	Opened []api.Service
	// Firmware before and now; an empty one is not known.
	FirmwareBefore, FirmwareNow string
	// Exploited are vulnerabilities that became known to be exploited since, in
	// what the device has.
	Exploited []api.Vulnerability
	// Incident is the open one, if it began after the last assessment.
	Incident ringwall.IncidentID
	// CertificateEnds is when the device's own expires.
	CertificateEnds time.Time
	// Stale is the number of answers past their validity.
	Stale int
	// DataChanged says that the vulnerability data is newer than the last match.
	DataChanged bool
}

// certificateNear is how long before its end a certificate is near expiry: long
// enough for a vendor to send another.
const certificateNear = 30 * 24 * time.Hour

// Due reports whether a device is to be assessed again now, why, and how
// deeply: the deepest that any of its reasons asks for. Reasons come most
// pressing first.
func Due(o Occasion) (due bool, reasons []string, depth Depth) {
	say := func(d Depth, format string, args ...any) {
		reasons = append(reasons, fmt.Sprintf(format, args...))
		depth = max(depth, d)
	}
	if o.Incident != "" {
		say(DepthDeep, "an incident was opened: only a clean assessment ends it")
	}
	if len(o.Exploited) > 0 {
		ids := make([]string, 0, len(o.Exploited))
		for _, v := range o.Exploited {
			ids = append(ids, v.ID)
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
		more := ""
		if len(ids) > 3 {
			more = fmt.Sprintf(" and %d more", len(ids)-3)
		}
		say(DepthFull, "%s%s: now known to be exploited, and it has what they need", strings.Join(ids[:min(3, len(ids))], ", "), more)
	}
	if o.FirmwareBefore != "" && o.FirmwareNow != "" && o.FirmwareBefore != o.FirmwareNow {
		say(DepthDeep, "its firmware changed from %.40s to %.40s", o.FirmwareBefore, o.FirmwareNow)
	}
	if len(o.Opened) > 0 {
		var names []string
		for _, s := range o.Opened[:min(len(o.Opened), 5)] {
			names = append(names, fmt.Sprintf("%s/%d", cmp.Or(s.Proto, "tcp"), s.Port))
		}
		say(DepthFull, "it opened %s", strings.Join(names, ", "))
	}
	if o.Last.IsZero() {
		say(DepthFull, "it was never assessed")
	} else if s := o.Supervision; s.Interval > 0 && o.Now.Sub(o.Last) >= s.Interval {
		say(s.Depth, "its last assessment is %.0f days old; its class asks for one every %.0f", o.Now.Sub(o.Last).Hours()/24, s.Interval.Hours()/24)
	}
	if e := o.CertificateEnds; !e.IsZero() && e.Sub(o.Now) < certificateNear {
		if e.Before(o.Now) {
			say(DepthQuick, "its certificate has expired")
		} else {
			say(DepthQuick, "its certificate expires in %.0f days", e.Sub(o.Now).Hours()/24)
		}
	}
	if o.Stale > 0 {
		say(DepthFull, "%d answers are past their validity", o.Stale)
	}
	if o.DataChanged {
		say(DepthMatch, "the list of known vulnerabilities is newer than its last match")
	}
	return len(reasons) > 0, reasons, depth
}

// NextDue returns when a device is next to be assessed by its interval alone.
func NextDue(last time.Time, s Supervision) time.Time {
	if last.IsZero() || s.Interval <= 0 {
		return last
	}
	return last.Add(s.Interval)
}

// Opened returns the services of now that were not there before, by protocol
// and port.
func Opened(before, now []api.Service) []api.Service {
	var out []api.Service
	for _, s := range now {
		if !slices.ContainsFunc(before, func(b api.Service) bool { return b.Proto == s.Proto && b.Port == s.Port }) {
			out = append(out, s)
		}
	}
	return out
}

// GateAllows reports whether a device of this grade may go online. A gate
// without a worst grade lets all pass; what has no grade passes only when the
// gate says so.
func GateAllows(g api.Gate, grade ringwall.Grade) bool {
	switch {
	case g.Worst == ringwall.Ungraded:
		return true
	case grade == ringwall.Ungraded:
		return g.Ungraded
	}
	return grade <= g.Worst
}
