package vuln

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

// Date is a day, written as in ISO 8601.
type Date struct{ time.Time }

// MarshalJSON writes a day.
func (d Date) MarshalJSON() ([]byte, error) { return json.Marshal(d.UTC().Format(time.DateOnly)) }

// UnmarshalJSON reads a day.
func (d *Date) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	t, err := time.Parse(time.DateOnly, s)
	d.Time = t
	return err
}

// Fix says in which package of a distribution a vulnerability is corrected,
// although the upstream version it carries is in the range.
type Fix struct {
	Type    string `json:"type"` // of the package URL: "deb"
	Package string `json:"package"`
	Version string `json:"version"` // the first corrected
}

// Affects is one product, or the models of one vendor, that has a vulnerability.
type Affects struct {
	Product string   `json:"product,omitempty"` // "vendor:product" of its CPE
	Vendor  string   `json:"vendor,omitempty"`  // of a device
	Models  []string `json:"models,omitempty"`  // of a device; '*' and '?' as in path.Match
	Ranges  []Range  `json:"ranges,omitempty"`  // none means every version
	Only    []string `json:"only,omitempty"`    // base names ('*', '?') of the files that have the weak part
	Triage  string   `json:"triage,omitempty"`  // why a person has to decide whether a device is meant
	Fixed   []Fix    `json:"fixed,omitempty"`
}

// Entry is one vulnerability.
type Entry struct {
	ID      string    `json:"id"`
	Title   string    `json:"title,omitempty"`
	Score   float64   `json:"score,omitempty"` // CVSS base score
	Vector  string    `json:"vector,omitempty"`
	Local   bool      `json:"local,omitempty"` // needs code on the device
	KEV     *Date     `json:"kev,omitempty"`   // when it came to the list of those known to be exploited
	Source  string    `json:"source,omitempty"`
	Affects []Affects `json:"affects,omitempty"`
}

// End is when upstream support of a branch ended or ends.
type End struct {
	Component string `json:"component"`        // as in the fingerprints
	Branch    string `json:"branch,omitempty"` // such as "4.9"
	Below     string `json:"below,omitempty"`  // or: all lower versions that no branch names
	Ends      Date   `json:"ends"`
	Basis     string `json:"basis,omitempty"` // why, where the project names no date
}

// Alias lists the CPE names under which a component may be listed.
type Alias struct {
	Name string   `json:"name"`
	Is   []string `json:"is"`
}

// Data is the content of a bundle.
type Data struct {
	version string
	made    time.Time
	sources []string
	entries []Entry // sorted by id
	ends    []End
	aliases []Alias

	byID      map[string]int
	byProduct map[string][]place
	byVendor  map[string][]place
	alias     map[string][]string
	support   map[string][]End
}

// place is one Affects of one entry.
type place struct{ entry, affects int }

// Version returns the version of the data, such as "2026.11.22".
func (d *Data) Version() string { return d.version }

// Made returns when the data were gathered.
func (d *Data) Made() time.Time { return d.made }

// Sources returns what the data were made of.
func (d *Data) Sources() []string { return slices.Clone(d.sources) }

// Len returns how many vulnerabilities the data have.
func (d *Data) Len() int { return len(d.entries) }

// Entry returns the vulnerability with this id.
func (d *Data) Entry(id string) (Entry, bool) {
	i, ok := d.byID[id]
	if !ok {
		return Entry{}, false
	}
	return d.entries[i], true
}

var validID = regexp.MustCompile(`^CVE-(?:19|20)\d\d-\d{4,9}$`)

// Bounds of what one bundle may hold.
const (
	maxEntries  = 500_000
	maxAffects  = 2_000 // of one entry
	maxRanges   = 5_000 // of one product
	maxField    = 512   // bytes of a name, version or reason
	maxEnds     = 20_000
	maxAliases  = 20_000
	maxPatterns = 500 // models of one vendor's entry
)

// build checks the content and makes the indexes.
func (d *Data) build() error {
	slices.SortFunc(d.entries, func(x, y Entry) int { return cmp.Compare(x.ID, y.ID) })
	d.byID = make(map[string]int, len(d.entries))
	d.byProduct = map[string][]place{}
	d.byVendor = map[string][]place{}
	for i := range d.entries {
		e := &d.entries[i]
		if err := e.check(); err != nil {
			return err
		}
		if _, twice := d.byID[e.ID]; twice {
			return ringwall.Errorf(ringwall.Invalid, "%s is there twice", e.ID)
		}
		d.byID[e.ID] = i
		for j, a := range e.Affects {
			if a.Product != "" {
				d.byProduct[a.Product] = append(d.byProduct[a.Product], place{i, j})
			} else {
				v := vendorKey(a.Vendor)
				d.byVendor[v] = append(d.byVendor[v], place{i, j})
			}
		}
	}
	d.alias = make(map[string][]string, len(d.aliases))
	for _, a := range d.aliases {
		d.alias[a.Name] = append(d.alias[a.Name], a.Is...)
	}
	d.support = map[string][]End{}
	for _, e := range d.ends {
		if e.Component == "" || (e.Branch == "") == (e.Below == "") {
			return ringwall.Errorf(ringwall.Invalid, "the end of support of %q names neither or both of a branch and a bound", e.Component)
		}
		d.support[e.Component] = append(d.support[e.Component], e)
	}
	return nil
}

func (e *Entry) check() error {
	bad := func(format string, args ...any) error {
		return ringwall.Errorf(ringwall.Invalid, "vulnerability %q: %s", shorten(e.ID), fmt.Sprintf(format, args...))
	}
	if !validID.MatchString(e.ID) {
		return bad("this is no CVE id")
	}
	if e.Score < 0 || e.Score > 10 || e.Score != e.Score {
		return bad("a base score of %v", e.Score)
	}
	if len(e.Affects) > maxAffects {
		return bad("more than %d products", maxAffects)
	}
	if e.Vector != "" {
		score, local, err := rate(e.Vector)
		if err != nil {
			return bad("vector: %v", err)
		}
		if e.Score == 0 {
			e.Score = score
		}
		e.Local = e.Local || local
	}
	for _, a := range e.Affects {
		switch {
		case (a.Product == "") == (a.Vendor == ""):
			return bad("a product or a vendor, not both or neither")
		case a.Product != "" && strings.Count(a.Product, ":") != 1:
			return bad("product %q is not VENDOR:PRODUCT", shorten(a.Product))
		case a.Vendor != "" && len(a.Models) == 0:
			return bad("vendor %q without models", shorten(a.Vendor))
		case len(a.Ranges) > maxRanges, len(a.Models) > maxPatterns:
			return bad("too many ranges or models")
		}
		for _, p := range slices.Concat(a.Models, a.Only) {
			if _, err := path.Match(p, ""); err != nil {
				return bad("pattern %q: %v", shorten(p), err)
			}
		}
		for _, r := range a.Ranges {
			for _, v := range []string{r.From, r.After, r.Before, r.To, r.Only} {
				if len(v) > maxField {
					return bad("a version of %d bytes", len(v))
				}
			}
		}
	}
	return nil
}

func shorten(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}

// Severity returns the name CVSS 3 gives to a base score, "" to none.
func Severity(score float64) string {
	switch {
	case score >= 9:
		return "critical"
	case score >= 7:
		return "high"
	case score >= 4:
		return "medium"
	case score > 0:
		return "low"
	}
	return ""
}
