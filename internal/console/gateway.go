package console

import (
	"maps"
	"net"
	"slices"
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
	Flag    string // that the list is narrowed to
	Flags   []string
}

func (*gatewaysPage) template() string { return "gateways" }

func gateways(q *request) (view, error) {
	v := q.URL.Query()
	f := httpapi.GatewayFilter{Flag: v.Get("flag"), Template: ringwall.TemplateID(v.Get("template"))}
	var list api.Page[api.Gateway]
	var err error
	if f == (httpapi.GatewayFilter{}) {
		list, err = q.c.svc.Gateways(q.Context(), q.actor, httpapi.Paging{Cursor: v.Get("cursor"), Limit: httpapi.DefaultPage})
	} else {
		list.Items, err = q.c.svc.FindGateways(q.Context(), q.actor, f)
	}
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live = q.page.L.T("gateways.title"), []string{"kind:gateway"}
	return &gatewaysPage{page: q.page, Items: list.Items, Next: next(v, list.Next), Flag: f.Flag, Flags: api.GatewayFlags()}, nil
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
	p.Live, p.Token, p.Command = nil, &t, enrolCommand(q.c.enrolAddress(q), t)
	return p, nil
}

// enrolAddress is where gateways enrol: as configured, or the usual port of the
// host that the browser asked.
func (c *Console) enrolAddress(q *request) string {
	if c.cfg.EnrolAddress != "" {
		return c.cfg.EnrolAddress
	}
	host := q.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return "https://" + net.JoinHostPort(strings.Trim(host, "[]"), enrolPort)
}

// enrolPort is where a platform takes enrolments unless told otherwise.
const enrolPort = "8443"

// enrolCommand is what to run on the gateway, for a POSIX shell. The token goes
// in by the standard input: others on the machine can read arguments.
func enrolCommand(address string, t api.EnrolToken) string {
	pin := ""
	if t.CAPin != "" {
		pin = " -pin " + shellWord(t.CAPin)
	}
	return "ringwall-agent enrol -platform " + shellWord(address) + pin + " <<'END'\n" + t.Token + "\nEND"
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
	Clock    time.Duration // off by
	Memory   []memory
	Told     []toldNotice
}

// toldNotice is a notice with the name of the device that it is about.
type toldNotice struct {
	api.GatewayNotice
	Name string
}

// memory is what one process of a gateway has.
type memory struct {
	Process string
	Bytes   uint64
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
		p.Uptime, p.Clock = g.Health.Uptime, g.Health.Clock.Abs()
		for _, name := range slices.Sorted(maps.Keys(g.Health.Processes)) {
			p.Memory = append(p.Memory, memory{name, uint64(max(g.Health.Processes[name], 0))})
		}
	}
	list, err := q.c.svc.Devices(q.Context(), q.actor, httpapi.DeviceFilter{Gateway: id}, httpapi.Paging{Limit: httpapi.MaxPage})
	if err != nil {
		return nil, err
	}
	p.Devices = list.Items
	for _, n := range g.Notices {
		t := toldNotice{GatewayNotice: n}
		if n.Device != "" {
			t.Name = q.nameOf(ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(n.Device)})
		}
		p.Told = append(p.Told, t)
	}
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
