package assess

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// What Ringwall can do itself with one act.
const (
	DoChangePassword = "change-password"
	DoClosePort      = "close-port"
)

// RemedialID is the id of the task on one indicator of one device: the same
// finding never makes two.
func RemedialID(d ringwall.DeviceID, indicator string) ringwall.RemedialID {
	return ringwall.RemedialID(ringwall.DeriveID(ringwall.PrefixRemedial, string(d), indicator))
}

// time that a party has, by how bad the finding is.
const (
	dueKnockout = 7 * 24 * time.Hour
	dueHigh     = 30 * 24 * time.Hour
	dueRest     = 90 * 24 * time.Hour
)

// Remedials returns the tasks that would better a result, one an indicator that
// was measured to fail or is half met, those that decide the grade first. The
// services are those that are open: a port to close is named from the finding
// or from them. They are derived: the same result gives the same tasks, and a
// task whose finding is gone is measured to be done.
func Remedials(r *Rubric, res Result, device ringwall.DeviceID, services []api.Service, now time.Time) []api.Remedial {
	type ranked struct {
		api.Remedial
		weight int
	}
	var out []ranked
	for i := range res.Settled {
		f := &res.Settled[i]
		n, ok := r.index[f.Indicator]
		if !ok || f.Outcome != ringwall.Fail && f.Outcome != ringwall.Partial || f.Outcome == ringwall.Partial && r.Apart(f.Indicator) {
			continue
		}
		in := r.Indicators[n]
		t := api.Remedial{
			ID: RemedialID(device, in.ID), Device: device, Indicator: in.ID, Party: cmp.Or(in.Party, ringwall.PartOwner),
			Title: f.Title, Remedy: cmp.Or(f.Remedy, in.Remedy), Effort: in.Effort, Status: "open", Opened: now, Due: now.Add(dueRest),
		}
		weight := in.Weight
		if f.Outcome == ringwall.Partial {
			weight /= 2
		} else {
			t.Do, t.Target = act(in, f, services)
			switch k := in.knockout(f); {
			case k == Full && f.Confidence == ringwall.Confirmed:
				weight, t.Due = weight+200, now.Add(dueKnockout)
			case k == Half && f.Confidence == ringwall.Confirmed:
				weight, t.Due = weight+100, now.Add(dueKnockout)
			case slices.Contains(res.Missing, in.ID):
				weight, t.Due = weight+50, now.Add(dueHigh)
			}
		}
		out = append(out, ranked{t, weight})
	}
	slices.SortStableFunc(out, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.Indicator, b.Indicator))
	})
	tasks := make([]api.Remedial, 0, len(out))
	for _, t := range out {
		tasks = append(tasks, t.Remedial)
	}
	return tasks
}

// act returns what Ringwall can do about a finding, and on what. An act without
// a target that is known is none.
func act(in Indicator, f *ringwall.Finding, services []api.Service) (do, target string) {
	switch in.Do {
	case DoChangePassword:
		// A password can be changed where the known one was proven, through ONVIF.
		if s := f.Facts["service"]; s != "" && in.ID == "AP-01" {
			return in.Do, s
		}
	case DoClosePort:
		if t := f.Facts["port"]; t != "" {
			if !strings.Contains(t, "/") {
				t = "tcp/" + t
			}
			return in.Do, t
		}
		for _, s := range services {
			if slices.Contains(culprits(in.ID), s.Name) {
				return in.Do, fmt.Sprintf("%s/%d", cmp.Or(s.Proto, "tcp"), s.Port)
			}
		}
	}
	return "", ""
}

// culprits are the services that an indicator on open ports is about.
func culprits(indicator string) []string {
	switch indicator {
	case "CO-02":
		return []string{"telnet", "ftp"}
	case "CO-03":
		return []string{"ssh"}
	case "CO-04":
		return []string{"upnp", "ssdp"}
	case "CO-10":
		return []string{"snmp"}
	}
	return nil
}

// Settle returns the tasks that stand after a new result: those of before keep
// their state, new ones are opened, and those whose finding is gone are done if
// it was measured that they are. What nobody looked at again stays as it was.
func Settle(r *Rubric, before []api.Remedial, res Result, device ringwall.DeviceID, services []api.Service, now time.Time) []api.Remedial {
	fresh := Remedials(r, res, device, services, now)
	measured := map[string]bool{}
	for i := range res.Settled {
		if f := &res.Settled[i]; r.rank(f) > said {
			measured[f.Indicator] = true
		}
	}
	out := make([]api.Remedial, 0, len(fresh)+len(before))
	for _, t := range fresh {
		if i := slices.IndexFunc(before, func(b api.Remedial) bool { return b.ID == t.ID }); i >= 0 {
			old := before[i]
			t.Opened, t.Due, t.Note, t.Status, t.Updated = old.Opened, old.Due, old.Note, old.Status, old.Updated
			if old.Status == "done" { // it came back
				t.Status, t.Opened, t.Due, t.Updated = "open", now, now.Add(t.Due.Sub(old.Opened)), now
			}
		}
		out = append(out, t)
	}
	for _, old := range before {
		if slices.ContainsFunc(fresh, func(t api.Remedial) bool { return t.ID == old.ID }) {
			continue
		}
		if measured[old.Indicator] && old.Status != "done" {
			old.Status, old.Updated = "done", now
		}
		out = append(out, old)
	}
	return out
}
