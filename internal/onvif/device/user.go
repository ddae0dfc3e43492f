package device

import (
	"slices"
	"strings"
	"sync"

	"github.com/ringwall/ringwall/internal/onvif"
)

// Users are the accounts of one camera, shared by its ONVIF, RTSP and HTTP
// sides. All methods may be called concurrently.
type Users struct {
	mu    sync.Mutex
	users map[string]onvif.User
}

// NewUsers returns the accounts us; a user without a level is an Administrator.
func NewUsers(us ...onvif.User) *Users {
	u := &Users{users: map[string]onvif.User{}}
	for _, v := range us {
		if v.Level == "" {
			v.Level = "Administrator"
		}
		u.users[v.Username] = v
	}
	return u
}

// Lookup returns one user with its password.
func (u *Users) Lookup(name string) (onvif.User, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	v, ok := u.users[name]
	return v, ok
}

// Password returns the password of a user; it is what digest.Verifier asks for.
func (u *Users) Password(name string) (string, bool) {
	v, ok := u.Lookup(name)
	return v.Password, ok
}

// Set changes the password and, when given, the level of a user, or adds one.
func (u *Users) Set(v onvif.User) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if old, ok := u.users[v.Username]; ok && v.Level == "" {
		v.Level = old.Level
	}
	u.users[v.Username] = v
}

// List returns all users by name, without their passwords.
func (u *Users) List() []onvif.User {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make([]onvif.User, 0, len(u.users))
	for _, v := range u.users {
		v.Password = ""
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b onvif.User) int { return strings.Compare(a.Username, b.Username) })
	return out
}
