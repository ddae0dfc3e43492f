package console

import (
	"net/http"
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/httpapi"
)

type loginPage struct {
	page
	Name string
	Next string
}

func (*loginPage) template() string { return "login" }

func (c *Console) newLogin(r *http.Request) *loginPage {
	p := &loginPage{page: c.newPage(r), Next: back(r.FormValue("next"))}
	p.Title = p.L.T("login.title")
	return p
}

func (c *Console) loginForm(w http.ResponseWriter, r *http.Request) { c.show(w, r, c.newLogin(r)) }

func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	p := c.newLogin(r)
	refuse := func(status int, e *ringwall.Error) {
		p.status, p.Problem, p.Name = status, e, r.PostFormValue("name")
		c.show(w, r, p)
	}
	if wait, ok := c.cfg.Throttle.Take(r); !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		refuse(http.StatusTooManyRequests, httpapi.TooMany())
		return
	}
	s, err := c.svc.Login(r.Context(), r.PostFormValue("name"), r.PostFormValue("password"))
	if err != nil {
		status, e := httpapi.Describe(err)
		c.note(r.Context(), status, err)
		refuse(status, e)
		return
	}
	c.cfg.Throttle.Forgive(r)
	c.cookies.Set(w, s, c.cfg.Now())
	http.Redirect(w, r, p.Next, http.StatusSeeOther)
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	if secret := c.cookies.Secret(r); secret != "" {
		if err := c.svc.Logout(r.Context(), secret); err != nil {
			status, _ := httpapi.Describe(err)
			c.note(r.Context(), status, err)
		}
	}
	c.cookies.Clear(w)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
