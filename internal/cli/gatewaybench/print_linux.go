package gatewaybench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Print writes a report as tables.
func Print(w io.Writer, r Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s, %s\n", r.Machine, r.Date.Format("2006-01-02 15:04 UTC"))
	if len(r.Speed) > 0 {
		fmt.Fprintf(t, "%d rounds of %s each, in turn; ratios to plain forwarding in the same round: median (quartiles)\n\n", r.Rounds, r.Slot)
		fmt.Fprintln(t, "workload\tdevices\tgateway\trate\tratio\t\tloss\ttaps saw\t")
	}
	last := ""
	for _, s := range r.Speed {
		if key := fmt.Sprint(s.Workload, s.Devices); key != last {
			if last != "" {
				fmt.Fprintln(t, "\t\t\t\t\t\t\t\t")
			}
			last = key
		}
		tapped := ""
		if s.Tapped > 0 {
			tapped = fmt.Sprintf("%.1f %%", 100*s.Tapped)
		}
		name := s.Contender
		if s.Note != "" {
			name += " (" + s.Note + ")"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%.3f\t(%.3f to %.3f)\t%.2f %%\t%s\t\n", s.Workload, s.Devices, name, rate(s), s.Ratio, s.Low, s.High, 100*s.Loss, tapped)
	}
	if len(r.Change) > 0 {
		fmt.Fprintln(t)
		for _, f := range r.Change {
			fmt.Fprintf(t, "%s\t%.6g %s\t%s\n", f.What, f.Value, f.Unit, f.Of)
		}
	}
	if len(r.Bars) > 0 {
		fmt.Fprintln(t)
		for _, b := range r.Bars {
			word := "holds"
			if !b.Holds {
				word = "MISSED"
			}
			fmt.Fprintf(t, "%s\t%.4g\t%s\t%s\n", b.What, b.Value, b.Want, word)
		}
	}
	return t.Flush()
}

func rate(s Row) string {
	switch s.Workload {
	case Stream:
		return fmt.Sprintf("%.2f Gb/s", 8*s.Rate/1e9)
	case Flows:
		return fmt.Sprintf("%.0f k flows/s", s.Rate/1e3)
	}
	return fmt.Sprintf("%.0f kpps", s.Rate/1e3)
}

// bars holds the report against what is demanded.
func bars(r Report) (out []Bar) {
	row := func(workload string, devices int, name string) *Row {
		for i, s := range r.Speed {
			if s.Workload == workload && s.Devices == devices && s.Contender == name {
				return &r.Speed[i]
			}
		}
		return nil
	}
	for _, workload := range []string{Small, SmallAll} {
		for _, x := range []struct {
			name, to string
			want     float64
		}{{tapOff, tracking, 0.9}, {tapOn, tracking, 0.8}, {fastPath, plain, 0.95}} {
			a, b := row(workload, 10_000, x.name), row(workload, 10_000, x.to)
			if a == nil || b == nil {
				continue
			}
			v := a.Ratio / b.Ratio
			out = append(out, Bar{What: fmt.Sprintf("%s, 10,000 devices × %d, %s, to %s", x.name, Destinations, workload, x.to), Want: fmt.Sprintf("at least %.2f", x.want), Value: v, Holds: v >= x.want})
		}
	}
	for _, f := range r.Change {
		if want, ok := limits[f.What]; ok {
			out = append(out, Bar{What: f.What, Want: fmt.Sprintf("at most %g %s", want, f.Unit), Value: f.Value, Holds: f.Value <= want})
		}
	}
	return out
}
