package httpadmin

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"

	"github.com/ringwall/ringwall/internal/digest"
)

// Bounds of one page.
const (
	maxTokens = 50_000
	maxFields = 64
	maxText   = 64 << 10
	maxTitle  = 60
)

// page is what matters of one answer.
type page struct {
	status     int
	size       int
	retry      bool
	challenges []digest.Challenge
	title      string
	text       string // visible words, for comparing
	form       *form  // a login form, if there is one
	setup      bool   // it asks for a new password, and for nothing else
	logout     string // where a link leads that ends the session
	cookies    []*http.Cookie
	at         *url.URL // where it was found in the end
}

// form is a login form: one that takes a user and a password, or a password
// alone under a name that says login.
type form struct {
	target   *url.URL
	fields   url.Values // hidden and preset ones
	user     string     // name of the field, "" when there is none
	password string
}

func (f *form) fill(user, password string) url.Values {
	out := url.Values{}
	for k, v := range f.fields {
		out[k] = v
	}
	if f.user != "" {
		out.Set(f.user, user)
	}
	out.Set(f.password, password)
	return out
}

// locked reports whether the answer says that we or the account are locked.
func (p page) locked() bool {
	if p.status == http.StatusTooManyRequests || p.status == http.StatusLocked || p.status == http.StatusServiceUnavailable && p.retry {
		return true
	}
	t := strings.ToLower(p.text)
	for _, s := range []string{"too many", "account is locked", "account locked", "temporarily locked", "user is locked", "locked out", "try again later", "已锁定", "稍后再试"} {
		if strings.Contains(t, s) {
			return true
		}
	}
	return false
}

// read walks the page once with a tokenizer; nothing is built that grows
// faster than the page.
func (p *page) read(body []byte, at *url.URL, base url.URL) {
	z := html.NewTokenizer(bytes.NewReader(body))
	z.SetMaxBuf(maxPage)
	var words strings.Builder
	var cur *draft
	silent := 0 // inside script or style
	inTitle := false
	for range maxTokens {
		switch z.Next() {
		case html.ErrorToken:
			p.keep(cur, at, base)
			p.text = words.String()
			return
		case html.TextToken:
			if silent > 0 {
				continue
			}
			t := strings.Join(strings.Fields(string(z.Text())), " ")
			if inTitle && p.title == "" {
				p.title = clip(t, maxTitle)
			}
			if t != "" && words.Len() < maxText {
				words.WriteString(t + " ")
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, attrs := tag(z)
			switch name {
			case "script", "style":
				silent++
			case "title":
				inTitle = true
			case "form":
				p.keep(cur, at, base)
				cur = &draft{action: attrs["action"], id: attrs["id"] + " " + attrs["name"] + " " + attrs["action"]}
			case "a":
				if h := strings.ToLower(attrs["href"]); p.logout == "" && (strings.Contains(h, "logout") || strings.Contains(h, "logoff") || strings.Contains(h, "signout")) {
					if u, err := at.Parse(attrs["href"]); err == nil && u.Scheme == base.Scheme && u.Host == base.Host {
						p.logout = u.RequestURI()
					}
				}
			case "input":
				if cur == nil {
					cur = &draft{} // some pages have inputs outside any form: only a script could send them
					cur.loose = true
				}
				cur.input(attrs)
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			switch string(name) {
			case "script", "style":
				silent = max(0, silent-1)
			case "title":
				inTitle = false
			case "form":
				p.keep(cur, at, base)
				cur = nil
			}
		}
	}
	p.keep(cur, at, base)
	p.text = words.String()
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}

// tag returns a tag's name and attributes in lower-case keys.
func tag(z *html.Tokenizer) (string, map[string]string) {
	name, more := z.TagName()
	n := string(name)
	attrs := map[string]string{}
	for more && len(attrs) < 32 {
		var k, v []byte
		k, v, more = z.TagAttr()
		attrs[string(k)] = string(v)
	}
	return n, attrs
}

// draft is a form being read.
type draft struct {
	action, id string
	loose      bool
	fields     url.Values
	texts      []string // names of text fields, in order
	passwords  []string
}

func (d *draft) input(attrs map[string]string) {
	name := attrs["name"]
	if name == "" {
		name = attrs["id"]
	}
	if name == "" || len(d.fields)+len(d.texts)+len(d.passwords) >= maxFields {
		return
	}
	switch strings.ToLower(attrs["type"]) {
	case "password":
		d.passwords = append(d.passwords, name)
	case "", "text", "email":
		d.texts = append(d.texts, name)
	case "hidden", "submit":
		if attrs["name"] == "" {
			return
		}
		if d.fields == nil {
			d.fields = url.Values{}
		}
		d.fields.Set(name, attrs["value"])
	}
}

// keep takes d as the page's login form when it is one: exactly one password
// (two are a change of password) beside a user, or alone where the form or the
// page says login.
func (p *page) keep(d *draft, at *url.URL, base url.URL) {
	if d != nil && len(d.passwords) >= 2 && len(d.passwords) <= 3 && len(d.texts) <= 1 && p.form == nil {
		p.setup = true
	}
	if d == nil || p.form != nil || d.loose || len(d.passwords) != 1 {
		return
	}
	says := strings.ToLower(d.id + " " + p.title)
	if len(d.texts) == 0 && !strings.Contains(says, "login") && !strings.Contains(says, "sign in") && !strings.Contains(says, "log in") && !strings.Contains(says, "登录") {
		return
	}
	target, err := at.Parse(d.action)
	if err != nil || target.Scheme != base.Scheme || target.Host != base.Host {
		return // a password is never sent elsewhere
	}
	f := &form{target: target, fields: d.fields, password: d.passwords[0]}
	if len(d.texts) > 0 {
		f.user = d.texts[0]
	}
	for _, t := range d.texts {
		n := strings.ToLower(t)
		if strings.Contains(n, "user") || strings.Contains(n, "login") || strings.Contains(n, "name") {
			f.user = t
			break
		}
	}
	p.form, p.setup = f, false
}
