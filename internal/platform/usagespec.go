package platform

import (
	"encoding/json"
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// specs are the settings that an engine's Book has, each once, found by what
// they say. Number 0 is that of cards of which nobody has said anything.
type specs struct {
	list    []rules.Spec
	index   map[string]uint32
	most    int // how many; the engine needs room of its own
	version uint64
	dirty   bool
}

func newSpecs() *specs {
	return &specs{list: []rules.Spec{{}}, index: map[string]uint32{"{}": 0}, most: rules.MaxSettings / 2}
}

// add returns the number of settings, making it when it is new.
func (p *specs) add(s rules.Spec) (uint32, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return 0, ringwall.Errorf(ringwall.Internal, "writing settings: %w", err)
	}
	if n, ok := p.index[string(b)]; ok {
		return n, nil
	}
	if len(p.list) >= p.most {
		return 0, ringwall.Errorf(ringwall.Conflict, "cards differ in more than %d ways", p.most)
	}
	n := uint32(len(p.list))
	p.list, p.index[string(b)], p.dirty = append(p.list, s), n, true
	return n, nil
}

// has reports whether there is a number for settings.
func (p *specs) has(s rules.Spec) bool {
	b, err := json.Marshal(s)
	_, ok := p.index[string(b)]
	return err == nil && ok
}

// specOf is what a card is judged by: what its customer's settings say, narrowed
// by its own profile, services and peers. Which rules are off, exceptions, swaps
// and pools are not in it: those are looked at when a rule has spoken, so that
// what was kept quiet is known (turn.muted).
func specOf(s api.SIM, set api.UsageSettings, profile *api.SIMProfile) rules.Spec {
	spec := rules.Spec{Services: s.Services, Peers: s.Peers, Countries: set.Countries, Areas: set.Areas, Hours: set.Hours, Fixed: set.Fixed}
	if len(spec.Services) == 0 {
		spec.Services = set.Services
	}
	if len(spec.Peers) == 0 {
		spec.Peers = set.Peers
	}
	for name, r := range set.Rules {
		if len(r.Limits) > 0 && isEngineRule(name) {
			if spec.Rules == nil {
				spec.Rules = map[string]api.UsageRuleSetting{}
			}
			spec.Rules[name] = api.UsageRuleSetting{Limits: r.Limits}
		}
	}
	if profile == nil || profile.None {
		return spec
	}
	p := profile.Plan.Rules
	spec.Judged, spec.OnlyIn, spec.OnlyOut, spec.Bytes, spec.Calls, spec.Messages = true, p.OnlyIn, p.OnlyOut, p.Bytes, p.Calls, p.Messages
	if len(p.Countries) > 0 {
		spec.Countries = p.Countries
	}
	if len(p.Areas) > 0 {
		spec.Areas = p.Areas
	}
	if len(p.Hours) > 0 {
		spec.Hours = p.Hours
	}
	spec.Cells = p.Cells
	return spec
}

// riskName says how package rules calls the risk that an operator gives an area.
func riskName(risk int) string {
	switch {
	case risk >= 60:
		return "high"
	case risk >= 30:
		return "risky"
	case risk > 0:
		return "watched"
	}
	return ""
}

// areasOf reads an organisation's table of areas; nil when there is none.
func areasOf(tx *sqlstore.Tx, scope audit.Scope, keys *cdr.Keys) (*rules.Areas, error) {
	var all []rules.AreaLine
	for p := (sqlstore.Paging{}); ; {
		page, err := tx.UsageAreas(scope, p)
		if err != nil {
			return nil, err
		}
		for _, a := range page.Items {
			all = append(all, rules.AreaLine{Area: a.Area, Name: a.Name, Lat: a.Lat, Lon: a.Lon, Located: true, Risk: riskName(a.Risk)})
		}
		if p.Cursor = page.Next; p.Cursor == "" {
			break
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	areas, err := rules.NewAreas(all, keys)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading the table of %s areas: %w", strconv.Itoa(len(all)), err)
	}
	return areas, nil
}
