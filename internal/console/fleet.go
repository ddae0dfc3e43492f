package console

import (
	"encoding/json"

	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
)

type groupsPage struct {
	page
	Items []api.Group
}

func (*groupsPage) template() string { return "groups" }

func groups(q *request) (view, error) {
	all, err := q.c.svc.Groups(q.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live = q.page.L.T("groups.title"), []string{"kind:group", "kind:rollout"}
	return &groupsPage{page: q.page, Items: all}, nil
}

func addGroup(q *request) (string, error) {
	name, note := strings.TrimSpace(q.PostFormValue("name")), strings.TrimSpace(q.PostFormValue("note"))
	p := api.GroupPatch{Name: &name, Note: &note}
	s := api.Selector{Type: q.PostFormValue("type"), Vendor: strings.TrimSpace(q.PostFormValue("vendor")), Model: strings.TrimSpace(q.PostFormValue("model")), Tag: strings.TrimSpace(q.PostFormValue("tag"))}
	if s != (api.Selector{}) {
		p.Select = &s
	}
	_, err := q.c.svc.CreateGroup(q.Context(), q.actor, p)
	return "group", err
}

type groupPage struct {
	page
	api.Group
	DevicesIn []api.Device
	JSON      string // its terms, to be edited
	Selected  []string
}

func (*groupPage) template() string { return "group" }

func oneGroup(q *request) (view, error) {
	id := ringwall.GroupID(q.PathValue("id"))
	g, err := q.c.svc.Group(q.Context(), q.actor, id)
	if err != nil {
		return nil, err
	}
	in, err := q.c.svc.GroupDevices(q.Context(), q.actor, id)
	if err != nil {
		return nil, err
	}
	terms, err := json.MarshalIndent(g.Terms, "", "  ")
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live, q.page.Path = g.Name, []string{string(id), string(g.Rollout)}, "/groups/"+string(id)
	p := &groupPage{page: q.page, Group: g, DevicesIn: in, JSON: string(terms)}
	if s := g.Select; s != nil {
		for _, v := range []string{s.Type, s.Vendor, s.Model, string(s.Gateway), s.Tag} {
			if v != "" {
				p.Selected = append(p.Selected, v)
			}
		}
	}
	return p, nil
}

// rollGroup starts a rollout of what the form says of a group.
func rollGroup(q *request) (string, error) {
	in := api.RolloutStart{Change: api.RolloutChange{Group: ringwall.GroupID(q.PathValue("id"))}}
	if m := q.PostFormValue("mode"); m != "" {
		in.Change.Mode = new(ringwall.Mode)
		if err := in.Change.Mode.UnmarshalText([]byte(m)); err != nil {
			return "", err
		}
	} else {
		terms := []api.Term{}
		if err := strictJSON(q.PostFormValue("terms"), &terms); err != nil {
			return "", err
		}
		in.Change.Terms = &terms
	}
	for f := range strings.FieldsFuncSeq(q.PostFormValue("stages"), func(r rune) bool { return r == ',' || r == ' ' || r == '%' }) {
		n, err := strconv.Atoi(f)
		if err != nil {
			return "", ringwall.Errorf(ringwall.Invalid, "stages are percents, such as 5, 25, 100")
		}
		in.Stages = append(in.Stages, n)
	}
	if s := q.PostFormValue("soak"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			return "", ringwall.Errorf(ringwall.Invalid, "%.20q is no time such as 90m or 2h", s)
		}
		in.Soak = api.Duration(d)
	}
	_, err := q.c.svc.StartRollout(q.Context(), q.actor, in)
	return "rollout", err
}

func strictJSON(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return ringwall.Errorf(ringwall.Invalid, "the terms cannot be read: %v", err)
	}
	return nil
}

func deleteGroup(q *request) (string, error) {
	return "deleted", q.c.svc.DeleteGroup(q.Context(), q.actor, ringwall.GroupID(q.PathValue("group")))
}

type rolloutsPage struct {
	page
	Items []api.Rollout
	Next  string
}

func (*rolloutsPage) template() string { return "rollouts" }

func rollouts(q *request) (view, error) {
	v := q.URL.Query()
	list, err := q.c.svc.Rollouts(q.Context(), q.actor, httpapi.Paging{Cursor: v.Get("cursor"), Limit: httpapi.DefaultPage})
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live = q.page.L.T("rollouts.title"), []string{"kind:rollout"}
	return &rolloutsPage{page: q.page, Items: list.Items, Next: next(v, list.Next)}, nil
}

type rolloutPage struct {
	page
	api.Rollout
	Steps     []rolloutStep
	GroupName string
}

type rolloutStep struct {
	api.RolloutStep
	By string
}

func (*rolloutPage) template() string { return "rollout" }

// Percent is the share of the stage that it is at.
func (p *rolloutPage) Percent() int { return p.Stages[min(p.Stage, len(p.Stages)-1)] }

// Number is the stage as people count.
func (p *rolloutPage) Number() int { return p.Stage + 1 }

// Watched is how long each stage is.
func (p *rolloutPage) Watched() time.Duration { return time.Duration(p.Soak) }

func oneRollout(q *request) (view, error) {
	id := ringwall.RolloutID(q.PathValue("id"))
	r, err := q.c.svc.Rollout(q.Context(), q.actor, id)
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live, q.page.Path = r.Name, []string{string(id)}, "/rollouts/"+string(id)
	p := &rolloutPage{page: q.page, Rollout: r}
	if p.GroupName = string(r.Change.Group); p.GroupName != "" {
		if g, err := q.c.svc.Group(q.Context(), q.actor, r.Change.Group); err == nil { // it may have gone since
			p.GroupName = g.Name
		}
	}
	for _, s := range slices.Backward(r.Log) {
		by := ""
		if s.By != "" {
			by = q.who(s.By)
		}
		p.Steps = append(p.Steps, rolloutStep{s, by})
	}
	return p, nil
}

func decideRollout(q *request) (string, error) {
	d := q.PostFormValue("decision")
	_, err := q.c.svc.DecideRollout(q.Context(), q.actor, ringwall.RolloutID(q.PathValue("id")), api.RolloutDecision{Decision: d, Reason: reasonGiven(q)})
	if d == "resume" {
		return "resumed", err
	}
	return "stopped", err
}

type templatesPage struct {
	page
	Items []templateRow
}

type templateRow struct {
	api.Template
	Sets []string
}

func (*templatesPage) template() string { return "templates" }

func templates(q *request) (view, error) {
	all, err := q.c.svc.Templates(q.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	q.page.Title = q.page.L.T("templates.title")
	p := &templatesPage{page: q.page}
	for _, t := range all {
		row := templateRow{Template: t}
		text, err := json.Marshal(t.Site)
		if err != nil {
			return nil, err
		}
		sets := map[string]json.RawMessage{}
		if err := json.Unmarshal(text, &sets); err != nil {
			return nil, err
		}
		for name := range sets {
			row.Sets = append(row.Sets, name)
		}
		slices.Sort(row.Sets)
		p.Items = append(p.Items, row)
	}
	return p, nil
}

type policyPage struct {
	page
	api.PolicyView
	Name   string
	Draft  string            // the owner's terms as they would be, in JSON
	Terms  []api.Term        // the same
	Change *api.PolicyChange // what saving them would do
	MUD    *api.MUDState     // nil: none is known
	Learnt *api.PolicyDraft
	Lines  []learnLine
}

type learnLine struct {
	api.DraftLine
	JSON string
}

func (*policyPage) template() string { return "policy" }

func devicePolicy(q *request) (view, error) { return policyWith(q, nil) }

// policyWith shows the policy of a device, with terms of its owner that are not
// saved yet.
func policyWith(q *request, draft []api.Term) (*policyPage, error) {
	ctx, id := q.Context(), ringwall.DeviceID(q.PathValue("id"))
	d, err := q.c.svc.Device(ctx, q.actor, id)
	if err != nil {
		return nil, err
	}
	v, err := q.c.svc.DevicePolicy(ctx, q.actor, id)
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Path = d.Name, "/devices/"+string(id)+"/policy"
	p := &policyPage{PolicyView: v, Name: d.Name, Terms: v.Owner}
	if draft != nil {
		p.Terms = draft
	}
	text, err := json.Marshal(p.Terms)
	if err != nil {
		return nil, err
	}
	p.Draft = string(text)
	m, err := q.c.svc.MUD(ctx, q.actor, id)
	if err == nil {
		p.MUD = &m
	} else if !isCode(err, ringwall.NotFound) {
		return nil, err
	}
	p.page = q.page
	return p, nil
}

// explainPolicy shows what the form's change would do. Nothing is saved.
func explainPolicy(q *request) (view, error) {
	draft := []api.Term{}
	var change api.PolicyChange
	err := strictJSON(q.PostFormValue("draft"), &draft)
	if err == nil {
		draft, err = changed(q, draft)
	}
	if err == nil {
		change, err = q.c.svc.ExplainPolicy(q.Context(), q.actor, ringwall.DeviceID(q.PathValue("id")), api.OwnerTerms{Terms: draft})
	}
	p, pageErr := policyWith(q, draft)
	if pageErr != nil {
		return nil, pageErr
	}
	if err != nil {
		p.status, p.Problem = httpapi.Describe(err)
		q.c.note(q.Context(), p.status, err)
		return p, nil
	}
	p.Change = &change
	return p, nil
}

// changed applies what the form says to the terms that it holds.
func changed(q *request, terms []api.Term) ([]api.Term, error) {
	for _, id := range q.PostForm["remove"] {
		terms = slices.DeleteFunc(terms, func(t api.Term) bool { return t.ID == id })
	}
	other := strings.TrimSpace(q.PostFormValue("other"))
	if other == "" {
		return terms, nil
	}
	t := api.Term{Action: api.Action(q.PostFormValue("action")), Direction: api.Direction(q.PostFormValue("direction"))}
	if err := readOther(&t, other); err != nil {
		return nil, err
	}
	if err := readService(&t, strings.TrimSpace(q.PostFormValue("service"))); err != nil {
		return nil, err
	}
	t.ID = strings.Trim(strings.NewReplacer("/", "-", ":", "-", "*", "any", ",", "-", " ", "").Replace(string(t.Action)+"-"+string(t.Direction)+"-"+other+"-"+q.PostFormValue("service")), "-")
	terms = slices.DeleteFunc(terms, func(old api.Term) bool { return old.ID == t.ID })
	return append(terms, t), nil
}

func readOther(t *api.Term, other string) error {
	kind, rest, _ := strings.Cut(other, ":")
	switch {
	case other == "local":
		t.Local = true
	case other == "gateway":
		t.Gateway = true
	case other == "same-maker":
		t.SameMaker = true
	case kind == "controller" && rest != "":
		t.Controller = rest
	case kind == "device" && rest != "":
		t.Device = ringwall.DeviceID(rest)
	default:
		if p, err := netip.ParsePrefix(other); err == nil {
			t.CIDR = p.Masked()
		} else if a, err := netip.ParseAddr(other); err == nil {
			t.CIDR = netip.PrefixFrom(a, a.BitLen())
		} else {
			t.Domain = strings.ToLower(other)
		}
	}
	return nil
}

func readService(t *api.Term, s string) error {
	proto, list, some := strings.Cut(s, "/")
	if t.Proto = proto; proto == "" {
		t.Proto = "any"
	}
	if !some {
		return nil
	}
	for part := range strings.SplitSeq(list, ",") {
		a, b, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			b = a
		}
		first, err1 := strconv.ParseUint(a, 10, 16)
		last, err2 := strconv.ParseUint(b, 10, 16)
		if err1 != nil || err2 != nil {
			return ringwall.Errorf(ringwall.Invalid, "%.20q is no port or range of ports", part)
		}
		t.Ports = append(t.Ports, api.PortRange{First: uint16(first), Last: uint16(last)})
	}
	return nil
}

func savePolicy(q *request) (string, error) {
	terms := []api.Term{}
	if err := strictJSON(q.PostFormValue("draft"), &terms); err != nil {
		return "", err
	}
	_, err := q.c.svc.PutOwnerTerms(q.Context(), q.actor, ringwall.DeviceID(q.PathValue("id")), api.OwnerTerms{Terms: terms})
	return "terms", err
}

// learnPolicy shows what a device was seen to need, to be approved line by line.
func learnPolicy(q *request) (view, error) {
	days, err := strconv.Atoi(q.PostFormValue("days"))
	if err != nil {
		days = 0
	}
	draft, learnErr := q.c.svc.LearnPolicy(q.Context(), q.actor, ringwall.DeviceID(q.PathValue("id")), api.LearnRequest{Days: days})
	p, err := policyWith(q, nil)
	if err != nil {
		return nil, err
	}
	if learnErr != nil {
		p.status, p.Problem = httpapi.Describe(learnErr)
		q.c.note(q.Context(), p.status, learnErr)
		return p, nil
	}
	p.Learnt = &draft
	for _, l := range draft.Lines {
		text, err := json.Marshal(l.Term)
		if err != nil {
			return nil, err
		}
		p.Lines = append(p.Lines, learnLine{l, string(text)})
	}
	return p, nil
}

func approvePolicy(q *request) (string, error) {
	in := api.DraftApproval{Terms: []api.Term{}}
	for _, text := range q.PostForm["term"] {
		var t api.Term
		if err := strictJSON(text, &t); err != nil {
			return "", err
		}
		in.Terms = append(in.Terms, t)
	}
	_, err := q.c.svc.ApproveDraft(q.Context(), q.actor, ringwall.DeviceID(q.PathValue("id")), in)
	return "approved", err
}

func undoProfile(q *request) (string, error) {
	_, err := q.c.svc.UndoSIMProfile(q.Context(), q.actor, ringwall.SIMID(q.PathValue("id")))
	return "simprofile", err
}
