package console

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/mud"
)

// mudPage is the usage description of one device: what is known of it, what a
// decision would change, and where another is handed in.
type mudPage struct {
	page
	ID      ringwall.DeviceID
	Name    string
	State   *api.MUDState   // nil: none is known
	By      string          // who decided last
	Preview *api.MUDPreview // of what waits; nil: nothing waits
}

func (*mudPage) template() string { return "mud" }

func deviceMUD(q *request) (view, error) {
	ctx, id := q.Context(), ringwall.DeviceID(q.PathValue("id"))
	d, err := q.c.svc.Device(ctx, q.actor, id)
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Path, q.page.Live = q.page.L.T("mud.title"), "/devices/"+string(id)+"/mud", []string{string(id)}
	p := &mudPage{ID: id, Name: d.Name}
	m, err := q.c.svc.MUD(ctx, q.actor, id)
	switch {
	case isCode(err, ringwall.NotFound):
	case err != nil:
		return nil, err
	default:
		p.State = &m
		if m.By != "" {
			p.By = q.who(strings.TrimPrefix(m.By, "user:"))
		}
		if m.Changed != nil || m.Status == "proposed" {
			v, err := q.c.svc.ExplainMUD(ctx, q.actor, id, api.MUDPut{})
			if err != nil && !isCode(err, ringwall.Conflict) {
				return nil, err
			}
			if err == nil {
				p.Preview = &v
			}
		}
	}
	p.page = q.page
	return p, nil
}

// Waits reports whether a description waits for a reason.
func (p *mudPage) Waits(why string) bool {
	for _, w := range p.State.Asks() {
		if w == why {
			return true
		}
	}
	return false
}

func decideMUD(q *request) (string, error) {
	_, err := q.c.svc.DecideMUD(q.Context(), q.actor, ringwall.DeviceID(q.PathValue("id")), api.MUDDecision{Decision: q.PostFormValue("decision")})
	return "mud", err
}

// putMUD names the URL of a description, or hands its file in, with the
// signature and the device's certificate where they are at hand.
func putMUD(q *request) (string, error) {
	in := api.MUDPut{}
	for _, x := range []struct {
		field string
		most  int64
		to    *[]byte
	}{{"file", mud.MaxSize, &in.File}, {"signature", mud.MaxSignature, &in.Signature}, {"certificate", mud.MaxSignature, &in.Certificate}} {
		b, err := q.upload(x.field, x.most)
		if err != nil {
			return "", err
		}
		*x.to = b
	}
	in.URL = strings.TrimSpace(q.PostFormValue("url"))
	if in.URL == "" && len(in.File)+len(in.Certificate) == 0 {
		return "", ringwall.Errorf(ringwall.Invalid, "choose a file, or name the URL of the description")
	}
	_, err := q.c.svc.PutMUD(q.Context(), q.actor, ringwall.DeviceID(q.PathValue("id")), in)
	return "mud", err
}

// upload reads one file of a form; nil when none was chosen.
func (q *request) upload(field string, most int64) ([]byte, error) {
	f, _, err := q.FormFile(field)
	if errors.Is(err, http.ErrMissingFile) || errors.Is(err, http.ErrNotMultipart) {
		return nil, nil
	}
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "the form cannot be read")
	}
	defer q.forget(f)
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil || int64(len(b)) > most {
		return nil, ringwall.Errorf(ringwall.Invalid, "the file cannot be read, or is larger than %d KiB", most>>10)
	}
	return b, nil
}

// mudsPage is what waits for a decision, and whose signatures are trusted.
type mudsPage struct {
	page
	Tasks    []api.MUDTask
	Settings api.MUDSettings
}

func (*mudsPage) template() string { return "muds" }

func muds(q *request) (view, error) {
	tasks, err := q.c.svc.MUDTasks(q.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	set, err := q.c.svc.MUDSettings(q.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live = q.page.L.T("muds.title"), []string{"kind:device"}
	return &mudsPage{page: q.page, Tasks: tasks, Settings: set}, nil
}

// setMUD says whose signatures are trusted, and whether newer files that only
// take away wait. A file replaces the organisation's roots; without one they stay.
func setMUD(q *request) (string, error) {
	set, err := q.c.svc.MUDSettings(q.Context(), q.actor)
	if err != nil {
		return "", err
	}
	b, err := q.upload("roots", mud.MaxRootFile)
	if err != nil {
		return "", err
	}
	switch {
	case len(b) > 0:
		set.Roots = string(b)
	case q.PostFormValue("none") != "":
		set.Roots = ""
	}
	set.Ask, set.Trusted = q.PostFormValue("ask") != "", nil
	_, err = q.c.svc.PutMUDSettings(q.Context(), q.actor, set)
	return "mud", err
}

// createDevice makes a device that is known by its SIM alone.
func createDevice(q *request) (string, error) {
	in := api.DeviceCreate{
		Name: q.PostFormValue("name"), Type: q.PostFormValue("type"), SIM: ringwall.SIMID(q.PostFormValue("sim")), Gateway: ringwall.GatewayID(q.PostFormValue("gateway")),
	}
	if m := q.PostFormValue("mode"); m != "" {
		in.Mode = new(ringwall.Mode)
		if err := in.Mode.UnmarshalText([]byte(m)); err != nil {
			return "", err
		}
	}
	_, err := q.c.svc.CreateDevice(q.Context(), q.actor, in)
	return "made", err
}

// byCard is what a device that is known by its SIM can be made of.
type byCard struct {
	SIMs     []api.SIM
	Gateways []api.Gateway
}

// byCard answers nil for who may not look, or where there is nothing to make one
// of.
func (q *request) byCard() (*byCard, error) {
	sims, err := q.c.svc.SIMs(q.Context(), q.actor, httpapi.Paging{Limit: httpapi.MaxPage})
	if isCode(err, ringwall.Forbidden) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	gws, err := q.c.svc.Gateways(q.Context(), q.actor, httpapi.Paging{Limit: httpapi.MaxPage})
	if isCode(err, ringwall.Forbidden) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b := &byCard{}
	for _, s := range sims.Items {
		if s.Device == "" {
			b.SIMs = append(b.SIMs, s)
		}
	}
	for _, g := range gws.Items {
		if g.Revoked.IsZero() {
			b.Gateways = append(b.Gateways, g)
		}
	}
	if len(b.SIMs) == 0 || len(b.Gateways) == 0 {
		return nil, nil
	}
	return b, nil
}
