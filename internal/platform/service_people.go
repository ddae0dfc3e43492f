package platform

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// people is what proves who speaks, and the record of what they did.
type people struct {
	auth      *identity.Authenticator
	passwords *identity.Passwords
	trail     *audit.Log
}

// Users lists the organisation's people.
func (s *service) Users(ctx context.Context, a audit.Actor) (users []api.User, err error) {
	err = s.view(ctx, a, audit.OrgRead, on("user", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		users, err = tx.Users(scope)
		return err
	})
	return users, err
}

// CreateUser adds a person to the actor's organisation.
func (s *service) CreateUser(ctx context.Context, a audit.Actor, in api.UserCreate) (u api.User, err error) {
	if err := checkName(in.Name); err != nil {
		return u, err
	}
	if err := checkParts(in.Parts); err != nil {
		return u, err
	}
	scope, err := s.auditor.Authorise(ctx, a, audit.UserAdmin, audit.Target{Kind: "user", Org: a.Org})
	if err != nil {
		return u, err
	}
	hash, err := s.people.passwords.Hash(ctx, in.Password)
	if err != nil {
		return u, err
	}
	u = api.User{ID: ringwall.UserID(ringwall.NewID(ringwall.PrefixUser, s.now())), Org: a.Org, Name: strings.TrimSpace(in.Name), Parts: in.Parts}
	return u, s.store.Update(ctx, func(tx *sqlstore.Tx) error { return tx.CreateUser(scope, u, hash) })
}

func checkName(name string) error {
	if n := len(strings.TrimSpace(name)); n == 0 || n > maxName || strings.ContainsAny(name, "@\n\r\x00") {
		return ringwall.Errorf(ringwall.Invalid, "a name has 1 to %d bytes and no @ or line break", maxName)
	}
	return nil
}

func checkParts(parts []ringwall.Part) error {
	if len(parts) == 0 {
		return ringwall.Errorf(ringwall.Invalid, "at least one part is needed")
	}
	for _, p := range parts {
		if !slices.Contains(ringwall.Parts, p) {
			return ringwall.Errorf(ringwall.Invalid, "no part %q", p)
		}
	}
	return nil
}

// Parties lists who plays which part.
func (s *service) Parties(ctx context.Context, a audit.Actor) (parties []ringwall.Party, err error) {
	err = s.view(ctx, a, audit.OrgRead, on("party", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		parties, err = tx.Parties(scope)
		return err
	})
	return parties, err
}

// Tokens lists API tokens without their secrets.
func (s *service) Tokens(ctx context.Context, a audit.Actor) (tokens []api.APIToken, err error) {
	err = s.view(ctx, a, audit.OrgRead, on("token", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		tokens, err = tx.Tokens(scope)
		return err
	})
	return tokens, err
}

// CreateToken makes an API token. Nobody gives away a part that is not theirs.
func (s *service) CreateToken(ctx context.Context, a audit.Actor, in api.TokenCreate) (api.APIToken, error) {
	if err := checkName(in.Name); err != nil {
		return api.APIToken{}, err
	}
	if err := checkParts(in.Parts); err != nil {
		return api.APIToken{}, err
	}
	for _, p := range in.Parts {
		if !a.Plays(p) {
			return api.APIToken{}, ringwall.Errorf(ringwall.Forbidden, "you do not play the part %q and cannot give it to a token", p)
		}
	}
	scope, err := s.auditor.Authorise(ctx, a, audit.TokenAdmin, audit.Target{Kind: "token", Org: a.Org})
	if err != nil {
		return api.APIToken{}, err
	}
	secret, rec := identity.NewToken(identity.APIToken, a.Org, s.now())
	rec.Name, rec.Parts, rec.Expires = strings.TrimSpace(in.Name), in.Parts, in.Expires
	if !rec.Expires.IsZero() && !rec.Expires.After(s.now()) {
		return api.APIToken{}, ringwall.Errorf(ringwall.Invalid, "the token would have expired already")
	}
	if err := s.store.Update(ctx, func(tx *sqlstore.Tx) error { return tx.CreateToken(scope, rec) }); err != nil {
		return api.APIToken{}, err
	}
	return api.APIToken{ID: rec.ID, Name: rec.Name, Token: secret.Reveal(), Parts: rec.Parts, Created: rec.Created, Expires: rec.Expires}, nil
}

// DeleteToken forgets an API token.
func (s *service) DeleteToken(ctx context.Context, a audit.Actor, id ringwall.TokenID) error {
	scope, err := s.auditor.Authorise(ctx, a, audit.TokenAdmin, audit.Target{Kind: "token", ID: string(id), Org: a.Org})
	if err != nil {
		return err
	}
	return s.store.Update(ctx, func(tx *sqlstore.Tx) error { return tx.DeleteToken(scope, id) })
}

// Audit answers the newest entries of the actor's organisation.
func (s *service) Audit(ctx context.Context, a audit.Actor, before time.Time, limit int) ([]api.AuditEntry, error) {
	scope, err := s.auditor.Authorise(ctx, a, audit.AuditRead, audit.Target{Kind: "audit", Org: a.Org})
	if err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = httpapi.DefaultPage
	}
	limit = min(limit, httpapi.MaxPage)
	out := []api.AuditEntry{}
	for cursor := ""; ; {
		page, err := s.people.trail.Entries(ctx, scope, cursor, httpapi.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Items {
			if before.IsZero() || e.Time.Before(before) {
				out = append(out, e)
			}
			if len(out) == limit {
				return out, nil
			}
		}
		if cursor = page.Next; cursor == "" {
			return out, nil
		}
	}
}

// Login proves a person.
func (s *service) Login(ctx context.Context, name, password string) (httpapi.Session, error) {
	k, err := s.people.auth.Login(ctx, name, password)
	return httpapi.Session{Secret: k.Secret.Reveal(), User: k.User, Expires: k.Expires}, err
}

// Logout ends a session.
func (s *service) Logout(ctx context.Context, secret string) error {
	return s.people.auth.Logout(ctx, secret)
}

// ActorOfSession returns the person behind a session.
func (s *service) ActorOfSession(ctx context.Context, secret string) (audit.Actor, error) {
	return s.people.auth.ActorOfSession(ctx, secret)
}

// ActorOfToken returns the program behind an API token.
func (s *service) ActorOfToken(ctx context.Context, token string) (audit.Actor, error) {
	return s.people.auth.ActorOfToken(ctx, token)
}
