package mud

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/strict"
)

// MaxSize is the longest file that is read, in bytes.
const MaxSize = 1 << 20

// Limits of a file. RFC 8520 bounds texts itself: systeminfo has 60 characters.
const (
	maxLists   = 64
	maxEntries = 1024 // of all lists together
	maxText    = 256
	maxURL     = 255 // RFC 8520 section 4: of a MUD URL
	maxTLS     = 64  // of any list in a TLS profile
)

// Parse reads and checks a description. Errors have code Invalid and name the
// line.
func Parse(b []byte) (*File, error) {
	root, err := strict.JSON(b, strict.Limits{Bytes: MaxSize, Depth: 24})
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "mud: %v", err)
	}
	p := &parser{r: &strict.Reader{MaxText: 2048}, file: &File{Supported: true}}
	p.document(p.r.Root(root))
	if err := p.r.Err(); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "mud: %v", err)
	}
	return p.file, nil
}

type parser struct {
	r       *strict.Reader
	file    *File
	entries int
	uses    []use // of lists, checked when all are known
}

type use struct {
	list string
	at   strict.Value
}

// note notes what was found, once. Parameters are pairs of name and value.
func (p *parser) note(key, english string, params ...string) {
	r := Remark{Key: "mudfile." + key}
	for i := 0; i+1 < len(params); i += 2 {
		if r.Params == nil {
			r.Params = map[string]string{}
		}
		r.Params[params[i]] = params[i+1]
		english = strings.ReplaceAll(english, "{"+params[i]+"}", params[i+1])
	}
	if r.Text = english; !slices.Contains(p.file.Notes, english) && len(p.file.Notes) < 64 {
		p.file.Notes, p.file.Remarks = append(p.file.Notes, english), append(p.file.Remarks, r)
	}
}

// NoteKeys lists the keys of all remarks with the names of their parameters, for
// translation.
func NoteKeys() map[string][]string {
	return map[string][]string{
		"mudfile.actions": nil, "mudfile.lists": nil, "mudfile.boolean": nil, "mudfile.http": nil, "mudfile.tls.names": nil,
		"mudfile.extension": {"member", "line"}, "mudfile.systeminfo": {"n"}, "mudfile.tls.member": {"member", "line"}, "mudfile.tls.pins": {"line"},
	}
}

// foreign takes members of other YANG modules: they cannot change the meaning
// of the description itself.
func (p *parser) foreign(name string, v strict.Value) bool {
	module, _, ok := strings.Cut(name, ":")
	if !ok || strings.HasPrefix(module, "ietf-mud") || strings.HasPrefix(module, "ietf-access-control-list") {
		return false
	}
	p.note("extension", "member {member} on line {line} belongs to an extension and was left out", "line", strconv.Itoa(v.Line()), "member", strconv.Quote(strict.Short(name)))
	return true
}

func (p *parser) document(root strict.Value) {
	if !root.Present() {
		root.Failf("the document is empty")
		return
	}
	root.Fields(func(get func(string) strict.Value) {
		m := get("ietf-mud:mud")
		if !m.Present() {
			root.Failf(`there is no "ietf-mud:mud"`)
			return
		}
		p.mud(m)
		lists := get("ietf-access-control-list:acls")
		draft := get("ietf-access-control-list:access-lists")
		if draft.Present() && lists.Present() {
			draft.Failf("access lists stand in two places")
			return
		}
		if draft.Present() {
			p.note("lists", `access lists stand in "access-lists", as in an early draft, instead of "acls"`)
			lists = draft
		}
		lists.Fields(func(get func(string) strict.Value) { get("acl").Each(maxLists, p.list) })
	}, p.foreign)
	for _, u := range p.uses {
		if _, ok := p.file.ACL(u.list); !ok {
			u.at.Failf("policy refers to access list %q, which is not there", strict.Short(u.list))
		}
	}
}

func (p *parser) mud(m strict.Value) {
	f := p.file
	m.Fields(func(get func(string) strict.Value) {
		if f.Version = get("mud-version").Int(1, 255); f.Version != 1 {
			m.Failf("mud-version is %d, not 1", f.Version)
		}
		f.URL = p.url(get("mud-url"), true)
		if last := get("last-update"); last.Present() {
			f.LastUpdate = last.Time()
		} else {
			m.Failf("last-update is missing")
		}
		f.Signature = p.url(get("mud-signature"), false)
		f.CacheValidity = 48 * time.Hour
		if c := get("cache-validity"); c.Present() {
			f.CacheValidity = time.Duration(c.Int(1, 168)) * time.Hour
		}
		if s := get("is-supported"); s.Present() {
			f.Supported = s.Bool()
		} else {
			m.Failf("is-supported is missing")
		}
		f.SystemInfo = p.text(get("systeminfo"))
		if n := len([]rune(f.SystemInfo)); n > 60 {
			p.note("systeminfo", "systeminfo has {n} characters, the standard allows 60", "n", strconv.Itoa(n))
		}
		f.Manufacturer, f.Model = p.text(get("mfg-name")), p.text(get("model-name"))
		f.Firmware, f.Software = p.text(get("firmware-rev")), p.text(get("software-rev"))
		f.Documentation = get("documentation").URL("https", "http")
		f.Extensions = get("extensions").Texts(32)
		f.TLSProfiles = p.flag(get("ietf-mud-tls:is-tls-dtls-profile-supported"))
		f.From, f.To = p.policy(get("from-device-policy")), p.policy(get("to-device-policy"))
	}, p.foreign)
}

// flag reads a boolean, or the text that RFC 9761 section 7 shows in its place.
func (p *parser) flag(v strict.Value) bool {
	if v.Present() && v.Node().Kind == strict.String {
		p.note("boolean", "a boolean is written as a text, as in the example of RFC 9761")
		return v.OneOf("true", "false") == "true"
	}
	return v.Bool()
}

func (p *parser) text(v strict.Value) string {
	s := v.Text()
	if len(s) > maxText {
		v.Failf("is longer than %d bytes", maxText)
		return ""
	}
	return s
}

// url reads a URL with scheme https (RFC 8520 sections 3.2 and 4).
func (p *parser) url(v strict.Value, must bool) string {
	s := v.URL("https", "http")
	switch {
	case s == "" && must:
		v.Failf("a URL with scheme https is wanted here")
	case len(s) > maxURL:
		v.Failf("is longer than %d bytes", maxURL)
	case strings.HasPrefix(s, "http:"):
		p.note("http", "a URL has scheme http; the standard wants https")
	}
	return s
}

func (p *parser) policy(v strict.Value) []string {
	var names []string
	v.Fields(func(get func(string) strict.Value) {
		get("access-lists").Fields(func(get func(string) strict.Value) {
			get("access-list").Each(maxLists, func(v strict.Value) {
				v.Fields(func(get func(string) strict.Value) {
					name := p.text(get("name"))
					if slices.Contains(names, name) {
						v.Failf("access list %q is named twice", strict.Short(name))
						return
					}
					names = append(names, name)
					p.uses = append(p.uses, use{name, v})
				})
			})
		})
	})
	return names
}

func (p *parser) list(v strict.Value) {
	var a ACL
	v.Fields(func(get func(string) strict.Value) {
		a.Name = p.text(get("name"))
		if a.Name == "" {
			v.Failf("an access list has no name")
		}
		if _, twice := p.file.ACL(a.Name); twice {
			v.Failf("access list %q stands twice", strict.Short(a.Name))
		}
		kind := strings.TrimPrefix(get("type").Text(), "ietf-access-control-list:")
		switch kind {
		case "ipv4-acl-type":
			a.Family = IPv4
		case "ipv6-acl-type":
			a.Family = IPv6
		default:
			get("type").Failf("%q is neither ipv4-acl-type nor ipv6-acl-type", strict.Short(kind))
		}
		get("aces").Fields(func(get func(string) strict.Value) {
			get("ace").Each(maxEntries, func(v strict.Value) {
				if p.entries++; p.entries > maxEntries {
					v.Failf("more than %d entries in all", maxEntries)
					return
				}
				a.ACEs = append(a.ACEs, p.entry(v, a))
			})
		})
	})
	p.file.ACLs = append(p.file.ACLs, a)
}

func (p *parser) entry(v strict.Value, a ACL) ACE {
	var e ACE
	v.Fields(func(get func(string) strict.Value) {
		e.Name = p.text(get("name"))
		if e.Name == "" || slices.ContainsFunc(a.ACEs, func(o ACE) bool { return o.Name == e.Name }) {
			v.Failf("the entry has no name of its own")
		}
		actions := get("actions")
		p.matches(get("matches"), &e, a.Family, actions.Present(), func(inner strict.Value) { actions = inner })
		if !actions.Present() {
			v.Failf("entry %q has no actions", strict.Short(e.Name))
		}
		actions.Fields(func(get func(string) strict.Value) {
			word := strings.TrimPrefix(get("forwarding").Text(), "ietf-access-control-list:")
			e.Action = Action(word)
			if !slices.Contains([]Action{Accept, Drop, Reject}, e.Action) {
				actions.Failf("forwarding %q is none of accept, drop, reject", strict.Short(word))
			}
			get("logging").Text() // has no meaning for what is allowed
		})
	})
	return e
}
