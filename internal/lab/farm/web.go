package farm

import (
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall/internal/digest"
	"github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/onvif/device"
)

// serveHTTP serves h on l until that is closed, inside TLS when the service
// says so.
func serveHTTP(b *Box, l net.Listener, secure bool, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	defer srv.Close()
	if secure {
		l = tls.NewListener(l, b.cert)
	}
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func page(w http.ResponseWriter, status int, title, body string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<!doctype html><html><head><title>%s</title></head><body><h1>%s</h1>%s</body></html>", html.EscapeString(title), html.EscapeString(title), body)
}

// form is a management page behind a login form. User and Password "" are the
// box's own.
func form(user, password string, secure bool) func(*Box, net.Listener) error {
	return func(b *Box, l net.Listener) error {
		f := &formPage{user: user, password: password, secure: secure, sessions: map[string]bool{}, tokens: map[string]bool{}}
		if f.password == "" {
			f.password = b.Password
		}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
			if f.known(r) {
				page(w, http.StatusOK, "Settings", `<form action="/settings" method="post"><input name="host"></form><a href="/logout">Log out</a>`)
				return
			}
			f.login(w, "")
		})
		mux.HandleFunc("POST /login", f.enter)
		mux.HandleFunc("GET /logout", func(w http.ResponseWriter, r *http.Request) {
			f.forget(r)
			http.Redirect(w, r, "/", http.StatusSeeOther)
		})
		return serveHTTP(b, l, secure, guarded(b, mux))
	}
}

type formPage struct {
	user, password string
	secure         bool
	mu             sync.Mutex
	sessions       map[string]bool
	tokens         map[string]bool
}

const sessionCookie = "session"

func (f *formPage) known(r *http.Request) bool {
	c, err := r.Cookie(sessionCookie)
	f.mu.Lock()
	defer f.mu.Unlock()
	return err == nil && f.sessions[c.Value]
}

func (f *formPage) forget(r *http.Request) {
	if c, err := r.Cookie(sessionCookie); err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.sessions, c.Value)
	}
}

// login shows the form, with a token when the page is a careful one.
func (f *formPage) login(w http.ResponseWriter, note string) {
	hidden := ""
	if f.secure {
		t := rand.Text()
		f.mu.Lock()
		if len(f.tokens) > 1000 {
			clear(f.tokens)
		}
		f.tokens[t] = true
		f.mu.Unlock()
		hidden = `<input type="hidden" name="csrf" value="` + t + `">`
	}
	page(w, http.StatusOK, "Log in", `<p>`+html.EscapeString(note)+`</p><form action="/login" method="post">`+hidden+
		`<input type="text" name="user"><input type="password" name="password"><input type="submit" value="Log in"></form>`)
}

func (f *formPage) enter(w http.ResponseWriter, r *http.Request) {
	if f.secure {
		f.mu.Lock()
		ok := f.tokens[r.FormValue("csrf")]
		delete(f.tokens, r.FormValue("csrf"))
		f.mu.Unlock()
		if !ok {
			page(w, http.StatusForbidden, "Log in", "The form is too old.")
			return
		}
	}
	if r.FormValue("user") != f.user || subtle.ConstantTimeCompare([]byte(r.FormValue("password")), []byte(f.password)) == 0 {
		f.login(w, "Wrong name or password.")
		return
	}
	s := rand.Text()
	f.mu.Lock()
	f.sessions[s] = true
	f.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: s, Path: "/", Secure: f.secure, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// camera is what a plain camera's port 80 serves: a page behind digest, and the
// ONVIF services.
type camera struct {
	user, password string
	preAuthOpen    bool // ONVIF answers anybody
	noONVIF        bool
	snapshot       bool // /snapshot.jpg for anybody
	hole           bool // a page of users for who knows the word
	secure         bool
	rtsp           uint16
}

func (c camera) serve(b *Box, l net.Listener) error {
	if c.user == "" {
		c.user = "owner"
	}
	if c.password == "" {
		c.password = b.Password
	}
	users := device.NewUsers(onvif.User{Username: c.user, Password: c.password, Level: "Administrator"})
	algorithm := "MD5"
	if c.secure {
		algorithm = "SHA-256"
	}
	login := digest.NewVerifier("camera", algorithm, time.Now)
	mux := http.NewServeMux()
	if !c.noONVIF {
		mux.Handle("/onvif/", soap(users, c))
	}
	if c.snapshot {
		mux.HandleFunc("GET /snapshot.jpg", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "image/jpeg")
			_, _ = w.Write(picture())
		})
	}
	if c.hole {
		mux.HandleFunc("GET /Security/users", func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("auth") != "YWRtaW46MTEK" { // the word that opens it: CVE-2017-7921
				http.Error(w, "no", http.StatusUnauthorized)
				return
			}
			w.Header().Set("Content-Type", "application/xml")
			_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><UserList version="1.0" xmlns="http://www.hikvision.com/ver10/XMLSchema"><User version="1.0"><id>1</id><userName>owner</userName><userLevel>Administrator</userLevel></User></UserList>`)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, ok, stale := login.Verify(r.Header.Get("Authorization"), r.Method, users.Password)
		if !ok {
			w.Header().Set("WWW-Authenticate", login.Challenge(stale))
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		page(w, http.StatusOK, "Camera", "<p>Settings</p>")
	})
	return serveHTTP(b, l, c.secure, guarded(b, mux))
}

// soap is a camera's ONVIF service.
func soap(users *device.Users, c camera) http.Handler {
	return device.New(device.Config{
		Users: users, Vendor: "Larkspur", Model: "LS-7", Firmware: "3.2.1", Serial: "0001", RTSPPort: c.rtsp, RTSPPath: "/live", Width: 64, Height: 48,
		Protocols: map[string]int{"RTSP": int(c.rtsp)}, Now: time.Now, PreAuthOpen: c.preAuthOpen,
	})
}

// bearer is a JSON interface behind a token; five wrong ones are enough.
func bearer(b *Box, l net.Listener) error {
	var mu sync.Mutex
	wrong := 0
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, `{"hello":"yes"}`) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch token, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); {
		case given && subtle.ConstantTimeCompare([]byte(token), []byte(b.Token)) == 1:
			answer(w, http.StatusOK, `{"state":"locked"}`)
		case given && wrong >= 5:
			answer(w, http.StatusTooManyRequests, `{"error":"later"}`)
		default:
			if given {
				wrong++
			}
			stranger(w)
		}
	})
	return serveHTTP(b, l, true, mux)
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// cloud is a vendor's service with two customers, "a" with camera 1001 and "b"
// with camera 1002. Its fault, when it has it, is to show each to both.
func cloud(shared bool) func(*Box, net.Listener) error {
	return func(b *Box, l net.Listener) error {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /api/devices/{id}", func(w http.ResponseWriter, r *http.Request) {
			token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			mine := map[string]string{b.Token: "1001", b.Other: "1002"}[token]
			id := r.PathValue("id")
			switch {
			case mine == "":
				stranger(w)
			case id != "1001" && id != "1002" || id != mine && !shared:
				answer(w, http.StatusNotFound, `{"error":"no such device"}`)
			default:
				answer(w, http.StatusOK, `{"id":"`+id+`","name":"camera of `+map[string]string{"1001": "a", "1002": "b"}[id]+`"}`)
			}
		})
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { stranger(w) })
		return serveHTTP(b, l, true, mux)
	}
}

// stranger is refused, and told how to come back (RFC 9110 section 11.6.1, RFC
// 6750 section 3).
func stranger(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="device"`)
	answer(w, http.StatusUnauthorized, `{"error":"who are you"}`)
}
