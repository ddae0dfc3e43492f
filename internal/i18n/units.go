package i18n

import (
	"fmt"
	"strconv"
	"time"
)

// Date writes a day.
func (l Locale) Date(t time.Time) string {
	if l.folder() == "zh" {
		return t.Format("2006年1月2日")
	}
	return t.Format("2 Jan 2006")
}

// Time writes a day and a time of day to the second.
func (l Locale) Time(t time.Time) string {
	if l.folder() == "zh" {
		return t.Format("2006年1月2日 15:04:05")
	}
	return t.Format("2 Jan 2006, 15:04:05")
}

// Clock writes a time of day to the second.
func (l Locale) Clock(t time.Time) string { return t.Format("15:04:05") }

// Ago writes how long before now t was, or how long after, in its largest unit.
func (l Locale) Ago(t, now time.Time) string {
	d := now.Sub(t)
	future := d < 0
	if future {
		d = -d
	}
	span := l.Span(d)
	switch {
	case d < 2*time.Second:
		return l.T("span.now")
	case future:
		return l.T("span.ahead", "span", span)
	}
	return l.T("span.ago", "span", span)
}

// Span writes a duration in its largest unit, rounded down: what is said to be
// an hour old is no younger.
func (l Locale) Span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return l.N("span.ms", int(d/time.Millisecond))
	case d < time.Minute:
		return l.N("span.seconds", int(d/time.Second))
	case d < time.Hour:
		return l.N("span.minutes", int(d/time.Minute))
	case d < 2*day:
		return l.N("span.hours", int(d/time.Hour))
	}
	return l.N("span.days", int(d/day))
}

// Bytes writes an amount of data, three digits of it, in binary units.
func (l Locale) Bytes(n uint64) string {
	if n < 1024 {
		return strconv.FormatUint(n, 10) + " B"
	}
	v, unit := float64(n)/1024, 0
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	for v >= 1024 && unit < len(units)-1 {
		v /= 1024
		unit++
	}
	digits := 0
	if v < 10 {
		digits = 2
	} else if v < 100 {
		digits = 1
	}
	return fmt.Sprintf("%.*f %s", digits, v, units[unit])
}

// Percent writes a share of 0 to 1 as whole percent, rounded down so that only
// all of it is 100 %.
func (l Locale) Percent(share float64) string {
	share = min(1, max(0, share))
	n := int(share*100 + 1e-9)
	if l.folder() == "zh" {
		return strconv.Itoa(n) + "%"
	}
	return strconv.Itoa(n) + " %"
}
