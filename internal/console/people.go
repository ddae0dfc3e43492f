package console

import (
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
)

type trailPage struct {
	page
	Items []entryRow
	Older string
}

// entryRow is one act with its actor's name.
type entryRow struct {
	api.AuditEntry
	Who string
}

func (*trailPage) template() string { return "audit" }

const trailPart = 100

func trail(q *request) (view, error) {
	var before time.Time
	if b := q.URL.Query().Get("before"); b != "" {
		var err error
		if before, err = time.Parse(time.RFC3339Nano, b); err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "the time to read back from cannot be read")
		}
	}
	es, err := q.c.svc.Audit(q.Context(), q.actor, before, trailPart)
	if err != nil {
		return nil, err
	}
	q.page.Title = q.page.L.T("audit.title")
	p := &trailPage{page: q.page}
	for _, e := range es {
		p.Items = append(p.Items, entryRow{AuditEntry: e, Who: q.who(e.Actor)})
	}
	if len(es) == trailPart {
		p.Older = es[len(es)-1].Time.UTC().Format(time.RFC3339Nano)
	}
	return p, nil
}

type peoplePage struct {
	page
	Users  []api.User
	Tokens []api.APIToken
	Parts  []ringwall.Part // that may be given
	Made   *api.APIToken   // just made, shown once
}

func (*peoplePage) template() string { return "people" }

func people(q *request) (view, error) {
	users, err := q.c.svc.Users(q.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	tokens, err := q.c.svc.Tokens(q.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	q.page.Title = q.page.L.T("people.title")
	return &peoplePage{page: q.page, Users: users, Tokens: tokens, Parts: q.actor.Parts}, nil
}

func parts(q *request) []ringwall.Part {
	var out []ringwall.Part
	for _, p := range q.PostForm["parts"] {
		out = append(out, ringwall.Part(p))
	}
	return out
}

func createUser(q *request) (string, error) {
	_, err := q.c.svc.CreateUser(q.Context(), q.actor, api.UserCreate{
		Name: strings.TrimSpace(q.PostFormValue("name")), Password: q.PostFormValue("password"), Parts: parts(q),
	})
	return "user", err
}

// peopleToken makes an API token and shows it.
func peopleToken(q *request) (view, error) {
	in := api.TokenCreate{Name: strings.TrimSpace(q.PostFormValue("name")), Parts: parts(q)}
	days, err := strconv.Atoi(q.PostFormValue("days"))
	if err == nil && days > 0 && days <= 3650 {
		in.Expires = q.c.cfg.Now().Add(time.Duration(days) * 24 * time.Hour)
	}
	made, tokenErr := q.c.svc.CreateToken(q.Context(), q.actor, in)
	v, err := people(q)
	if err != nil {
		return nil, err
	}
	p := v.(*peoplePage)
	if tokenErr != nil {
		p.status, p.Problem = httpapi.Describe(tokenErr)
		q.c.note(q.Context(), p.status, tokenErr)
		return p, nil
	}
	p.Made = &made
	return p, nil
}

func deleteToken(q *request) (string, error) {
	return "token-deleted", q.c.svc.DeleteToken(q.Context(), q.actor, ringwall.TokenID(q.PathValue("token")))
}
