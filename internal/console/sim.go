package console

import (
	"strings"

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
}

// simRow is a card with the name of the device that it is in.
type simRow struct {
	api.SIM
	DeviceName string
}

// Separated reports whether the card was last seen in other equipment.
func (s simRow) Separated() bool {
	return s.BoundIMEI != "" && s.SeenIMEI != "" && s.BoundIMEI != s.SeenIMEI
}

func (*simsPage) template() string { return "sims" }

func sims(q *request) (view, error) {
	v := q.URL.Query()
	list, err := q.c.svc.SIMs(q.Context(), q.actor, httpapi.Paging{Cursor: v.Get("cursor"), Limit: httpapi.DefaultPage})
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live = q.page.L.T("sims.title"), []string{"kind:sim"}
	p := &simsPage{page: q.page, Next: next(v, list.Next)}
	for _, s := range list.Items {
		p.Items = append(p.Items, q.simRow(s))
	}
	if ds, err := q.c.svc.Devices(q.Context(), q.actor, httpapi.DeviceFilter{}, httpapi.Paging{Limit: httpapi.MaxPage}); err == nil {
		p.Choice = ds.Items
	}
	return p, nil
}

func (q *request) simRow(s api.SIM) simRow {
	return simRow{SIM: s, DeviceName: q.nameOf(ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(s.Device)})}
}

type simPage struct {
	page
	simRow
	Rows     []responseRow
	Timeline []line
	Older    string
	Profiles []profileRow
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
	s, err := q.c.svc.SIM(q.Context(), q.actor, ringwall.SIMID(q.PathValue("id")))
	if err != nil {
		return nil, err
	}
	subject := ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(s.ID)}
	q.page.Title, q.page.Live, q.page.Path = q.page.L.T("sim.title", "iccid", s.ICCID), []string{string(s.ID)}, "/sims/"+string(s.ID)
	p := &simPage{simRow: q.simRow(s)}
	rs, err := q.c.svc.Responses(q.Context(), q.actor, httpapi.ResponseFilter{Target: subject}, httpapi.Paging{Limit: 20})
	if err != nil {
		return nil, err
	}
	p.Rows = q.responses(rs.Items)
	for n := range p.Rows {
		p.Rows[n].By = q.who(p.Rows[n].By)
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

func createSIM(q *request) (string, error) {
	in := api.SIMCreate{
		ICCID: digits(q.PostFormValue("iccid")), IMSI: digits(q.PostFormValue("imsi")), IMEI: digits(q.PostFormValue("imei")),
		Device: ringwall.DeviceID(q.PostFormValue("device")), Services: q.PostForm["services"], Peers: strings.Fields(q.PostFormValue("peers")),
	}
	_, err := q.c.svc.CreateSIM(q.Context(), q.actor, in)
	return "sim", err
}

// digits drops the blanks that people put into long numbers.
func digits(s string) string { return strings.Join(strings.Fields(s), "") }

func suspendSIM(q *request) (string, error) {
	_, err := q.c.svc.CreateResponse(q.Context(), q.actor, api.ResponseCreate{
		Kind: "sim-suspend", Target: ringwall.Subject{Kind: ringwall.SubjectSIM, ID: q.PathValue("id")}, Reason: reasonGiven(q),
	})
	return "suspended", err
}
