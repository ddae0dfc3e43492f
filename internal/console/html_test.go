package console_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/console"
	"github.com/ringwall/ringwall/internal/i18n"
)

// hostileName is what a device of an enemy calls itself.
const hostileName = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{.}}`

// furnishHostile gives hostile words to whatever a stranger can name.
func (s *site) furnishHostile(t *testing.T) {
	t.Helper()
	name := hostileName
	for _, id := range []ringwall.DeviceID{s.GoodCamera, s.BadCamera, s.Newcomer, s.Meter} {
		if _, err := s.PatchDevice(t.Context(), s.Owner, id, 0, api.DevicePatch{Name: &name, Type: &name}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []ringwall.GatewayID{s.House, s.Shed} {
		if _, err := s.PatchGateway(t.Context(), s.Owner, id, api.GatewayPatch{Name: &name, Resolver: &name}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.CreateResponse(t.Context(), s.Owner, api.ResponseCreate{Kind: "quarantine", Incident: s.Attack, Reason: name, Target: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(s.GoodCamera)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SubmitAssessment(t.Context(), s.Owner, api.Assessment{Device: s.GoodCamera, Target: name, Reasons: []string{name}}); err != nil {
		t.Fatal(err)
	}
}

// doc is a page as a browser reads it.
type doc struct{ root *html.Node }

func parse(t *testing.T, b []byte) doc {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("parsing the page: %v", err)
	}
	return doc{root}
}

// each calls f for all elements.
func (d doc) each(f func(n *html.Node)) {
	for n := range d.root.Descendants() {
		if n.Type == html.ElementNode {
			f(n)
		}
	}
}

func get(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func (d doc) attr(tag, name string) (v string) {
	d.each(func(n *html.Node) {
		if n.Data == tag && v == "" {
			v, _ = get(n, name)
		}
	})
	return v
}

func (d doc) count(tag string) (c int) {
	d.each(func(n *html.Node) {
		if n.Data == tag {
			c++
		}
	})
	return c
}

// has reports whether an element has the class.
func (d doc) has(class string) (yes bool) {
	d.each(func(n *html.Node) {
		c, _ := get(n, "class")
		for _, w := range strings.Fields(c) {
			// The legend of the overview names all answers, counted or not.
			yes = yes || w == class && !strings.Contains(c, "key ")
		}
	})
	return yes
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

func (d doc) text() string {
	var out string
	d.each(func(n *html.Node) {
		if n.Data == "main" {
			out = textOf(n)
		}
	})
	return out
}

// links lists where the page leads: pages, styles, scripts and pictures.
func (d doc) links() (out []string) {
	d.each(func(n *html.Node) {
		for _, name := range []string{"href", "src"} {
			if v, ok := get(n, name); ok {
				out = append(out, v)
			}
		}
	})
	return out
}

// wellMade checks what every page owes its reader.
func (d doc) wellMade(t *testing.T) {
	t.Helper()
	ids, fors, refs := map[string]int{}, map[string]bool{}, map[string]string{}
	h1, level := 0, 0
	d.each(func(n *html.Node) {
		for _, a := range n.Attr {
			switch {
			case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
				t.Errorf("<%s> has an inline %s", n.Data, a.Key)
			case a.Key == "id":
				ids[a.Val]++
			case a.Key == "for":
				fors[a.Val] = true
			case a.Key == "aria-labelledby":
				refs[a.Val] = n.Data
			case (a.Key == "href" || a.Key == "src" || a.Key == "action") && strings.Contains(strings.ToLower(a.Val), "javascript:"):
				t.Errorf("<%s> leads to %s", n.Data, a.Val)
			}
		}
		switch n.Data {
		case "style":
			t.Error("there is an inline style")
		case "script":
			if src, _ := get(n, "src"); !strings.HasPrefix(src, "/static/") || textOf(n) != "" {
				t.Errorf("there is a script of %q: %.40q", src, textOf(n))
			}
		case "h1", "h2", "h3", "h4":
			at := int(n.Data[1] - '0')
			if at > level+1 {
				t.Errorf("heading %q of level %d follows level %d", textOf(n), at, level)
			}
			if level = at; at == 1 {
				h1++
			}
			if textOf(n) == "" {
				t.Errorf("a heading of level %d is empty", at)
			}
		case "img":
			if _, ok := get(n, "alt"); !ok {
				t.Error("a picture says not what it shows")
			}
		case "button":
			if label, _ := get(n, "aria-label"); textOf(n) == "" && label == "" {
				t.Error("a button says not what it does")
			}
		case "th":
			if _, ok := get(n, "scope"); !ok {
				t.Errorf("the head %q says not of what", textOf(n))
			}
		case "form":
			method, _ := get(n, "method")
			action, _ := get(n, "action")
			if !strings.HasPrefix(action, "/") || method != "post" && method != "get" {
				t.Errorf("a form does %s %q", method, action)
			}
		case "title":
			if textOf(n) == "" && n.Parent != nil && n.Parent.Data == "head" {
				t.Error("the page has no title")
			}
		}
	})
	d.each(func(n *html.Node) {
		if n.Data != "input" && n.Data != "select" && n.Data != "textarea" {
			return
		}
		if kind, _ := get(n, "type"); kind == "hidden" {
			return
		}
		id, _ := get(n, "id")
		_, named := get(n, "aria-labelledby") // that it is there is looked at below
		labelled := named || fors[id] && id != ""
		for p := n.Parent; p != nil && !labelled; p = p.Parent {
			labelled = p.Data == "label" && textOf(p) != ""
		}
		if !labelled {
			name, _ := get(n, "name")
			t.Errorf("the %s %q has no label", n.Data, name)
		}
	})
	if h1 != 1 {
		t.Errorf("there are %d main headings", h1)
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%d elements have the id %q", n, id)
		}
	}
	for ref, tag := range refs {
		if ids[ref] == 0 {
			t.Errorf("<%s> is labelled by %q, which is not there", tag, ref)
		}
	}
}

// calls finds the messages that templates and code name.
var calls = regexp.MustCompile(`\b(?:T|N)\(? ?"([a-z0-9.-]+[a-z0-9])"`)
var wordCalls = regexp.MustCompile(`\b(?:word|[wW]ord\() ?"([a-z]+)"|"kind" "([a-z]+)"`)

func TestMessages_that_pages_name_are_there(t *testing.T) {
	c, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, pattern := range []string{"templates/*/*.html", "*.go", "../report/*.go", "../report/page/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	used, kinds := map[string]bool{}, map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range calls.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
		for _, m := range wordCalls.FindAllStringSubmatch(string(b), -1) {
			kinds[m[1]+m[2]] = true
		}
	}
	if len(used) < 150 || len(kinds) < 15 {
		t.Fatalf("only %d messages and %d kinds of words found: the search is broken", len(used), len(kinds))
	}
	for _, l := range c.Languages() {
		loc := c.Match(l.Tag)
		for k := range used {
			if !loc.Has(k) {
				t.Errorf("%s has no message %q", l.Tag, k)
			}
		}
	}
	// And none is left over. Some are named by what they tell: words of a kind,
	// what was done, errors by code.
	byValue := regexp.MustCompile(`^(done|error|trustmeans|modemeans|ring|span|actor|policyrule|word|grade|trust|presence|restriction|stage|severity|report|standard|remedy|impact|profile|channel|depth|fleet|why|flag|noticekind|rolloutstate|rolloutstep|mudstate|mudsig|mudsigmeans|flagmeans|siteset|profilestate|flowwhy|flownow|flowunknown|simask|trial)\.`)
	en := c.Match("en")
	for _, k := range en.Keys() {
		kind, _, _ := strings.Cut(k, ".")
		if !used[k] && !kinds[kind] && !byValue.MatchString(k) {
			t.Errorf("nobody says %q", k)
		}
	}
}

func TestVendored_files_are_as_they_came(t *testing.T) {
	for name, want := range console.Vendored() {
		b, err := os.ReadFile(filepath.Join("static", name))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s has SHA-256 %s, want %s", name, got, want)
		}
		licence := strings.SplitN(name, ".", 2)[0] + ".LICENSE.txt"
		if _, err := os.Stat(filepath.Join("static", licence)); err != nil {
			t.Errorf("%s has no licence beside it: %v", name, err)
		}
	}
}
