package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"time"
)

// cell makes a text safe for spreadsheets: what begins like a formula gets an
// apostrophe in front, so that it is shown and never computed. Line breaks become
// spaces: some programs read a cell with one as two rows.
func cell(s string) string {
	s = strings.Map(func(r rune) rune {
		switch r {
		case '\n', '\r', '\t', 0x85, 0x2028, 0x2029:
			return ' '
		}
		return r
	}, cut(s))
	if t := strings.TrimLeft(s, " \u00a0\ufeff"); t != "" && strings.ContainsRune("=+-@|%＝＋－＠", []rune(t)[0]) {
		return "'" + s
	}
	return s
}

func writeCSV(c *csv.Writer, rows [][]string) error {
	for _, row := range rows {
		safe := make([]string, len(row))
		for i, s := range row {
			safe[i] = cell(s)
		}
		if err := c.Write(safe); err != nil {
			return fmt.Errorf("writing table: %w", err)
		}
	}
	c.Flush()
	if err := c.Error(); err != nil {
		return fmt.Errorf("writing table: %w", err)
	}
	return nil
}

// CSV writes one line for each finding (RFC 4180), words of machines as they are.
func CSV(w io.Writer, in Input) error {
	a := in.Assessment
	rows := [][]string{{
		"device", "target", "vendor", "model", "firmware", "grade", "risk", "coverage", "assessed", "rubric",
		"indicator", "module", "outcome", "confidence", "decides", "asked", "found", "evidence", "remedy", "standards", "source", "time",
	}}
	for _, f := range in.findings() {
		i, _ := in.indicator(f.Indicator)
		decides := ""
		if full, some := i.knockout(f); full {
			decides = "alone"
		} else if some {
			decides = "half"
		}
		remedy := f.Remedy
		if remedy == "" {
			remedy = i.Remedy
		}
		rows = append(rows, []string{
			in.name(), a.Target, a.Vendor, a.Model, a.Firmware, a.Grade.String(), fmt.Sprintf("%.1f", a.Risk), fmt.Sprintf("%.3f", a.Coverage), stamp(a.Ended), a.Rubric,
			f.Indicator, f.Module.String(), f.Outcome.String(), f.Confidence.String(), decides, in.word("indicator."+f.Indicator, i.Title), f.Title,
			strings.Join(cuts(f.Evidence, maxEvidence), " | "), remedy, i.standards(), f.Source, stamp(f.Time),
		})
	}
	return writeCSV(csv.NewWriter(w), rows)
}

// stamp writes a time for machines, "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
