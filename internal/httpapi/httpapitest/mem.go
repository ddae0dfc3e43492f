// Package httpapitest helps to test the faces of the platform, and the
// platform behind them.
//
// Mem is a working Service in memory with real tenancy, for tests of the API,
// the client, the console and the command line. World is one filled with a
// house under attack and a foreign organisation. WalkForeign and WalkStrangers
// walk every route of the OpenAPI document against any handler, the real
// platform's too, and are generated from the document: a new route is walked
// without anybody thinking of it.
package httpapitest

import (
	"context"
	"crypto/rand"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// Mem is an httpapi.Service in memory. Use NewMem. All its methods may be
// called concurrently.
type Mem struct {
	now func() time.Time

	mu       sync.Mutex
	broken   error
	orgs     map[ringwall.OrgID]*holdings
	sessions map[string]audit.Actor // by secret
	secrets  map[string]audit.Actor // by API token
	people   map[string]person      // by login name
	invites  map[string]ringwall.OrgID
	watchers map[int]watcher
	nextID   int
	attacks  []string // names of attacks that were started
}

type person struct {
	password string
	actor    audit.Actor
}

type watcher struct {
	org ringwall.OrgID
	ch  chan ringwall.Event
}

// holdings is what belongs to one organisation.
type holdings struct {
	devices        map[ringwall.DeviceID]api.Device
	gateways       map[ringwall.GatewayID]api.Gateway
	sims           map[ringwall.SIMID]api.SIM
	incidents      map[ringwall.IncidentID]api.Incident
	responses      map[ringwall.ResponseID]api.Response
	assessments    map[ringwall.AssessID]api.Assessment
	examinations   map[ringwall.DeviceID][]api.Examination
	remedials      map[ringwall.RemedialID]api.Remedial
	settings       api.AssessSettings
	tunnels        map[ringwall.TunnelID]api.RemoteTunnel
	tunnelSettings api.TunnelSettings
	mudSettings    api.MUDSettings
	answers        map[ringwall.DeviceID]map[string]string
	revisions      map[ringwall.DeviceID]uint64
	users          []api.User
	tokens         []api.APIToken
	timeline       map[ringwall.Subject][]api.TimelineEntry // newest first
	flows          map[ringwall.DeviceID][]api.FlowRow
	audit          []api.AuditEntry // newest first
	demo           *api.DemoState
	fleet          fleet
	simuse         simuse
}

var _ httpapi.Service = (*Mem)(nil)

// NewMem returns an empty service.
func NewMem(now func() time.Time) *Mem {
	return &Mem{
		now: now, orgs: map[ringwall.OrgID]*holdings{}, sessions: map[string]audit.Actor{}, secrets: map[string]audit.Actor{},
		people: map[string]person{}, invites: map[string]ringwall.OrgID{}, watchers: map[int]watcher{},
	}
}

// Break makes every operation fail with err from now on, but for those that
// find out who asks; nil heals.
func (m *Mem) Break(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
}

// Attacks answers the names of the attacks that were started.
func (m *Mem) Attacks() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.attacks)
}

// org returns the holdings of an organisation, made when they are not there.
// The caller holds mu.
func (m *Mem) org(id ringwall.OrgID) *holdings {
	h := m.orgs[id]
	if h == nil {
		h = &holdings{
			devices: map[ringwall.DeviceID]api.Device{}, gateways: map[ringwall.GatewayID]api.Gateway{}, sims: map[ringwall.SIMID]api.SIM{},
			incidents: map[ringwall.IncidentID]api.Incident{}, responses: map[ringwall.ResponseID]api.Response{},
			assessments: map[ringwall.AssessID]api.Assessment{}, timeline: map[ringwall.Subject][]api.TimelineEntry{},
			flows:        map[ringwall.DeviceID][]api.FlowRow{},
			examinations: map[ringwall.DeviceID][]api.Examination{}, remedials: map[ringwall.RemedialID]api.Remedial{},
			tunnels: map[ringwall.TunnelID]api.RemoteTunnel{}, tunnelSettings: api.TunnelSettings{MaxMinutes: 120},
			answers: map[ringwall.DeviceID]map[string]string{}, revisions: map[ringwall.DeviceID]uint64{},
			settings: api.AssessSettings{Ranges: api.Ranges{Prefixes: []netip.Prefix{}}, Laboratories: []api.Laboratory{}},
		}
		h.fleet = newFleet()
		h.simuse = newSIMUse()
		m.orgs[id] = h
	}
	return h
}

// enter begins an operation of a: it locks, writes the act down and answers
// the actor's holdings. The caller unlocks.
func (m *Mem) enter(a audit.Actor, act string, target string) (*holdings, error) {
	m.mu.Lock()
	if m.broken != nil {
		return nil, m.broken
	}
	h := m.org(a.Org)
	write := !strings.HasSuffix(act, ".read")
	allowed := !write || !slices.Contains(a.Parts, ringwall.PartAuditor) || len(a.Parts) > 1
	if write {
		h.audit = slices.Insert(h.audit, 0, api.AuditEntry{Time: m.now(), Actor: a.String(), Act: act, Target: target, Allowed: allowed})
	}
	if !allowed {
		return nil, ringwall.Errorf(ringwall.Forbidden, "%s is not allowed to you here", act)
	}
	return h, nil
}

// find answers one of the actor's things, or NotFound.
func find[K ~string, V any](of map[K]V, kind string, id K) (V, error) {
	v, ok := of[id]
	if !ok {
		return v, ringwall.Errorf(ringwall.NotFound, "no such %s", kind)
	}
	return v, nil
}

// page cuts one page out of a sorted list.
func page[T any](all []T, p httpapi.Paging) (api.Page[T], error) {
	from := 0
	if p.Cursor != "" {
		n, err := strconv.Atoi(p.Cursor)
		if err != nil || n < 0 || n > len(all) {
			return api.Page[T]{}, ringwall.Errorf(ringwall.Invalid, "the cursor is none of ours")
		}
		from = n
	}
	limit := p.Limit
	if limit <= 0 {
		limit = httpapi.DefaultPage
	}
	to := min(len(all), from+min(limit, httpapi.MaxPage))
	out := api.Page[T]{Items: slices.Clone(all[from:to])}
	if to < len(all) {
		out.Next = strconv.Itoa(to)
	}
	return out, nil
}

// sorted returns the values of a map in order.
func sorted[K comparable, V any](of map[K]V, less func(a, b V) int) []V {
	all := make([]V, 0, len(of))
	for _, v := range of {
		all = append(all, v)
	}
	slices.SortFunc(all, less)
	return all
}

// emit tells watchers of the organisation. The caller holds mu.
func (m *Mem) emit(org ringwall.OrgID, kind string, s ringwall.Subject, by string) {
	e := ringwall.Event{
		V: ringwall.EventVersion, ID: ringwall.EventID(m.fresh(ringwall.PrefixEvent)), Org: org, Kind: kind, Schema: 1,
		Time: m.now(), Actor: by, Subject: s,
	}
	for n, w := range m.watchers {
		if w.org != org {
			continue
		}
		select {
		case w.ch <- e:
		default: // too slow: cut off, as the contract says
			close(w.ch)
			delete(m.watchers, n)
		}
	}
}

// note writes into a subject's timeline. The caller holds mu.
func (m *Mem) note(org ringwall.OrgID, s ringwall.Subject, kind, key, text, by, ref string, params map[string]string) {
	h := m.org(org)
	e := api.TimelineEntry{
		Time: m.now(), Kind: kind, Key: key, Params: params, Text: text, Actor: by, Ref: ref, Event: ringwall.EventID(m.fresh(ringwall.PrefixEvent)),
	}
	h.timeline[s] = slices.Insert(h.timeline[s], 0, e)
	m.emit(org, kind, s, by)
}

// fresh returns an id that sorts after the ones before. The caller holds mu.
func (m *Mem) fresh(prefix string) string {
	m.nextID++
	return ringwall.DeriveID(prefix, strconv.Itoa(m.nextID))
}

// Grant lets a person log in and a token ask.
func (m *Mem) Grant(a audit.Actor, login, password, token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.people[login] = person{password: password, actor: a}
	if token != "" {
		m.secrets[token] = a
	}
	h := m.org(a.Org)
	h.users = append(h.users, api.User{ID: ringwall.UserID(a.ID), Org: a.Org, Name: login, Parts: a.Parts})
}

// Login is of httpapi.Sessions.
func (m *Mem) Login(_ context.Context, name, password string) (httpapi.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.people[name]
	if !ok || p.password != password {
		return httpapi.Session{}, ringwall.Errorf(ringwall.Unverified, "name or password is wrong")
	}
	s := httpapi.Session{
		Secret: "rws_" + rand.Text(), Expires: m.now().Add(12 * time.Hour),
		User: api.User{ID: ringwall.UserID(p.actor.ID), Org: p.actor.Org, Name: name, Parts: p.actor.Parts},
	}
	m.sessions[s.Secret] = p.actor
	return s, nil
}

// Logout is of httpapi.Sessions.
func (m *Mem) Logout(_ context.Context, secret string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, secret)
	return nil
}

// ActorOfSession is of httpapi.Sessions.
func (m *Mem) ActorOfSession(_ context.Context, secret string) (audit.Actor, error) {
	return m.actorOf(m.sessions, secret)
}

// ActorOfToken is of httpapi.Sessions.
func (m *Mem) ActorOfToken(_ context.Context, token string) (audit.Actor, error) {
	return m.actorOf(m.secrets, token)
}

func (m *Mem) actorOf(in map[string]audit.Actor, secret string) (audit.Actor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := in[secret]
	if !ok {
		return audit.Actor{}, ringwall.Errorf(ringwall.Unverified, "the credential does not hold")
	}
	return a, nil
}

// Events is of httpapi.Stream.
func (m *Mem) Events(ctx context.Context, a audit.Actor) (<-chan ringwall.Event, error) {
	if _, err := m.enter(a, "device.read", ""); err != nil {
		m.mu.Unlock()
		return nil, err
	}
	defer m.mu.Unlock()
	m.nextID++
	n, ch := m.nextID, make(chan ringwall.Event, 64)
	m.watchers[n] = watcher{org: a.Org, ch: ch}
	context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if _, ok := m.watchers[n]; ok {
			close(ch)
			delete(m.watchers, n)
		}
	})
	return ch, nil
}
