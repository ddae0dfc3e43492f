package console

import (
	"cmp"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
)

func cmpFloat(a, b float64) int { return cmp.Compare(a, b) }

func cosine(degrees float64) float64 { return math.Cos(degrees * math.Pi / 180) }

// digitsOf is how many digits a count has: the size of an area's dot grows with
// the order of its cards.
func digitsOf(n int) int { return len(strconv.Itoa(n)) }

type usageRulesPage struct {
	page
	Settings   []settingsRow
	Rules      []api.UsageRule
	Exceptions []exceptionRow
	Next       string
	Pools      []api.IMEIPool
	Trial      *api.UsageTrial
	Form       settingsForm
	Expert     bool   // the settings were given as JSON
	Draft      string // settings in JSON, as they were given
	Customer   string
	Tariff     string
	Note       string
}

type settingsRow struct {
	api.UsageSettings
	Who  string
	JSON string
}

func (*usageRulesPage) template() string { return "usagerules" }

func usageRules(q *request) (view, error) { return q.usageRules(q.URL.Query().Has("customer")) }

// usageRules fills the page. With edit, the form has the settings of the customer
// and tariff that the address names; else it is empty.
func (q *request) usageRules(edit bool) (*usageRulesPage, error) {
	v := q.URL.Query()
	p := &usageRulesPage{Customer: v.Get("customer"), Tariff: v.Get("tariff")}
	all, err := q.c.svc.AllUsageSettings(q.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	var shown api.UsageSettings
	for _, s := range all {
		row := settingsRow{UsageSettings: s, Who: q.who(s.By)}
		if row.JSON, err = settingsText(s); err != nil {
			return nil, err
		}
		p.Settings = append(p.Settings, row)
		if edit && s.Customer == p.Customer && s.Tariff == p.Tariff {
			shown = s
		}
	}
	if p.Rules, err = q.c.svc.UsageRules(q.Context(), q.actor); err != nil {
		return nil, err
	}
	if p.Pools, err = q.c.svc.IMEIPools(q.Context(), q.actor); err != nil {
		return nil, err
	}
	p.Form = settingsFormOf(shown, p.Rules, p.Pools)
	if p.Draft, err = settingsText(shown); err != nil {
		return nil, err
	}
	es, err := q.c.svc.Exceptions(q.Context(), q.actor, "", v.Get("all") == "", httpapi.Paging{Cursor: v.Get("cursor"), Limit: httpapi.DefaultPage})
	if err != nil {
		return nil, err
	}
	for _, e := range es.Items {
		p.Exceptions = append(p.Exceptions, q.exceptionRow(e))
	}
	p.Next = next(v, es.Next)
	q.page.Title, q.page.Path = q.page.L.T("usagerules.title"), "/usage-rules"
	p.page = q.page
	return p, nil
}

// draft reads settings: those that a form's fields say are written as JSON first,
// so that both ways pass one parser.
func (q *request) draft(p *usageRulesPage) (api.UsageSettings, error) {
	if q.PostFormValue("form") == "" {
		p.Expert, p.Draft = true, q.PostFormValue("settings")
		return p.settings()
	}
	p.Form = typed(q.PostForm, p.Rules, p.Pools)
	said, err := p.Form.settings()
	if err != nil {
		return said, err
	}
	if p.Draft, err = settingsText(said); err != nil {
		return said, err
	}
	return p.settings()
}

// settings reads the draft.
func (p *usageRulesPage) settings() (s api.UsageSettings, err error) {
	d := json.NewDecoder(strings.NewReader(p.Draft))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, ringwall.Errorf(ringwall.Invalid, "the settings are not the JSON that is wanted: %v", err)
	}
	s.Customer, s.Tariff, s.Note = p.Customer, p.Tariff, p.Note
	return s, nil
}

// tryRules shows what settings would change, with the form to save them. What is
// refused comes back as it was typed.
func tryRules(q *request) (view, error) {
	p, err := q.usageRules(false)
	if err != nil {
		return nil, err
	}
	p.Customer, p.Tariff, p.Note = strings.TrimSpace(q.PostFormValue("customer")), strings.TrimSpace(q.PostFormValue("tariff")), strings.TrimSpace(q.PostFormValue("note"))
	s, err := q.draft(p)
	if err == nil {
		if p.Expert {
			p.Form = settingsFormOf(s, p.Rules, p.Pools)
		}
		days, _ := strconv.Atoi(q.PostFormValue("days")) // what is no number is the service's choice
		var trial api.UsageTrial
		if trial, err = q.c.svc.TryUsageSettings(q.Context(), q.actor, api.UsageTry{Settings: s, Days: max(0, days)}); err == nil {
			p.Trial = &trial
			return p, nil
		}
	}
	status, e := httpapi.Describe(err)
	q.c.note(q.Context(), status, err)
	p.status, p.Problem = status, e
	return p, nil
}

func saveRules(q *request) (string, error) {
	p := &usageRulesPage{Customer: strings.TrimSpace(q.PostFormValue("customer")), Tariff: strings.TrimSpace(q.PostFormValue("tariff")), Note: strings.TrimSpace(q.PostFormValue("note")), Draft: q.PostFormValue("settings")}
	s, err := p.settings()
	if err != nil {
		return "", err
	}
	_, err = q.c.svc.PutUsageSettings(q.Context(), q.actor, s)
	return "saved", err
}

func undoRules(q *request) (string, error) {
	_, err := q.c.svc.UndoUsageSettings(q.Context(), q.actor, q.PostFormValue("customer"), q.PostFormValue("tariff"))
	return "undo", err
}

// except makes a maintenance window, or an exception from one rule.
func except(q *request) (string, error) {
	hours, err := strconv.Atoi(q.PostFormValue("hours"))
	if err != nil || hours < 1 || hours > 24*366 {
		return "", ringwall.Errorf(ringwall.Invalid, "the hours are no number from 1 to a year's")
	}
	in := api.ExceptionCreate{
		Kind: api.ExceptWindow, SIM: ringwall.SIMID(strings.TrimSpace(q.PostFormValue("sim"))), Customer: strings.TrimSpace(q.PostFormValue("customer")),
		Until: q.page.Now.Add(time.Duration(hours) * time.Hour), Reason: strings.TrimSpace(q.PostFormValue("reason")),
	}
	if r := q.PostFormValue("rule"); r != "" {
		in.Kind, in.Rules = api.ExceptRule, []string{r}
	}
	if imei := digits(q.PostFormValue("imei")); imei != "" {
		in.Kind, in.IMEI, in.Rules = api.ExceptSwap, imei, nil
	}
	_, err = q.c.svc.CreateException(q.Context(), q.actor, in)
	return "saved", err
}

func endException(q *request) (string, error) {
	_, err := q.c.svc.EndException(q.Context(), q.actor, ringwall.ExceptionID(q.PathValue("exception")))
	return "saved", err
}

type warningsPage struct {
	page
	Routes     []routeRow
	Deliveries []api.Delivery
	Next       string
	Secret     string // of a route that was just made
	Parties    []ringwall.Part
}

type routeRow struct {
	api.WarningRoute
	Who string
}

func (*warningsPage) template() string { return "warnings" }

func warnings(q *request) (view, error) {
	v := q.URL.Query()
	p := &warningsPage{Parties: []ringwall.Part{ringwall.PartEnterprise, ringwall.PartManufacturer, ringwall.PartApplication, ringwall.PartOperator, ringwall.PartProvider, ringwall.PartIntegrator, ringwall.PartOwner}}
	all, err := q.c.svc.WarningRoutes(q.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		p.Routes = append(p.Routes, routeRow{r, q.who(r.By)})
	}
	ds, err := q.c.svc.Deliveries(q.Context(), q.actor, "", httpapi.Paging{Cursor: v.Get("cursor"), Limit: httpapi.DefaultPage})
	if err != nil {
		return nil, err
	}
	p.Deliveries, p.Next = ds.Items, next(v, ds.Next)
	q.page.Title, q.page.Path = q.page.L.T("warnings.title"), "/warnings"
	p.page = q.page
	return p, nil
}

// addRoute shows the secret of a new route, once.
func addRoute(q *request) (view, error) {
	in := api.WarningRoutePut{
		Party: ringwall.Part(q.PostFormValue("party")), Name: strings.TrimSpace(q.PostFormValue("name")), URL: strings.TrimSpace(q.PostFormValue("url")),
		Customer: strings.TrimSpace(q.PostFormValue("customer")), Vendor: strings.TrimSpace(q.PostFormValue("vendor")), Tag: strings.TrimSpace(q.PostFormValue("tag")),
	}
	if err := in.Severity.UnmarshalText([]byte(q.PostFormValue("severity"))); err != nil {
		return nil, err
	}
	r, err := q.c.svc.PutWarningRoute(q.Context(), q.actor, "", in)
	if err != nil {
		status, e := httpapi.Describe(err)
		q.page.status, q.page.Problem = status, e
	}
	v, err := warnings(q)
	if err != nil {
		return nil, err
	}
	if p, ok := v.(*warningsPage); ok {
		p.Secret = r.Secret
	}
	return v, nil
}

func actRoute(q *request) (string, error) {
	id := ringwall.RouteID(q.PathValue("route"))
	if q.PostFormValue("do") == "drop" {
		return "saved", q.c.svc.DropWarningRoute(q.Context(), q.actor, id)
	}
	_, err := q.c.svc.TestWarningRoute(q.Context(), q.actor, id)
	return "asked", err
}
