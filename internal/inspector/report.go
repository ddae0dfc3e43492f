package inspector

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
)

// maxReports bounds the decisions that are gathered before they are told. When
// there are more kinds than that, those that come last are told without what
// stood inside.
const maxReports = 1024

// maxShown bounds a text that is told.
const maxShown = 128

// reports gathers refusals and tells each kind once with its count.
type reports struct {
	tell func(api.Notice)
	flow func(flow.Record)
	now  func() time.Time

	mu   sync.Mutex
	kind map[reportKey]*api.Notice
}

type reportKey struct {
	device, verdict, reason, term, remote, proto, host, path, method string
}

// shown cuts a text for a report, and what looks like a value: cameras carry
// passwords in paths ("/user=admin&password=…").
func shown(s string) string {
	if i := strings.IndexByte(s, '='); i >= 0 {
		s = s[:i+1] + "…"
	}
	if len(s) > maxShown {
		s = s[:maxShown] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

// refuse notes a refusal, or what would have been one.
func (r *reports) refuse(e ends, d *ruling, s *seen) {
	if r.tell == nil {
		return
	}
	verdict := flow.Refused.String()
	if d.Pass {
		verdict = flow.WouldRefuse.String()
	}
	remote, device := e.dst, ""
	if d.direction == api.ToDevice {
		remote = e.src
	}
	if d.device != nil {
		device = string(d.device.id)
	}
	k := reportKey{device, verdict, d.Reason, d.Term, remote.Addr().String(), s.Proto, s.Host, shown(s.Path), s.Method}
	if s.Proto == "mqtt" || s.Proto == "coap" {
		k.host = shown(k.host)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kind == nil {
		r.kind = map[reportKey]*api.Notice{}
	}
	if len(r.kind) >= maxReports && r.kind[k] == nil {
		k = reportKey{device: device, verdict: verdict, reason: d.Reason}
	}
	n := r.kind[k]
	if n == nil {
		n = &api.Notice{Kind: api.NoticeInspect, Addr: remote, Time: r.now(), Text: d.Reason, Detail: map[string]string{"verdict": verdict, "reason": d.Reason, "transport": e.proto}}
		if d.device != nil {
			n.Device = d.device.id
		}
		add := func(key, value string) {
			if value != "" {
				n.Detail[key] = value
			}
		}
		add("direction", string(d.direction))
		add("term", d.Term)
		if d.generation > 0 {
			add("generation", strconv.FormatUint(d.generation, 10))
		}
		if k.remote != "" {
			add("proto", s.Proto)
			add("host", shown(s.Host))
			add("path", k.path)
			add("method", shown(s.Method))
			if s.TLS != 0 {
				add("tls", versionName(s.TLS))
			}
			if s.ECH {
				add("ech", "yes")
			}
			if s.unproven {
				add("name", "not looked up")
			}
		}
		r.kind[k] = n
	}
	n.Count++
}

func versionName(v uint16) string {
	if v >= 0x0301 && v <= 0x0304 {
		return "1." + strconv.Itoa(int(v-0x0301))
	}
	return "0x" + strconv.FormatUint(uint64(v), 16)
}

// ended tells of one flow that is over.
func (r *reports) ended(e ends, d *ruling, s *seen, start time.Time, up, down uint64) {
	if r.flow == nil || d.device == nil {
		return
	}
	x := flow.Record{
		Start: start, End: r.now(), Device: d.device.id, Direction: flow.Direction(d.direction), Proto: 6,
		Local: e.src, Remote: e.dst, Reason: d.Reason, Term: d.Term, Generation: d.generation,
		Inside: flow.Inside{Proto: s.Proto, Host: shown(s.Host), Method: shown(s.Method), Path: shown(s.Path)},
	}
	if e.proto == "udp" {
		x.Proto = 17
	}
	x.BytesUp, x.BytesDown = up, down
	if d.direction == api.ToDevice {
		x.Local, x.Remote, x.BytesUp, x.BytesDown = e.dst, e.src, down, up
	}
	if len(d.names) > 0 {
		x.Name = d.names[0]
		if slices.Contains(d.names, s.Host) {
			x.Name = s.Host
		}
	}
	switch {
	case !d.Pass:
		x.Verdict = flow.Refused
	case d.Would:
		x.Verdict = flow.WouldRefuse
	}
	if d.Reason == reasonLimited {
		x.Limit = "flows"
	}
	r.flow(x)
}

// flush tells what was gathered.
func (r *reports) flush() {
	r.mu.Lock()
	kinds := r.kind
	r.kind = nil
	r.mu.Unlock()
	keys := make([]reportKey, 0, len(kinds))
	for k := range kinds {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b reportKey) int {
		return cmp.Or(strings.Compare(a.device, b.device), strings.Compare(a.remote, b.remote), strings.Compare(a.reason, b.reason), strings.Compare(a.proto, b.proto),
			strings.Compare(a.host, b.host), strings.Compare(a.path, b.path), strings.Compare(a.method, b.method), strings.Compare(a.verdict, b.verdict), strings.Compare(a.term, b.term))
	})
	for _, k := range keys {
		r.tell(*kinds[k])
	}
}
