package console

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
)

type simsPage struct {
	page
	Items  []simRow
	Next   string
	Choice []api.Device // devices that a new card can be put into
	Given  api.SIMCreate
	Filter httpapi.SIMFilter
	Which  string // of the lists that have a name, the one that is shown
}

// simRow is a card with the name of the device that it is in.
type simRow struct {
	api.SIM
	DeviceName string
}

// Separated reports whether the card was last seen in other equipment.
func (s simRow) Separated() bool { return !s.SIM.Separated.IsZero() }

func (*simsPage) template() string { return "sims" }

// simLists are the lists of cards that have a name.
var simLists = []string{"separated", "silent", "never", "nodevice"}

func simFilter(v url.Values) (f httpapi.SIMFilter, which string) {
	f = httpapi.SIMFilter{State: v.Get("state"), Customer: v.Get("customer"), Seller: v.Get("seller"), Area: v.Get("area")}
	switch which = v.Get("list"); which {
	case "separated":
		f.Separated = true
	case "silent":
		f.Silent = true
	case "never":
		f.Never = true
	case "nodevice":
		f.NoDevice = true
	default:
		which = ""
	}
	return f, which
}

func sims(q *request) (view, error) {
	v := q.URL.Query()
	filter, which := simFilter(v)
	list, err := q.c.svc.FindSIMs(q.Context(), q.actor, filter, httpapi.Paging{Cursor: v.Get("cursor"), Limit: httpapi.DefaultPage})
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live = q.page.L.T("sims.title"), []string{"kind:sim"}
	p := &simsPage{page: q.page, Next: next(v, list.Next), Filter: filter, Which: which}
	for _, s := range list.Items {
		p.Items = append(p.Items, q.simRow(s))
	}
	if ds, err := q.c.svc.Devices(q.Context(), q.actor, httpapi.DeviceFilter{}, httpapi.Paging{Limit: httpapi.MaxPage}); err == nil {
		p.Choice = ds.Items
	}
	return p, nil
}

// Lists names the lists for the page's links.
func (*simsPage) Lists() []string { return simLists }

func (q *request) simRow(s api.SIM) simRow {
	return simRow{SIM: s, DeviceName: q.nameOf(ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(s.Device)})}
}

type simPage struct {
	page
	simRow
	Card     api.SIMCard
	Hours    plot
	Days     plot
	Rows     []responseRow
	Alerts   []alertRow
	Except   []exceptionRow
	Custody  []custodyRow
	Timeline []line
	Older    string
	Profiles []profileRow
	Numbers  *api.SIMNumbers // in clear, when they were asked for
}

// revealSIM shows the card's page with its numbers, once. The page does not follow
// events: it would lose them to the one that tells of this.
func revealSIM(q *request) (view, error) {
	n, failed := q.c.svc.RevealSIM(q.Context(), q.actor, ringwall.SIMID(q.PathValue("id")), api.SIMReveal{Reason: strings.TrimSpace(q.PostFormValue("reason"))})
	if failed != nil {
		status, e := httpapi.Describe(failed)
		q.c.note(q.Context(), status, failed)
		q.page.status, q.page.Problem = status, e
	}
	v, err := sim(q)
	if err != nil {
		return nil, err
	}
	if p, ok := v.(*simPage); ok && failed == nil {
		p.Numbers, p.Live = &n, nil
	}
	return v, nil
}

type alertRow struct {
	api.SIMAlert
	Who string
}

type exceptionRow struct {
	api.UsageException
	Who   string
	Ended bool
	Rule  string
}

type custodyRow struct {
	api.CustodyEvent
	Who string
}

// profileRow is one version of what a card may be used for.
type profileRow struct {
	api.SIMProfile
	Who string
}

// Undoable reports whether there is a version to go back to.
func (p *simPage) Undoable() bool { return len(p.Profiles) > 1 }

func (*simPage) template() string { return "sim" }

func sim(q *request) (view, error) {
	c, err := q.c.svc.SIMCard(q.Context(), q.actor, ringwall.SIMID(q.PathValue("id")))
	if err != nil {
		return nil, err
	}
	s := c.SIM
	subject := ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(s.ID)}
	q.page.Title, q.page.Live, q.page.Path = q.page.L.T("sim.title", "iccid", s.ICCID), []string{string(s.ID)}, "/sims/"+string(s.ID)
	p := &simPage{simRow: q.simRow(s), Card: c, Hours: plotOf(c.Hours, 14*24, time.Hour), Days: plotOf(c.Days, 400, 24*time.Hour)}
	p.Rows = q.responses(c.Acts)
	for n := range p.Rows {
		p.Rows[n].By = q.who(p.Rows[n].By)
	}
	for _, a := range c.Alerts {
		p.Alerts = append(p.Alerts, alertRow{a, q.who(a.Decided)})
	}
	for _, e := range c.Except {
		p.Except = append(p.Except, q.exceptionRow(e))
	}
	for _, e := range c.Custody {
		p.Custody = append(p.Custody, custodyRow{e, q.who(e.By)})
	}
	versions, err := q.c.svc.SIMProfiles(q.Context(), q.actor, s.ID)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		p.Profiles = append(p.Profiles, profileRow{v, q.who(v.By)})
	}
	if p.Timeline, p.Older, err = q.timeline(subject); err != nil {
		return nil, err
	}
	p.page = q.page
	return p, nil
}

func (q *request) exceptionRow(e api.UsageException) exceptionRow {
	return exceptionRow{UsageException: e, Who: q.who(e.By), Ended: !e.Ended.IsZero() || !q.page.Now.Before(e.Until), Rule: strings.Join(e.Rules, ", ")}
}

// plot is a curve as bars in a box of plotWidth by plotHeight.
type plot struct {
	Bars                    []bar
	Most                    uint64 // bytes of the highest
	Bytes, Calls, Messages  uint64
	From, To                time.Time
	Width, Height, Baseline int
}

// bar is one step: bytes as its height, and whether calls or messages were made.
type bar struct {
	X, Y, H, W string
	Loud       bool
	Title      string
}

const (
	plotWidth  = 700
	plotHeight = 110
)

// plotOf draws the steps of a curve that is span steps long. Steps without use
// have no bar.
func plotOf(c api.UsageCurve, span int, step time.Duration) plot {
	p := plot{From: c.From, To: c.To, Width: plotWidth, Height: plotHeight, Baseline: plotHeight - 1}
	for _, x := range c.Points {
		p.Most = max(p.Most, x.Up+x.Down)
		p.Bytes, p.Calls, p.Messages = p.Bytes+x.Up+x.Down, p.Calls+x.Calls, p.Messages+x.Messages
	}
	width := float64(plotWidth) / float64(span)
	last := c.To.Truncate(step)
	num := func(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }
	for _, x := range c.Points {
		ago := int(last.Sub(x.Time.Truncate(step)) / step)
		if ago < 0 || ago >= span {
			continue
		}
		h := 2.0
		if p.Most > 0 {
			h += float64(plotHeight-14) * float64(x.Up+x.Down) / float64(p.Most)
		}
		p.Bars = append(p.Bars, bar{
			X: num(float64(span-1-ago) * width), Y: num(float64(plotHeight) - 1 - h), H: num(h), W: num(max(0.8, width*0.8)), Loud: x.Calls+x.Messages > 0,
			Title: fmt.Sprintf("%s: %d B, %d, %d", x.Time.UTC().Format("2006-01-02 15:04"), x.Up+x.Down, x.Calls, x.Messages),
		})
	}
	return p
}

func createSIM(q *request) (string, error) {
	in := api.SIMCreate{
		ICCID: digits(q.PostFormValue("iccid")), IMSI: digits(q.PostFormValue("imsi")), IMEI: digits(q.PostFormValue("imei")),
		Device: ringwall.DeviceID(q.PostFormValue("device")), Services: q.PostForm["services"], Peers: strings.Fields(q.PostFormValue("peers")),
		Customer: strings.TrimSpace(q.PostFormValue("customer")), Tariff: strings.TrimSpace(q.PostFormValue("tariff")), Seller: strings.TrimSpace(q.PostFormValue("seller")),
	}
	_, err := q.c.svc.CreateSIM(q.Context(), q.actor, in)
	return "sim", err
}

// digits drops the blanks that people put into long numbers.
func digits(s string) string { return strings.Join(strings.Fields(s), "") }

func (q *request) expiry() (api.Duration, error) {
	v := q.PostFormValue("hours")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > 24*366 {
		return 0, ringwall.Errorf(ringwall.Invalid, "the hours are no number up to a year")
	}
	return api.Duration(time.Duration(n) * time.Hour), nil
}

func suspendSIM(q *request) (string, error) {
	expiry, err := q.expiry()
	if err != nil {
		return "", err
	}
	_, err = q.c.svc.CreateResponse(q.Context(), q.actor, api.ResponseCreate{
		Kind: "sim-suspend", Target: ringwall.Subject{Kind: ringwall.SubjectSIM, ID: q.PathValue("id")}, Reason: reasonGiven(q), Expiry: expiry,
	})
	return "suspended", err
}

func restrictSIM(q *request) (string, error) {
	expiry, err := q.expiry()
	if err != nil {
		return "", err
	}
	r := api.SIMRestriction{Services: q.PostForm["services"], APNs: strings.Fields(q.PostFormValue("apns"))}
	if v := q.PostFormValue("rate"); v != "" {
		kbit, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return "", ringwall.Errorf(ringwall.Invalid, "the rate is no number of kbit/s")
		}
		r.Rate = 1000 * kbit
	}
	_, err = q.c.svc.CreateResponse(q.Context(), q.actor, api.ResponseCreate{
		Kind: "sim-restrict", Target: ringwall.Subject{Kind: ringwall.SubjectSIM, ID: q.PathValue("id")}, Reason: reasonGiven(q), Expiry: expiry, Restrict: &r,
	})
	return "restricted", err
}

func setSIM(q *request) (string, error) {
	p := api.SIMPatch{}
	for name, to := range map[string]**string{"customer": &p.Customer, "tariff": &p.Tariff, "seller": &p.Seller} {
		v := strings.TrimSpace(q.PostFormValue(name))
		*to = &v
	}
	_, err := q.c.svc.PatchSIM(q.Context(), q.actor, ringwall.SIMID(q.PathValue("id")), p)
	return "saved", err
}

// judgeAlert takes what somebody makes of an alert; days other than "" make an
// exception with it.
func judgeAlert(q *request) (string, error) {
	in := api.AlertDecision{Disposition: q.PostFormValue("disposition"), Note: strings.TrimSpace(q.PostFormValue("note"))}
	if v := q.PostFormValue("days"); v != "" {
		days, err := strconv.Atoi(v)
		if err != nil || days < 1 || days > 366 {
			return "", ringwall.Errorf(ringwall.Invalid, "the days are no number from 1 to 366")
		}
		in.Except = &api.AlertExcept{Until: q.page.Now.AddDate(0, 0, days), Customer: q.PostFormValue("customer") != ""}
	}
	_, err := q.c.svc.DecideSIMAlert(q.Context(), q.actor, ringwall.AlertID(q.PathValue("alert")), in)
	return "disposition", err
}

type simFleetPage struct {
	page
	Fleet    api.SIMFleet
	Top      []topRow
	Map      areaMap
	Trend    plot
	Customer []api.Credit
	Seller   []api.Credit
}

type topRow struct {
	api.CardRisk
	DeviceName string
}

func (*simFleetPage) template() string { return "simfleet" }

func simFleet(q *request) (view, error) {
	f, err := q.c.svc.SIMFleet(q.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live = q.page.L.T("simfleet.title"), []string{"kind:sim", "kind:alert"}
	p := &simFleetPage{Fleet: f, Map: mapOf(f.Areas), Trend: trendOf(f.Trend)}
	for _, t := range f.Top {
		p.Top = append(p.Top, topRow{t, q.nameOf(ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(t.Device)})})
	}
	for kind, to := range map[string]*[]api.Credit{"customer": &p.Customer, "seller": &p.Seller} {
		if *to, err = q.c.svc.Credits(q.Context(), q.actor, kind); err != nil && !isCode(err, ringwall.Forbidden) {
			return nil, err
		}
	}
	p.page = q.page
	return p, nil
}

// trendOf draws the alerts of each day.
func trendOf(days []api.UsageDay) plot {
	c := api.UsageCurve{}
	for _, d := range days {
		c.To = d.Day
		if d.Alerts > 0 {
			c.Points = append(c.Points, api.UsagePoint{Time: d.Day, Up: uint64(d.Alerts), Calls: uint64(d.Severe)})
		}
	}
	return plotOf(c, max(1, len(days)), 24*time.Hour)
}

// areaMap is the areas of which it is known where they are, in a box, and those
// of which it is not.
type areaMap struct {
	Dots          []dot
	Elsewhere     []api.AreaRisk
	Width, Height int
}

type dot struct {
	api.AreaRisk
	X, Y, R string
	Level   string // class of its risk
}

const (
	mapWidth  = 700
	mapHeight = 360
	mapEdge   = 24
)

// mapOf lays areas out as they lie to each other: longitude by the cosine of the
// middle latitude, so that shapes stay what they are. No map from elsewhere is
// under it: whose areas these are is nobody's business.
func mapOf(areas []api.AreaRisk) areaMap {
	m := areaMap{Width: mapWidth, Height: mapHeight}
	var known []api.AreaRisk
	for _, a := range areas {
		if a.Known {
			known = append(known, a)
		} else {
			m.Elsewhere = append(m.Elsewhere, a)
		}
	}
	if len(known) == 0 {
		return m
	}
	lat := func(a, b api.AreaRisk) int { return cmpFloat(a.Lat, b.Lat) }
	lon := func(a, b api.AreaRisk) int { return cmpFloat(a.Lon, b.Lon) }
	south, north := slices.MinFunc(known, lat).Lat, slices.MaxFunc(known, lat).Lat
	west, east := slices.MinFunc(known, lon).Lon, slices.MaxFunc(known, lon).Lon
	shrink := cosine((south + north) / 2)
	across, up := max(0.01, (east-west)*shrink), max(0.01, north-south)
	scale := min((mapWidth-2*mapEdge)/across, (mapHeight-2*mapEdge)/up)
	num := func(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }
	for _, a := range known {
		x := mapWidth/2 + (a.Lon-(west+east)/2)*shrink*scale
		y := mapHeight/2 - (a.Lat-(south+north)/2)*scale
		r := 5 + 3*digitsOf(a.Cards)
		m.Dots = append(m.Dots, dot{AreaRisk: a, X: num(x), Y: num(y), R: num(float64(r)), Level: riskLevel(a.Risk)})
	}
	return m
}

// riskLevel is the class of a risk. Where nothing was said, nothing is known to
// be wrong, and that is not drawn as good.
func riskLevel(risk int) string {
	switch {
	case risk >= 60:
		return "high"
	case risk >= 20:
		return "medium"
	case risk > 0:
		return "low"
	}
	return "none"
}

// Level is the class of an area's risk.
func (areaMap) Level(risk int) string { return riskLevel(risk) }

type simDevicesPage struct {
	page
	Items []api.Device
	Next  string
}

func (*simDevicesPage) template() string { return "simdevices" }

// simDevices lists the devices that no card is in.
func simDevices(q *request) (view, error) {
	v := q.URL.Query()
	list, err := q.c.svc.DevicesWithoutSIM(q.Context(), q.actor, httpapi.Paging{Cursor: v.Get("cursor"), Limit: httpapi.DefaultPage})
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Path = q.page.L.T("simfleet.nocard"), "/sim-fleet/devices"
	return &simDevicesPage{page: q.page, Items: list.Items, Next: next(v, list.Next)}, nil
}
