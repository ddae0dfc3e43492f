package actor

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ringwall/ringwall/internal/onvif/device"
)

// admin is a camera's page for its owner: a login form and HTTP Basic for
// scripts, and forms to change the password and to switch telnet.
type admin struct {
	users  *device.Users
	telnet func(on bool) error // nil when the device has none
	model  string
	// diagnose runs a line as a shell would; nil when the device has no such page.
	diagnose func(ctx context.Context, line string) string

	mu       sync.Mutex // guards what follows
	sessions map[string]session
	failed   uint64
}

// session is one login.
type session struct {
	user  string
	until time.Time
}

const (
	sessionLife = 10 * time.Minute
	maxSessions = 16 // small devices have few
)

var adminPages = template.Must(template.New("login").Parse(`<!doctype html><html><head><title>{{.Model}} login</title></head>
<body><h1>{{.Model}}</h1>{{with .Note}}<p>{{.}}</p>{{end}}
<form method="post" action="/login"><label>User <input name="username"></label>
<label>Password <input type="password" name="password"></label><button>Log in</button></form></body></html>
{{define "home"}}<!doctype html><html><head><title>{{.Model}}</title></head>
<body><h1>{{.Model}}</h1>{{with .Note}}<p>{{.}}</p>{{end}}
<form method="post" action="/admin/password"><label>New password <input type="password" name="password"></label><button>Change</button></form>
{{if .Telnet}}<form method="post" action="/admin/telnet"><button name="on" value="0">Switch telnet off</button></form>{{end}}
</body></html>{{end}}`))

// serveAdmin starts the page on a port, with TLS unless conf is nil, and ONVIF
// beside it unless that is nil.
func serveAdmin(e *Env, a *admin, port string, conf *tls.Config, onvif http.Handler) error {
	a.sessions = map[string]session{}
	l, err := net.Listen("tcp4", net.JoinHostPort(e.Addr.String(), port))
	if err != nil {
		return err
	}
	if conf != nil {
		l = tls.NewListener(l, conf)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("GET /admin", a.home)
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("POST /admin/password", a.password)
	mux.HandleFunc("POST /admin/telnet", a.switchTelnet)
	if a.diagnose != nil {
		mux.HandleFunc("GET /cgi-bin/diag", a.diag)
	}
	if onvif != nil {
		mux.Handle("/onvif/", onvif)
	}
	srv := &http.Server{Handler: header(mux), ReadHeaderTimeout: 5 * time.Second, ErrorLog: quiet()}
	serveHTTP(e, "serving the admin page", srv, l)
	return nil
}

// header names the server, as small devices do.
func header(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "rangecam-httpd/1.0")
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		h.ServeHTTP(w, r)
	})
}

// maxPassword is the longest password a device takes.
const maxPassword = 64

// setPassword gives a known user a new password, for video, pages and ONVIF.
func setPassword(users *device.Users, user, password string) error {
	u, ok := users.Lookup(user)
	switch {
	case !ok:
		return errors.New("no such user")
	case password == "" || len(password) > maxPassword:
		return fmt.Errorf("a password has 1 to %d bytes", maxPassword)
	}
	u.Password = password
	users.Set(u)
	return nil
}

// check reports whether user has this password, and counts when not.
func (a *admin) check(user, password string) bool {
	want, ok := a.users.Password(user)
	if ok && subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 1 {
		return true
	}
	a.mu.Lock()
	a.failed++
	a.mu.Unlock()
	return false
}

// user returns who is logged in, by session or by HTTP Basic.
func (a *admin) user(r *http.Request) (string, bool) {
	if user, pass, ok := r.BasicAuth(); ok {
		return user, a.check(user, pass)
	}
	c, err := r.Cookie("session")
	if err != nil {
		return "", false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.sessions[c.Value]
	return s.user, ok && time.Now().Before(s.until)
}

func (a *admin) page(w http.ResponseWriter, name string, status int, note string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// The reader is gone when this fails: nothing to tell it.
	_ = adminPages.ExecuteTemplate(w, name, map[string]any{"Model": a.model, "Note": note, "Telnet": a.telnet != nil})
}

func (a *admin) refuse(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q", a.model))
	a.page(w, "login", http.StatusUnauthorized, "")
}

func (a *admin) home(w http.ResponseWriter, r *http.Request) {
	if _, ok := a.user(r); !ok {
		a.refuse(w)
		return
	}
	a.page(w, "home", http.StatusOK, "")
}

func (a *admin) login(w http.ResponseWriter, r *http.Request) {
	if !a.check(r.PostFormValue("username"), r.PostFormValue("password")) {
		a.page(w, "login", http.StatusUnauthorized, "Wrong user or password.")
		return
	}
	id := rand.Text()
	now := time.Now()
	a.mu.Lock()
	for k, s := range a.sessions {
		if now.After(s.until) || len(a.sessions) >= maxSessions {
			delete(a.sessions, k)
		}
	}
	a.sessions[id] = session{user: r.PostFormValue("username"), until: now.Add(sessionLife)}
	a.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: "session", Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/admin", http.StatusSeeOther)
}

func (a *admin) password(w http.ResponseWriter, r *http.Request) {
	user, ok := a.user(r)
	if !ok {
		a.refuse(w)
		return
	}
	if err := setPassword(a.users, user, r.PostFormValue("password")); err != nil {
		a.page(w, "home", http.StatusBadRequest, err.Error())
		return
	}
	a.page(w, "home", http.StatusOK, "The password was changed.")
}

func (a *admin) switchTelnet(w http.ResponseWriter, r *http.Request) {
	if _, ok := a.user(r); !ok {
		a.refuse(w)
		return
	}
	if a.telnet == nil {
		a.page(w, "home", http.StatusNotFound, "This device has no telnet.")
		return
	}
	if err := a.telnet(r.PostFormValue("on") == "1"); err != nil {
		a.page(w, "home", http.StatusInternalServerError, err.Error())
		return
	}
	a.page(w, "home", http.StatusOK, "Done.")
}

// diag is the page of a careless maker: it asks nobody for a password and
// hands what it is given to a shell.
func (a *admin) diag(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, a.diagnose(r.Context(), "ping -c 1 "+r.URL.Query().Get("host"))) // the reader may be gone
}

// serveHTTP runs srv on l until the actor ends.
func serveHTTP(e *Env, what string, srv *http.Server, l net.Listener) {
	e.Go(what, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { srv.Close() })
		defer stop()
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}
