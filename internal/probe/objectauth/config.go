package objectauth

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/ringwall/ringwall"
)

// Bounds of a configuration.
const (
	maxConfig  = 64 << 10
	maxObjects = 32
	maxHeaders = 16
	minMarker  = 6 // a shorter one stands in pages by chance
)

// Config names a service, two test accounts and their objects.
type Config struct {
	// Base is the service's address, such as "https://api.vendor.example".
	Base string `json:"base"`
	// Insecure takes a certificate that cannot be checked; for a service in a
	// laboratory only, since the tokens go to whoever answers.
	Insecure bool     `json:"insecure,omitempty"`
	A        Account  `json:"a"`
	B        Account  `json:"b"`
	Objects  []Object `json:"objects"`
}

// Account is how one test account signs its requests: by a bearer token, a
// cookie, or headers of the service's own.
type Account struct {
	Bearer string `json:"bearer,omitempty"`
	// BearerFile is read for the token, so that it need not stand here.
	BearerFile string            `json:"bearerFile,omitempty"`
	Cookie     string            `json:"cookie,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
}

// String never shows a token.
func (Account) String() string { return "a test account" }

// GoString is String.
func (a Account) GoString() string { return a.String() }

func (a Account) sign(r *http.Request) {
	if a.Bearer != "" {
		r.Header.Set("Authorization", "Bearer "+a.Bearer)
	}
	if a.Cookie != "" {
		r.Header.Set("Cookie", a.Cookie)
	}
	for k, v := range a.Headers {
		r.Header.Set(k, v)
	}
}

// Object is one thing that each account has one of.
type Object struct {
	Title  string `json:"title"`
	Path   string `json:"path"`   // with {id} where the id stands
	A      string `json:"a"`      // A's id
	B      string `json:"b"`      // B's id
	Marker string `json:"marker"` // a text that stands in B's object only
}

// Load reads a configuration and the files that it names, with readFile.
func Load(r io.Reader, readFile func(string) ([]byte, error)) (Config, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return Config{}, ringwall.Errorf(ringwall.Unavailable, "reading the service's configuration: %w", err)
	}
	if len(b) > maxConfig {
		return Config{}, ringwall.Errorf(ringwall.Invalid, "the service's configuration is longer than %d bytes", maxConfig)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var c Config
	if err := d.Decode(&c); err != nil {
		// The decoder's error may show a value, and a value may be a token.
		return Config{}, ringwall.Errorf(ringwall.Invalid, "the service's configuration is not understood near byte %d", d.InputOffset())
	}
	if d.More() {
		return Config{}, ringwall.Errorf(ringwall.Invalid, "the service's configuration goes on behind its end, at byte %d", d.InputOffset())
	}
	for name, a := range map[string]*Account{"a": &c.A, "b": &c.B} {
		if a.BearerFile == "" {
			continue
		}
		t, err := readFile(a.BearerFile)
		if err != nil {
			return Config{}, ringwall.Errorf(ringwall.NotFound, "reading the token of account %s: %w", name, err)
		}
		a.Bearer = strings.TrimSpace(string(t[:min(len(t), maxConfig)]))
	}
	return c, c.Check()
}

// Check reports what is wrong with a configuration; no error shows a token.
func (c Config) Check() error {
	bad := func(format string, args ...any) error {
		return ringwall.Errorf(ringwall.Invalid, "the service's configuration: "+format, args...)
	}
	u, err := url.Parse(c.Base)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return bad("base is not an http or https address")
	}
	if len(c.Objects) == 0 || len(c.Objects) > maxObjects {
		return bad("%d objects, not 1 to %d", len(c.Objects), maxObjects)
	}
	for name, a := range map[string]Account{"a": c.A, "b": c.B} {
		if a.Bearer == "" && a.Cookie == "" && len(a.Headers) == 0 {
			return bad("account %s has no token", name)
		}
		if len(a.Headers) > maxHeaders {
			return bad("account %s has more than %d headers", name, maxHeaders)
		}
		for _, v := range append([]string{a.Bearer, a.Cookie}, values(a.Headers)...) {
			if strings.ContainsAny(v, "\r\n\x00") {
				return bad("a token of account %s holds a line break", name)
			}
		}
	}
	for i, o := range c.Objects {
		switch {
		case o.Title == "" || len(o.Title) > 80:
			return bad("object %d needs a title of 1 to 80 bytes", i+1)
		case !strings.HasPrefix(o.Path, "/") || strings.HasPrefix(o.Path, "//") || strings.Count(o.Path, "{id}") != 1 || strings.ContainsAny(o.Path, " \r\n\\") || len(o.Path) > 500:
			return bad("the path of object %d must begin with / and hold {id} once", i+1)
		case o.A == "" || o.B == "" || o.A == o.B || len(o.A) > 200 || len(o.B) > 200:
			return bad("object %d needs two different ids", i+1)
		case len(o.Marker) < minMarker:
			return bad("the marker of object %d has fewer than %d bytes", i+1, minMarker)
		case strings.Contains(o.Marker, o.B) || strings.Contains(o.B, o.Marker):
			// An error page that repeats the id would prove it.
			return bad("the marker of object %d is part of B's id, or the other way round", i+1)
		}
	}
	return nil
}

func values(m map[string]string) []string {
	var out []string
	for k, v := range m {
		out = append(out, k, v)
	}
	return out
}
