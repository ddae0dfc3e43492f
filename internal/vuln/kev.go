package vuln

import (
	"encoding/json"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/ringwall/ringwall"
)

const (
	sourceKEV = "CISA KEV"
	maxItem   = 64 << 20 // bytes of one entry of a feed, which is read as a stream
	maxPlain  = 8 << 30  // bytes of a feed once it is unpacked
)

// kevItem is an entry of CISA's catalogue of known exploited vulnerabilities.
type kevItem struct {
	CVE     string `json:"cveID"`
	Vendor  string `json:"vendorProject"`
	Product string `json:"product"`
	Name    string `json:"vulnerabilityName"`
	Added   Date   `json:"dateAdded"`
}

// ImportKEV returns base with what CISA's catalogue (JSON) says: known
// vulnerabilities get the date at which they came to the list, others are added.
// The catalogue names no versions, so an added one concerns only devices whose
// model number stands in its text, and a person has to decide. What the catalogue
// no longer lists stays listed in the result.
func ImportKEV(base *Data, r io.Reader) (*Data, error) {
	d := json.NewDecoder(&capped{r: r, left: maxPacked})
	var catalogue struct {
		Version  string    `json:"catalogVersion"`
		Released time.Time `json:"dateReleased"`
		Items    []kevItem `json:"vulnerabilities"`
	}
	if err := d.Decode(&catalogue); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading the list of exploited vulnerabilities: %w", err)
	}
	if len(catalogue.Items) == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "this is no list of exploited vulnerabilities: it has no entries")
	}
	made := base.made
	if catalogue.Released.After(made) {
		made = catalogue.Released
	}
	out := base.edit(shortVersion(base.version, "kev", catalogue.Version), made, sourceKEV)
	for _, k := range catalogue.Items {
		k.CVE = strings.TrimSpace(k.CVE)
		if !validID.MatchString(k.CVE) || k.Added.IsZero() {
			return nil, ringwall.Errorf(ringwall.Invalid, "the list of exploited vulnerabilities has an entry %q without a CVE id or date", shorten(k.CVE))
		}
		added := k.Added
		if i, ok := out.byID[k.CVE]; ok {
			out.entries[i].KEV = &added
			continue
		}
		e := Entry{ID: k.CVE, Title: cut(k.Name), KEV: &added, Source: sourceKEV}
		if models := modelsIn(k.Product + " " + k.Name); len(models) > 0 && vendorKey(k.Vendor) != "" {
			e.Affects = []Affects{{Vendor: cut(k.Vendor), Models: models, Triage: "the list names the model, not the affected firmware"}}
		}
		out.byID[e.ID] = len(out.entries)
		out.entries = append(out.entries, e)
	}
	if err := out.build(); err != nil {
		return nil, err
	}
	return out, nil
}

// shortVersion makes the version of data that were joined with a feed.
func shortVersion(base, feed, version string) string {
	parts := strings.Split(base, "+")
	kept := parts[:0]
	for _, p := range parts {
		if !strings.HasPrefix(p, feed+"-") {
			kept = append(kept, p)
		}
	}
	return cut(strings.Join(append(kept, feed+"-"+cut(version)), "+"))
}

func cut(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
	if len(s) > maxField {
		s = strings.ToValidUTF8(s[:maxField], "")
	}
	return s
}

// modelsIn returns the words of a text that are model numbers: at least five
// characters, with letters and digits both, such as "DCS-2530L". A CVE id is none.
func modelsIn(text string) []string {
	var out []string
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(",;()[]*?\\", r) }) {
		w = strings.Trim(w, ".:'\"/")
		letters, digits := 0, 0
		for _, r := range w {
			switch {
			case r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z':
				letters++
			case r >= '0' && r <= '9':
				digits++
			}
		}
		if len(w) < 5 || letters == 0 || digits < 2 || strings.HasPrefix(w, "CVE-") || len(out) == 20 {
			continue
		}
		out = append(out, w)
	}
	return out
}
