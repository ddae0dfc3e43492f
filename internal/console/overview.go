package console

import (
	"slices"
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

type overviewPage struct {
	page
	api.Overview
	Grade, Trust, Presence ring
	WaitingRows            []responseRow
	Timeline               []line
}

func (*overviewPage) template() string { return "overview" }

func overview(q *request) (view, error) {
	o, err := q.c.svc.Overview(q.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live = q.page.L.T("overview.title"), []string{"*"}
	p := &overviewPage{page: q.page, Overview: o}
	p.Grade = newRing("grade", o.Devices, o.ByGrade, "high", "medium", "low", "unknown")
	p.Trust = newRing("trust", o.Devices, o.ByTrust, "T0", "T1", "T2", "T3", "T4")
	p.Presence = newRing("presence", o.Devices, o.ByPresent, "gone", "moved", "silent", "unknown", "online")
	p.WaitingRows = q.responses(o.Waiting)
	p.Timeline = joined(q.lines(o.Recent))
	return p, nil
}

// What the demo's card puts first, and apart: the attack that shows all of it
// within seconds, and what is no attack.
const (
	demoFirst  = "mirai-scan"
	demoRepair = "repair"
)

// FirstAttack is the one to begin with; "" when the demo has it not.
func (p *overviewPage) FirstAttack() string { return p.offered(demoFirst) }

// Repairs is what undoes an attack at the device; "" when the demo has it not.
func (p *overviewPage) Repairs() string { return p.offered(demoRepair) }

func (p *overviewPage) offered(name string) string {
	if p.Demo != nil && slices.Contains(p.Demo.Attacks, name) {
		return name
	}
	return ""
}

// OtherAttacks are the rest.
func (p *overviewPage) OtherAttacks() []string {
	return slices.DeleteFunc(slices.Clone(p.Demo.Attacks), func(a string) bool { return a == demoFirst || a == demoRepair })
}

func startAttack(q *request) (string, error) {
	name, done := q.PostFormValue("attack"), "attack"
	if name == demoRepair {
		done = "repair"
	}
	return done, q.c.svc.DemoAttack(q.Context(), q.actor, name, q.PostFormValue("on"))
}

// ring is a count of devices by one of the three rings' answers, drawn as a
// circle. The circle's length is 100.
type ring struct {
	Kind  string
	Total int
	Arcs  []arc
}

// arc is one answer's part of the circle.
type arc struct {
	Value string
	Count int
	// Dash and Offset are the values of stroke-dasharray and stroke-dashoffset.
	Dash, Offset string
}

// newRing lays out counts in a fixed order. What the platform counted under a
// name that this console does not know is shown as unknown.
func newRing(kind string, total int, counts map[string]int, order ...string) ring {
	r := ring{Kind: kind, Total: total}
	known, sum := map[string]int{}, 0
	for v, n := range counts {
		sum += n
		if !contains(order, v) {
			v = "unknown"
		}
		known[v] += n
	}
	if known["unknown"] > 0 && !contains(order, "unknown") {
		order = append(order, "unknown")
	}
	at := 0.0
	for _, v := range order {
		a := arc{Value: v, Count: known[v]}
		if sum > 0 {
			part := 100 * float64(a.Count) / float64(sum)
			a.Dash = strconv.FormatFloat(part, 'f', 2, 64) + " " + strconv.FormatFloat(100-part, 'f', 2, 64)
			a.Offset = strconv.FormatFloat(-at, 'f', 2, 64)
			at += part
		}
		r.Arcs = append(r.Arcs, a)
	}
	return r
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// responseRow is a response with the name of what it is about.
type responseRow struct {
	api.Response
	Name string
	Link string
}

func (q *request) responses(rs []api.Response) []responseRow {
	out := make([]responseRow, 0, len(rs))
	for _, r := range rs {
		out = append(out, responseRow{Response: r, Name: q.nameOf(r.Target), Link: link(r.Target)})
	}
	return out
}

// Undoable reports whether the response can be taken back.
func (r responseRow) Undoable() bool { return r.Status == "done" }

// link returns the page of a subject, "" when there is none.
func link(s ringwall.Subject) string {
	switch s.Kind {
	case ringwall.SubjectDevice:
		return "/devices/" + s.ID
	case ringwall.SubjectSIM:
		return "/sims/" + s.ID
	case ringwall.SubjectGateway:
		return "/gateways/" + s.ID
	case ringwall.SubjectIncident:
		return "/incidents/" + s.ID
	}
	return ""
}

// nameOf returns what a subject is called, its id when that cannot be found.
// Each subject is asked for once a page.
func (q *request) nameOf(s ringwall.Subject) string {
	if s.ID == "" {
		return ""
	}
	if n, ok := q.names[s.ID]; ok {
		return n
	}
	name := s.ID
	switch s.Kind {
	case ringwall.SubjectDevice:
		if d, err := q.c.svc.Device(q.Context(), q.actor, ringwall.DeviceID(s.ID)); err == nil && d.Name != "" {
			name = d.Name
		}
	case ringwall.SubjectSIM:
		if c, err := q.c.svc.SIM(q.Context(), q.actor, ringwall.SIMID(s.ID)); err == nil {
			name = c.ICCID
		}
	case ringwall.SubjectGateway:
		if g, err := q.c.svc.Gateway(q.Context(), q.actor, ringwall.GatewayID(s.ID)); err == nil && g.Name != "" {
			name = g.Name
		}
	}
	q.names[s.ID] = name
	return name
}
