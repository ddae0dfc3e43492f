package onvif

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	onvifclient "github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/probe/credential"
)

// credentials tries known credentials, proven by GetUsers.
func (v *visit) credentials(ctx context.Context) {
	if v.decoy {
		return
	}
	if v.usersOpen() {
		v.findings = append(v.findings, ringwall.Finding{
			Indicator: "AP-01", Confidence: ringwall.Observed, Title: v.name() + " asks nobody for a login, so no credential can be proven there",
		})
		return
	}
	var users []onvifclient.User // of the last login that was let in
	login := func(ctx context.Context, user, password string) (credential.Outcome, string) {
		c := v.client(user, password)
		defer c.Close()
		// The token must carry the camera's time, or a right password would be
		// refused as stale. A camera that hides its clock gets ours.
		_, _ = c.SystemTime(ctx)
		us, err := c.Users(ctx)
		if err != nil {
			return outcome(err), ""
		}
		if !slices.ContainsFunc(us, func(u onvifclient.User) bool { return u.Username == user }) {
			return credential.Hollow, ""
		}
		if users == nil {
			if i, err := c.Information(ctx); err == nil {
				v.identity(i)
			}
			_ = v.streams(ctx, c) // paths for the RTSP probe; none is no harm
		}
		users = us
		return credential.Accepted, fmt.Sprintf("the privileged call GetUsers listed %d accounts, this one among them", len(us))
	}
	service := credential.Service{
		Name: v.name(), Key: assess.ServiceKey("onvif", v.s.Port), Realm: assess.CameraAccounts,
		Stranger: func(ctx context.Context) credential.Outcome {
			c := v.client("", "")
			defer c.Close()
			us, err := c.Users(ctx)
			switch {
			case err != nil:
				return outcome(err)
			case len(us) == 0:
				return credential.Unclear
			}
			return credential.Accepted
		},
	}
	r := credential.Check(ctx, v.env, service, login)
	v.findings = append(v.findings, r.Findings()...)
	if r.Hit != nil {
		v.accounts(users)
		v.tokens(ctx, service, *r.Hit)
		v.log(ctx, *r.Hit)
	}
}

// usersOpen reports whether GetUsers answered a stranger.
func (v *visit) usersOpen() bool {
	return slices.ContainsFunc(v.findings, func(f ringwall.Finding) bool {
		return f.Indicator == "AP-05" && slices.ContainsFunc(f.Evidence, func(e string) bool {
			return strings.HasPrefix(e, "GetUsers was answered")
		})
	})
}

// accounts judges the list of users that a privileged call gave: a user of the
// level Anonymous is a door without a lock (Core section 5.9.4).
func (v *visit) accounts(users []onvifclient.User) {
	if slices.ContainsFunc(users, func(u onvifclient.User) bool { return strings.EqualFold(u.Level, "Anonymous") }) {
		v.findings = append(v.findings, ringwall.Finding{
			Indicator: "AP-05", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: v.name() + " has an anonymous user",
			Evidence: []string{fmt.Sprintf("among its %d accounts is one of the level Anonymous", len(users))},
		})
	}
}

// tokens tries three tokens of a proven credential that WS-Security would have
// refused (UsernameToken Profile 1.1 section 3.1): the same one twice, one an
// hour old, and one with the password as text. A refusal may count as a wrong
// password, so each is paid for, and a right one follows.
func (v *visit) tokens(ctx context.Context, s credential.Service, p credential.Pair) {
	c := v.client(p.User, p.Password())
	defer c.Close()
	if _, err := c.SystemTime(ctx); err != nil {
		return
	}
	once := onvifclient.NewToken(p.User, p.Password(), c.Time())
	if _, err := c.UsersWith(ctx, once); err != nil {
		return // it takes HTTP digest only, whose nonces are its own
	}
	var taken, refused []string
	worst := ringwall.Pass
	for _, try := range []struct {
		what  string
		bad   ringwall.Outcome
		token *onvifclient.UsernameToken
	}{
		{"the same token a second time", ringwall.Fail, once},
		{"a token an hour old", ringwall.Partial, onvifclient.NewToken(p.User, p.Password(), c.Time().Add(-time.Hour))},
		{"the password as text, without TLS", ringwall.Partial, onvifclient.NewTextToken(p.User, p.Password(), c.Time())},
	} {
		if try.token.Password.Value == p.Password() && v.s.Name == "https" {
			continue
		}
		if v.env.Ledger.Left(s.Realm, s.Key, p.User) < 2 {
			refused = append(refused, try.what+" was not tried: too few tries are left")
			continue
		}
		if ok, _ := v.env.Ledger.Spend(s.Realm, s.Key, p.User); !ok {
			continue
		}
		us, err := c.UsersWith(ctx, try.token)
		fault, isFault := errors.AsType[*onvifclient.Fault](err)
		switch {
		case err == nil && len(us) > 0:
			v.env.Ledger.Refund(s.Realm, s.Key, p.User)
			taken = append(taken, try.what+" was taken")
			if try.bad == ringwall.Fail || worst == ringwall.Pass {
				worst = try.bad
			}
		case isFault && fault.NotAuthorized():
			refused = append(refused, try.what+" was refused")
			if _, err := c.Users(ctx); err != nil {
				return
			}
			v.env.Ledger.Refund(s.Realm, s.Key, p.User) // a right one ends what a lock counts
		default:
			return
		}
	}
	f := ringwall.Finding{Indicator: "AP-06", Outcome: worst, Confidence: ringwall.Confirmed, Evidence: slices.Concat(taken, refused)}
	switch {
	case worst == ringwall.Fail:
		f.Title = v.name() + " takes an overheard login again"
	case worst == ringwall.Partial:
		f.Title = v.name() + " takes tokens that it should refuse"
	case !strings.Contains(strings.Join(refused, " "), "second time was refused"):
		return
	default:
		f.Title = v.name() + " takes each token once, and only in its time"
	}
	v.findings = append(v.findings, f)
}

// log reads, as a proven user, whether there is anything in the log (DA-07).
func (v *visit) log(ctx context.Context, p credential.Pair) {
	c := v.client(p.User, p.Password())
	defer c.Close()
	_, _ = c.SystemTime(ctx)
	for _, read := range []func(context.Context) (string, error){c.AccessLog, c.SystemLog} {
		if text, err := read(ctx); err == nil && strings.TrimSpace(text) != "" {
			v.findings = append(v.findings, ringwall.Finding{
				Indicator: "DA-07", Outcome: ringwall.Pass, Confidence: ringwall.Confirmed, Title: v.name() + " keeps a log",
				Evidence: []string{fmt.Sprintf("GetSystemLog gave %d lines to a user; they were not kept", strings.Count(text, "\n")+1)},
			})
			return
		}
	}
}
