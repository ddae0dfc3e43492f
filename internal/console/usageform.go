package console

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// settingsForm is settings as a form has them: what somebody typed, so that what
// is wrong comes back to be mended. It has a place for all that settings can say;
// the JSON beside it says the same.
type settingsForm struct {
	Services  []choice
	Fixed     bool
	Peers     string // addresses, networks and numbers, one a line
	APNs      string // access points, one a line
	Countries string
	Areas     string
	Hours     []hoursRow // with an empty one at the end
	Pools     []choice
	Rules     []ruleRow
	Changed   bool // a rule is not as it is by default
}

// choice is a box to be ticked.
type choice struct {
	Name string
	On   bool
}

// hoursRow is a window of hours.
type hoursRow struct {
	N              int
	From, To, Zone string
	Days           []choice
}

// ruleRow is a rule with its limits; an empty value is the default.
type ruleRow struct {
	Name   string
	On     bool
	Limits []limitRow
}

type limitRow struct{ Name, Value, Default string }

const maxHoursRows = 32 // of one form; package rules has its own bound

func formServices() []string { return []string{"data", "sms", "voice"} }
func formDays() []string     { return []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} }

func choices(all, on []string) []choice {
	out := make([]choice, len(all))
	for i, name := range all {
		out[i] = choice{name, slices.Contains(on, name)}
	}
	return out
}

func ticked(all []choice) (on []string) {
	for _, c := range all {
		if c.On {
			on = append(on, c.Name)
		}
	}
	return on
}

// poolNames are those there are, and those that settings name besides.
func poolNames(pools []api.IMEIPool, named []string) []string {
	all := slices.Clone(named)
	for _, p := range pools {
		all = append(all, p.Name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// number writes a limit as people type it.
func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// limitNames gives the limits of a rule, those of one thing beside each other.
func limitNames(r api.UsageRule) []string {
	return slices.SortedFunc(maps.Keys(r.Limits), cmp.Compare[string])
}

// settingsFormOf shows settings.
func settingsFormOf(s api.UsageSettings, known []api.UsageRule, pools []api.IMEIPool) settingsForm {
	f := settingsForm{
		Services: choices(formServices(), s.Services), Fixed: s.Fixed, Countries: strings.Join(s.Countries, " "), Areas: strings.Join(s.Areas, "\n"),
		Pools: choices(poolNames(pools, s.Pools), s.Pools),
	}
	var peers, apns []string
	for _, p := range s.Peers {
		if isAPN(p) {
			apns = append(apns, p)
		} else {
			peers = append(peers, p)
		}
	}
	f.Peers, f.APNs = strings.Join(peers, "\n"), strings.Join(apns, "\n")
	for _, h := range s.Hours {
		f.Hours = append(f.Hours, hoursRow{From: h.From, To: h.To, Zone: h.Zone, Days: choices(formDays(), h.Days)})
	}
	for _, r := range known {
		set := s.Rules[r.Name]
		row := ruleRow{Name: r.Name, On: !set.Off}
		for _, name := range limitNames(r) {
			l := limitRow{Name: name, Default: number(r.Limits[name])}
			if v, ok := set.Limits[name]; ok {
				l.Value = number(v)
			}
			row.Limits = append(row.Limits, l)
		}
		f.Rules = append(f.Rules, row)
	}
	f.finish()
	return f
}

// typed is a form as it was sent.
func typed(v url.Values, known []api.UsageRule, pools []api.IMEIPool) settingsForm {
	f := settingsForm{
		Services: choices(formServices(), v["service"]), Fixed: v.Get("fixed") != "", Peers: v.Get("peers"), APNs: v.Get("apns"), Countries: v.Get("countries"), Areas: v.Get("areas"),
		Pools: choices(poolNames(pools, v["pool"]), v["pool"]),
	}
	for i := range maxHoursRows {
		n := strconv.Itoa(i)
		if !v.Has("from."+n) && !v.Has("to."+n) {
			break
		}
		h := hoursRow{From: strings.TrimSpace(v.Get("from." + n)), To: strings.TrimSpace(v.Get("to." + n)), Zone: strings.TrimSpace(v.Get("zone." + n)), Days: choices(formDays(), v["day."+n])}
		if h.From != "" || h.To != "" {
			f.Hours = append(f.Hours, h)
		}
	}
	for _, r := range known {
		row := ruleRow{Name: r.Name, On: slices.Contains(v["on"], r.Name)}
		for _, name := range limitNames(r) {
			row.Limits = append(row.Limits, limitRow{Name: name, Value: strings.TrimSpace(v.Get("limit." + r.Name + "." + name)), Default: number(r.Limits[name])})
		}
		f.Rules = append(f.Rules, row)
	}
	f.finish()
	return f
}

// finish adds the empty row of hours, and says whether rules differ.
func (f *settingsForm) finish() {
	if len(f.Hours) < maxHoursRows {
		f.Hours = append(f.Hours, hoursRow{Days: choices(formDays(), nil)})
	}
	for i := range f.Hours {
		f.Hours[i].N = i
	}
	for _, r := range f.Rules {
		f.Changed = f.Changed || !r.On || slices.ContainsFunc(r.Limits, func(l limitRow) bool { return l.Value != "" })
	}
}

// settings is what the form says. Whether it makes sense is the service's to say;
// what is no number is refused here.
func (f *settingsForm) settings() (s api.UsageSettings, err error) {
	s.Services, s.Fixed, s.Pools = ticked(f.Services), f.Fixed, ticked(f.Pools)
	s.Peers = append(items(f.Peers), items(f.APNs)...)
	s.Countries, s.Areas = items(f.Countries), lines(f.Areas)
	for _, h := range f.Hours {
		if h.From != "" || h.To != "" {
			s.Hours = append(s.Hours, api.Window{Zone: h.Zone, Days: ticked(h.Days), From: h.From, To: h.To})
		}
	}
	for _, r := range f.Rules {
		set := api.UsageRuleSetting{Off: !r.On}
		for _, l := range r.Limits {
			if l.Value == "" {
				continue
			}
			v, err := strconv.ParseFloat(l.Value, 64)
			if err != nil {
				return s, ringwall.Errorf(ringwall.Invalid, "limit %q of rule %q is %.20q, want a number", l.Name, r.Name, l.Value)
			}
			if set.Limits == nil {
				set.Limits = map[string]float64{}
			}
			set.Limits[l.Name] = v
		}
		if set.Off || set.Limits != nil {
			if s.Rules == nil {
				s.Rules = map[string]api.UsageRuleSetting{}
			}
			s.Rules[r.Name] = set
		}
	}
	return s, nil
}

// items are words; lines may have blanks within.
func items(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == ';' || r == '\t' || r == '\n' || r == '\r' })
}

func lines(text string) (all []string) {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			all = append(all, l)
		}
	}
	return all
}

// isAPN tells access points from addresses, networks and numbers, as the rules do:
// they are what remains.
func isAPN(peer string) bool {
	if _, err := netip.ParseAddr(peer); err == nil {
		return false
	}
	if _, err := netip.ParsePrefix(peer); err == nil {
		return false
	}
	return strings.Trim(peer, "+0123456789") != ""
}

// settingsText is settings without what is not theirs to say, as JSON.
func settingsText(s api.UsageSettings) (string, error) {
	s.Customer, s.Tariff, s.Version, s.Made, s.By, s.Note, s.None = "", "", 0, time.Time{}, "", "", false
	raw, err := json.Marshal(s)
	if err != nil {
		return "", ringwall.Errorf(ringwall.Internal, "writing settings: %w", err)
	}
	var fields map[string]json.RawMessage // no name and no version: who reads it would think them part of it
	if err := json.Unmarshal(raw, &fields); err != nil {
		return "", ringwall.Errorf(ringwall.Internal, "writing settings: %w", err)
	}
	delete(fields, "customer")
	delete(fields, "version")
	text, err := json.MarshalIndent(fields, "", "  ")
	return string(text), err
}

// addPool makes a pool of equipment, or another version of one.
func addPool(q *request) (string, error) {
	in := api.IMEIPool{Name: strings.TrimSpace(q.PostFormValue("name")), TACs: items(q.PostFormValue("tacs")), IMEIs: items(q.PostFormValue("imeis"))}
	_, err := q.c.svc.PutIMEIPool(q.Context(), q.actor, in)
	return "saved", err
}

func dropPool(q *request) (string, error) {
	return "saved", q.c.svc.DropIMEIPool(q.Context(), q.actor, q.PostFormValue("name"))
}
