package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
)

// The session's cookie. The __Host- prefix makes a browser refuse it unless it
// is Secure, for the whole path and for this host alone; plain HTTP (loopback,
// a home) cannot have it.
const (
	plainCookie  = "ringwall_session"
	secureCookie = "__Host-ringwall_session"
)

// Cookies sets and reads the session's cookie.
type Cookies struct {
	Secure bool // the platform is reached over TLS
}

func (c Cookies) name() string {
	if c.Secure {
		return secureCookie
	}
	return plainCookie
}

// Set gives the browser a session.
func (c Cookies) Set(w http.ResponseWriter, s Session, now time.Time) {
	k := c.cookie(s, now)
	http.SetCookie(w, &k)
}

// cookie holds a session. Lax lets a link in a mail open the console logged
// in; http.CrossOriginProtection guards every act.
func (c Cookies) cookie(s Session, now time.Time) http.Cookie {
	return http.Cookie{
		Name: c.name(), Value: s.Secret, Path: "/", Expires: s.Expires, MaxAge: max(1, int(s.Expires.Sub(now).Seconds())),
		HttpOnly: true, Secure: c.Secure, SameSite: http.SameSiteLaxMode,
	}
}

// Clear takes it back.
func (c Cookies) Clear(w http.ResponseWriter) {
	k := c.cleared()
	http.SetCookie(w, &k)
}

func (c Cookies) cleared() http.Cookie {
	return http.Cookie{Name: c.name(), Path: "/", MaxAge: -1, HttpOnly: true, Secure: c.Secure, SameSite: http.SameSiteLaxMode}
}

// Secret returns the session's secret that came with r, "" when there is none.
func (c Cookies) Secret(r *http.Request) string {
	k, err := r.Cookie(c.name())
	if err != nil || len(k.Value) > maxCredential {
		return ""
	}
	return k.Value
}

// maxCredential bounds a bearer token or session secret; longer ones are not ours.
const maxCredential = 256

// Actor finds out who asks, by bearer token or by session. The error has code
// Unverified when there is no credential or it does not hold.
func Actor(r *http.Request, s Sessions, c Cookies) (audit.Actor, error) {
	a, err := actor(r, s, c)
	if err != nil {
		return audit.Actor{}, err
	}
	ev := eventOf(r.Context())
	ev.actor, ev.org = a.ID, a.Org
	return a, nil
}

func actor(r *http.Request, s Sessions, c Cookies) (audit.Actor, error) {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, ok := strings.Cut(h, " ")
		token = strings.TrimSpace(token)
		if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxCredential {
			return audit.Actor{}, &ringwall.Error{Code: ringwall.Unverified, Text: "the Authorization header holds no bearer token", Hint: `send "Authorization: Bearer rwt_…"`}
		}
		return s.ActorOfToken(r.Context(), token)
	}
	if secret := c.Secret(r); secret != "" {
		return s.ActorOfSession(r.Context(), secret)
	}
	return audit.Actor{}, &ringwall.Error{Code: ringwall.Unverified, Text: "nobody is logged in", Hint: "send a bearer token or log in"}
}
