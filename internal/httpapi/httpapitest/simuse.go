package httpapitest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// simuse is what an organisation has of the use of cards.
type simuse struct {
	cards      map[ringwall.SIMID]api.SIMCard // what is beside the card itself
	alerts     map[ringwall.AlertID]api.SIMAlert
	settings   map[[2]string][]api.UsageSettings // newest first
	exceptions map[ringwall.ExceptionID]api.UsageException
	pools      map[string]api.IMEIPool
	areas      map[string]api.UsageArea
	credits    []api.Credit
	routes     map[ringwall.RouteID]api.WarningRoute
	deliveries []api.Delivery
}

func newSIMUse() simuse {
	return simuse{
		cards: map[ringwall.SIMID]api.SIMCard{}, alerts: map[ringwall.AlertID]api.SIMAlert{}, settings: map[[2]string][]api.UsageSettings{},
		exceptions: map[ringwall.ExceptionID]api.UsageException{}, pools: map[string]api.IMEIPool{}, areas: map[string]api.UsageArea{}, routes: map[ringwall.RouteID]api.WarningRoute{},
	}
}

// SIMCard is of httpapi.SIMUse.
func (m *Mem) SIMCard(_ context.Context, a audit.Actor, id ringwall.SIMID) (api.SIMCard, error) {
	h, err := m.enter(a, "sim.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.SIMCard{}, err
	}
	s, err := find(h.sims, "SIM", id)
	if err != nil {
		return api.SIMCard{}, err
	}
	c, ok := h.simuse.cards[id]
	if !ok {
		c = api.SIMCard{Binding: api.SIMBinding{State: "unknown"}, Hours: api.UsageCurve{Step: api.Duration(time.Hour)}, Days: api.UsageCurve{Step: api.Duration(24 * time.Hour)}}
	}
	c.SIM, c.Alerts = s, []api.SIMAlert{}
	for _, x := range h.simAlerts() {
		if x.SIM == id {
			c.Alerts = append(c.Alerts, x)
		}
	}
	for _, r := range h.responses {
		if r.Target.ID == string(id) {
			c.Acts = append(c.Acts, r)
		}
	}
	for _, i := range newestIncidents(h) {
		if i.SIM == id {
			c.Open = append(c.Open, i)
		}
	}
	if v := h.fleet.profiles[id]; len(v) > 0 {
		c.Profile = &v[0]
	}
	for _, e := range h.simuse.exceptions {
		if e.SIM == id {
			c.Except = append(c.Except, e)
		}
	}
	return c, nil
}

func (h *holdings) simAlerts() []api.SIMAlert {
	return slices.SortedFunc(maps.Values(h.simuse.alerts), func(x, y api.SIMAlert) int { return cmp.Or(y.Time.Compare(x.Time), cmp.Compare(x.ID, y.ID)) })
}

// FindSIMs is of httpapi.SIMUse.
func (m *Mem) FindSIMs(_ context.Context, a audit.Actor, f httpapi.SIMFilter, p httpapi.Paging) (api.Page[api.SIM], error) {
	h, err := m.enter(a, "sim.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.SIM]{}, err
	}
	all := slices.DeleteFunc(sorted(h.sims, func(x, y api.SIM) int { return cmp.Compare(x.ID, y.ID) }), func(s api.SIM) bool {
		is := func(want, has string) bool { return want == "" || want == has }
		return !is(f.State, s.State) || !is(f.Customer, s.Customer) || !is(f.Tariff, s.Tariff) || !is(f.Seller, s.Seller) || !is(f.Area, s.Area) ||
			f.NoDevice && s.Device != "" || f.Separated && s.Separated.IsZero() || f.Never && !s.LastUsage.IsZero() ||
			f.Silent && (s.LastUsage.IsZero() || m.now().Sub(s.LastUsage) < 7*24*time.Hour)
	})
	return page(all, p)
}

// Numbers of each card of the test world, in clear.
const (
	RevealedICCID = "89860099887766554433"
	RevealedIMSI  = "460077665544332"
)

// RevealSIM is of httpapi.SIMUse.
func (m *Mem) RevealSIM(_ context.Context, a audit.Actor, id ringwall.SIMID, in api.SIMReveal) (api.SIMNumbers, error) {
	h, err := m.enter(a, "sim.reveal", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.SIMNumbers{}, err
	}
	if _, err := find(h.sims, "SIM", id); err != nil {
		return api.SIMNumbers{}, err
	}
	if len(in.Reason) < 5 {
		return api.SIMNumbers{}, ringwall.Errorf(ringwall.Invalid, "a reason is needed")
	}
	h.audit[0].Reason = in.Reason
	return api.SIMNumbers{SIM: id, ICCID: RevealedICCID, IMSI: RevealedIMSI, At: m.now()}, nil
}

// PatchSIM is of httpapi.SIMUse.
func (m *Mem) PatchSIM(_ context.Context, a audit.Actor, id ringwall.SIMID, p api.SIMPatch) (api.SIM, error) {
	h, err := m.enter(a, "sim.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.SIM{}, err
	}
	s, err := find(h.sims, "SIM", id)
	if err != nil {
		return s, err
	}
	for to, v := range map[*string]*string{&s.Customer: p.Customer, &s.Tariff: p.Tariff, &s.Seller: p.Seller} {
		if v != nil {
			*to = *v
		}
	}
	h.sims[id] = s
	return s, nil
}

// CreateSIMs is of httpapi.SIMUse.
func (m *Mem) CreateSIMs(ctx context.Context, a audit.Actor, in api.SIMBatch) (api.SIMBatchAnswer, error) {
	out := api.SIMBatchAnswer{Wrong: []api.SIMBatchFail{}}
	if len(in.Cards) == 0 || len(in.Cards) > api.MaxBatch {
		return out, ringwall.Errorf(ringwall.Invalid, "a batch has %d cards", len(in.Cards))
	}
	for i, c := range in.Cards {
		_, err := m.CreateSIM(ctx, a, c)
		switch ringwall.CodeOf(err) {
		case "":
			out.Made++
		case ringwall.Invalid, ringwall.NotFound:
			if len(in.Cards) == 1 {
				return out, err
			}
			out.Wrong = append(out.Wrong, api.SIMBatchFail{Index: i, Why: err.Error()})
		default:
			return out, err
		}
	}
	return out, nil
}

// SIMAlerts is of httpapi.SIMUse.
func (m *Mem) SIMAlerts(_ context.Context, a audit.Actor, f httpapi.SIMAlertFilter, p httpapi.Paging) (api.Page[api.SIMAlert], error) {
	h, err := m.enter(a, "sim.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.SIMAlert]{}, err
	}
	return page(slices.DeleteFunc(h.simAlerts(), func(x api.SIMAlert) bool {
		return f.SIM != "" && x.SIM != f.SIM || f.Rule != "" && x.Rule != f.Rule || f.Area != "" && x.Area != f.Area || f.Loud && x.Muted != ""
	}), p)
}

// DecideSIMAlert is of httpapi.SIMUse.
func (m *Mem) DecideSIMAlert(_ context.Context, a audit.Actor, id ringwall.AlertID, in api.AlertDecision) (api.SIMAlert, error) {
	h, err := m.enter(a, "sim.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.SIMAlert{}, err
	}
	x, err := find(h.simuse.alerts, "alert", id)
	if err != nil {
		return x, err
	}
	if !slices.Contains([]string{"true", "benign", "false", "unknown"}, in.Disposition) {
		return x, ringwall.Errorf(ringwall.Invalid, "disposition %.20q is none", in.Disposition)
	}
	x.Disposition, x.Note, x.Decided, x.DecidedAt = in.Disposition, in.Note, a.String(), m.now()
	if in.Except != nil {
		if !in.Except.Until.After(m.now()) {
			return x, ringwall.Errorf(ringwall.Invalid, "an exception says until when it holds, in the future")
		}
		e := api.UsageException{ID: ringwall.ExceptionID(m.fresh(ringwall.PrefixException)), Kind: api.ExceptRule, SIM: x.SIM, Rules: []string{x.Rule}, From: m.now(), Until: in.Except.Until, Reason: in.Note, By: a.String(), Made: m.now(), Alert: id}
		h.simuse.exceptions[e.ID], x.Exception = e, e.ID
	}
	h.simuse.alerts[id] = x
	return x, nil
}

// SIMFleet is of httpapi.SIMUse.
func (m *Mem) SIMFleet(_ context.Context, a audit.Actor) (api.SIMFleet, error) {
	h, err := m.enter(a, "sim.read", "")
	defer m.mu.Unlock()
	now := m.now()
	out := api.SIMFleet{From: now.AddDate(0, 0, -30), To: now, SilentFor: api.Duration(7 * 24 * time.Hour), ByState: map[string]int{}, Areas: []api.AreaRisk{}, Top: []api.CardRisk{}, Rules: []api.RuleCount{}, Trend: []api.UsageDay{}}
	if err != nil {
		return out, err
	}
	for _, s := range h.sims {
		out.Cards++
		out.ByState[s.State]++
		if s.Device == "" {
			out.NoDevice++
		}
		if !s.Separated.IsZero() {
			out.Separated++
		}
		if s.LastUsage.IsZero() {
			out.Never++
		}
	}
	for _, d := range h.devices {
		if d.SIM == "" {
			out.NoCard++
		}
	}
	count, rules := map[string]int{}, map[string]api.RuleCount{}
	for _, x := range h.simAlerts() {
		count[x.Area]++
		r := rules[x.Rule]
		r.Rule, r.Alerts, r.Cards = x.Rule, r.Alerts+1, 1
		rules[x.Rule] = r
	}
	for _, name := range slices.Sorted(maps.Keys(h.simuse.areas)) {
		r := h.simuse.areas[name]
		out.Areas = append(out.Areas, api.AreaRisk{Area: name, Name: r.Name, Known: true, Lat: r.Lat, Lon: r.Lon, Given: r.Risk, Cards: 1, Alerts: count[name], Risk: min(100, 40*count[name])})
		out.AreasTotal++
	}
	if len(h.simuse.alerts) > 0 {
		out.Areas = append(out.Areas, api.AreaRisk{Area: "9021", Cards: 2})
		out.AreasTotal++
	}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		out.Rules = append(out.Rules, rules[name])
	}
	if all := h.simAlerts(); len(all) > 0 {
		s := h.sims[all[0].SIM]
		out.Top = append(out.Top, api.CardRisk{SIM: s.ID, ICCID: s.ICCID, Device: s.Device, Customer: s.Customer, Points: 12 * len(all), Alerts: len(all), Worst: ringwall.High, Rules: slices.Sorted(maps.Keys(rules)), Last: all[0].Time})
	}
	for d := range 30 {
		day := api.UsageDay{Day: now.AddDate(0, 0, d-29).Truncate(24 * time.Hour)}
		if len(h.simuse.alerts) > 0 {
			day.Alerts, day.Severe, day.Cards = d%5, d%3/2, d%5
		}
		out.Trend = append(out.Trend, day)
	}
	return out, nil
}

// DevicesWithoutSIM is of httpapi.SIMUse.
func (m *Mem) DevicesWithoutSIM(_ context.Context, a audit.Actor, p httpapi.Paging) (api.Page[api.Device], error) {
	h, err := m.enter(a, "device.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.Device]{}, err
	}
	return page(slices.DeleteFunc(sorted(h.devices, func(x, y api.Device) int { return cmp.Compare(x.ID, y.ID) }), func(d api.Device) bool { return d.SIM != "" }), p)
}

// UsageAreas is of httpapi.SIMUse.
func (m *Mem) UsageAreas(_ context.Context, a audit.Actor, p httpapi.Paging) (api.Page[api.UsageArea], error) {
	h, err := m.enter(a, "sim.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.UsageArea]{}, err
	}
	return page(sorted(h.simuse.areas, func(x, y api.UsageArea) int { return cmp.Compare(x.Area, y.Area) }), p)
}

// PutUsageAreas is of httpapi.SIMUse.
func (m *Mem) PutUsageAreas(_ context.Context, a audit.Actor, areas []api.UsageArea, add bool) (int, error) {
	h, err := m.enter(a, "sim.write", "areas")
	defer m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if !add {
		clear(h.simuse.areas)
	}
	for _, r := range areas {
		h.simuse.areas[r.Area] = r
	}
	return len(areas), nil
}

// Credits is of httpapi.SIMUse.
func (m *Mem) Credits(_ context.Context, a audit.Actor, kind string) ([]api.Credit, error) {
	h, err := m.enter(a, "sim.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(h.simuse.credits), func(c api.Credit) bool { return c.Kind != kind }), nil
}

// Credit is of httpapi.SIMUse.
func (m *Mem) Credit(_ context.Context, a audit.Actor, kind, name string) (api.Credit, error) {
	h, err := m.enter(a, "sim.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Credit{}, err
	}
	for _, c := range h.simuse.credits {
		if c.Kind == kind && c.Name == name {
			return c, nil
		}
	}
	return api.Credit{}, ringwall.Errorf(ringwall.NotFound, "no such %s", kind)
}

// UsageRules is of httpapi.UsageRules.
func (m *Mem) UsageRules(_ context.Context, a audit.Actor) ([]api.UsageRule, error) {
	_, err := m.enter(a, "sim.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return usageRules(), nil
}

// usageRules are some of the platform's, with limits as they are there.
func usageRules() []api.UsageRule {
	return []api.UsageRule{
		{Name: "separation", Why: "The card is in other equipment than it is bound to.", Limits: map[string]float64{}},
		{Name: "sim-peer", Why: "A peer that is not on the list.", Limits: map[string]float64{}},
		{Name: "sim-moved", Why: "A device that does not move is elsewhere.", Limits: map[string]float64{"learn-days": 3, "records": 4, "moves": 8, "radius-km": 5}},
		{Name: "sim-volume", Why: "Far more than usual.", Limits: map[string]float64{"deviations": 8, "least-bytes": 8 << 20, "most-bytes": 0, "drift-times": 4}},
		{Name: "sim-burst", Why: "Many calls or messages.", Limits: map[string]float64{"messages-hour": 30, "messages-day": 100, "calls-hour": 20, "calls-day": 60, "minutes-day": 240, "call-minutes": 120}},
		{Name: "card-online", Why: "The card is used, the device is not heard.", Limits: map[string]float64{}},
	}
}

// AllUsageSettings is of httpapi.UsageRules.
func (m *Mem) AllUsageSettings(_ context.Context, a audit.Actor) ([]api.UsageSettings, error) {
	h, err := m.enter(a, "sim.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	out := []api.UsageSettings{}
	for _, k := range slices.SortedFunc(maps.Keys(h.simuse.settings), func(x, y [2]string) int { return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1])) }) {
		out = append(out, h.simuse.settings[k][0])
	}
	return out, nil
}

// UsageSettings is of httpapi.UsageRules.
func (m *Mem) UsageSettings(_ context.Context, a audit.Actor, customer, tariff string) ([]api.UsageSettings, error) {
	h, err := m.enter(a, "sim.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return append([]api.UsageSettings{}, h.simuse.settings[[2]string{customer, tariff}]...), nil
}

// PutUsageSettings is of httpapi.UsageRules.
func (m *Mem) PutUsageSettings(_ context.Context, a audit.Actor, in api.UsageSettings) ([]api.UsageSettings, error) {
	h, err := m.enter(a, "sim.write", in.Customer)
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := checkUsageRules(in); err != nil {
		return nil, err
	}
	k := [2]string{in.Customer, in.Tariff}
	in.Version, in.Made, in.By = len(h.simuse.settings[k])+1, m.now(), a.String()
	h.simuse.settings[k] = slices.Insert(slices.Clone(h.simuse.settings[k]), 0, in)
	return h.simuse.settings[k], nil
}

// UndoUsageSettings is of httpapi.UsageRules.
func (m *Mem) UndoUsageSettings(_ context.Context, a audit.Actor, customer, tariff string) ([]api.UsageSettings, error) {
	h, err := m.enter(a, "sim.write", customer)
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	k := [2]string{customer, tariff}
	old := h.simuse.settings[k]
	if len(old) == 0 {
		return nil, ringwall.Errorf(ringwall.Conflict, "there is no version to go back from")
	}
	next := api.UsageSettings{Customer: customer, Tariff: tariff, None: true}
	if len(old) > 1 {
		next = old[1]
	}
	next.Version, next.Made, next.By = len(old)+1, m.now(), a.String()
	h.simuse.settings[k] = slices.Insert(slices.Clone(old), 0, next)
	return h.simuse.settings[k], nil
}

func checkUsageRules(in api.UsageSettings) error {
	for name, set := range in.Rules {
		i := slices.IndexFunc(usageRules(), func(r api.UsageRule) bool { return r.Name == name })
		if i < 0 {
			return ringwall.Errorf(ringwall.Invalid, "there is no rule %.40q", name)
		}
		for limit := range set.Limits {
			if _, ok := usageRules()[i].Limits[limit]; !ok {
				return ringwall.Errorf(ringwall.Invalid, "rule %q has no limit %.40q", name, limit)
			}
		}
	}
	return nil
}

// TryUsageSettings is of httpapi.UsageRules.
func (m *Mem) TryUsageSettings(_ context.Context, a audit.Actor, in api.UsageTry) (api.UsageTrial, error) {
	h, err := m.enter(a, "sim.read", "")
	defer m.mu.Unlock()
	out := api.UsageTrial{From: m.now().AddDate(0, 0, -7), To: m.now(), Gone: []api.SIMAlert{}, Fresh: []api.SIMAlert{}}
	if err != nil {
		return out, err
	}
	if err := checkUsageRules(in.Settings); err != nil {
		return out, err
	}
	for _, x := range h.simAlerts() {
		out.Looked++
		if in.Settings.Rules[x.Rule].Off {
			out.Gone, out.GoneAll = append(out.Gone, x), out.GoneAll+1
		} else {
			out.Same++
		}
	}
	return out, nil
}

// Exceptions is of httpapi.UsageRules.
func (m *Mem) Exceptions(_ context.Context, a audit.Actor, sim ringwall.SIMID, live bool, p httpapi.Paging) (api.Page[api.UsageException], error) {
	h, err := m.enter(a, "sim.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.UsageException]{}, err
	}
	return page(slices.DeleteFunc(sorted(h.simuse.exceptions, func(x, y api.UsageException) int { return y.Made.Compare(x.Made) }), func(e api.UsageException) bool {
		return sim != "" && e.SIM != sim || live && (!e.Ended.IsZero() || !m.now().Before(e.Until))
	}), p)
}

// CreateException is of httpapi.UsageRules.
func (m *Mem) CreateException(_ context.Context, a audit.Actor, in api.ExceptionCreate) (api.UsageException, error) {
	h, err := m.enter(a, "sim.write", string(in.SIM))
	defer m.mu.Unlock()
	if err != nil {
		return api.UsageException{}, err
	}
	if in.SIM != "" {
		if _, err := find(h.sims, "SIM", in.SIM); err != nil {
			return api.UsageException{}, err
		}
	}
	if !in.Until.After(m.now()) || in.Reason == "" {
		return api.UsageException{}, ringwall.Errorf(ringwall.Invalid, "an exception has a reason, and says until when it holds, in the future")
	}
	e := api.UsageException{
		ID: ringwall.ExceptionID(m.fresh(ringwall.PrefixException)), Kind: in.Kind, SIM: in.SIM, Customer: in.Customer, Rules: in.Rules, IMEI: ringwall.IMEI(in.IMEI).String(),
		From: m.now(), Until: in.Until, Reason: in.Reason, By: a.String(), Made: m.now(),
	}
	h.simuse.exceptions[e.ID] = e
	return e, nil
}

// EndException is of httpapi.UsageRules.
func (m *Mem) EndException(_ context.Context, a audit.Actor, id ringwall.ExceptionID) (api.UsageException, error) {
	h, err := m.enter(a, "sim.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.UsageException{}, err
	}
	e, err := find(h.simuse.exceptions, "exception", id)
	if err != nil {
		return e, err
	}
	if !e.Ended.IsZero() {
		return e, ringwall.Errorf(ringwall.Conflict, "exception %q has ended", id)
	}
	e.Ended, e.EndedBy = m.now(), a.String()
	h.simuse.exceptions[id] = e
	return e, nil
}

// IMEIPools is of httpapi.UsageRules.
func (m *Mem) IMEIPools(_ context.Context, a audit.Actor) ([]api.IMEIPool, error) {
	h, err := m.enter(a, "sim.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return sorted(h.simuse.pools, func(x, y api.IMEIPool) int { return cmp.Compare(x.Name, y.Name) }), nil
}

// PutIMEIPool is of httpapi.UsageRules.
func (m *Mem) PutIMEIPool(_ context.Context, a audit.Actor, in api.IMEIPool) (api.IMEIPool, error) {
	h, err := m.enter(a, "sim.write", in.Name)
	defer m.mu.Unlock()
	if err != nil {
		return api.IMEIPool{}, err
	}
	if in.Name == "" || len(in.IMEIs)+len(in.TACs) == 0 {
		return in, ringwall.Errorf(ringwall.Invalid, "a pool has a name and equipment")
	}
	in.Count, in.IMEIs, in.Version, in.Made, in.By = len(in.IMEIs), nil, h.simuse.pools[in.Name].Version+1, m.now(), a.String()
	h.simuse.pools[in.Name] = in
	return in, nil
}

// DropIMEIPool is of httpapi.UsageRules.
func (m *Mem) DropIMEIPool(_ context.Context, a audit.Actor, name string) error {
	h, err := m.enter(a, "sim.write", name)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	if _, err := find(h.simuse.pools, "pool", name); err != nil {
		return err
	}
	delete(h.simuse.pools, name)
	return nil
}

// WarningRoutes is of httpapi.Warnings.
func (m *Mem) WarningRoutes(_ context.Context, a audit.Actor) ([]api.WarningRoute, error) {
	h, err := m.enter(a, "incident.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return sorted(h.simuse.routes, func(x, y api.WarningRoute) int { return cmp.Compare(x.ID, y.ID) }), nil
}

// PutWarningRoute is of httpapi.Warnings.
func (m *Mem) PutWarningRoute(_ context.Context, a audit.Actor, id ringwall.RouteID, in api.WarningRoutePut) (api.WarningRoute, error) {
	h, err := m.enter(a, "warning.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.WarningRoute{}, err
	}
	r := api.WarningRoute{ID: id, Made: m.now(), By: a.String()}
	if id != "" {
		if r, err = find(h.simuse.routes, "route", id); err != nil {
			return r, err
		}
	}
	if in.Name == "" || in.URL == "" {
		return r, ringwall.Errorf(ringwall.Invalid, "a route has a name and an address")
	}
	r.Party, r.Name, r.URL, r.Customer, r.Vendor, r.Tag, r.Severity, r.Off = in.Party, in.Name, in.URL, in.Customer, in.Vendor, in.Tag, in.Severity, in.Off
	shown := r
	if id == "" {
		r.ID = ringwall.RouteID(m.fresh(ringwall.PrefixRoute))
		shown = r
		shown.Secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	}
	h.simuse.routes[r.ID] = r
	return shown, nil
}

// DropWarningRoute is of httpapi.Warnings.
func (m *Mem) DropWarningRoute(_ context.Context, a audit.Actor, id ringwall.RouteID) error {
	h, err := m.enter(a, "warning.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	if _, err := find(h.simuse.routes, "route", id); err != nil {
		return err
	}
	delete(h.simuse.routes, id)
	return nil
}

// TestWarningRoute is of httpapi.Warnings.
func (m *Mem) TestWarningRoute(_ context.Context, a audit.Actor, id ringwall.RouteID) (api.Delivery, error) {
	h, err := m.enter(a, "warning.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Delivery{}, err
	}
	if _, err := find(h.simuse.routes, "route", id); err != nil {
		return api.Delivery{}, err
	}
	d := api.Delivery{ID: m.fresh("wrn"), Route: id, Type: "test", Made: m.now(), State: "waiting", Next: m.now()}
	h.simuse.deliveries = slices.Insert(h.simuse.deliveries, 0, d)
	return d, nil
}

// Deliveries is of httpapi.Warnings.
func (m *Mem) Deliveries(_ context.Context, a audit.Actor, route ringwall.RouteID, p httpapi.Paging) (api.Page[api.Delivery], error) {
	h, err := m.enter(a, "incident.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.Delivery]{}, err
	}
	return page(slices.DeleteFunc(slices.Clone(h.simuse.deliveries), func(d api.Delivery) bool { return route != "" && d.Route != route }), p)
}

// fillSIMUse gives an organisation something of each about a card. The caller
// holds mu.
func (m *Mem) fillSIMUse(org ringwall.OrgID, t time.Time, sim ringwall.SIMID, device ringwall.DeviceID) {
	h := m.org(org)
	s := h.sims[sim]
	s.Customer, s.Tariff, s.Seller, s.Area, s.Registered = "Water works", "meter-1", "Handelshaus Nord", "9001", t.AddDate(0, -3, 0)
	h.sims[sim] = s
	c := api.SIMCard{
		Binding:  api.SIMBinding{State: "held", Bound: s.BoundIMEI, Seen: s.SeenIMEI, Pools: []string{"spare meters"}},
		Settings: api.UsageSettings{Customer: "Water works", Version: 2, Fixed: true},
		Hours:    api.UsageCurve{Step: api.Duration(time.Hour), From: t.AddDate(0, 0, -14), To: t}, Days: api.UsageCurve{Step: api.Duration(24 * time.Hour), From: t.AddDate(0, 0, -400), To: t},
		Places: []api.SIMPlace{{Area: "9001", Cell: "12345", PLMN: "46004", First: t.AddDate(0, -3, 0), Last: t.Add(-9 * time.Minute), Count: 1180}, {Area: "9002", Cell: "777", PLMN: "46004", First: t.AddDate(0, 0, -2), Last: t.AddDate(0, 0, -2), Count: 3}},
		Custody: []api.CustodyEvent{
			{Time: t.AddDate(0, -3, 0), What: "registered", By: "usr_owner", Text: "SIM registered", Ref: string(id[ringwall.EventID]("evt", "custody one of "+string(org)))},
			{Time: t.Add(-70 * time.Hour), What: "separated", By: "system:usage", Text: "SIM seen in other equipment than the one it is bound to"},
			{Time: t.Add(-69 * time.Hour), What: "rejoined", By: "system:usage", Text: "SIM seen again in the equipment it is bound to"},
		},
	}
	for n := range 14 * 24 {
		if n%3 != 0 {
			c.Hours.Points = append(c.Hours.Points, api.UsagePoint{Time: t.Add(time.Duration(n-14*24+1) * time.Hour).Truncate(time.Hour), Up: uint64(2000 + 900*(n%24)), Down: uint64(700 + 40*(n%11)), Records: 4})
		}
	}
	for n := range 90 {
		p := api.UsagePoint{Time: t.AddDate(0, 0, n-89).Truncate(24 * time.Hour), Up: uint64(300_000 + 4000*(n%7)), Down: 90_000, Records: 96}
		if n == 86 {
			p.Messages, p.Calls = 3, 1
		}
		c.Days.Points = append(c.Days.Points, p)
	}
	h.simuse.cards[sim] = c
	for n, x := range []api.SIMAlert{
		{Rule: "separation", Nature: ringwall.NatureAttack, Severity: ringwall.Critical, Title: "SIM seen in equipment of another model", Facts: map[string]string{"seenImei": "49015420****51"}, Time: t.Add(-70 * time.Hour), Disposition: "benign", Decided: "usr_owner", DecidedAt: t.Add(-69 * time.Hour)},
		{Rule: "sim-service", Nature: ringwall.NatureAttack, Severity: ringwall.High, Title: "SIM used for sms, which it is not meant for", Facts: map[string]string{"service": "sms"}, Time: t.Add(-50 * time.Hour), Area: "9002"},
		{Rule: "sim-box", Nature: ringwall.NatureAttack, Severity: ringwall.High, Title: "One piece of equipment is used with many SIMs", Facts: map[string]string{"kind": "equipment", "cards": "4"}, Time: t.Add(-20 * 24 * time.Hour), With: []ringwall.SIMID{sim}},
		{Rule: "sim-peer", Nature: ringwall.NatureDeviation, Severity: ringwall.Medium, Title: "SIM reached a peer that is not on its list", Time: t.Add(-30 * time.Hour), Area: "9001", Muted: "window", MutedBy: string(id[ringwall.ExceptionID](ringwall.PrefixException, "window of "+string(org)))},
	} {
		x.ID, x.SIM = id[ringwall.AlertID](ringwall.PrefixAlert, x.Rule+" of "+string(org)), sim
		if n == 1 {
			x.Incident = "" // an incident of its own would be another story
		}
		h.simuse.alerts[x.ID] = x
	}
	win := api.UsageException{ID: id[ringwall.ExceptionID](ringwall.PrefixException, "window of "+string(org)), Kind: api.ExceptWindow, SIM: sim, From: t.Add(-31 * time.Hour), Until: t.Add(20 * time.Hour), Reason: "new firmware for all meters", By: "usr_owner", Made: t.Add(-40 * time.Hour)}
	h.simuse.exceptions[win.ID] = win
	h.simuse.settings[[2]string{"", ""}] = []api.UsageSettings{{Version: 1, Made: t.AddDate(0, -2, 0), By: "usr_owner", Note: "for everybody"}}
	h.simuse.settings[[2]string{"Water works", ""}] = []api.UsageSettings{
		{Customer: "Water works", Version: 2, Made: t.AddDate(0, -1, 0), By: "usr_owner", Fixed: true, Pools: []string{"spare meters"}, Rules: map[string]api.UsageRuleSetting{"sim-volume": {Limits: map[string]float64{"deviations": 12}}}},
		{Customer: "Water works", Version: 1, Made: t.AddDate(0, -2, 0), By: "usr_owner", Rules: map[string]api.UsageRuleSetting{"sim-volume": {Off: true}}},
	}
	h.simuse.pools["spare meters"] = api.IMEIPool{Name: "spare meters", TACs: []string{"86012345"}, Count: 40, Version: 1, Made: t.AddDate(0, -2, 0), By: "usr_owner"}
	h.simuse.areas["9001"] = api.UsageArea{Area: "9001", Name: "Nord", Lat: 40.05, Lon: 116.41}
	h.simuse.areas["9002"] = api.UsageArea{Area: "9002", Name: "Hafen", Lat: 39.98, Lon: 116.52, Risk: 30}
	h.simuse.credits = []api.Credit{
		{Kind: "customer", Name: "Water works", Known: true, Value: 84, From: t.AddDate(0, -6, 0), To: t, Cards: 412, Deductions: []api.CreditDeduction{
			{Rule: "sim-service", Points: 12.5, Alerts: 9, Cards: 7, Share: 0.017, First: t.AddDate(0, -1, 0), Last: t.Add(-50 * time.Hour), Proofs: []ringwall.AlertID{id[ringwall.AlertID](ringwall.PrefixAlert, "sim-service of "+string(org))}},
			{Rule: "sim-peer", Points: 3.5, Alerts: 4, Cards: 4, Share: 0.0097, First: t.AddDate(0, 0, -9), Last: t.Add(-30 * time.Hour)},
		}},
		{Kind: "customer", Name: "Newcomer Ltd", Why: "cards", From: t.AddDate(0, -6, 0), To: t, Cards: 2},
		{Kind: "seller", Name: "Handelshaus Nord", Known: true, Value: 97, From: t.AddDate(0, -6, 0), To: t, Cards: 900},
	}
	route := api.WarningRoute{ID: id[ringwall.RouteID](ringwall.PrefixRoute, "of "+string(org)), Party: ringwall.PartEnterprise, Name: "Water works' desk", URL: "https://hooks.waterworks.example/ringwall", Customer: "Water works", Severity: ringwall.Medium, Made: t.AddDate(0, -1, 0), By: "usr_owner", Sent: 12, LastSent: t.Add(-50 * time.Hour)}
	h.simuse.routes[route.ID] = route
	h.simuse.deliveries = []api.Delivery{{ID: "wrn_1", Route: route.ID, Type: "incident.opened", Made: t.Add(-50 * time.Hour), Tries: 1, Done: t.Add(-50 * time.Hour), State: "sent"}}
}
