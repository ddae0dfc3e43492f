package console

import (
	"embed"
	"errors"
	"fmt"
	"html"
	"html/template"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/ringwall/ringwall/internal/i18n"
)

//go:embed templates
var templateFiles embed.FS

// look is the parsed templates of one language, a set for each page: functions
// speak the language, so that templates only name messages.
type look map[string]*template.Template

func (l look) render(w io.Writer, name, block string, data any) error {
	t, ok := l[name]
	if !ok {
		return fmt.Errorf("no template %q", name)
	}
	return t.ExecuteTemplate(w, block, data)
}

// parse reads the templates for each language.
func (c *Console) parse() (map[string]look, error) {
	pages, err := fs.Glob(templateFiles, "templates/pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("listing templates: %w", err)
	}
	looks := map[string]look{}
	for _, lang := range c.words.Languages() {
		l := c.words.Match(lang.Tag)
		shared, err := template.New("").Option("missingkey=error").Funcs(c.funcs(l)).ParseFS(templateFiles, "templates/layout/*.html", "templates/parts/*.html")
		if err != nil {
			return nil, fmt.Errorf("parsing templates: %w", err)
		}
		set := look{}
		for _, p := range pages {
			t, err := shared.Clone()
			if err == nil {
				t, err = t.ParseFS(templateFiles, p)
			}
			if err != nil {
				return nil, fmt.Errorf("parsing template %q: %w", p, err)
			}
			set[strings.TrimSuffix(path.Base(p), ".html")] = t
		}
		looks[lang.Tag] = set
	}
	return looks, nil
}

// funcs are what templates can call, in the language of l.
func (c *Console) funcs(l i18n.Locale) template.FuncMap {
	word := func(kind string, v any) string { return l.Word(kind, fmt.Sprint(v)) }
	return template.FuncMap{
		"T":       l.T,
		"N":       l.N,
		"word":    word,
		"tell":    l.Tell,
		"number":  l.Number,
		"bytes":   l.Bytes,
		"size":    func(n int64) string { return l.Bytes(uint64(max(n, 0))) },
		"percent": l.Percent,
		"span":    l.Span,
		"actor":   func(id string) string { return l.Word("actor", id) },
		"asset":   c.assets.url,
		"time":    func(t time.Time) template.HTML { return c.timeTag(l, t, "full") },
		"clock":   func(t time.Time) template.HTML { return c.timeTag(l, t, "clock") },
		"date":    func(t time.Time) template.HTML { return c.timeTag(l, t, "date") },
		"ago":     func(t, now time.Time) template.HTML { return c.agoTag(l, t, now) },
		"post":    post,
		"dict":    dict,
		"upper":   strings.ToUpper,
		"list":    func(s ...string) []string { return s },
		"less":    func(a, b int) int { return a - b },
		"sub":     func(a, b float64) float64 { return a - b },
		"mul":     func(a float64, b float64) float64 { return a * b },
	}
}

// timeTag writes a time for people and for app.js, which rewrites it for where
// the reader is. The zero time is unknown.
func (c *Console) timeTag(l i18n.Locale, t time.Time, form string) template.HTML {
	if t.IsZero() {
		return template.HTML(`<span class="unknown">` + html.EscapeString(l.T("word.unknown")) + `</span>`) // our own text, escaped
	}
	there := t.In(c.cfg.Location)
	text := l.Time(there)
	switch form {
	case "clock":
		text = l.Clock(there)
	case "date":
		text = l.Date(there)
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-form="%s" title="%s">%s</time>`, // nothing in it comes from outside
		t.UTC().Format(time.RFC3339), form, html.EscapeString(l.Time(there)+" "+there.Format("MST")), html.EscapeString(text)))
}

func (c *Console) agoTag(l i18n.Locale, t, now time.Time) template.HTML {
	if t.IsZero() {
		return c.timeTag(l, t, "")
	}
	there := t.In(c.cfg.Location)
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, // nothing in it comes from outside
		t.UTC().Format(time.RFC3339), html.EscapeString(l.Time(there)+" "+there.Format("MST")), html.EscapeString(l.Ago(t, now))))
}

// post writes the attributes of a form that does something: a plain POST, made
// smooth by htmx where there is script. Segments are escaped.
func post(segments ...any) template.HTMLAttr {
	var to strings.Builder
	for _, s := range segments {
		to.WriteString("/" + url.PathEscape(fmt.Sprint(s)))
	}
	u := html.EscapeString(to.String())
	return template.HTMLAttr(`method="post" action="` + u + `" hx-post="` + u + `" hx-target="#main" hx-swap="outerMorph"`) // escaped twice over
}

// dict makes a map of pairs, for parts that take several values.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict takes pairs")
	}
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		k, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict key %v is no string", pairs[i])
		}
		m[k] = pairs[i+1]
	}
	return m, nil
}
