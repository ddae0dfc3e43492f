// Package accounts judges the accounts that an image comes with: passwords
// that are empty, known, or the same in every device (FS-01), and how stored
// passwords are hashed (DA-02).
//
// A stored hash is compared with the known defaults of package known, the
// account's own name and the empty password, and with nothing else: this is no
// cracker. The work is bounded by a fixed budget of cost, not of time, so that
// the same image gives the same answer everywhere. A finding names a default by
// its number; neither a password nor a hash ever appears in one. The mark of a
// hash is its SHA-256, so that the same hash in two images can be told.
//
// A hash that is not a known default is still a finding when it lets somebody
// log in: it is the same in every device with this image (ETSI EN 303 645
// provision 5.1-1). What is in effect is what stands in /etc; other copies are
// told as copies.
//
// Formats: passwd(5), shadow(5), smbpasswd(5), htpasswd of Apache, httpd.conf
// of BusyBox, auth.txt of GoAhead, rpcd of OpenWrt.
package accounts

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/inspect/crypt"
	"github.com/ringwall/ringwall/internal/inspect/view"
	"github.com/ringwall/ringwall/internal/known"
)

// State is what a password field says.
type State uint8

// The states of a password field.
const (
	Locked   State = iota // no password opens it
	Empty                 // none is needed
	Hashed                // a hash
	Clear                 // the password itself
	Odd                   // neither a lock nor a known form
	Shadowed              // it stands in the shadow file
)

// Account is one line of a file with passwords.
type Account struct {
	Name   string
	UID    int    // -1 when the file has none
	Shell  string // of passwd files
	State  State
	Scheme crypt.Scheme
	Kind   string // "passwd", "shadow", "web", "samba", "script"
	Where  string // evidence: file, line, part
	Path   string
	// Live tells that it is in effect, not a copy.
	Live bool
	// Known names the default that the password is, "" for none.
	Known string

	secret string // the hash or the password
}

// login reports whether the account gives a shell.
func (a Account) login() bool {
	s := path.Base(a.Shell)
	return a.Kind != "passwd" || s != "false" && s != "nologin" && s != "true" && s != "sync" && s != "halt" && s != "shutdown"
}

// mark returns the mark of the secret.
func (a Account) mark() string {
	if a.State == Clear {
		// A password can be guessed, so its mark is of all that names it.
		sum := sha256.Sum256([]byte("ringwall clear password\x00" + a.secret))
		return hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256([]byte(a.secret))
	return hex.EncodeToString(sum[:])
}

// maxAccounts bounds how many are read from one image.
const maxAccounts = 2000

// Parse reads a passwd or shadow file. It reports false when the text is not
// such a file: every line that is none must be a comment or empty.
func Parse(text string) (kind string, out []Account, ok bool) {
	n, bad := 0, 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" || line[0] == '#' || line[0] == '+' || line[0] == '-' {
			continue
		}
		f := strings.Split(line, ":")
		var a Account
		switch {
		case len(f) == 7 && number(f[2]) && number(f[3]) && kind != "shadow":
			kind = "passwd"
			uid, _ := strconv.Atoi(f[2])
			a = Account{Name: f[0], UID: uid, Shell: strings.TrimSpace(f[6])}
			if a.Shell == "" {
				a.Shell = "/bin/sh"
			}
		case (len(f) == 9 || len(f) == 8) && kind != "passwd" && blankOrNumber(f[2:7]):
			kind = "shadow"
			a = Account{Name: f[0], UID: -1}
		default:
			bad++
			continue
		}
		if !name(a.Name) || len(out) >= maxAccounts {
			bad++
			continue
		}
		a.Kind = kind
		a.State, a.Scheme, a.secret = field(f[1], kind)
		a.Where = strconv.Itoa(n)
		out = append(out, a)
	}
	return kind, out, len(out) > 0 && bad*4 <= len(out)
}

func number(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

func blankOrNumber(fs []string) bool {
	return !slices.ContainsFunc(fs, func(s string) bool {
		_, err := strconv.ParseInt(s, 10, 64)
		return s != "" && err != nil
	})
}

func name(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-$@") == ""
}

// field reads a password field.
func field(v, kind string) (State, crypt.Scheme, string) {
	switch {
	case v == "":
		return Empty, crypt.None, ""
	case kind == "passwd" && v == "x":
		return Shadowed, crypt.None, ""
	case strings.HasPrefix(v, "!") || strings.HasPrefix(v, "*") || v == "x" || v == "NP" || strings.HasPrefix(v, "LK"):
		return Locked, crypt.None, ""
	}
	if s := crypt.SchemeOf(v); s != crypt.None && s != crypt.NT && s != crypt.LDAPSHA {
		return Hashed, s, v
	}
	return Odd, crypt.None, v
}

// Collect reads all accounts of a view.
func Collect(v *view.View) []Account {
	var out []Account
	for f := range v.Regular {
		if f.Size == 0 || f.Size > 64<<10 || len(out) >= maxAccounts {
			continue
		}
		base := strings.ToLower(path.Base(f.Path))
		switch {
		case strings.Contains(base, "passwd") || strings.Contains(base, "shadow"):
			out = append(out, file(v, f, base)...)
		case base == "httpd.conf" || base == "auth.txt" || base == "umconfig.txt" || base == "rpcd" || strings.HasSuffix(base, ".user") || base == "users" || base == "lighttpd.users":
			out = append(out, web(v, f, base)...)
		}
	}
	return out
}

func file(v *view.View, f *view.File, base string) []Account {
	text, ok := v.TextOf(f)
	if !ok {
		return nil
	}
	kind, as, ok := Parse(text)
	if !ok {
		if strings.Contains(base, "htpasswd") || strings.Contains(base, "smbpasswd") || strings.HasPrefix(base, ".") {
			return web(v, f, base)
		}
		return nil
	}
	live := false
	if l, ok := v.Find("/etc/" + kind); ok {
		live = l.Path == f.Path
	} else {
		// Nothing stands in /etc before the device runs: a copy of exactly
		// this name is what is put there.
		live = base == kind
	}
	for i := range as {
		as[i].Path, as[i].Live = f.Path, live
		as[i].Where = f.Path + " line " + as[i].Where + part(f)
	}
	return as
}

func part(f *view.File) string {
	if f.From == "" {
		return ""
	}
	return " (" + f.From + ")"
}

// web reads the passwords of web servers and of Samba.
func web(v *view.View, f *view.File, base string) []Account {
	text, ok := v.TextOf(f)
	if !ok {
		return nil
	}
	var out []Account
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' || len(out) >= 200 {
			continue
		}
		user, secret, scheme, ok := webLine(line, base)
		if !ok {
			continue
		}
		a := Account{Name: user, UID: -1, Kind: "web", Path: f.Path, Live: true, secret: secret, Scheme: scheme, State: Clear}
		switch {
		case base == "smbpasswd":
			a.Kind = "samba"
			a.State = Hashed
		case scheme != crypt.None:
			a.State = Hashed
		case secret == "":
			a.State = Empty
		}
		a.Where = f.Path + " line " + strconv.Itoa(n) + part(f)
		out = append(out, a)
	}
	return out
}

func webLine(line, base string) (user, secret string, scheme crypt.Scheme, ok bool) {
	f := strings.Split(line, ":")
	switch {
	case base == "smbpasswd":
		if len(f) < 5 || !number(f[1]) || crypt.SchemeOf(f[3]) != crypt.NT || strings.Trim(f[3], "X") == "" {
			return "", "", "", false
		}
		return f[0], f[3], crypt.NT, name(f[0])
	case base == "httpd.conf": // "/path:user:password" of BusyBox
		if len(f) != 3 || !strings.HasPrefix(f[0], "/") || !name(f[1]) || strings.HasPrefix(f[2], "$p$") {
			return "", "", "", false
		}
		return f[1], f[2], crypt.SchemeOf(f[2]), true
	case base == "auth.txt" || base == "umconfig.txt": // GoAhead: a hash over name, realm and password
		if !strings.HasPrefix(line, "user ") {
			return "", "", "", false
		}
		for _, w := range strings.Fields(line) {
			if v, is := strings.CutPrefix(w, "name="); is {
				user = v
			}
			if v, is := strings.CutPrefix(w, "password="); is {
				secret = v
			}
		}
		if len(secret) == 32 && crypt.SchemeOf(secret) == crypt.NT {
			return user, secret, "digest-md5", name(user)
		}
		return user, secret, crypt.SchemeOf(secret), name(user) && secret != ""
	case base == "rpcd":
		if v, is := strings.CutPrefix(line, "option password "); is {
			v = strings.Trim(v, `'"`)
			if v == "" || strings.HasPrefix(v, "$p$") {
				return "", "", "", false // it is the system's password
			}
			return "rpcd", v, crypt.SchemeOf(v), true
		}
		return "", "", "", false
	}
	if len(f) < 2 || !name(f[0]) {
		return "", "", "", false
	}
	s := crypt.SchemeOf(f[1])
	if s == crypt.None || s == crypt.NT {
		return "", "", "", false // without a hash it could be anything
	}
	return f[0], f[1], s, true
}

// budget is how much work all comparisons of an image may take, in units of
// crypt.Cost: about two seconds, enough for one SHA-512 hash and all defaults.
const budget = 20_000

// crack compares what is stored with the known defaults.
func crack(as []Account) (cut bool) {
	left := budget
	defaults := known.Defaults()
	done := map[string]string{}
	for i := range as {
		a := &as[i]
		if a.State == Clear {
			a.Known = match(*a, defaults, func(p string) bool { return p == a.secret })
			continue
		}
		if a.State != Hashed {
			continue
		}
		key := a.Name + "\x00" + a.secret
		if got, ok := done[key]; ok {
			a.Known = got
			continue
		}
		cost := crypt.Cost(a.secret)
		if cost == 0 {
			continue
		}
		a.Known = match(*a, defaults, func(p string) bool {
			if left < cost {
				cut = true
				return false
			}
			left -= cost
			return crypt.Check(a.secret, p)
		})
		done[key] = a.Known
	}
	return cut
}

// match tries the pairs of the account's name first, then every other password
// once.
func match(a Account, defaults []known.Default, is func(string) bool) string {
	tried := map[string]bool{}
	for _, own := range []bool{true, false} {
		for _, d := range defaults {
			if (d.User == a.Name) != own || tried[d.Password()] {
				continue
			}
			tried[d.Password()] = true
			if d.Password() == "" {
				if a.State == Hashed && is("") {
					return "the empty password"
				}
				continue
			}
			if is(d.Password()) {
				return d.String()
			}
		}
	}
	if !tried[a.Name] && is(a.Name) {
		return "its own name"
	}
	if !tried[""] && a.State == Hashed && is("") {
		return "the empty password"
	}
	return ""
}

// Marks returns the marks of all stored secrets.
func marks(as []Account) []api.SecretMark {
	var out []api.SecretMark
	for _, a := range as {
		if a.State != Hashed && a.State != Clear {
			continue
		}
		m := api.SecretMark{Kind: "password-hash", Mark: a.mark(), Path: a.Path, Known: a.Known}
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}
