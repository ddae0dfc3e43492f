package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Explanation is a verdict with the way to it, in words for people.
type Explanation struct {
	Verdict Verdict `json:"verdict"`
	// Summary says what is done and why.
	Summary string `json:"summary"`
	// Source says where the deciding term came from, "" without one.
	Source string `json:"source,omitempty"`
	// Steps are the terms that speak of the flow, or almost do, in their order.
	Steps []Step `json:"steps"`
	// Otherwise says what would have to change for another verdict.
	Otherwise []string `json:"otherwise"`
}

// Step is what one term says of the flow.
type Step struct {
	Term    string     `json:"term"`
	Action  api.Action `json:"action"`
	Answer  string     `json:"answer"` // "yes", "maybe" (what stands inside decides), "no"
	Because string     `json:"because"`
	Source  string     `json:"source,omitempty"`
}

// maxSteps bounds the terms that are told of.
const maxSteps = 50

// Explain says how Decide comes to its verdict.
func (s *Site) Explain(d *api.DevicePolicy, r ringwall.Restriction, f *Flow) Explanation {
	x := Explanation{Verdict: decide(d, r, s, f), Steps: []Step{}, Otherwise: []string{}}
	v := &x.Verdict
	in, mode := standing(d, r, s.Stale)
	terms := d.Terms
	if in == ringwall.Quarantine {
		terms = s.Remediation
	}
	p := newProbe(f, s, d)
	p.quarantined, p.gateway = in == ringwall.Quarantine, f.Gateway && in != ringwall.Quarantine
	var near []string
	for i := range terms {
		t := &terms[i]
		if t.ID == v.Term {
			x.Source = Source(t)
		}
		step, missing := p.step(t)
		if missing > 1 || in >= ringwall.Cutoff {
			continue
		}
		if missing == 1 && t.Action == api.Allow {
			near = append(near, fmt.Sprintf("term %q would allow it, but %s", t.ID, step.Because))
		}
		if len(x.Steps) < maxSteps {
			x.Steps = append(x.Steps, step)
		}
	}
	x.Summary = summary(v, f, mode)
	x.Otherwise = append(x.Otherwise, otherwise(v, d, f, r, s.Stale)...)
	if !v.Pass || v.Would {
		x.Otherwise = append(x.Otherwise, near[:min(len(near), 8)]...)
	}
	return x
}

// Source says in words where a term came from.
func Source(t *api.Term) string {
	kind, rest, _ := strings.Cut(t.Why, ":")
	switch kind {
	case "":
		return ""
	case "class":
		return "what every device of class " + strconv.Quote(rest) + " needs, or never needs"
	case "learned":
		return "learned from what the device was seen to do"
	case "owner":
		return "said by its owner"
	case "group":
		return "a group it belongs to" + tail(rest)
	case "function":
		return "what its SIM is for"
	case "mud":
		return "its manufacturer's usage description" + tail(rest)
	}
	return t.Why
}

func tail(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// step says how a term compares, and how many of its parts do not match.
func (p *probe) step(t *api.Term) (Step, int) {
	s := Step{Term: t.ID, Action: t.Action, Answer: "yes", Because: "all of it matches", Source: Source(t)}
	var not []string
	miss := func(format string, args ...any) { not = append(not, fmt.Sprintf(format, args...)) }
	if p.from && t.Direction != api.FromDevice || p.to && t.Direction != api.ToDevice || t.Gateway != p.gateway {
		return s, 2 // it is about something else altogether
	}
	if t.Proto != "any" && t.Proto != p.f.Proto {
		miss("it is about %s, not %s", t.Proto, p.f.Proto)
	}
	if len(t.Ports) > 0 && !p.ported {
		miss("it is about ports, which %s has none of", p.f.Proto)
	} else if len(t.Ports) > 0 && !inPorts(t.Ports, p.port) {
		miss("port %d is not among %s", p.port, PortsText(t.Ports))
	}
	if ok, _ := p.end(t); !ok {
		miss("%s", p.endMiss(t))
	}
	deny := t.Action == api.Deny
	if t.Window != nil && !openAt(t.Window, p.f.At, p.site.Zones, deny) {
		miss("its window (%s) is closed", WindowText(t.Window))
	}
	if t.Who != nil && !runs(t.Who, p.f.Program, deny) {
		miss("it is about another program, or nobody can tell which program it is")
	}
	if t.Inside != nil && len(not) == 0 {
		switch {
		case !carries(p.f.Proto, t.Inside.Proto):
			miss("%s does not run over %s", t.Inside.Proto, p.f.Proto)
		case p.quarantined && !deny:
			miss("nobody looks inside in quarantine")
		default:
			switch look(t, p.f.Inside) {
			case no:
				miss("what stands inside (%s) is not what it asks for (%s)", seenText(p.f.Inside), insideText(t.Inside))
			case maybe:
				s.Answer, s.Because = "maybe", "it depends on what stands inside: "+insideText(t.Inside)
			}
		}
	}
	if len(not) > 0 {
		s.Answer, s.Because = "no", strings.Join(not, ", and ")
	}
	return s, len(not)
}

func (p *probe) endMiss(t *api.Term) string {
	switch {
	case t.Domain != "" && !p.from:
		return "a name cannot say who opens a flow"
	case t.Domain != "" && len(p.f.Names) == 0:
		return fmt.Sprintf("the device did not find %s by a name, and the term is about %s", p.addr, t.Domain)
	case t.Domain != "":
		return fmt.Sprintf("%s is not %s", strings.Join(p.f.Names, ", "), t.Domain)
	case t.Device != "", t.Local, t.SameMaker:
		return fmt.Sprintf("%s is not the %s it is about", endOf(p.f), endText(t))
	case t.Controller != "":
		return fmt.Sprintf("%s does not fill the role %q here", endOf(p.f), t.Controller)
	}
	return fmt.Sprintf("%s is not in %s", p.addr, t.CIDR)
}

func endOf(f *Flow) string {
	switch {
	case f.Gateway:
		return "the gateway"
	case f.RemoteDevice != "":
		return "device " + string(f.RemoteDevice)
	case len(f.Names) > 0:
		return strings.Join(f.Names, ", ") + " (" + f.Remote.Addr().String() + ")"
	}
	return f.Remote.Addr().String()
}

func summary(v *Verdict, f *Flow, mode ringwall.Mode) string {
	what := f.Proto + " to " + endOf(f)
	if f.Direction == api.ToDevice {
		what = f.Proto + " from " + endOf(f)
	}
	port := f.Remote.Port()
	if f.Direction == api.ToDevice {
		port = f.Local.Port()
	}
	if f.Proto == "tcp" || f.Proto == "udp" {
		what += " on port " + strconv.Itoa(int(port))
	}
	does := "is refused"
	switch {
	case v.Would:
		does = "passes, since the mode is shadow, and would be refused"
	case v.Inspect:
		does = "is looked into before it is let pass or refused"
	case v.Pass:
		does = "passes"
	}
	why := map[string]string{
		ReasonAllow:       "term %q allows it",
		ReasonDeny:        "term %q denies it, and no allow outweighs a deny",
		ReasonDefault:     "no term speaks of it, and what is not allowed is refused",
		ReasonInbound:     "no term lets others open such a flow to the device",
		ReasonLearn:       "the device is in mode learn, in which nothing is refused",
		ReasonQuarantine:  "the device is in quarantine and the remediation set does not hold it",
		ReasonCutoff:      "the device is cut off",
		ReasonRemediation: "the device is in quarantine and term %q of the remediation set holds it",
		ReasonIPv6:        "IPv6 is closed to a device without IPv6 addresses of its own",
		ReasonMalformed:   "the other end has no address",
		ReasonGateway:     "the gateway offers such a service to no device that has no term for it",
		ReasonInspect:     "what stands inside decides, as term %q says",
	}[v.Reason]
	if v.Reason == ReasonGateway && v.Pass {
		why = "the gateway opens it itself"
	}
	if strings.Contains(why, "%q") {
		why = fmt.Sprintf(why, v.Term)
	}
	out := what + " " + does + ": " + why
	if v.Limit != nil {
		out += ", up to " + LimitText(v.Limit)
	}
	if mode == ringwall.Shadow && v.Pass && !v.Would && v.Reason == ReasonAllow {
		out += " (in mode enforce too)"
	}
	return out
}

// otherwise says what would have to change.
func otherwise(v *Verdict, d *api.DevicePolicy, f *Flow, r ringwall.Restriction, stale bool) []string {
	switch v.Reason {
	case ReasonAllow:
		return []string{fmt.Sprintf("it would be refused by a term that denies it, or without term %q and any other that allows it", v.Term)}
	case ReasonDeny:
		return []string{fmt.Sprintf("term %q would have to go or to be narrowed; a term that allows it changes nothing", v.Term)}
	case ReasonDefault, ReasonInbound, ReasonGateway:
		if v.Pass && v.Reason == ReasonGateway {
			return nil
		}
		return []string{"a term would have to allow it: " + suggest(f)}
	case ReasonCutoff, ReasonQuarantine:
		var out []string
		if r != ringwall.Unrestricted {
			out = append(out, "the hold that restricts the device would have to be released")
		}
		if restrictionOf(d.Trust, d.Mode) != ringwall.Unrestricted {
			out = append(out, "its trust would have to rise above "+d.Trust.String())
		}
		if stale && d.Fail == "closed" {
			out = append(out, "the gateway would have to hear from the platform again: its document is older than it may be")
		}
		return out
	case ReasonIPv6:
		return []string{"the device would have to be given IPv6 addresses in its policy"}
	case ReasonInspect:
		return []string{"an inspector has to look inside; where there is none it is refused"}
	}
	return nil
}

// suggest returns the least term that would allow f, in JSON.
func suggest(f *Flow) string {
	t := api.Term{Action: api.Allow, Direction: f.Direction, Proto: f.Proto}
	port := f.Remote.Port()
	if f.Direction == api.ToDevice {
		port = f.Local.Port()
	}
	if f.Proto == "tcp" || f.Proto == "udp" {
		t.Ports = []api.PortRange{{First: port, Last: port}}
	}
	switch a := f.Remote.Addr().Unmap().WithZone(""); {
	case f.Gateway:
		t.Gateway = true
	case f.RemoteDevice != "":
		t.Device = f.RemoteDevice
	case len(f.Names) > 0 && f.Direction == api.FromDevice:
		t.Domain = f.Names[0]
	case a.IsValid():
		t.CIDR = netip.PrefixFrom(a, a.BitLen())
	}
	t.ID = "new"
	if Check(t) != nil {
		return "no term can speak of protocol " + strconv.Quote(f.Proto)
	}
	return TermText(&t)
}
