package platform

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// maxBulkLife bounds how long an enrolment may wait: whoever finds the token
// meanwhile is one of ours.
const maxBulkLife = 30 * 24 * time.Hour

// BulkEnrol makes what enrols many gateways: one token for every line of a
// manifest, or a one-time token for each.
func (s *service) BulkEnrol(ctx context.Context, a audit.Actor, in api.BulkEnrol) (out api.BulkTokens, err error) {
	life := time.Duration(in.Life)
	if life == 0 {
		life = identity.EnrolLife
	}
	if life < 0 || life > maxBulkLife {
		return out, ringwall.Errorf(ringwall.Invalid, "enrolment waits at most %d days", int(maxBulkLife.Hours()/24))
	}
	if err := checkManifest(in.Lines, in.Each); err != nil {
		return out, err
	}
	out.Tokens, out.Lines = []api.EnrolToken{}, len(in.Lines)
	err = s.change(ctx, a, audit.GatewayEnrol, on("gateway", ""), func(t *turn, scope audit.Scope) error {
		lines, err := t.resolve(scope, in.Lines)
		if err != nil {
			return err
		}
		parts := [][]sqlstore.EnrolLine{lines}
		if in.Each {
			parts = slices.Collect(slices.Chunk(lines, 1))
		}
		for _, part := range parts {
			secret, rec := identity.NewToken(identity.EnrolToken, a.Org, t.at)
			rec.Expires = t.at.Add(life)
			if err := t.tx.CreateEnrolToken(scope, rec); err != nil {
				return err
			}
			if err := t.tx.PutEnrolLines(scope, rec.ID, !in.Each, part); err != nil {
				return err
			}
			out.Tokens = append(out.Tokens, api.EnrolToken{ID: rec.ID, Token: secret.Reveal(), Expires: rec.Expires, CAPin: s.authority.Pin()})
		}
		return nil
	})
	return out, err
}

// checkManifest looks at the lines of a manifest. Where one token is good for
// all, a line must be told from every other by what a gateway says of itself.
func checkManifest(lines []api.BulkLine, each bool) error {
	if len(lines) == 0 || len(lines) > api.MaxBulk {
		return ringwall.Errorf(ringwall.Invalid, "a manifest has 1 to %d lines, this one %d", api.MaxBulk, len(lines))
	}
	seen := map[string]int{}
	for i, l := range lines {
		if err := checkName(l.Name); err != nil {
			return ringwall.Errorf(ringwall.Invalid, "line %d: %w", i+1, err)
		}
		if len(l.Serial) > maxName || strings.ContainsAny(l.Serial, "\r\n\t") {
			return ringwall.Errorf(ringwall.Invalid, "line %d: a serial number has at most %d bytes", i+1, maxName)
		}
		key := "serial " + l.Serial
		if l.Serial == "" {
			key = "name " + l.Name
		}
		if other := seen[key]; other > 0 && (!each || l.Serial != "") {
			return ringwall.Errorf(ringwall.Invalid, "lines %d and %d have the same %s", other, i+1, key)
		}
		seen[key] = i + 1
	}
	return nil
}

// resolve finds the templates and groups that lines name, by id or by name.
func (t *turn) resolve(scope audit.Scope, lines []api.BulkLine) ([]sqlstore.EnrolLine, error) {
	templates, err := t.tx.Templates(scope)
	if err != nil {
		return nil, err
	}
	groups, err := t.tx.Groups(scope)
	if err != nil {
		return nil, err
	}
	out := make([]sqlstore.EnrolLine, len(lines))
	for i, l := range lines {
		out[i] = sqlstore.EnrolLine{Name: strings.TrimSpace(l.Name), Serial: l.Serial}
		if l.Template != "" {
			at := slices.IndexFunc(templates, func(t api.Template) bool { return string(t.ID) == l.Template || t.Name == l.Template })
			if at < 0 {
				return nil, ringwall.Errorf(ringwall.NotFound, "line %d: no template %.60q", i+1, l.Template)
			}
			out[i].Template = templates[at].ID
		}
		for _, name := range l.Groups {
			at := slices.IndexFunc(groups, func(g api.Group) bool { return string(g.ID) == name || g.Name == name })
			if at < 0 {
				return nil, ringwall.Errorf(ringwall.NotFound, "line %d: no group %.60q", i+1, name)
			}
			out[i].Groups = append(out[i].Groups, groups[at].ID)
		}
	}
	return out, nil
}

// claimLine uses up the line of a token's manifest that waits for a gateway, and
// the token itself where it is good once. ok is false for a token without one.
func (t *turn) claimLine(scope audit.Scope, token ringwall.TokenID, req api.EnrolRequest, gw ringwall.GatewayID) (l sqlstore.EnrolLine, ok bool, err error) {
	l, bulk, err := t.tx.EnrolLine(scope, token, strings.TrimSpace(req.Serial), strings.TrimSpace(req.Name))
	switch {
	case isCode(err, ringwall.NotFound) && !bulk:
		return l, false, t.tx.UseEnrolToken(scope, token, gw, t.at)
	case err != nil: // a token of many lines, none of which waits for this one
		return l, false, err
	}
	if l.Serial != "" && l.Serial != strings.TrimSpace(req.Serial) {
		return l, false, ringwall.Errorf(ringwall.Unverified, "the token is for another machine")
	}
	if err := t.tx.UseEnrolLine(scope, token, l.Line, gw, t.at); err != nil {
		return l, false, err
	}
	if !bulk {
		err = t.tx.UseEnrolToken(scope, token, gw, t.at)
	}
	return l, true, err
}
