// Package i18n speaks to people in their language: English and 简体中文, from
// the first string. The words are those of the glossary in DESIGN.
//
// Messages are JSON files embedded in the program, one flat object a file, key
// to template; an object instead of a template has a form for each plural
// category of the language (CLDR, "one" and "other"). In a template
//
//	{name}        is the parameter of that name, put in as it is
//	{name|grade}  is the word for it: the message "grade.<value>", or the value
//	{name|key}    is the message that the parameter "nameKey", or else the value,
//	              names; or the value
//	[… {name} …]  is left out when a parameter in it is missing or empty
//
// so that stories and timelines, which come as a key with parameters, are told
// in either language. What parameters hold is never read as a template.
//
// English for the keys of stories, timelines and trust reasons comes with the
// API, from the package that makes them; this catalogue holds the Chinese. A
// test compares both sides. Every other key is in both languages, and a test
// of that stands here.
//
// A Catalogue does not change after Load and may be used from several
// goroutines. The package does no I/O but reading what is embedded in it.
package i18n

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

//go:embed messages
var files embed.FS

// Language is one that the program speaks.
type Language struct {
	Tag  string // BCP 47, such as "zh-CN"
	Name string // in itself
}

// languages lists what is spoken; the first is the fallback.
func languages() []Language {
	return []Language{{"en", "English"}, {"zh-CN", "简体中文"}}
}

// folder returns the folder of a language's messages.
func (l Language) folder() string { base, _, _ := strings.Cut(l.Tag, "-"); return base }

// Catalogue holds the messages of all languages.
type Catalogue struct {
	locales []Locale
	matcher language.Matcher
}

// Load reads the embedded messages. An error means that the program was built
// from broken files, which the tests of this package refuse.
func Load() (*Catalogue, error) { return load(files) }

func load(fsys fs.FS) (*Catalogue, error) {
	c := &Catalogue{}
	var tags []language.Tag
	for _, l := range languages() {
		msgs, err := readFolder(fsys, path.Join("messages", l.folder()))
		if err != nil {
			return nil, err
		}
		tag := language.MustParse(l.Tag)
		tags = append(tags, tag)
		c.locales = append(c.locales, Locale{Language: l, tag: tag, messages: msgs, printer: message.NewPrinter(tag)})
	}
	c.matcher = language.NewMatcher(tags)
	return c, nil
}

func readFolder(fsys fs.FS, dir string) (map[string]forms, error) {
	names, err := fs.Glob(fsys, path.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("listing messages in %q: %w", dir, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no messages in %q", dir)
	}
	all := map[string]forms{}
	for _, name := range names {
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("reading messages: %w", err)
		}
		one, err := parse(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for k, v := range one {
			if _, twice := all[k]; twice {
				return nil, fmt.Errorf("%s: message %q stands in another file too", name, k)
			}
			all[k] = v
		}
	}
	return all, nil
}

// forms are the templates of one message by plural category; those without
// plural have "other" alone.
type forms map[string]string

// UnmarshalJSON takes a template or an object of templates.
func (f *forms) UnmarshalJSON(b []byte) error {
	*f = forms{}
	if len(b) > 0 && b[0] == '{' {
		return json.Unmarshal(b, (*map[string]string)(f))
	}
	var s string
	err := json.Unmarshal(b, &s)
	(*f)["other"] = s
	return err
}

// parse reads one file of messages.
func parse(b []byte) (map[string]forms, error) {
	var m map[string]forms
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("reading messages: %w", err)
	}
	for k, f := range m {
		if f["other"] == "" {
			return nil, fmt.Errorf("message %q has no form %q", k, "other")
		}
		for form, t := range f {
			if !slices.Contains([]string{"zero", "one", "two", "few", "many", "other"}, form) {
				return nil, fmt.Errorf("message %q has a form %q, which is no plural category", k, form)
			}
			if err := check(t); err != nil {
				return nil, fmt.Errorf("message %q: %w", k, err)
			}
		}
	}
	return m, nil
}

// Languages lists what is spoken, the fallback first.
func (c *Catalogue) Languages() []Language { return languages() }

// Match returns the locale that fits best what somebody asks for: tags or
// Accept-Language headers, the most wanted first. Garbage asks for nothing.
func (c *Catalogue) Match(wanted ...string) Locale {
	var tags []language.Tag
	for _, w := range wanted {
		if len(w) > 200 {
			continue
		}
		t, _, err := language.ParseAcceptLanguage(w)
		if err == nil {
			tags = append(tags, t...)
		}
	}
	_, i, confidence := c.matcher.Match(tags...)
	if confidence == language.No {
		i = 0
	}
	return c.locales[i]
}

// Locale is one language with its messages and manners.
type Locale struct {
	Language
	tag      language.Tag
	messages map[string]forms
	printer  *message.Printer
}

// Keys lists all keys in order.
func (l Locale) Keys() []string { return slices.Sorted(maps.Keys(l.messages)) }

// Has reports whether there is a message under key.
func (l Locale) Has(key string) bool { _, ok := l.messages[key]; return ok }

// missing marks a message that is not there; tests look for it.
func missing(key string) string { return "⟦" + key + "⟧" }

// T answers a message. Parameters are pairs of name and value.
func (l Locale) T(key string, params ...any) string {
	f, ok := l.messages[key]
	if !ok {
		return missing(key)
	}
	return l.render(f["other"], l.pairs(params))
}

// N answers a message in the plural form for n, which is the parameter "n".
func (l Locale) N(key string, n int, params ...any) string {
	f, ok := l.messages[key]
	if !ok {
		return missing(key)
	}
	t, ok := f[category(l.tag, n)]
	if !ok {
		t = f["other"]
	}
	p := l.pairs(params)
	p["n"] = l.Number(n)
	return l.render(t, p)
}

func category(tag language.Tag, n int) string {
	switch plural.Cardinal.MatchPlural(tag, n, 0, 0, 0, 0) {
	case plural.Zero:
		return "zero"
	case plural.One:
		return "one"
	case plural.Two:
		return "two"
	case plural.Few:
		return "few"
	case plural.Many:
		return "many"
	}
	return "other"
}

// pairs makes parameters of names and values. Numbers are written the way of
// the language.
func (l Locale) pairs(params []any) map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(params); i += 2 {
		name, ok := params[i].(string)
		if !ok {
			panic(fmt.Sprintf("i18n: parameter %d has a %T for its name", i, params[i]))
		}
		switch v := params[i+1].(type) {
		case string:
			m[name] = v
		case int:
			m[name] = l.Number(v)
		case uint64:
			m[name] = l.printer.Sprint(v)
		case fmt.Stringer:
			m[name] = v.String()
		default:
			m[name] = fmt.Sprint(v)
		}
	}
	return m
}

// Tell answers the message of a story line, timeline entry or reason, which
// comes with its English text: that is what people read where this language
// has no message of its own.
func (l Locale) Tell(key, english string, params map[string]string) string {
	if f, ok := l.messages[key]; ok {
		return l.render(f["other"], params)
	}
	return english
}

// Word answers the word for a value of a kind, such as "grade" "high"; the
// value itself where there is none.
func (l Locale) Word(kind, value string) string {
	if f, ok := l.messages[kind+"."+value]; ok {
		return f["other"]
	}
	if kind == "actor" {
		if rule, ok := strings.CutPrefix(value, "reflex:"); ok {
			return l.T("actor.reflex", "rule", l.Word("rule", rule))
		}
		if rule, ok := strings.CutPrefix(value, "rule:"); ok {
			return l.T("actor.rule", "rule", l.Word("policyrule", rule))
		}
	}
	if kind == "why" { // of a term; who says so may have a name
		switch from, name, _ := strings.Cut(value, ":"); from {
		case "mud":
			return l.T("why.mud")
		case "group", "site":
			return l.T("why."+from, "name", name)
		}
	}
	if value == "" {
		return l.T("word.none")
	}
	return value
}

// Number writes a whole number.
func (l Locale) Number(n int) string { return l.printer.Sprint(n) }

// render fills a template that check has taken.
func (l Locale) render(t string, p map[string]string) string {
	out, _ := l.fill(t, p)
	return out
}

// fill also reports whether no parameter was missing.
func (l Locale) fill(t string, p map[string]string) (string, bool) {
	var b strings.Builder
	whole := true
	for t != "" {
		i := strings.IndexAny(t, "{[")
		if i < 0 {
			b.WriteString(t)
			break
		}
		b.WriteString(t[:i])
		end := byte('}')
		if t[i] == '[' {
			end = ']'
		}
		n := strings.IndexByte(t[i:], end)
		if n < 0 { // check has refused such templates
			b.WriteString(t[i:])
			break
		}
		inner := t[i+1 : i+n]
		if end == ']' {
			if part, ok := l.fill(inner, p); ok {
				b.WriteString(part)
			}
		} else if v := l.param(inner, p); v != "" {
			b.WriteString(v)
		} else {
			b.WriteString("?")
			whole = false
		}
		t = t[i+n+1:]
	}
	return b.String(), whole
}

// param answers "name" or "name|kind".
func (l Locale) param(spec string, p map[string]string) string {
	name, kind, as := strings.Cut(spec, "|")
	v := p[name]
	switch {
	case v == "" || !as:
		return v
	case kind == "key":
		for _, key := range []string{p[name+"Key"], v} {
			if f, ok := l.messages[key]; ok {
				return f["other"]
			}
		}
		return v
	}
	return l.Word(kind, v)
}

// check reports what is wrong with a template: braces and brackets that do not
// close, or nest where they may not.
func check(t string) error {
	brace, bracket := false, false
	for i, c := range []byte(t) {
		switch {
		case c == '{' && !brace:
			brace = true
		case c == '}' && brace:
			brace = false
		case c == '[' && !brace && !bracket:
			bracket = true
		case c == ']' && !brace && bracket:
			bracket = false
		case c == '{', c == '}', c == '[', c == ']':
			return fmt.Errorf("unexpected %q at byte %s of template %.60q", c, strconv.Itoa(i), t)
		}
	}
	if brace || bracket {
		return fmt.Errorf("template %.60q does not close", t)
	}
	return nil
}
