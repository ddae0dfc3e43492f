package console

import (
	"net/http"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/i18n"
)

// page is what every page has.
type page struct {
	L         i18n.Locale
	Languages []i18n.Language
	Theme     string // "", "light" or "dark"; "" follows the system
	Path      string // of this page, for the way back
	Title     string
	Me        *audit.Actor    // nil when nobody is logged in
	Done      string          // what was just done, in words
	Problem   *ringwall.Error // why it was not
	Live      []string        // what makes the page stale: "*", an id, or "kind:" and the start of an event kind
	Now       time.Time

	status int
}

func (p *page) base() *page { return p }

// MayAct reports whether acts are offered at all: an auditor may look. Whether
// one is allowed is decided when it is asked for.
func (p *page) MayAct() bool {
	return p.Me != nil && (len(p.Me.Parts) != 1 || !p.Me.Plays(ringwall.PartAuditor))
}

// In reports whether the page is in a part of the navigation.
func (p *page) In(part string) bool {
	if part == "/" {
		return p.Path == "/"
	}
	return p.Path == part || strings.HasPrefix(p.Path, part+"/")
}

// Cookies of taste: no secrets, a year.
const (
	languageCookie = "ringwall_language"
	themeCookie    = "ringwall_theme"
)

func (c *Console) newPage(r *http.Request) page {
	p := page{Languages: c.words.Languages(), Path: r.URL.Path, Now: c.cfg.Now(), status: http.StatusOK}
	chosen := ""
	if k, err := r.Cookie(languageCookie); err == nil {
		chosen = k.Value
	}
	p.L = c.words.Match(chosen, r.Header.Get("Accept-Language"))
	if k, err := r.Cookie(themeCookie); err == nil && (k.Value == "light" || k.Value == "dark") {
		p.Theme = k.Value
	}
	return p
}

// language keeps the language that was chosen.
func (c *Console) language(w http.ResponseWriter, r *http.Request) {
	tag := c.words.Match(r.PostFormValue("language")).Tag
	c.taste(w, languageCookie, tag)
	http.Redirect(w, r, back(r.PostFormValue("back")), http.StatusSeeOther)
}

// theme keeps the theme that was chosen.
func (c *Console) theme(w http.ResponseWriter, r *http.Request) {
	v := r.PostFormValue("theme")
	if v != "light" && v != "dark" {
		v = "system"
	}
	c.taste(w, themeCookie, v)
	http.Redirect(w, r, back(r.PostFormValue("back")), http.StatusSeeOther)
}

func (c *Console) taste(w http.ResponseWriter, name, value string) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()), HttpOnly: true, Secure: c.cookies.Secure, SameSite: http.SameSiteLaxMode,
	})
}

// back returns a path of ours to go back to; anything else leads home. Browsers
// read "//host" and "/\host" as another host.
func back(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") || strings.HasPrefix(path, "/login") {
		return "/"
	}
	return path
}
