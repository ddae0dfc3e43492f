package assess

import (
	"cmp"
	"slices"
	"time"
)

// Step is one probe at one device, as it would run.
type Step struct {
	Target    string    `json:"target"`
	Addr      string    `json:"addr"`
	Probe     string    `json:"probe"`
	Title     string    `json:"title"`
	Sends     string    `json:"sends"`
	Intrusion Intrusion `json:"intrusion"`
	// To are the ports it speaks to: those it always does, and "services NAME" for
	// each kind of service that it speaks to where the port scan finds one.
	To    []string      `json:"to"`
	Tries int           `json:"tries"` // wrong passwords at most, within what the budget leaves
	Rate  int           `json:"rate"`  // connections and datagrams a second at most
	Most  time.Duration `json:"most"`  // time at most
	Runs  bool          `json:"runs"`
	Why   string        `json:"why,omitempty"` // when it does not run
}

// Plan returns what Run would do, probe by probe for each target, without
// sending anything. Probes that would not run are listed with the reason. It is
// an error, as it is of Run, when the Consent does not cover a target.
func (r *Runner) Plan(targets []Target) ([]Step, error) {
	if r.Consent != nil {
		if err := r.Consent.check(targets); err != nil {
			return nil, err
		}
	}
	budget := r.Budget.withDefaults()
	rate := cmp.Or(max(r.Rate, 0), defaultRate)
	var out []Step
	for _, t := range targets {
		for _, p := range r.Probes {
			def := p.Def()
			s := Step{
				Target: t.Name, Addr: t.Addr.String(), Probe: def.ID, Title: def.Title, Sends: def.Sends, Intrusion: def.Intrusion,
				To: slices.Clone(def.Reaches), Rate: rate, Most: min(cmp.Or(def.Within, defaultWithin), cmp.Or(r.PerDevice, defaultPerDevice)),
			}
			if def.Rate > 0 && (def.Rate < rate || r.Rate == 0) {
				s.Rate = def.Rate // what it states of itself binds it
			}
			for _, n := range def.Needs {
				s.To = append(s.To, "services "+n)
			}
			if def.Intrusion >= LogsIn {
				most := max(budget.PerAddress, budget.PerService, budget.PerTelnet)
				s.Tries = min(cmp.Or(def.Tries, most), most)
			}
			may, _ := r.mayRun(def, &Env{})
			switch {
			case may:
				s.Runs = true
			case def.Optional && !slices.Contains(r.Also, def.ID):
				s.Why = "it runs only when it is asked for by name"
			default:
				s.Why = "it goes further than allowed: it " + def.Intrusion.String()
			}
			out = append(out, s)
		}
	}
	return out, nil
}
