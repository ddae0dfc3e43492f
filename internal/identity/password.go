package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/ringwall/ringwall"
)

// Cost of a password: argon2id with 19 MiB and two passes, as OWASP's password
// storage cheat sheet recommends where memory is shared with other work; four
// at once cost 76 MiB, which is all that logins may take of a small machine.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonKey     = 32
	argonSalt    = 16

	maxPassword = 1024 // bytes
	minPassword = 12   // characters (NIST SP 800-63B section 5.1.1 asks for 8; nothing else is demanded here)
	atOnce      = 4
)

// Passwords hashes and checks passwords, a few at a time.
type Passwords struct{ slots chan struct{} }

// NewPasswords returns a Passwords.
func NewPasswords() *Passwords { return &Passwords{slots: make(chan struct{}, atOnce)} }

func (p *Passwords) work(ctx context.Context, f func()) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
		f()
		return nil
	case <-ctx.Done():
		return ringwall.Errorf(ringwall.Unavailable, "too many logins at once: %w", ctx.Err())
	}
}

// Hash returns what is kept of a password, in the PHC string format. Codes:
// Invalid for a password that is too short or too long.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	if utf8.RuneCountInString(password) < minPassword {
		return "", ringwall.Errorf(ringwall.Invalid, "password has fewer than %d characters", minPassword)
	}
	if len(password) > maxPassword {
		return "", ringwall.Errorf(ringwall.Invalid, "password has more than %d bytes", maxPassword)
	}
	salt := make([]byte, argonSalt)
	if _, err := rand.Read(salt); err != nil {
		panic("identity: the system's random source failed: " + err.Error())
	}
	var key []byte
	if err := p.work(ctx, func() { key = argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey) }); err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

// Check reports whether password belongs to kept. An empty kept, for a user
// who does not exist, costs as much time as a wrong password.
func (p *Passwords) Check(ctx context.Context, kept, password string) (bool, error) {
	if len(password) > maxPassword {
		return false, nil
	}
	h, ok := parsePHC(kept)
	if !ok {
		h = phc{memory: argonMemory, time: argonTime, threads: argonThreads, salt: make([]byte, argonSalt), key: make([]byte, argonKey)}
	}
	var key []byte
	err := p.work(ctx, func() { key = argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.key))) })
	if err != nil {
		return false, err
	}
	return ok && subtle.ConstantTimeCompare(key, h.key) == 1, nil
}

type phc struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

// parsePHC reads a kept hash. The cost has a ceiling: the database decides
// what it is compared with, not how much memory that takes.
func parsePHC(s string) (phc, bool) {
	part := strings.Split(s, "$")
	if len(s) > 256 || len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, false
	}
	var h phc
	if n, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil || n != 3 {
		return phc{}, false
	}
	if h.memory < 8 || h.memory > 256<<10 || h.time < 1 || h.time > 16 || h.threads < 1 || h.threads > 16 {
		return phc{}, false
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(part[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return phc{}, false
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(part[5]); err != nil || len(h.key) < 16 || len(h.key) > 64 {
		return phc{}, false
	}
	return h, true
}

// RandomPassword returns a password of 120 random bits, in groups that can be
// typed.
func RandomPassword() Secret {
	var raw [15]byte
	if _, err := rand.Read(raw[:]); err != nil {
		panic("identity: the system's random source failed: " + err.Error())
	}
	s := alphabet.EncodeToString(raw[:])
	return Secret(s[:6] + "-" + s[6:12] + "-" + s[12:18] + "-" + s[18:])
}
