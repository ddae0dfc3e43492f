package credential

import (
	"fmt"
	"slices"

	"github.com/ringwall/ringwall"
)

// Findings turns a report into answers on known credentials (AP-01), on a
// forced change (AP-02) and, when it was seen, on resistance to guessing
// (AP-03).
func (r Report) Findings() []ringwall.Finding {
	out := []ringwall.Finding{r.known()}
	switch {
	case r.Hit != nil && r.Forced:
		out = append(out, ringwall.Finding{
			Indicator: "AP-02", Outcome: ringwall.Pass, Confidence: ringwall.Confirmed,
			Title:    r.Service.Name + " does nothing with its default password but have it changed",
			Evidence: []string{r.Hit.String() + " opens a page that sets a new password, and nothing else"},
		})
	case r.Hit != nil:
		out = append(out, ringwall.Finding{
			Indicator: "AP-02", Outcome: ringwall.Fail, Confidence: ringwall.Observed,
			Title:    r.Service.Name + " works with a default password: nothing forces its change",
			Evidence: []string{r.Hit.String() + " is in use"},
		})
	}
	switch {
	case r.Locked:
		out = append(out, ringwall.Finding{
			Indicator: "AP-03", Outcome: ringwall.Pass, Confidence: ringwall.Observed,
			Title:    r.Service.Name + " stops guessing",
			Evidence: []string{fmt.Sprintf("it locked or asked to wait after the control and %d known credentials", r.Tried)},
		})
	case r.Slowed:
		out = append(out, ringwall.Finding{
			Indicator: "AP-03", Outcome: ringwall.Pass, Confidence: ringwall.Observed,
			Title:    r.Service.Name + " slows guessing down",
			Evidence: []string{fmt.Sprintf("after the control and %d known credentials its refusals took far longer than the first", r.Tried)},
		})
	}
	return out
}

func (r Report) known() ringwall.Finding {
	f := ringwall.Finding{Indicator: "AP-01", Evidence: slices.Clone(r.Evidence), Facts: map[string]string{
		"service": r.Service.Key, "tried": fmt.Sprint(r.Tried), "of": fmt.Sprint(r.Of),
	}}
	switch {
	case r.Hit != nil && r.Forced:
		// It lets nobody use it, but whoever comes first sets the password.
		f.Outcome, f.Confidence = ringwall.Partial, ringwall.Confirmed
		f.Title = fmt.Sprintf("%s takes %v, but only to set a new password", r.Service.Name, *r.Hit)
		f.Facts["pair"] = fmt.Sprint(r.Hit.N)
	case r.Hit != nil:
		f.Outcome, f.Confidence = ringwall.Fail, ringwall.Confirmed
		f.Title = fmt.Sprintf("%s lets in %v", r.Service.Name, *r.Hit)
		f.Facts["pair"] = fmt.Sprint(r.Hit.N)
		f.Facts["user"] = r.Hit.User
	case r.Decoy:
		f.Title = r.Service.Name + " lets in what it must not, so its answers on credentials say nothing"
		f.Confidence = ringwall.Observed
	case r.Tried+r.Earlier >= min(enough, r.Of) && !r.Locked && !r.Shaky:
		f.Outcome, f.Confidence = ringwall.Pass, ringwall.Observed
		f.Title = fmt.Sprintf("%s refused the %d likeliest default credentials", r.Service.Name, r.Tried+r.Earlier)
	default:
		f.Title = fmt.Sprintf("%s: too few default credentials could be tried to say", r.Service.Name)
		f.Confidence = ringwall.Observed
	}
	if r.Hit == nil && !r.Decoy {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d of %d known credentials were tried", r.Tried, r.Of))
		if r.Earlier > 0 {
			f.Evidence = append(f.Evidence, fmt.Sprintf("%d were refused earlier, and are not tried again so soon", r.Earlier))
		}
		if r.Stopped != "" {
			f.Evidence = append(f.Evidence, "no more, because "+r.Stopped)
		}
	}
	return f
}
