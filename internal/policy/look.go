package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Bounds of what a term may ask about the inside of a flow.
const (
	MaxPatterns = 64  // hosts, paths and methods of one term, each
	maxPath     = 512 // octets of one path
)

// protocols that Inside may name, with what they carry.
var insides = map[string]struct{ hosts, paths bool }{
	"tls": {hosts: true}, "http": {true, true}, "rtsp": {true, true}, "coap": {true, true}, "mqtt": {paths: true},
}

// carries reports whether a protocol of Inside may run over a transport, so
// that a term which asks for it speaks of such flows at all. HTTP runs over UDP
// as HTTP/3 (RFC 9114), which shows no more than its TLS.
func carries(transport, proto string) bool {
	switch proto {
	case "tls", "http":
		return transport == "tcp" || transport == "udp"
	case "rtsp", "mqtt":
		return transport == "tcp"
	case "coap":
		return transport == "udp"
	}
	return false
}

// checkLook tells what is wrong with the parts of a term that look further than
// at addresses and ports.
func checkLook(t *api.Term) error {
	bad := func(format string, args ...any) error { return ringwall.Errorf(ringwall.Invalid, format, args...) }
	if w := t.Window; w != nil {
		if _, err := parseWindow(w); err != nil {
			return err
		}
	}
	if l := t.Limit; l != nil {
		if t.Action != api.Allow {
			return bad("a limit belongs to a term that allows")
		}
		if t.Gateway || t.Who != nil {
			return bad("what is asked of the gateway itself, or by one program, has no limit of its own")
		}
		if err := CheckLimit(*l); err != nil {
			return err
		}
	}
	if w := t.Who; w != nil {
		switch {
		case w.UID == nil && w.Cgroup == "":
			return bad("who names neither a user nor a cgroup")
		case t.Direction != api.FromDevice || t.Gateway:
			return bad("who speaks of flows that a program of the device opens")
		case w.Cgroup != "" && !cleanCgroup(w.Cgroup):
			return bad("cgroup %q is no path below /sys/fs/cgroup", short(w.Cgroup))
		}
	}
	if t.Inside != nil {
		return checkInside(t)
	}
	return nil
}

// cleanCgroup reports whether p is a path as the kernel writes it, without the
// leading slash.
func cleanCgroup(p string) bool {
	if len(p) > 1024 {
		return false
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\x00\n") {
			return false
		}
	}
	return true
}

// CheckLimit tells what is wrong with a limit, with code Invalid, or nil.
func CheckLimit(l api.Limit) error {
	bad := func(format string, args ...any) error {
		return ringwall.Errorf(ringwall.Invalid, "limit: "+format, args...)
	}
	switch {
	case l == api.Limit{}:
		return bad("bounds nothing")
	case l.Quota > 0 && l.Per == "":
		return bad("a quota needs to say per what")
	case l.Quota == 0 && l.Per != "":
		return bad("%q without a quota", short(l.Per))
	case !slices.Contains([]string{"", "hour", "day", "month"}, l.Per):
		return bad("%q is none of hour, day, month", short(l.Per))
	case l.Flows > 1<<20 || l.NewFlows > 1<<30 || l.PacketRate > 1<<32-1 || l.ByteRate > 1<<48 || l.Quota > 1<<62:
		return bad("a bound is larger than can be counted")
	}
	return nil
}

func checkInside(t *api.Term) error {
	in := t.Inside
	bad := func(format string, args ...any) error {
		return ringwall.Errorf(ringwall.Invalid, "inside: "+format, args...)
	}
	has, ok := insides[in.Proto]
	switch {
	case !ok:
		return bad("protocol %q is none of tls, http, rtsp, mqtt, coap", short(in.Proto))
	case t.Gateway:
		return bad("nobody looks into flows to the gateway itself")
	case t.Proto != "any" && !carries(t.Proto, in.Proto):
		return bad("%s does not run over %s", in.Proto, t.Proto)
	case len(in.Hosts) > MaxPatterns || len(in.Paths) > MaxPatterns || len(in.Methods) > MaxPatterns:
		return bad("more than %d patterns", MaxPatterns)
	case len(in.Hosts) > 0 && !has.hosts:
		return bad("%s shows no host", in.Proto)
	case len(in.Paths) > 0 && !has.paths, len(in.Methods) > 0 && in.Proto == "tls":
		return bad("%s shows no path and no method", in.Proto)
	case !slices.Contains([]string{"", "1.2", "1.3"}, in.MinTLS):
		return bad("least version %q is neither 1.2 nor 1.3", short(in.MinTLS))
	case in.MinTLS != "" && t.Action == api.Deny:
		return bad("a least version belongs to a term that allows")
	}
	for _, h := range in.Hosts {
		if err := CheckPattern(h); err != nil {
			return bad("host %q: %w", short(h), err)
		}
	}
	for _, p := range in.Paths {
		if in.Proto == "mqtt" {
			if !topicFilter(p) {
				return bad("%q is no topic filter", short(p))
			}
			continue
		}
		if !pathPattern(p) {
			return bad("path %q is not written as /a/b or /a/*", short(p))
		}
	}
	for _, m := range in.Methods {
		if in.Proto == "mqtt" && m != "PUBLISH" && m != "SUBSCRIBE" {
			return bad("method %q of mqtt is neither PUBLISH nor SUBSCRIBE", short(m))
		}
		if m == "" || len(m) > 32 || strings.Trim(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-0123456789") != "" {
			return bad("method %q is not in capitals", short(m))
		}
	}
	return nil
}

func pathPattern(p string) bool {
	dir, below := strings.CutSuffix(p, "/*")
	if below {
		dir += "/"
	}
	return len(p) <= maxPath && canonical(dir) && (p == "*" || !strings.Contains(dir, "*"))
}

// window is a Window taken apart.
type window struct {
	zone     string
	days     uint8 // bit 0 = Sunday, as time.Weekday; the day on which it begins
	from, to int   // minutes of the day; to may be 1440
}

const allDays = 1<<7 - 1

var dayNames = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func parseWindow(w *api.Window) (window, error) {
	out := window{zone: w.Zone, days: allDays}
	if out.zone == "UTC" {
		out.zone = ""
	}
	var ok bool
	if out.from, ok = minutes(w.From); !ok || out.from == 1440 {
		return window{}, ringwall.Errorf(ringwall.Invalid, "window: %q is no time of day", short(w.From))
	}
	if out.to, ok = minutes(w.To); !ok {
		return window{}, ringwall.Errorf(ringwall.Invalid, "window: %q is no time of day", short(w.To))
	}
	if len(w.Zone) > 64 || strings.ContainsFunc(w.Zone, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/_+-", r))
	}) {
		return window{}, ringwall.Errorf(ringwall.Invalid, "window: %q is no time zone", short(w.Zone))
	}
	if len(w.Days) > 0 {
		out.days = 0
	}
	for _, d := range w.Days {
		i := -1
		for j := range dayNames {
			if dayNames[j] == d {
				i = j
			}
		}
		if i < 0 {
			return window{}, ringwall.Errorf(ringwall.Invalid, "window: %q is none of mon to sun", short(d))
		}
		out.days |= 1 << i
	}
	return out, nil
}

// minutes reads "22:05".
func minutes(s string) (int, bool) {
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	n := [4]int{int(s[0]) - '0', int(s[1]) - '0', int(s[3]) - '0', int(s[4]) - '0'}
	for _, d := range n {
		if d < 0 || d > 9 {
			return 0, false
		}
	}
	h, m := 10*n[0]+n[1], 10*n[2]+n[3]
	return 60*h + m, m < 60 && (h < 24 || h == 24 && m == 0)
}

// open reports whether the window is open at a moment that a clock on the wall
// shows as local, in seconds since 1970.
func (w window) open(local int64) bool {
	day, sec := floorDiv(local, 86400)
	weekday := int((day%7 + 11) % 7) // 1 January 1970 was a Thursday
	m := int(sec / 60)
	on := func(d int) bool { return w.days>>d&1 != 0 }
	if w.from < w.to {
		return on(weekday) && w.from <= m && m < w.to
	}
	return on(weekday) && m >= w.from || on((weekday+6)%7) && m < w.to
}

func floorDiv(a, b int64) (q, r int64) {
	q, r = a/b, a%b
	if r < 0 {
		q, r = q-1, r+b
	}
	return q, r
}

// zone is an api.Zone as windows ask it; nil is UTC.
type zone struct {
	from    []int64 // seconds since 1970
	seconds []int64
}

// makeZone returns ok false for a zone that says nothing.
func makeZone(z *api.Zone) (out *zone, ok bool) {
	out = &zone{}
	for _, o := range z.Offsets {
		out.from = append(out.from, o.From.Unix())
		out.seconds = append(out.seconds, int64(o.Seconds))
	}
	return out, len(out.from) > 0 && slices.IsSorted(out.from)
}

// offset returns what holds at t. Before the first that is known, the first
// holds: a clock that was set back knows no better.
func (z *zone) offset(t int64) int64 {
	if z == nil {
		return 0
	}
	i := 0
	for i+1 < len(z.from) && z.from[i+1] <= t {
		i++
	}
	return z.seconds[i]
}

// next returns the first moment after now at which the window opens or closes;
// ok is false when it never does.
func (w window) next(z *zone, now int64) (at int64, ok bool) {
	was := w.open(now + z.offset(now))
	offsets := []int64{0}
	var moments []int64
	if z != nil {
		offsets = z.seconds
		moments = slices.Clone(z.from)
	}
	day, _ := floorDiv(now, 86400)
	for d := day - 2; d <= day+9; d++ {
		for _, m := range []int{w.from, w.to} {
			for _, o := range offsets {
				moments = append(moments, d*86400+int64(m)*60-o)
			}
		}
	}
	slices.Sort(moments)
	for _, t := range moments {
		// Between two neighbours nothing changes.
		if t > now && w.open(t+z.offset(t)) != was {
			return t, true
		}
	}
	return 0, false
}

// openAt says whether a term with this window holds at t. What cannot be told
// (no time, a zone that is not known) holds where it denies and not where it
// allows.
func openAt(w *api.Window, t time.Time, zones []api.Zone, deny bool) bool {
	if w == nil {
		return true
	}
	p, err := parseWindow(w)
	if err != nil || t.IsZero() {
		return deny
	}
	if p.zone == "" {
		return p.open(t.Unix())
	}
	for i := range zones {
		if z := &zones[i]; z.Name == p.zone {
			off, ok := offsetAt(z.Offsets, t)
			if !ok {
				return deny
			}
			return p.open(t.Unix() + off)
		}
	}
	return deny
}

// offsetAt is zone.offset without a zone made of it first.
func offsetAt(offsets []api.ZoneOffset, t time.Time) (int64, bool) {
	if len(offsets) == 0 {
		return 0, false
	}
	at := t.Unix()
	i := 0
	for j := range offsets {
		if j > 0 && offsets[j].From.Unix() < offsets[j-1].From.Unix() {
			return 0, false
		}
		if offsets[j].From.Unix() <= at {
			i = j
		}
	}
	return int64(offsets[i].Seconds), true
}
