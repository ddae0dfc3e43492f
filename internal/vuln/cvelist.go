package vuln

import (
	"encoding/json"
	"io"
	"strings"

	"github.com/ringwall/ringwall"
)

const sourceCVE = "CVE list"

// cveRecord is what counts of a record of the CVE list (CVE record format 5).
type cveRecord struct {
	Meta struct {
		ID    string `json:"cveId"`
		State string `json:"state"`
	} `json:"cveMetadata"`
	Containers struct {
		CNA struct {
			Affected []struct {
				Vendor   string   `json:"vendor"`
				Product  string   `json:"product"`
				CPEs     []string `json:"cpes"`
				Default  string   `json:"defaultStatus"`
				Versions []struct {
					Version string `json:"version"`
					Status  string `json:"status"`
					Type    string `json:"versionType"`
					Before  string `json:"lessThan"`
					To      string `json:"lessThanOrEqual"`
				} `json:"versions"`
			} `json:"affected"`
			Metrics []map[string]json.RawMessage `json:"metrics"`
		} `json:"cna"`
	} `json:"containers"`
}

// ImportCVE returns base with records of the CVE list, one or many JSON objects
// after each other. Only ids that base does not have are added, since the
// versions in these records are less dependable than NVD's; products are known
// by their CPE, or by vendor and product as the record writes them. Ranges by
// commit are left out.
func ImportCVE(base *Data, r io.Reader) (*Data, error) {
	in := &capped{r: r, left: maxItem}
	d := json.NewDecoder(in)
	out := base.edit(shortVersion(base.version, "cve", "records"), base.made, sourceCVE)
	n := 0
	for ; ; n++ {
		var rec cveRecord
		in.left = maxItem
		err := d.Decode(&rec)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "reading records of the CVE list, record %d: %w", n+1, err)
		}
		if n >= maxEntries || !validID.MatchString(rec.Meta.ID) {
			return nil, ringwall.Errorf(ringwall.Invalid, "reading records of the CVE list, record %d: %q is no CVE id, or there are too many", n+1, shorten(rec.Meta.ID))
		}
		if _, had := out.byID[rec.Meta.ID]; had || rec.Meta.State != "PUBLISHED" {
			continue
		}
		if e := rec.entry(); len(e.Affects) > 0 {
			out.byID[e.ID] = len(out.entries)
			out.entries = append(out.entries, e)
		}
	}
	if n == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "these are no records of the CVE list: there is none")
	}
	if err := out.build(); err != nil {
		return nil, err
	}
	return out, nil
}

func (rec *cveRecord) entry() Entry {
	e := Entry{ID: rec.Meta.ID, Source: sourceCVE}
	for _, m := range rec.Containers.CNA.Metrics {
		for _, kind := range []string{"cvssV3_1", "cvssV3_0", "cvssV4_0", "cvssV2_0"} {
			var v struct {
				Vector string  `json:"vectorString"`
				Score  float64 `json:"baseScore"`
			}
			if m[kind] == nil || json.Unmarshal(m[kind], &v) != nil || e.Score > 0 || v.Score < 0 || v.Score > 10 {
				continue
			}
			e.Score = v.Score
			if _, local, err := rate(v.Vector); err == nil {
				e.Vector, e.Local = v.Vector, local
			}
		}
	}
	for _, a := range rec.Containers.CNA.Affected {
		product := cpeName(a.Vendor) + ":" + cpeName(a.Product)
		for _, c := range a.CPEs {
			if p := productOf(c); p != "" && strings.Count(p, ":") == 1 {
				product = p
				break
			}
		}
		if strings.HasPrefix(product, ":") || strings.HasSuffix(product, ":") || strings.Contains(product, "n/a") || len(e.Affects) == maxAffects {
			continue
		}
		out := Affects{Product: product}
		for _, v := range a.Versions {
			if v.Status != "affected" || v.Type == "git" || v.Version == "" || v.Version == "n/a" || len(out.Ranges) == maxRanges {
				continue
			}
			r := Range{From: v.Version, Before: v.Before, To: v.To}
			if v.Version == "0" || v.Version == "*" || v.Version == "unspecified" {
				r.From = ""
			}
			if v.Before == "" && v.To == "" {
				if r.From == "" {
					continue // "every version" is mostly "nobody filled this in"
				}
				r = Range{Only: v.Version}
			}
			if v.Before == "*" || v.To == "*" {
				r.Before, r.To = "", ""
			}
			if len(r.From)+len(r.Before)+len(r.To)+len(r.Only) <= maxField {
				out.Ranges = append(out.Ranges, r)
			}
		}
		if len(out.Ranges) > 0 {
			e.Affects = append(e.Affects, out)
		}
	}
	return e
}

// cpeName writes a name as CPE does.
func cpeName(s string) string {
	s = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(cut(s))), " ", "_")
	return strings.ReplaceAll(s, ":", "")
}
