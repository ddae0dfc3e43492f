package incident

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// view is what a part is entitled to see of an incident.
type view struct {
	network   bool // alerts of the device's packets
	addresses bool // with the addresses and names in them
	sim       bool // alerts of the SIM
	owner     bool // whose device it is and what its owner calls it
	model     bool // which model it is
	responses []string
	notes     bool // what analysts wrote
}

// views lists what each part sees; a part that is not in it sees nothing. An
// organisation that plays several parts sees what each is shown, one by one.
func viewOf(part ringwall.Part) (view, bool) {
	all := []string{Quarantine, Cutoff, SIMSuspend, SIMRestrict}
	switch part {
	case ringwall.PartOwner, ringwall.PartEnterprise, ringwall.PartAuditor, ringwall.PartPlatform:
		return view{network: true, addresses: true, sim: true, owner: true, model: true, responses: all, notes: true}, true
	case ringwall.PartIntegrator:
		// installs and repairs: needs the whereabouts in the network, not the card
		return view{network: true, addresses: true, owner: true, model: true, responses: []string{Quarantine, Cutoff}}, true
	case ringwall.PartProvider, ringwall.PartApplication:
		// their service is cut with the device: they learn that and why, not who called whom
		return view{network: true, owner: true, model: true, responses: all}, true
	case ringwall.PartOperator:
		// the card is theirs; that its device attacked, and how, is why they are asked to act
		return view{network: true, sim: true, responses: []string{SIMSuspend, SIMRestrict}}, true
	case ringwall.PartManufacturer:
		return view{network: true, model: true}, true
	}
	return view{}, false
}

// Project returns the incident as a party playing this part may see it, and
// whether it may see it at all. No part sees a subscriber number.
func Project(in Incident, part ringwall.Part) (api.Incident, bool) {
	v, ok := viewOf(part)
	if !ok || !in.Listed() || part == ringwall.PartOperator && in.SIM == "" && in.Subject.Kind != ringwall.SubjectSIM {
		return api.Incident{}, false
	}
	if !v.sim && in.ofSIMAlone() {
		return api.Incident{}, false
	}
	out := in.clone().Incident
	out.Alerts, out.Story, out.Responses = []ringwall.Alert{}, []api.StoryLine{}, []api.Response{}
	v.name(in, &out)
	shown := map[string]Group{}
	for _, g := range in.Groups {
		if g.SIM && !v.sim || !g.SIM && !v.network {
			continue
		}
		shown[string(g.Alert)] = g
		if i := slices.IndexFunc(in.Alerts, func(a ringwall.Alert) bool { return a.ID == g.Alert }); i >= 0 {
			out.Alerts = append(out.Alerts, v.alert(in.Alerts[i], out.Subject))
		}
	}
	for _, r := range in.Responses {
		if slices.Contains(v.responses, r.Kind) {
			out.Responses = append(out.Responses, v.response(r))
		}
	}
	for _, l := range in.Story {
		if l, ok := v.line(l, shown, out); ok {
			out.Story = append(out.Story, l)
		}
	}
	return out, true
}

// ofSIMAlone reports whether nothing was said but of the card. A caller that
// lists incidents may give the embedded part alone, without groups: then its
// alerts tell, and when it has none the subject.
func (in Incident) ofSIMAlone() bool {
	switch {
	case len(in.Groups) > 0:
		return !slices.ContainsFunc(in.Groups, func(g Group) bool { return !g.SIM })
	case len(in.Alerts) > 0:
		return !slices.ContainsFunc(in.Alerts, func(a ringwall.Alert) bool { return a.Subject.Kind != ringwall.SubjectSIM })
	}
	return in.Subject.Kind == ringwall.SubjectSIM
}

// name says whose and what device it is, as far as the part may know.
func (v view) name(in Incident, out *api.Incident) {
	if !v.sim {
		out.SIM = ""
	}
	if v.owner {
		return
	}
	out.Org = ""
	if v.model {
		out.Name = strings.TrimSpace(in.Vendor + " " + in.Model + " " + in.Firmware)
		// The same device gives another id in each incident, so that a
		// manufacturer cannot follow one owner's device through time.
		out.Subject.ID = ringwall.DeriveID(ringwall.PrefixDevice, string(in.ID), in.Subject.ID)
		return
	}
	out.Name = ""
	out.Subject = ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(in.SIM)}
	if in.Subject.Kind == ringwall.SubjectSIM {
		out.Subject.ID = in.Subject.ID
	}
}

// brief lists facts that name nobody.
var brief = []string{
	"role", "targets", "unanswered", "peers", "calls", "rate", "window", "period", "service", "protocol", "kind", "by", "direction",
	"ports", "port", "stream", "seenTac", "boundTac", "binding",
}

func (v view) alert(a ringwall.Alert, subject ringwall.Subject) ringwall.Alert {
	sim := a.Subject.Kind == ringwall.SubjectSIM
	a.Evidence.Facts = maps.Clone(a.Evidence.Facts)
	maps.DeleteFunc(a.Evidence.Facts, identifying)
	if v.addresses && v.owner {
		return a
	}
	a.Org, a.Gateway = "", ""
	if sim && v.sim {
		return a
	}
	a.Subject = subject
	a.Peer = netip.Addr{}
	a.Title = Sentence(briefKey(a.Rule), map[string]string{"rule": a.Rule})
	a.Evidence.Packets, a.Evidence.Records = nil, nil
	maps.DeleteFunc(a.Evidence.Facts, func(k, value string) bool { return !slices.Contains(brief, k) || identifying(k, value) })
	return a
}

func briefKey(rule string) string {
	if _, ok := messages["story.brief."+rule]; ok {
		return "story.brief." + rule
	}
	return "story.brief.other"
}

// response hides who decided from those who are not the owner's.
func (v view) response(r api.Response) api.Response {
	if !v.addresses || !v.owner {
		r.Reason = "" // a person may have written anything
	}
	if !v.owner {
		r.Org = ""
		r.By, r.Decided = party(r.By), party(r.Decided)
		if !v.sim {
			r.Target = ringwall.Subject{Kind: r.Target.Kind}
		}
	}
	return r
}

// party replaces a person's id by the word for the side that person is on.
func party(by string) string {
	if by == "" || strings.HasPrefix(by, "rule:") || strings.HasPrefix(by, "reflex:") || strings.HasPrefix(by, "system:") {
		return by
	}
	return "owner"
}

// line returns a story line as the part may read it.
func (v view) line(l api.StoryLine, shown map[string]Group, out api.Incident) (api.StoryLine, bool) {
	params := make(map[string]string, len(l.Params))
	maps.Copy(params, l.Params)
	maps.DeleteFunc(params, identifying)
	l.Params = params
	switch {
	case strings.HasPrefix(l.Key, "story.alert."):
		g, ok := shown[l.Ref]
		if !ok {
			return l, false
		}
		if v.addresses && v.owner || g.SIM && v.sim {
			break // all of it; a SIM's evidence is the operator's own
		}
		return api.StoryLine{Time: l.Time, Key: briefKey(g.Rule), Params: map[string]string{"rule": g.Rule}, Text: Sentence(briefKey(g.Rule), map[string]string{"rule": g.Rule}), Ref: l.Ref}, true
	case strings.HasPrefix(l.Key, "story.response."):
		if !slices.ContainsFunc(out.Responses, func(r api.Response) bool { return string(r.ID) == l.Ref }) {
			return l, false
		}
		if !v.addresses || !v.owner {
			delete(l.Params, "reason")
		}
		if !v.owner {
			l.Params["by"] = party(l.Params["by"])
		}
	case strings.HasPrefix(l.Key, "story.note"), strings.HasPrefix(l.Key, "story.trust."), strings.HasPrefix(l.Key, "story.grade."), strings.HasPrefix(l.Key, "story.assessed."), strings.HasPrefix(l.Key, "story.finding."):
		if !v.notes {
			return l, false
		}
	case !v.owner && l.Params["by"] != "":
		l.Params["by"] = party(l.Params["by"])
	}
	if !v.owner && l.Params["device"] != "" {
		l.Params["device"] = "the device"
		if v.model && out.Name != "" {
			l.Params["device"] = out.Name
		}
	}
	l.Text = Sentence(l.Key, l.Params)
	return l, true
}
