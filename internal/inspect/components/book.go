package components

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sync"
)

//go:embed fingerprints.json
var shipped embed.FS

// Fingerprint says how one piece of software is told from its binaries, and
// what it is called elsewhere.
type Fingerprint struct {
	Name     string   `json:"name"`               // as in api.Component
	Vendor   string   `json:"vendor"`             // of its CPE
	Product  string   `json:"product"`            // of its CPE
	Supplier string   `json:"supplier,omitempty"` // for people
	Part     string   `json:"part,omitempty"`     // of its CPE: "a" (also when empty) or "o"
	Packages []string `json:"packages,omitempty"` // what package databases call it; one '*' stands for any characters
	Rules    []Rule   `json:"rules"`
}

// Rule is one way to find a version. The first rule of a fingerprint that
// finds one in a file decides for that file.
type Rule struct {
	// Find lists literals. Where one occurs, Version is searched for in the
	// printable text around it, so the two have to stand in one string.
	Find []string `json:"find,omitempty"`
	// Alone makes Version match whole strings that look like a version and
	// nothing else. It needs Need or Any, and finds nothing when two different
	// strings match.
	Alone bool `json:"alone,omitempty"`
	// Name makes Version match the base name of the file. It needs Need or
	// Any as well: a name alone proves nothing.
	Name bool `json:"name,omitempty"`
	// Present makes the rule name the fingerprint without a version. It needs
	// two texts of Need at least, and stands last.
	Present bool `json:"present,omitempty"`
	// Version is an expression with at least one group.
	Version string `json:"version,omitempty"`
	// Form makes the version of the groups, such as "0.$1"; "$1" when empty.
	Form string `json:"form,omitempty"`

	// File is an expression that the base name has to match. When it has a
	// group, versions have to begin with what that matched: python3.11 is some
	// 3.11.
	File   string   `json:"file,omitempty"`
	Need   []string `json:"need,omitempty"`   // literals that all have to be somewhere in the file
	Any    []string `json:"any,omitempty"`    // literals of which one has to be
	Unless []string `json:"unless,omitempty"` // literals of which none may be

	version, file      *regexp.Regexp
	need, any, unless  []uint16
	fingerprint, place int
	number             int // among all rules of the book
}

// Book is a set of fingerprints, compiled. It is never written after ParseBook
// and may be used by many goroutines.
type Book struct {
	Version string // of the data

	prints  []Fingerprint
	rules   []*Rule
	auto    *automaton
	find    [][]*Rule // by literal: the rules that begin there
	lengths []int     // by literal
	longest int
	note    uint16 // the literal that begins a packager's note
	deflate uint16 // the literal by which a user of zlib is told
}

// bookFile is a book as it is written.
type bookFile struct {
	Format       int           `json:"format"`
	Version      string        `json:"version"`
	Fingerprints []Fingerprint `json:"fingerprints"`
}

const (
	bookFormat  = 1
	maxBook     = 4 << 20 // bytes of a book
	maxLiteral  = 80      // bytes; a window holds a hit with its surroundings
	maxRuleText = 400     // bytes of an expression
)

// shippedBook compiles the book that the program carries, once.
var shippedBook = sync.OnceValue(func() *Book {
	data, err := shipped.ReadFile("fingerprints.json")
	if err != nil {
		panic("the program does not carry its fingerprints: " + err.Error())
	}
	b, err := ParseBook(bytes.NewReader(data))
	if err != nil {
		panic("the program carries broken fingerprints: " + err.Error())
	}
	return b
})

// Shipped returns the fingerprints that the program carries.
func Shipped() *Book { return shippedBook() }

// ParseBook reads and compiles a book. Unknown fields are refused.
func ParseBook(r io.Reader) (*Book, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBook+1))
	if err != nil {
		return nil, fmt.Errorf("reading fingerprints: %w", err)
	}
	if len(data) > maxBook {
		return nil, fmt.Errorf("the fingerprints are larger than %d bytes", maxBook)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var f bookFile
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("reading fingerprints: %w", err)
	}
	if f.Format != bookFormat {
		return nil, fmt.Errorf("fingerprints have format %d; this program reads format %d", f.Format, bookFormat)
	}
	b := &Book{Version: f.Version, prints: f.Fingerprints}
	if err := b.compile(); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Book) compile() error {
	var literals []string
	number := map[string]uint16{}
	intern := func(l string) (uint16, error) {
		if len(l) < 3 || len(l) > maxLiteral {
			return 0, fmt.Errorf("literal %q is not of 3 to %d bytes", l, maxLiteral)
		}
		n, ok := number[l]
		if !ok {
			n = uint16(len(literals))
			number[l] = n
			literals = append(literals, l)
			b.find = append(b.find, nil)
			b.lengths = append(b.lengths, len(l))
			b.longest = max(b.longest, len(l))
		}
		return n, nil
	}
	all := func(of []string) ([]uint16, error) {
		var ns []uint16
		for _, l := range of {
			n, err := intern(l)
			if err != nil {
				return nil, err
			}
			ns = append(ns, n)
		}
		return ns, nil
	}
	var err error
	if b.note, err = intern(noteBegins); err != nil {
		return err
	}
	if b.deflate, err = intern("flateInit"); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := range b.prints {
		p := &b.prints[i]
		if !validName.MatchString(p.Name) || p.Vendor == "" || p.Product == "" {
			return fmt.Errorf("fingerprint %d (%q) lacks a name, vendor or product", i, p.Name)
		}
		if seen[p.Name] {
			return fmt.Errorf("two fingerprints are named %q", p.Name)
		}
		seen[p.Name] = true
		if p.Part == "" {
			p.Part = "a"
		}
		for j := range p.Rules {
			r := &p.Rules[j]
			r.fingerprint, r.place = i, j
			if err := r.compile(all); err != nil {
				return fmt.Errorf("rule %d of fingerprint %q: %w", j, p.Name, err)
			}
			finds, err := all(r.Find)
			if err != nil {
				return fmt.Errorf("rule %d of fingerprint %q: %w", j, p.Name, err)
			}
			for _, n := range finds {
				b.find[n] = append(b.find[n], r)
			}
			r.number = len(b.rules)
			b.rules = append(b.rules, r)
		}
	}
	b.auto, err = newAutomaton(literals)
	return err
}

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9.+_-]*$`)

func (r *Rule) compile(all func([]string) ([]uint16, error)) error {
	kinds := 0
	for _, is := range []bool{len(r.Find) > 0, r.Alone, r.Name, r.Present} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return fmt.Errorf("it needs exactly one of find, alone, name and present")
	}
	if (r.Alone || r.Name) && len(r.Need)+len(r.Any) == 0 {
		return fmt.Errorf("a version that stands alone or in the name of a file needs other evidence")
	}
	if len(r.Version)+len(r.File) > maxRuleText {
		return fmt.Errorf("its expressions are longer than %d bytes", maxRuleText)
	}
	text := r.Version
	if r.Alone {
		text = `^(?:` + text + `)$`
	}
	var err error
	if r.version, err = regexp.Compile(text); err != nil {
		return err
	}
	switch n := r.version.NumSubexp(); {
	case r.Present && (r.Version != "" || len(r.Need) < 2):
		return fmt.Errorf("presence needs two texts and no version")
	case !r.Present && (n == 0 || n > 1 && r.Form == ""):
		return fmt.Errorf("version expression %q has %d groups and no form", r.Version, n)
	}
	if r.Form == "" {
		r.Form = "$1"
	}
	if r.File != "" {
		if r.file, err = regexp.Compile(r.File); err != nil {
			return err
		}
	}
	if r.need, err = all(r.Need); err != nil {
		return err
	}
	if r.any, err = all(r.Any); err != nil {
		return err
	}
	r.unless, err = all(r.Unless)
	return err
}

// Fingerprints returns what the book knows, sorted by name.
func (b *Book) Fingerprints() []Fingerprint {
	all := slices.Clone(b.prints)
	slices.SortFunc(all, func(x, y Fingerprint) int { return compareStrings(x.Name, y.Name) })
	return all
}
