package console

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// flowForm is what was searched for, as it was written.
type flowForm struct {
	Device, Verdict, Remote, Name, Port, Proto, Reason string
}

// Any reports whether anything but the device narrows the search.
func (f flowForm) Any() bool { f.Device = ""; return f != flowForm{} }

type flowsPage struct {
	page
	Form   flowForm
	Name   string // of the device
	Items  []flowLine
	Next   string
	Totals *flowTotals
	// TotalsFailed says that the sums could not be read.
	TotalsFailed bool
	Reasons      []string // that can be chosen
}

// flowLine is a report with the name of its device.
type flowLine struct {
	api.FlowRow
	Who   string
	Count uint64 // flows beside this one that are folded into it
}

// flowTotals are sums with what draws them.
type flowTotals struct {
	api.FlowTotals
	Chart   flowChart
	Talkers []flowTalker
}

type flowTalker struct {
	api.FlowTalker
	Who string
}

// flowChart is the flows of each hour as two lines in a box of the size
// chartWidth by chartHeight: all, and those that were refused.
type flowChart struct {
	All, Refused string // points of a polyline
	Most         uint64
}

const (
	chartWidth  = 240
	chartHeight = 40
	// totalHours is the time that the page sums.
	totalHours = 24
)

// flowReasons are the reasons that a flow is refused for, as verdicts name them.
func flowReasons() []string {
	return []string{"default", "deny", "inbound", "limited", "quarantine", "cutoff", "ipv6", "malformed", "inspect", "gateway", "closed"}
}

func (*flowsPage) template() string { return "flows" }

func chartOf(hours []api.FlowHour) (c flowChart) {
	for _, h := range hours {
		c.Most = max(c.Most, h.Allowed+h.Refused+h.Would)
	}
	line := func(of func(api.FlowHour) uint64) string {
		var b strings.Builder
		for i, h := range hours {
			x, y := 0, chartHeight-1
			if len(hours) > 1 {
				x = i * chartWidth / (len(hours) - 1)
			}
			if c.Most > 0 {
				y = chartHeight - 1 - int(float64(of(h))/float64(c.Most)*(chartHeight-2))
			}
			b.WriteString(strconv.Itoa(x) + "," + strconv.Itoa(y) + " ")
		}
		return strings.TrimSpace(b.String())
	}
	c.All = line(func(h api.FlowHour) uint64 { return h.Allowed + h.Refused + h.Would })
	c.Refused = line(func(h api.FlowHour) uint64 { return h.Refused })
	return c
}

// search reads the form. The error has code Invalid.
func (f flowForm) search() (httpapi.FlowSearch, error) {
	s := httpapi.FlowSearch{Device: ringwall.DeviceID(f.Device), Verdict: f.Verdict, Name: f.Name, Proto: f.Proto, Reason: f.Reason}
	var err error
	if s.Remote, err = httpapi.ParseRemote(f.Remote); err != nil {
		return s, err
	}
	if f.Port != "" {
		n, err := strconv.ParseUint(f.Port, 10, 16)
		if err != nil || n == 0 {
			return s, ringwall.Errorf(ringwall.Invalid, "a port is a number from 1 to 65535")
		}
		s.Port = uint16(n)
	}
	return s, nil
}

func formOf(v url.Values) flowForm {
	get := func(name string, most int) string {
		s := strings.TrimSpace(v.Get(name))
		return s[:min(len(s), most)]
	}
	return flowForm{
		Device: get("device", 64), Verdict: get("verdict", 16), Remote: get("remote", 64), Name: strings.ToLower(get("name", 255)),
		Port: get("port", 5), Proto: get("proto", 8), Reason: get("reason", 64),
	}
}

func flows(q *request) (view, error) {
	v := q.URL.Query()
	p := &flowsPage{Form: formOf(v), Reasons: flowReasons()}
	if p.Form.Device != "" {
		d, err := q.c.svc.Device(q.Context(), q.actor, ringwall.DeviceID(p.Form.Device))
		if err != nil {
			return nil, err
		}
		p.Name = d.Name
	}
	q.page.Title = q.page.L.T("flows.title")
	s, err := p.Form.search()
	if err == nil {
		err = q.findFlows(p, s, v)
	}
	p.page = q.page
	if ringwall.CodeOf(err) == ringwall.Invalid { // what was written is wrong: say so beside it
		p.status, p.Problem = httpapi.Describe(err)
		return p, nil
	}
	return p, err
}

func (q *request) findFlows(p *flowsPage, s httpapi.FlowSearch, v url.Values) error {
	list, err := q.c.svc.FlowSearch(q.Context(), q.actor, s, httpapi.Paging{Cursor: v.Get("cursor"), Limit: httpapi.DefaultPage})
	if err != nil {
		return err
	}
	for _, r := range list.Items {
		p.Items = append(p.Items, flowLine{FlowRow: r, Who: q.deviceName(r.Device), Count: r.More})
	}
	p.Next = next(v, list.Next)
	t, err := q.flowTotals(s)
	if err != nil {
		p.TotalsFailed = true
		status, _ := httpapi.Describe(err)
		q.c.note(q.Context(), status, err)
		return nil
	}
	p.Totals = t
	return nil
}

// flowTotals sums the last hours.
func (q *request) flowTotals(s httpapi.FlowSearch) (*flowTotals, error) {
	s.To = q.page.Now
	s.From = s.To.Add(-totalHours * time.Hour)
	t, err := q.c.svc.FlowTotals(q.Context(), q.actor, s)
	if err != nil {
		return nil, err
	}
	out := &flowTotals{FlowTotals: t, Chart: chartOf(t.Hours)}
	for _, d := range t.Devices[:min(len(t.Devices), 5)] {
		out.Talkers = append(out.Talkers, flowTalker{d, q.deviceName(d.Device)})
	}
	out.Reasons, out.Remotes = out.Reasons[:min(len(out.Reasons), 6)], out.Remotes[:min(len(out.Remotes), 5)]
	return out, nil
}

// deviceName returns what a report's device is called, "" when it names none.
func (q *request) deviceName(id ringwall.DeviceID) string {
	if id == "" {
		return ""
	}
	return q.nameOf(ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(id)})
}

type flowPage struct {
	page
	Why api.FlowWhy
	Who string
}

func (*flowPage) template() string { return "flow" }

// flowWhy shows one report and why it was decided so.
func flowWhy(q *request) (view, error) {
	lang := "en"
	if strings.HasPrefix(q.page.L.Tag, "zh") {
		lang = "zh"
	}
	w, err := q.c.svc.FlowWhy(q.Context(), q.actor, ringwall.FlowID(q.PathValue("id")), lang)
	if err != nil {
		return nil, err
	}
	q.page.Title = q.page.L.T("flow.title")
	return &flowPage{page: q.page, Why: w, Who: q.deviceName(w.Flow.Device)}, nil
}
