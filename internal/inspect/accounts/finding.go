package accounts

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/inspect/crypt"
	"github.com/ringwall/ringwall/internal/inspect/view"
)

// Result is what the accounts of one view come to.
type Result struct {
	Findings []ringwall.Finding
	Secrets  []api.SecretMark
	Accounts []Account
}

// Examine reads and judges the accounts of a view.
func Examine(v *view.View) Result {
	as := Collect(v)
	as = append(as, scripted(v)...)
	cut := crack(as)
	r := Result{Accounts: as, Secrets: marks(as)}
	r.Findings = []ringwall.Finding{passwords(v, as, cut), hashing(v, as)}
	return r
}

var chpasswd = regexp.MustCompile(`(?m)^[^#\n]*?\becho\s+(?:-e\s+|-n\s+)*["']?([a-z_][a-z0-9_-]{0,31}):([^\s"'$|:` + "`" + `]{1,64})["']?\s*\|\s*(?:/usr/sbin/)?chpasswd\b`)

// scripted finds passwords that a script sets.
func scripted(v *view.View) []Account {
	var out []Account
	for f := range v.Regular {
		if f.Size > 64<<10 || strings.HasPrefix(f.Path, "/usr/share/doc") {
			continue
		}
		if ext := path.Ext(f.Path); ext != "" && ext != ".sh" && ext != ".local" {
			continue
		}
		text, ok := v.TextOf(f)
		if !ok || !strings.Contains(text, "chpasswd") {
			continue
		}
		for _, m := range chpasswd.FindAllStringSubmatchIndex(text, 16) {
			a := Account{
				Name: text[m[2]:m[3]], UID: -1, Kind: "script", Path: f.Path, Live: true, State: Clear, secret: text[m[4]:m[5]],
				Where: fmt.Sprintf("%s line %d%s", f.Path, 1+strings.Count(text[:m[2]], "\n"), part(f)),
			}
			if s := crypt.SchemeOf(a.secret); s != crypt.None {
				a.State, a.Scheme = Hashed, s
			}
			out = append(out, a)
		}
	}
	return out
}

// tally sorts the accounts by what they mean.
type tally struct {
	known, knownCopy, empty, fixed, odd []string
	live                                int // accounts in effect that were read
	users                               []string
}

func (t *tally) count(as []Account) {
	shell := map[string]Account{}
	for _, a := range as {
		if a.Kind == "passwd" && a.Live {
			shell[a.Name] = a
		}
	}
	for _, a := range as {
		if a.Live {
			t.live++
		}
		opens := a.login()
		if p, ok := shell[a.Name]; ok && a.Kind == "shadow" {
			opens = p.login()
		}
		who := fmt.Sprintf("%s: account %q", a.Where, view.Clip(a.Name, 32))
		switch {
		case a.Known != "" && a.Live && opens:
			t.known = append(t.known, who+" has as its password "+a.Known)
			t.users = append(t.users, a.Name)
		case a.Known != "":
			why := "a copy that is not in effect"
			if a.Live {
				why = "which has no login shell"
			}
			t.knownCopy = append(t.knownCopy, fmt.Sprintf("%s, %s, has as its password %s", who, why, a.Known))
		case !a.Live:
		case a.State == Empty && opens && (a.Kind == "shadow" || a.Kind == "web" || a.Kind == "passwd"):
			t.empty = append(t.empty, who+" needs no password")
		case (a.State == Hashed || a.State == Clear) && opens:
			t.fixed = append(t.fixed, fmt.Sprintf("%s has a fixed password (%s), the same in every device with this image", who, form(a)))
		case a.State == Odd:
			t.odd = append(t.odd, who+": its password field has no known form")
		}
	}
}

func form(a Account) string {
	if a.State == Clear {
		return "in clear"
	}
	return string(a.Scheme)
}

// passwords answers FS-01.
func passwords(v *view.View, as []Account, cut bool) ringwall.Finding {
	f := ringwall.Finding{Indicator: "FS-01", Confidence: ringwall.Observed, Facts: map[string]string{}}
	var t tally
	t.count(as)
	f.Evidence = slices.Concat(t.known, t.empty, t.knownCopy, t.fixed, t.odd)
	switch {
	case len(t.known) > 0:
		// A hash that equals the hash of a known password is proven by
		// computation; nothing is left to try on the device for that.
		f.Outcome, f.Confidence = ringwall.Fail, ringwall.Confirmed
		f.Title = "an account of the image has a known default password"
		slices.Sort(t.users)
		f.Facts["users"] = strings.Join(slices.Compact(t.users), ",")
	case len(t.empty) > 0:
		f.Outcome, f.Confidence = ringwall.Fail, ringwall.Confirmed
		f.Title = "an account of the image can be used without a password"
	case len(t.knownCopy) > 0:
		f.Outcome = ringwall.Fail
		f.Title = "the image holds a known default password in a copy or an account without a shell"
	case len(t.fixed) > 0:
		f.Outcome = ringwall.Fail
		f.Title = "an account of the image has a password that every device shares"
	case !v.Root && len(as) == 0:
		f.Title = "no root file system was found, so its accounts were not examined"
	case t.live == 0:
		f.Title = "no account file was found in the image"
	case unseen(v, as):
		f.Title = "the passwords stand in a file that is not in the image"
		f.Evidence = append(f.Evidence, "passwd refers to a shadow file, and there is none")
	case cut:
		f.Title = "the passwords of the image could not all be compared"
	default:
		f.Outcome = ringwall.Pass
		f.Title = "no account of the image has a password or needs none"
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d lines of account files were read: all are locked or without a login shell", t.live))
	}
	if cut {
		f.Evidence = append(f.Evidence, "not every known default was compared: the hashes are too slow for the bound")
	}
	return f
}

// unseen reports whether passwd refers to a shadow file that nobody has.
func unseen(v *view.View, as []Account) bool {
	return slices.ContainsFunc(as, func(a Account) bool { return a.State == Shadowed && a.Live }) &&
		!slices.ContainsFunc(as, func(a Account) bool { return a.Kind == "shadow" && a.Live })
}

var encryptMethod = regexp.MustCompile(`(?m)^\s*ENCRYPT_METHOD\s+(\w+)`)

// hashing answers DA-02.
func hashing(v *view.View, as []Account) ringwall.Finding {
	f := ringwall.Finding{Indicator: "DA-02", Confidence: ringwall.Observed}
	weak, strong := 0, 0
	for _, a := range as {
		if a.State != Hashed && a.State != Clear {
			continue
		}
		what := "stored in clear"
		if a.State == Hashed {
			what = "hashed with " + string(a.Scheme)
		}
		bad := a.State == Clear || a.Scheme.Weak() || a.Scheme == "digest-md5"
		if bad {
			weak++
		} else {
			strong++
		}
		line := fmt.Sprintf("%s: the password of %q is %s", a.Where, view.Clip(a.Name, 32), what)
		if bad || len(f.Evidence) < 8 {
			f.Evidence = append(f.Evidence, line)
		}
	}
	switch {
	case weak > 0:
		f.Outcome, f.Title = ringwall.Fail, "stored passwords are in clear or hashed in a way that is cheap to guess"
	case strong > 0:
		f.Outcome, f.Title = ringwall.Pass, "stored passwords are hashed in a modern way"
	default:
		f.Title = "the image stores no password, so how it hashes one is not seen"
		if text, ok := v.Text("/etc/login.defs"); ok {
			if m := encryptMethod.FindStringSubmatch(text); m != nil {
				f.Evidence = append(f.Evidence, "/etc/login.defs: new passwords are hashed with "+m[1])
				switch strings.ToUpper(m[1]) {
				case "SHA256", "SHA512", "BCRYPT", "YESCRYPT":
					f.Outcome, f.Title = ringwall.Pass, "passwords are hashed in a modern way"
				case "DES", "MD5":
					f.Outcome, f.Title = ringwall.Fail, "passwords are hashed in a way that is cheap to guess"
				}
			}
		}
	}
	return f
}
