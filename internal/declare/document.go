package declare

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/strict"
)

// MaxSize is the longest declaration that is read, in bytes.
const MaxSize = 2 << 20

// limits of a declaration.
const (
	maxRows = 512 // of one table
	maxText = 4096
)

// Document is one declaration.
type Document struct {
	Standard string // such as "ETSI EN 303 645"
	Edition  string
	By       string // who declares
	Part     ringwall.Part
	Made     time.Time
	Until    time.Time // as declared; zero = not
	Device   api.Identity
	Claims   map[string]Claim // by provision
	Tables   map[string][]Row // by name
	Digest   string           // SHA-256 of what was read, in hex
}

// Claim is one line of the conformance statement.
type Claim struct {
	Provision string
	Support   Support
	Detail    string // how it is met
	Why       string // why it is not, or does not apply: EN 303 645 provision 5.0-1
	Line      int
}

// Support is what is claimed of a provision.
type Support string

// The claims.
const (
	Yes           Support = "yes"
	No            Support = "no"
	NotApplicable Support = "not-applicable"
)

// Row is one row of a table.
type Row struct {
	ID     string
	Line   int
	Values map[string][]string
}

// Value returns the value of a column, its parts joined; "" when it is absent.
func (r Row) Value(column string) string { return strings.Join(r.Values[column], ", ") }

// Parse reads a declaration in JSON or YAML. Errors have code Invalid and name
// the line.
func Parse(b []byte) (*Document, error) {
	root, err := read(b)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "declaration: %v", err)
	}
	sum := sha256.Sum256(b)
	r := &strict.Reader{MaxText: maxText}
	p := docParser{lib: data(), doc: &Document{Claims: map[string]Claim{}, Tables: map[string][]Row{}, Digest: hex.EncodeToString(sum[:])}}
	p.document(r.Root(root))
	if err := r.Err(); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "declaration: %v", err)
	}
	return p.doc, nil
}

// isJSON reports whether b is meant as JSON.
func isJSON(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n\ufeff")
	return len(b) > 0 && (b[0] == '{' || b[0] == '[')
}

func read(b []byte) (*strict.Node, error) {
	l := strict.Limits{Bytes: MaxSize, Depth: 12, Nodes: 60_000}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if isJSON(b) {
		return strict.JSON(b, l)
	}
	return readYAML(b, l)
}

type docParser struct {
	lib  *library
	doc  *Document
	std  Standard
	refs []reference // checked when all rows are known
}

type reference struct {
	table, id string
	at        strict.Value
}

func (p *docParser) document(root strict.Value) {
	d := p.doc
	if !root.Present() {
		root.Failf("the document is empty")
	}
	root.Fields(func(get func(string) strict.Value) {
		if v := get("declaration"); v.Int(1, 1) != 1 {
			root.Failf(`"declaration: 1" is missing: the format's version`)
		}
		get("standard").Fields(func(get func(string) strict.Value) {
			d.Standard, d.Edition = get("name").Text(), get("edition").Text()
		})
		if d.Standard == "" {
			d.Standard, d.Edition = "ETSI EN 303 645", "V3.1.3"
		}
		std, ok := p.lib.standard(d.Standard, d.Edition)
		if !ok {
			get("standard").Failf("%q edition %q is not known", strict.Short(d.Standard), strict.Short(d.Edition))
		}
		p.std = std
		d.By = get("by").Text()
		if d.By == "" || len(d.By) > 200 {
			root.Failf(`"by" must name who declares, in at most 200 bytes`)
		}
		d.Part = ringwall.Part(get("part").Text())
		if d.Part != "" && !slices.Contains(ringwall.Parts, d.Part) {
			get("part").Failf("%q is no part that a party plays", strict.Short(string(d.Part)))
		}
		d.Made, d.Until = get("made").Time(), get("until").Time()
		if d.Made.IsZero() {
			root.Failf(`"made" must be the date of the declaration`)
		} else if !d.Until.IsZero() && d.Until.Before(d.Made) {
			get("until").Failf("is before %s, when the declaration was made", d.Made.Format(time.DateOnly))
		}
		get("device").Fields(func(get func(string) strict.Value) {
			d.Device = api.Identity{
				Vendor: words(get("vendor")), Model: words(get("model")), Firmware: words(get("firmware")), Type: words(get("type")),
			}
		})
		p.claims(get("ics"))
		p.tables(get("ixit"))
	})
	for _, r := range p.refs {
		if !slices.ContainsFunc(d.Tables[r.table], func(row Row) bool { return row.ID == r.id }) {
			r.at.Failf("refers to %q, which is no row of table %s", strict.Short(r.id), r.table)
		}
	}
}

// words reads a text, or a number as it was written: a version such as 4.10 is
// taken for a number by YAML.
func words(v strict.Value) string {
	if n := v.Node(); n != nil && n.Kind == strict.Number {
		return n.Text
	}
	return v.Text()
}

// yesNo reads "yes" or "no", or a boolean.
func yesNo(v strict.Value) string {
	if n := v.Node(); n != nil && n.Kind == strict.Bool {
		if n.Text == "true" {
			return "yes"
		}
		return "no"
	}
	return v.OneOf("yes", "no")
}

func (p *docParser) claims(v strict.Value) {
	names := v.Names()
	v.Fields(func(get func(string) strict.Value) {
		for _, name := range names {
			line := get(name)
			if _, ok := p.std.provision(name); !ok {
				line.Failf("%s %s has no provision %q", p.std.Name, p.std.Edition, strict.Short(name))
				return
			}
			c := Claim{Provision: name, Line: line.Line()}
			if n := line.Node(); n != nil && n.Kind != strict.Object {
				c.Support = support(line)
			} else {
				line.Fields(func(get func(string) strict.Value) {
					c.Support, c.Detail, c.Why = support(get("support")), get("detail").Text(), get("justification").Text()
				})
			}
			if c.Support == "" {
				line.Failf(`says neither "yes", "no" nor "not-applicable"`)
			}
			if c.Support != Yes && c.Why == "" {
				line.Failf("needs a justification: the standard asks for one where a provision is not met (5.0-1)")
			}
			p.doc.Claims[name] = c
		}
	})
}

func support(v strict.Value) Support {
	if n := v.Node(); n != nil && n.Kind == strict.Bool {
		return Support(yesNo(v))
	}
	s := v.OneOf("yes", "no", "not-applicable", "n/a", "na")
	if s == "n/a" || s == "na" {
		return NotApplicable
	}
	return Support(s)
}

func (p *docParser) tables(v strict.Value) {
	names := v.Names()
	v.Fields(func(get func(string) strict.Value) {
		for _, name := range names {
			at := get(name)
			// The standard writes "13-SoftServ".
			plain := name
			if number, rest, ok := strings.Cut(name, "-"); ok {
				if t, known := p.lib.table(rest); known && strconv.Itoa(t.Number) == number {
					plain = rest
				}
			}
			t, ok := p.lib.table(plain)
			if !ok {
				at.Failf("%q is none of the 29 tables", strict.Short(name))
				return
			}
			if _, twice := p.doc.Tables[t.Name]; twice {
				at.Failf("table %s stands twice", t.Name)
				return
			}
			p.doc.Tables[t.Name] = []Row{}
			if t.Single {
				p.row(t, at)
				continue
			}
			at.Each(maxRows, func(v strict.Value) { p.row(t, v) })
		}
	})
}

func (p *docParser) row(t Table, v strict.Value) {
	row := Row{Line: v.Line(), Values: map[string][]string{}}
	v.Fields(func(get func(string) strict.Value) {
		if !t.Single {
			row.ID = get("id").Text()
			switch {
			case row.ID == "":
				v.Failf("the row has no id")
			case slices.ContainsFunc(p.doc.Tables[t.Name], func(r Row) bool { return r.ID == row.ID }):
				v.Failf("id %q stands twice", strict.Short(row.ID))
			}
		}
		for _, c := range t.Columns {
			if vals := p.value(c, get(c.Name)); len(vals) > 0 {
				row.Values[c.Name] = vals
			}
		}
	})
	p.doc.Tables[t.Name] = append(p.doc.Tables[t.Name], row)
}

func (p *docParser) value(c Column, v strict.Value) []string {
	if !v.Present() {
		return nil
	}
	one := func(s string) []string {
		if s == "" {
			return nil
		}
		return []string{s}
	}
	switch c.Kind {
	case "word":
		if n := v.Node(); n.Kind == strict.Bool && slices.Contains(c.Choices, "none") && n.Text == "false" {
			return []string{"none"}
		}
		return one(v.OneOf(c.Choices...))
	case "yesno":
		return one(yesNo(v))
	case "url":
		return one(v.URL("https", "http", "mailto"))
	case "date":
		t := v.Time()
		if t.IsZero() {
			return nil
		}
		return one(t.Format(time.DateOnly))
	case "port":
		return one(strconv.Itoa(v.Int(1, 65535)))
	case "ref":
		return p.references(c, v)
	}
	return one(words(v))
}

func (p *docParser) references(c Column, v strict.Value) []string {
	var ids []string
	take := func(v strict.Value) {
		id := v.Text()
		ids = append(ids, id)
		p.refs = append(p.refs, reference{c.Table, id, v})
	}
	if v.Node().Kind == strict.List {
		v.Each(64, take)
	} else {
		take(v)
	}
	return ids
}
