package console

import (
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
)

type gatewaysPage struct {
	page
	Items   []api.Gateway
	Next    string
	Token   *api.EnrolToken // just made, shown once
	Command string
}

func (*gatewaysPage) template() string { return "gateways" }

func gateways(q *request) (view, error) {
	v := q.URL.Query()
	list, err := q.c.svc.Gateways(q.Context(), q.actor, httpapi.Paging{Cursor: v.Get("cursor"), Limit: httpapi.DefaultPage})
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live = q.page.L.T("gateways.title"), []string{"kind:gateway"}
	return &gatewaysPage{page: q.page, Items: list.Items, Next: next(v, list.Next)}, nil
}

// gatewayToken makes a one-time token and shows it with the command that uses
// it. The page that shows it does not refresh itself away.
func gatewayToken(q *request) (view, error) {
	t, tokenErr := q.c.svc.CreateEnrolToken(q.Context(), q.actor)
	v, err := gateways(q)
	if err != nil {
		return nil, err
	}
	p := v.(*gatewaysPage)
	if tokenErr != nil {
		p.status, p.Problem = httpapi.Describe(tokenErr)
		q.c.note(q.Context(), p.status, tokenErr)
		return p, nil
	}
	server := q.c.cfg.EnrolAddress
	if server == "" {
		server = "http://" + q.Host
		if q.TLS != nil || q.c.cfg.Secure {
			server = "https://" + q.Host
		}
	}
	p.Live, p.Token, p.Command = nil, &t, "ringwall-agent enrol --server "+shellWord(server)+" --token "+shellWord(t.Token)
	return p, nil
}

// shellWord quotes s for a POSIX shell unless it needs no quotes.
func shellWord(s string) string {
	plain := func(c rune) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune("-_./:@=", c)
	}
	if s != "" && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

type gatewayPage struct {
	page
	api.Gateway
	Devices  []api.Device
	Timeline []line
	Older    string
	Uptime   time.Duration
}

func (*gatewayPage) template() string { return "gateway" }

func gateway(q *request) (view, error) {
	id := ringwall.GatewayID(q.PathValue("id"))
	g, err := q.c.svc.Gateway(q.Context(), q.actor, id)
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live, q.page.Path = g.Name, []string{string(id)}, "/gateways/"+string(id)
	p := &gatewayPage{Gateway: g}
	if g.Health != nil {
		p.Uptime = g.Health.Uptime
	}
	list, err := q.c.svc.Devices(q.Context(), q.actor, httpapi.DeviceFilter{Gateway: id}, httpapi.Paging{Limit: httpapi.MaxPage})
	if err != nil {
		return nil, err
	}
	p.Devices = list.Items
	if p.Timeline, p.Older, err = q.timeline(ringwall.Subject{Kind: ringwall.SubjectGateway, ID: string(id)}); err != nil {
		return nil, err
	}
	p.page = q.page
	return p, nil
}

func patchGateway(q *request) (string, error) {
	var p api.GatewayPatch
	if name := strings.TrimSpace(q.PostFormValue("name")); name != "" {
		p.Name = &name
	}
	if a := q.PostFormValue("arrival"); a != "" {
		p.Arrival = new(ringwall.Mode)
		if err := p.Arrival.UnmarshalText([]byte(a)); err != nil {
			return "", err
		}
	}
	_, err := q.c.svc.PatchGateway(q.Context(), q.actor, ringwall.GatewayID(q.PathValue("id")), p)
	return "saved", err
}
