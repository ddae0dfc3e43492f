package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ringwall/ringwall/api"
)

// showCard writes all that is known of a card.
func showCard(w io.Writer, c api.SIMCard) {
	s := c.SIM
	row(w, "id", s.ID)
	row(w, "ICCID", s.ICCID)
	row(w, "IMSI", s.IMSI)
	row(w, "state", stateOf(s))
	if r := s.Restriction; r != nil {
		row(w, "restricted to", restrictionText(*r))
	}
	row(w, "customer", strings.TrimSpace(dash(s.Customer)+" "+s.Tariff))
	row(w, "seller", dash(s.Seller))
	row(w, "device", dash(string(s.Device)))
	binding := c.Binding.State
	if !c.Binding.Since.IsZero() {
		binding += " since " + when(c.Binding.Since)
	}
	row(w, "binding", binding)
	row(w, "bound to", dash(s.BoundIMEI))
	row(w, "seen in", dash(s.SeenIMEI))
	if len(c.Binding.Pools) > 0 {
		row(w, "pools", strings.Join(c.Binding.Pools, ", "))
	}
	if c.Binding.Swap != "" {
		row(w, "planned swap", c.Binding.Swap, "until", when(c.Binding.Until))
	}
	row(w, "services", strings.Join(s.Services, ", "))
	row(w, "peers", dash(strings.Join(s.Peers, ", ")))
	if c.Profile != nil {
		row(w, "profile", fmt.Sprintf("%s, version %d, %s at the operator", c.Profile.Profile.Name, c.Profile.Version, c.Profile.State))
	}
	row(w, "judged by", settingsText(c.Settings))
	row(w, "usage", fmt.Sprintf("%d bytes in %d records, last %s", s.Bytes, s.Records, when(s.LastUsage)))
	for _, span := range []struct {
		name string
		c    api.UsageCurve
		from time.Time
	}{{"last day", c.Hours, c.Hours.To.Add(-24 * time.Hour)}, {"14 days", c.Hours, time.Time{}}, {"13 months", c.Days, time.Time{}}} {
		row(w, "  "+span.name, sumText(span.c, span.from))
	}
	if line := sparkline(c.Hours); line != "" {
		row(w, "  hourly", line)
	}
	for _, p := range c.Places {
		row(w, "place", strings.TrimSpace("area "+dash(p.Area)+" cell "+dash(p.Cell)+" "+p.PLMN), fmt.Sprintf("%d records", p.Count), when(p.Last))
	}
	for _, a := range c.Alerts {
		row(w, "alert", when(a.Time), a.Severity, a.Rule, a.Title, verdictText(a), a.ID)
		for _, other := range a.With {
			row(w, "", "with", other)
		}
	}
	for _, e := range c.Except {
		row(w, e.Kind, dash(strings.Join(e.Rules, ",")), "until "+when(e.Until), e.Reason, e.ID)
	}
	for _, i := range c.Open {
		row(w, "incident", i.Severity, i.Status, i.ID)
	}
	for _, r := range c.Acts {
		row(w, "response", r.Kind, r.Status, r.By, r.ID)
	}
	proven := "as far as the platform saw"
	if c.Proven {
		proven = "proven by the ledger"
	}
	row(w, "custody", proven)
	for _, e := range c.Custody {
		row(w, "  "+when(e.Time), e.What, e.By, e.Text)
	}
}

func verdictText(a api.SIMAlert) string {
	switch {
	case a.Disposition != "":
		return "decided " + a.Disposition
	case a.Muted != "":
		return "kept quiet: " + a.Muted
	}
	return "not decided"
}

func settingsText(s api.UsageSettings) string {
	if s.Version == 0 {
		return "the defaults"
	}
	whose := strings.Trim(s.Customer+" "+s.Tariff, " ")
	if whose == "" {
		whose = "everybody"
	}
	return fmt.Sprintf("settings of %s, version %d", whose, s.Version)
}

func restrictionText(r api.SIMRestriction) string {
	var parts []string
	if r.Rate > 0 {
		parts = append(parts, fmt.Sprintf("%d bit/s", r.Rate))
	}
	if len(r.Services) > 0 {
		parts = append(parts, "no "+strings.Join(r.Services, ", "))
	}
	if len(r.APNs) > 0 {
		parts = append(parts, "access points "+strings.Join(r.APNs, ", "))
	}
	return strings.Join(parts, "; ")
}

func sumText(c api.UsageCurve, from time.Time) string {
	var p api.UsagePoint
	for _, x := range c.Points {
		if x.Time.Before(from) {
			continue
		}
		p.Up, p.Down, p.Calls, p.Messages, p.Records = p.Up+x.Up, p.Down+x.Down, p.Calls+x.Calls, p.Messages+x.Messages, p.Records+x.Records
	}
	return fmt.Sprintf("%d bytes up, %d down, %d calls, %d messages, %d records", p.Up, p.Down, p.Calls, p.Messages, p.Records)
}

// sparkline draws the last two days of a curve of hours, a character an hour.
func sparkline(c api.UsageCurve) string {
	const hours = 48
	if len(c.Points) == 0 || c.To.IsZero() {
		return ""
	}
	var v [hours]uint64
	var most uint64
	first := c.To.Truncate(time.Hour).Add(-(hours - 1) * time.Hour)
	for _, p := range c.Points {
		if i := int(p.Time.Sub(first) / time.Hour); i >= 0 && i < hours && !p.Time.Before(first) {
			v[i] += p.Up + p.Down
			most = max(most, v[i])
		}
	}
	if most == 0 {
		return ""
	}
	bars := []rune(" ▁▂▃▄▅▆▇█")
	out := make([]rune, hours)
	for i, n := range v {
		out[i] = bars[(n*uint64(len(bars)-1)+most-1)/most]
	}
	return string(out)
}
