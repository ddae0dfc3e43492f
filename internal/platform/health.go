package platform

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// recent is how long something that happened to a gateway stays among its flags.
const recent = 24 * time.Hour

// flagsOf says what somebody should look at about a gateway. newest is the
// newest program that any gateway of the organisation runs.
func flagsOf(g api.Gateway, newest string, behindTemplate bool, now time.Time) []string {
	if !g.Revoked.IsZero() {
		return nil
	}
	h := api.Health{}
	if g.Health != nil {
		h = *g.Health
	}
	var out []string
	add := func(is bool, flag string) {
		if is {
			out = append(out, flag)
		}
	}
	add(!g.Online, api.FlagAway)
	add(g.Protocol != 0 && g.Protocol < api.Version || older(h.Version, newest), api.FlagVersion)
	add(h.Clock.Abs() > api.MaxClock, api.FlagClock)
	add(h.Lost+h.Unwritten > 0, api.FlagLost)
	add(now.Sub(g.RolledBack) < recent, api.FlagRolledBack)
	add(now.Sub(g.Drifted) < recent || len(g.Drift) > 0, api.FlagDrift)
	add(g.InForce < g.Desired || behindTemplate, api.FlagBehind)
	add(g.LastError != "", api.FlagRefused)
	add(g.Health != nil && (!h.DNSRunning || h.Inspector == "stopped"), api.FlagDNS)
	add(!g.CertExpiry.IsZero() && g.CertExpiry.Sub(now) < api.CertNear, api.FlagCert)
	add(h.WALBytes > api.MaxBacklog || h.LogShare >= api.MaxLogShare, api.FlagDisk)
	add(h.FailOpen+h.FailClosed > 0, api.FlagOld)
	add(fastOff(h.Tier), api.FlagFast)
	return out
}

// fastOff reports whether a gateway was given a fast path that is off: its tier
// then ends in the reason, in brackets. One that was given none is as it should be.
func fastOff(tier string) bool {
	return strings.Contains(tier, "+(") && strings.HasSuffix(tier, ")")
}

// older reports whether a program's version is before another: numbers between
// dots are compared as numbers. What is no such version is not older.
func older(a, b string) bool {
	x, okA := versionOf(a)
	y, okB := versionOf(b)
	return okA && okB && slices.Compare(x, y) < 0
}

func versionOf(s string) ([]int, bool) {
	s, _, _ = strings.Cut(strings.TrimPrefix(s, "v"), "-")
	var out []int
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil, false
		}
		out = append(out, n)
	}
	return out, len(out) > 1
}

// newestProgram returns the newest version among gateways.
func newestProgram(gs []api.Gateway) string {
	newest := ""
	for _, g := range gs {
		if g.Health == nil || !g.Revoked.IsZero() {
			continue
		}
		if _, ok := versionOf(g.Health.Version); ok && (newest == "" || older(newest, g.Health.Version)) {
			newest = g.Health.Version
		}
	}
	return newest
}

// sites knows templates while gateways are shown.
type sites struct {
	tx    *sqlstore.Tx
	scope audit.Scope
	known map[siteKey]api.Template
}

type siteKey struct {
	id      ringwall.TemplateID
	version int
}

func (s *sites) template(id ringwall.TemplateID, version int) (api.Template, error) {
	k := siteKey{id, version}
	if t, ok := s.known[k]; ok {
		return t, nil
	}
	t, err := s.tx.Template(s.scope, id, version)
	if err == nil {
		s.known[k] = t
	}
	return t, err
}

// showGateways fills in what is worked out of gateways: drift and flags.
func showGateways(tx *sqlstore.Tx, scope audit.Scope, gs []api.Gateway, now time.Time) error {
	all, err := tx.AllGateways(scope)
	if err != nil {
		return err
	}
	newest := newestProgram(all)
	s := sites{tx, scope, map[siteKey]api.Template{}}
	for i := range gs {
		g, behind := &gs[i], false
		if g.Template != "" {
			has, err := s.template(g.Template, g.TemplateVersion)
			if err != nil {
				return err
			}
			last, err := s.template(g.Template, 0)
			if err != nil {
				return err
			}
			g.Drift, behind = driftOf(*g, has.Site), g.TemplateVersion < last.Version
		}
		g.Flags = flagsOf(*g, newest, behind, now)
	}
	return nil
}

// wanted reports whether a filter means a gateway.
func wanted(g api.Gateway, flag string, template ringwall.TemplateID, text string) bool {
	if flag != "" && !slices.Contains(g.Flags, flag) || template != "" && g.Template != template {
		return false
	}
	text = strings.ToLower(text)
	return text == "" || strings.Contains(strings.ToLower(g.Name+"\n"+g.Serial+"\n"+string(g.ID)), text)
}

// byName orders gateways for pages.
func byName(a, b api.Gateway) int {
	return cmp.Or(cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), cmp.Compare(a.ID, b.ID))
}
