package farm

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/onvif/device"
)

// lockAfter is how many wrong passwords lock: the lowest number that cameras ship
// with.
const lockAfter = 5

// Lock counts wrong passwords as a camera does, and locks at the fifth. A nil
// Lock counts nothing. Its application counts all of them together, whatever the
// account and the service (the strictest that there is); its system counts those
// of each account.
type Lock struct {
	mu    sync.Mutex
	wrong map[string]int
	outs  int
}

// Wrong notes a wrong password for an account; "" is the application's.
func (l *Lock) Wrong(account string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrong == nil {
		l.wrong = map[string]int{}
	}
	if l.wrong[account]++; l.wrong[account] == lockAfter {
		l.outs++
	}
}

// Shut reports whether an account is locked.
func (l *Lock) Shut(account string) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrong[account] >= lockAfter
}

// Count returns how many wrong passwords it saw, and how often it locked.
func (l *Lock) Count() (wrong, outs int) {
	if l == nil {
		return 0, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.wrong {
		wrong += n
	}
	return wrong, l.outs
}

// guarded refuses everything while the application is locked, and counts what h
// refuses of those who present something.
func guarded(b *Box, h http.Handler) http.Handler {
	if b.Lock == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.Lock.Shut("") {
			http.Error(w, "locked", http.StatusForbidden)
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			http.Error(w, "cut short", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		presents := r.Header.Get("Authorization") != "" || bytes.Contains(body, []byte("UsernameToken")) ||
			r.Method == http.MethodPost && strings.Contains(r.Header.Get("Content-Type"), "urlencoded")
		s := &status{ResponseWriter: w, code: http.StatusOK}
		h.ServeHTTP(s, r)
		// Nobody here knows the password: what is not sent on is refused.
		if presents && s.code != http.StatusSeeOther {
			b.Lock.Wrong("")
		}
	})
}

type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Locking returns cameras that lock, one for each way to log in, and two whose
// services share what they count.
func Locking() []Model {
	page := Service{Port: 80, Name: "http", Serve: form("owner", "", false)}
	digest := Service{Port: 80, Name: "http", Serve: camera{noONVIF: true}.serve}
	soap := Service{Port: 8000, Name: "http", Serve: onvifOnly}
	stream := Service{Port: 554, Name: "rtsp", Serve: video{user: "owner", path: "live"}.serve}
	door := Service{Port: 23, Name: "telnet", Serve: telnet("root", "")}
	shell := Service{Port: 22, Name: "ssh", Serve: passwords(no)}
	return []Model{
		{Name: "locks-form", Locks: true, Services: []Service{page}},
		{Name: "locks-digest", Locks: true, Services: []Service{digest}},
		{Name: "locks-onvif", Locks: true, Services: []Service{soap}},
		{Name: "locks-rtsp", Locks: true, Services: []Service{stream}},
		{Name: "locks-telnet", Locks: true, Services: []Service{door}},
		{Name: "locks-ssh", Locks: true, Services: []Service{shell}},
		{Name: "locks-application", Locks: true, Services: []Service{digest, soap, stream}},
		{Name: "locks-system", Locks: true, Services: []Service{door, shell}},
		{Name: "locks-all", Locks: true, Services: []Service{page, soap, stream, door, shell}},
	}
}

// onvifOnly serves ONVIF and nothing else.
func onvifOnly(b *Box, l net.Listener) error {
	users := device.NewUsers(onvif.User{Username: "owner", Password: b.Password, Level: "Administrator"})
	mux := http.NewServeMux()
	mux.Handle("/onvif/", guarded(b, soap(users, camera{rtsp: 554})))
	return serveHTTP(b, l, false, mux)
}
