package identity

import (
	"context"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// UserRecord is a user with what is kept of the password.
type UserRecord struct {
	User api.User
	Hash string
}

// Store is where the proofs are kept. Its methods need a scope that permits
// SystemAuthenticate and find only what org names; NotFound otherwise.
type Store interface {
	APIToken(ctx context.Context, scope audit.Scope, org ringwall.OrgID, id ringwall.TokenID) (TokenRecord, error)
	// LoginUsers returns the users of a name, in the organisation given by id or
	// name, or in all when it is "", at most limit.
	LoginUsers(ctx context.Context, scope audit.Scope, name, org string, limit int) ([]UserRecord, error)
	LoginUser(ctx context.Context, scope audit.Scope, org ringwall.OrgID, id ringwall.UserID) (UserRecord, error)
	CreateSession(ctx context.Context, scope audit.Scope, r TokenRecord) error
	Session(ctx context.Context, scope audit.Scope, org ringwall.OrgID, id ringwall.TokenID) (TokenRecord, error)
	DeleteSession(ctx context.Context, scope audit.Scope, org ringwall.OrgID, id ringwall.TokenID) error
}

// sameName is how many organisations may have a user of one name before a
// login must say which: each costs a password hash.
const sameName = 4

// Authenticator turns proofs into actors.
type Authenticator struct {
	store     Store
	scope     audit.Scope
	passwords *Passwords
	now       func() time.Time
}

// NewAuthenticator returns an Authenticator; scope must permit
// SystemAuthenticate.
func NewAuthenticator(store Store, scope audit.Scope, passwords *Passwords, now func() time.Time) *Authenticator {
	return &Authenticator{store: store, scope: scope, passwords: passwords, now: now}
}

// Session is a login.
type Session struct {
	Secret  Secret
	User    api.User
	Expires time.Time
}

func errLogin() error { return ringwall.Errorf(ringwall.Unverified, "name or password is wrong") }

// Login proves a person by name and password. The name may say its
// organisation behind the last "@", by id or name; it must where the same name
// exists in several. Codes: Unverified, with one text whatever is wrong.
func (a *Authenticator) Login(ctx context.Context, name, password string) (Session, error) {
	if len(name) > 256 {
		return Session{}, errLogin()
	}
	users, err := a.store.LoginUsers(ctx, a.scope, name, "", sameName)
	if err != nil {
		return Session{}, err
	}
	if at := strings.LastIndexByte(name, '@'); len(users) == 0 && at > 0 {
		if users, err = a.store.LoginUsers(ctx, a.scope, name[:at], name[at+1:], sameName); err != nil {
			return Session{}, err
		}
	}
	if len(users) == 0 {
		users = []UserRecord{{}} // so that a wrong name takes as long as a wrong password
	}
	for _, u := range users {
		ok, err := a.passwords.Check(ctx, u.Hash, password)
		if err != nil {
			return Session{}, err
		}
		if !ok {
			continue
		}
		secret, record := NewToken(SessionToken, u.User.Org, a.now())
		record.Subject, record.Expires = string(u.User.ID), a.now().Add(SessionLife).UTC()
		if err := a.store.CreateSession(ctx, a.scope, record); err != nil {
			return Session{}, err
		}
		return Session{Secret: secret, User: u.User, Expires: record.Expires}, nil
	}
	return Session{}, errLogin()
}

// Logout ends a session; it is no error when there was none.
func (a *Authenticator) Logout(ctx context.Context, text string) error {
	claim, err := ParseToken(SessionToken, text)
	if err != nil {
		return nil
	}
	record, err := a.store.Session(ctx, a.scope, claim.Org, claim.ID)
	switch {
	case ringwall.CodeOf(err) == ringwall.NotFound:
		return nil
	case err != nil:
		return err
	case claim.Check(record, a.now()) != nil:
		return nil // only who holds the session ends it
	}
	return a.store.DeleteSession(ctx, a.scope, claim.Org, claim.ID)
}

// ActorOfSession returns the person behind a session. Codes: Unverified.
func (a *Authenticator) ActorOfSession(ctx context.Context, text string) (audit.Actor, error) {
	claim, err := ParseToken(SessionToken, text)
	if err != nil {
		return audit.Actor{}, err
	}
	record, err := a.store.Session(ctx, a.scope, claim.Org, claim.ID)
	if err != nil {
		return audit.Actor{}, hide(err)
	}
	if err := claim.Check(record, a.now()); err != nil {
		return audit.Actor{}, err
	}
	user, err := a.store.LoginUser(ctx, a.scope, claim.Org, ringwall.UserID(record.Subject))
	if err != nil {
		return audit.Actor{}, hide(err)
	}
	u := user.User
	return audit.Actor{Kind: audit.KindUser, ID: string(u.ID), Org: u.Org, Parts: u.Parts, Name: u.Name}, nil
}

// ActorOfToken returns the program behind an API token. Codes: Unverified.
func (a *Authenticator) ActorOfToken(ctx context.Context, text string) (audit.Actor, error) {
	claim, err := ParseToken(APIToken, text)
	if err != nil {
		return audit.Actor{}, err
	}
	record, err := a.store.APIToken(ctx, a.scope, claim.Org, claim.ID)
	if err != nil {
		return audit.Actor{}, hide(err)
	}
	if err := claim.Check(record, a.now()); err != nil {
		return audit.Actor{}, err
	}
	return audit.Actor{Kind: audit.KindToken, ID: string(record.ID), Org: record.Org, Parts: record.Parts, Name: record.Name}, nil
}

// hide makes "no such token" the same answer as "wrong token"; what could not
// be looked up stays an error of its own.
func hide(err error) error {
	if ringwall.CodeOf(err) == ringwall.NotFound {
		return errToken()
	}
	return err
}
