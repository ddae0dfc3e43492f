package vuln

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

const sourceNVD = "NVD"

// The parts of the NVD CVE API 2.0 that count.
type nvdItem struct {
	CVE struct {
		ID      string                 `json:"id"`
		Status  string                 `json:"vulnStatus"`
		Metrics map[string][]nvdMetric `json:"metrics"`
		KEV     *Date                  `json:"cisaExploitAdd"`
		Config  []struct {
			Negate bool `json:"negate"`
			Nodes  []struct {
				Negate  bool       `json:"negate"`
				Matches []nvdMatch `json:"cpeMatch"`
			} `json:"nodes"`
		} `json:"configurations"`
	} `json:"cve"`
}

type nvdMetric struct {
	Data struct {
		Vector string  `json:"vectorString"`
		Score  float64 `json:"baseScore"`
	} `json:"cvssData"`
}

type nvdMatch struct {
	Vulnerable bool   `json:"vulnerable"`
	Criteria   string `json:"criteria"`
	From       string `json:"versionStartIncluding"`
	After      string `json:"versionStartExcluding"`
	To         string `json:"versionEndIncluding"`
	Before     string `json:"versionEndExcluding"`
}

// ImportNVD returns base with the vulnerabilities of an answer of the NVD CVE
// API 2.0, or of a file of many of them in that form. Its ranges replace those of
// the same id in base; when a vulnerability came to the list of exploited ones, and
// corrections in distributions, stay. Rejected ids are taken out.
//
// Firmware ("o:VENDOR:MODEL_firmware") becomes the models of a vendor. Where a
// product is vulnerable only together with another, the other is not looked at:
// the answer is then wider than NVD's.
func ImportNVD(base *Data, r io.Reader) (*Data, error) {
	in := &capped{r: r, left: maxItem}
	d := json.NewDecoder(in)
	out := base.edit("", base.made, sourceNVD)
	drop := map[string]bool{}
	n := 0
	stamp := time.Time{}
	err := eachOf(d, "vulnerabilities", func(name string, d *json.Decoder) error {
		in.left = maxItem
		switch name {
		case "vulnerabilities":
			var item nvdItem
			if err := d.Decode(&item); err != nil {
				return err
			}
			if n++; n > maxEntries {
				return fmt.Errorf("more than %d entries", maxEntries)
			}
			return out.nvd(&item, drop)
		case "timestamp":
			var s string
			if err := d.Decode(&s); err != nil {
				return err
			}
			if t, err := time.Parse("2006-01-02T15:04:05.999", s); err == nil {
				stamp = t
			}
			return nil
		}
		var skip json.RawMessage
		return d.Decode(&skip)
	})
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading NVD data, entry %d: %w", n, err)
	}
	if n == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "these are no NVD data: there is no list of vulnerabilities")
	}
	out.entries = slices.DeleteFunc(out.entries, func(e Entry) bool { return drop[e.ID] })
	if stamp.After(out.made) {
		out.made = stamp
	}
	out.version = shortVersion(base.version, "nvd", fmt.Sprintf("%s-%d", out.made.Format(time.DateOnly), n))
	if err := out.build(); err != nil {
		return nil, err
	}
	return out, nil
}

// eachOf walks the fields of a JSON object and calls each for every element of
// the list named, and for every other field.
func eachOf(d *json.Decoder, list string, each func(name string, d *json.Decoder) error) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("it is no JSON object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if name != list {
			if err := each(name, d); err != nil {
				return err
			}
			continue
		}
		if t, err := d.Token(); err != nil || t != json.Delim('[') {
			return fmt.Errorf("field %q is no list", list)
		}
		for d.More() {
			if err := each(name, d); err != nil {
				return err
			}
		}
		if _, err := d.Token(); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// nvd adds one entry.
func (d *Data) nvd(item *nvdItem, drop map[string]bool) error {
	id := item.CVE.ID
	if !validID.MatchString(id) {
		return fmt.Errorf("%q is no CVE id", shorten(id))
	}
	if item.CVE.Status == "Rejected" {
		drop[id] = true
		return nil
	}
	e := Entry{ID: id, Source: sourceNVD, KEV: item.CVE.KEV}
	for _, kind := range []string{"cvssMetricV31", "cvssMetricV30", "cvssMetricV40", "cvssMetricV2"} {
		if m := item.CVE.Metrics[kind]; len(m) > 0 {
			e.Score, e.Vector = m[0].Data.Score, m[0].Data.Vector
			// What the library cannot read is kept by its score alone.
			if _, local, err := rate(e.Vector); err != nil {
				e.Vector = ""
			} else {
				e.Local = local
			}
			break
		}
	}
	at := map[string]int{} // of a product in Affects
	for _, c := range item.CVE.Config {
		for _, n := range c.Nodes {
			if c.Negate || n.Negate {
				continue
			}
			for _, m := range n.Matches {
				if m.Vulnerable {
					e.criterion(m, at)
				}
			}
		}
	}
	if i, ok := d.byID[id]; ok {
		old := d.entries[i]
		if e.KEV == nil {
			e.KEV = old.KEV
		}
		if len(e.Affects) == 0 {
			e.Affects = old.Affects
		}
		e.keep(old)
		d.entries[i] = e
		return nil
	}
	if len(e.Affects) == 0 && e.KEV == nil {
		return nil // nothing can ever match it
	}
	d.byID[id] = len(d.entries)
	d.entries = append(d.entries, e)
	return nil
}

// keep carries over what no feed knows: which files have the weak part, and
// where a distribution corrected it.
func (e *Entry) keep(old Entry) {
	for i := range e.Affects {
		a := &e.Affects[i]
		for _, o := range old.Affects {
			if o.Product != "" && o.Product == a.Product {
				a.Only, a.Fixed = o.Only, o.Fixed
			}
		}
	}
}

// criterion adds one CPE match.
func (e *Entry) criterion(m nvdMatch, at map[string]int) {
	f := splitCPE(m.Criteria)
	if len(f) < 7 || f[3] == "" || f[3] == "*" || f[4] == "" || f[4] == "*" || strings.ContainsRune(f[3]+f[4], ':') {
		return
	}
	r := Range{From: m.From, After: m.After, To: m.To, Before: m.Before}
	if v := f[5]; v != "*" && v != "-" && v != "" {
		if u := f[6]; u != "*" && u != "-" && u != "" {
			v += u
		}
		r = Range{Only: v}
	}
	for _, v := range []string{r.From, r.After, r.To, r.Before, r.Only} {
		if len(v) > maxField {
			return
		}
	}
	a := Affects{Product: f[3] + ":" + f[4]}
	if model, firmware := strings.CutSuffix(f[4], "_firmware"); firmware && f[2] == "o" {
		a = Affects{Vendor: f[3], Models: []string{literal(model)}}
	}
	key := a.Product + "\x00" + a.Vendor + "\x00" + strings.Join(a.Models, "\x00")
	i, ok := at[key]
	if !ok {
		if len(e.Affects) == maxAffects {
			return
		}
		i = len(e.Affects)
		at[key] = i
		e.Affects = append(e.Affects, a)
	}
	if len(e.Affects[i].Ranges) < maxRanges {
		e.Affects[i].Ranges = append(e.Affects[i].Ranges, r)
	}
}

// literal makes a model a pattern that matches itself alone.
func literal(model string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`*?[]\`, r) {
			return -1
		}
		return r
	}, strings.ReplaceAll(model, "/", "-"))
}
