package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// adminName is the first user's; what it plays is all that one household needs.
const adminName = "admin"

var adminParts = []ringwall.Part{ringwall.PartOwner, ringwall.PartOperator, ringwall.PartPlatform}

// bootstrap makes the first organisation and its administrator, once, and sees
// to it that the local command line has a token. It returns the organisation.
//
// The administrator's password is shown on the terminal before the commit: a
// crash in between shows a password that is not valid, and the next start
// another, but never loses the only one.
func (p *Platform) bootstrap(ctx context.Context, terminal io.Writer, name string) (ringwall.OrgID, error) {
	scope, err := p.auditor.Authorise(ctx, audit.System(audit.SysBootstrap, ""), audit.SystemBootstrap, audit.Target{Kind: "platform"})
	if err != nil {
		return "", err
	}
	var orgs []api.Org
	if err := p.store.View(ctx, func(tx *sqlstore.Tx) (err error) { orgs, err = tx.Orgs(scope); return err }); err != nil {
		return "", err
	}
	if len(orgs) == 0 {
		org, err := p.first(ctx, terminal, name)
		if err != nil {
			return "", fmt.Errorf("making the first organisation: %w", err)
		}
		orgs = []api.Org{org}
	}
	if err := p.localToken(ctx, orgs[0].ID); err != nil {
		return "", fmt.Errorf("keeping the token of the local command line: %w", err)
	}
	return orgs[0].ID, nil
}

func (p *Platform) first(ctx context.Context, terminal io.Writer, name string) (api.Org, error) {
	org := api.Org{ID: ringwall.OrgID(ringwall.NewID(ringwall.PrefixOrg, p.core.now())), Name: name}
	scope, err := p.bootScope(ctx, org.ID)
	if err != nil {
		return org, err
	}
	password := identity.RandomPassword()
	hash, err := p.people.passwords.Hash(ctx, password.Reveal())
	if err != nil {
		return org, err
	}
	return org, p.store.Update(ctx, func(tx *sqlstore.Tx) error {
		if err := tx.CreateOrg(scope, org); err != nil {
			return err
		}
		u := api.User{ID: ringwall.UserID(ringwall.NewID(ringwall.PrefixUser, p.core.now())), Org: org.ID, Name: adminName, Parts: adminParts}
		if err := tx.CreateUser(scope, u, hash); err != nil {
			return err
		}
		_, err := fmt.Fprintf(terminal, "ringwall: first start: user %q, password %s (shown this once)\n", adminName, password.Reveal())
		return err
	})
}

func (p *Platform) bootScope(ctx context.Context, org ringwall.OrgID) (audit.Scope, error) {
	return p.auditor.Authorise(ctx, audit.System(audit.SysBootstrap, org), audit.SystemBootstrap, audit.Target{Kind: "organisation", ID: string(org), Org: org})
}

// AddOrg makes another organisation with its first user: a way for programs
// and tests that hold the platform itself, not a route.
func (p *Platform) AddOrg(ctx context.Context, name, user, password string, parts []ringwall.Part) (ringwall.OrgID, error) {
	if err := errors.Join(checkName(name), checkName(user), checkParts(parts)); err != nil {
		return "", err
	}
	org := api.Org{ID: ringwall.OrgID(ringwall.NewID(ringwall.PrefixOrg, p.core.now())), Name: strings.TrimSpace(name)}
	scope, err := p.bootScope(ctx, org.ID)
	if err != nil {
		return "", err
	}
	hash, err := p.people.passwords.Hash(ctx, password)
	if err != nil {
		return "", err
	}
	return org.ID, p.store.Update(ctx, func(tx *sqlstore.Tx) error {
		if err := tx.CreateOrg(scope, org); err != nil {
			return err
		}
		u := api.User{ID: ringwall.UserID(ringwall.NewID(ringwall.PrefixUser, p.core.now())), Org: org.ID, Name: strings.TrimSpace(user), Parts: parts}
		return tx.CreateUser(scope, u, hash)
	})
}

// localToken makes the token of the local command line when its file is
// missing or what is in it proves nothing any more.
func (p *Platform) localToken(ctx context.Context, org ringwall.OrgID) error {
	path := filepath.Join(p.dir, TokenFile)
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		actor, err := p.people.auth.ActorOfToken(ctx, strings.TrimSpace(string(text)))
		if err == nil && actor.Org == org {
			return nil
		}
		if err != nil && !isCode(err, ringwall.Unverified) {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	scope, err := p.bootScope(ctx, org)
	if err != nil {
		return err
	}
	secret, rec := identity.NewToken(identity.APIToken, org, p.core.now())
	rec.Name, rec.Parts = "local command line", adminParts
	if err := p.store.Update(ctx, func(tx *sqlstore.Tx) error { return tx.CreateToken(scope, rec) }); err != nil {
		return err
	}
	return durable.WriteFile(path, []byte(secret.Reveal()+"\n"), 0o600)
}

// keptScopes are scopes of the platform's own rounds. One is authorised an
// hour, not one a round: the record is to be read by people.
type keptScopes struct {
	auditor *audit.Auditor
	now     func() time.Time
	kept    map[keptKey]audit.Scope
}

type keptKey struct {
	name audit.SystemName
	org  ringwall.OrgID
}

const keptLife = time.Hour

// get returns a scope of a part of the platform; it belongs to one goroutine.
func (k *keptScopes) get(ctx context.Context, name audit.SystemName, act audit.Act, org ringwall.OrgID) (audit.Scope, error) {
	key := keptKey{name, org}
	if s, ok := k.kept[key]; ok && k.now().Sub(s.At()) < keptLife {
		return s, nil
	}
	s, err := k.auditor.Authorise(ctx, audit.System(name, org), act, audit.Target{Kind: "round", ID: string(name), Org: org})
	if err != nil {
		return s, err
	}
	if k.kept == nil {
		k.kept = map[keptKey]audit.Scope{}
	}
	k.kept[key] = s
	return s, nil
}
