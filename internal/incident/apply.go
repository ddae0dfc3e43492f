package incident

import (
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

const (
	maxPeers     = 4  // groups that say one thing; further peers are counted in the last of them
	maxResponses = 32 // kept in one incident; the oldest that ended go first
)

// Apply returns the incident after one input, and what has to happen because
// of it. open is the newest incident of the subject, or nil: an alert after it
// was closed begins another one. The result has no id when there is nothing to
// keep.
func Apply(open *Incident, in Input, cfg Config) (Incident, []Effect) {
	var cur Incident
	if open != nil {
		cur = open.clone()
	}
	if in.Alert != nil {
		return applyAlert(cur, in, cfg)
	}
	if cur.ID == "" {
		return cur, nil
	}
	cur.about(in.About)
	switch {
	case in.Response != nil:
		cur.respond(*in.Response, in.Now)
	case in.Assessed != nil:
		cur.assessed(*in.Assessed, in.Now)
	case in.Line != nil:
		if cur.Status == Closed {
			return cur, nil
		}
		cur.tell(api.StoryLine{Time: in.Line.Time, Key: in.Line.Key, Params: in.Line.Params, Ref: in.Line.Ref}, false)
	}
	return cur, cur.effects(in.Now, cfg)
}

func applyAlert(cur Incident, in Input, cfg Config) (Incident, []Effect) {
	a := *in.Alert
	if slices.Contains(cur.Seen, a.ID) {
		return cur, nil
	}
	if cur.Status == Closed {
		// What the closed one already told of is known by its id; all else is news.
		cur = Incident{}
	}
	if cur.ID == "" {
		if cur = begin(in, a); a.Nature == ringwall.NatureNotice || outside(cur.Subject) {
			return Incident{}, nil
		}
	}
	cur.about(in.About)
	cur.see(a.ID)
	isNew := cur.join(a)
	if cur.Status == Watching && !cur.forget(cfg.window()) {
		return Incident{}, nil
	}
	cur.weigh()
	cur.Updated = in.Now
	switch {
	case cur.Status == Watching && cur.opens(cfg):
		cur.Status, cur.Opened = New, in.Now
		cur.tell(api.StoryLine{Time: a.Time, Key: "story.opened", Params: map[string]string{"severity": cur.Severity.String()}, Ref: string(cur.ID)}, true)
	case cur.Status == Resolved && a.Nature == ringwall.NatureAttack && a.Time.After(cur.ResolvedAt):
		cur.Status, cur.ResolvedAt, cur.Compromised, cur.Act, cur.Fired = New, time.Time{}, time.Time{}, false, nil
		cur.tell(api.StoryLine{Time: a.Time, Key: "story.reopened", Ref: string(cur.ID)}, true)
	}
	if isNew && cur.Active() && a.Nature == ringwall.NatureAttack && (cur.Disposition == DispositionFalse || cur.Disposition == DispositionBenign) {
		cur.Disposition, cur.Disposed, cur.Fired = "", time.Time{}, nil
		cur.tell(api.StoryLine{Time: a.Time, Key: "story.doubted", Ref: string(cur.ID)}, true)
	}
	return cur, cur.effects(in.Now, cfg)
}

// begin makes the incident that alert a may become.
func begin(in Input, a ringwall.Alert) Incident {
	subject := in.About.Subject
	if subject == (ringwall.Subject{}) {
		subject = a.Subject
	}
	id := ringwall.DeriveID(ringwall.PrefixIncident, string(in.Org), string(subject.Kind), subject.ID, string(a.ID))
	return Incident{Incident: api.Incident{ID: ringwall.IncidentID(id), Org: in.Org, Subject: subject, Status: Watching}}
}

// isTarget reports whether an alert tells what is done to its subject, as
// package detect marks it.
func isTarget(a ringwall.Alert) bool { return a.Evidence.Facts["role"] == "target" }

// outside reports whether a subject is an address that is not behind a gateway:
// an attacker somewhere, of which an alert tells, and not a device that is ours
// to save. Else every scanner of the Internet would be an incident.
func outside(s ringwall.Subject) bool {
	a, err := netip.ParseAddr(s.ID)
	return s.Kind == ringwall.SubjectAddress && err == nil && !local(a)
}

// stageOf is the stage that an alert proves of its subject. What is done to a
// device does not say that the device does it: a port scan of a camera is
// somebody's try to get in, not the camera's propagation.
func stageOf(a ringwall.Alert) ringwall.Stage {
	if isTarget(a) && (a.Stage == ringwall.Command || a.Stage == ringwall.Propagation) {
		return ringwall.Infection
	}
	return a.Stage
}

// about keeps the newest that is known of the subject.
func (in *Incident) about(a About) {
	set := func(to *string, v string) {
		if v != "" {
			*to = v
		}
	}
	set(&in.Name, a.Name)
	set((*string)(&in.SIM), string(a.SIM))
	set(&in.Vendor, a.Vendor)
	set(&in.Model, a.Model)
	set(&in.Firmware, a.Firmware)
}

func (in *Incident) see(id ringwall.AlertID) {
	in.Seen = append(in.Seen, id)
	if n := len(in.Seen) - MaxSeen; n > 0 {
		in.Seen = slices.Delete(in.Seen, 0, n)
	}
}

// join counts alert a in its group, tells or retells its line, and reports
// whether it says something new.
func (in *Incident) join(a ringwall.Alert) bool {
	in.AlertCount++
	says, sim, target := templateOf(a), a.Subject.Kind == ringwall.SubjectSIM, isTarget(a)
	same, of := -1, 0
	for i, g := range in.Groups {
		if g.Rule != a.Rule || g.Says != says || g.SIM != sim || g.Target != target {
			continue
		}
		of++
		if g.Peer == a.Peer || of == maxPeers {
			same = i
			break
		}
	}
	if same < 0 {
		if len(in.Groups) >= MaxGroups {
			return false
		}
		in.Groups = append(in.Groups, Group{
			Rule: a.Rule, Says: says, Peer: a.Peer, SIM: sim, Target: target, Nature: a.Nature, Severity: a.Severity, Stage: stageOf(a),
			First: a.Time, Last: a.Time, Count: 1, Alert: a.ID,
		})
		in.Alerts = append(in.Alerts, a)
		in.tell(alertLine(a, in.Name, 1, a.Time), false)
		return true
	}
	g := &in.Groups[same]
	g.Count++
	if a.Time.Before(g.First) {
		g.First = a.Time
	}
	if a.Time.After(g.Last) {
		g.Last = a.Time
	}
	g.Severity, g.Stage = max(g.Severity, a.Severity), max(g.Stage, stageOf(a))
	if a.Nature == ringwall.NatureAttack {
		g.Nature = a.Nature
	}
	if i := slices.IndexFunc(in.Alerts, func(b ringwall.Alert) bool { return b.ID == g.Alert }); i >= 0 {
		in.retell(alertLine(in.Alerts[i], in.Name, g.Count, g.Last))
	}
	return false
}

// forget drops what a watched incident no longer counts, and reports whether
// anything is left.
func (in *Incident) forget(window time.Duration) bool {
	var newest time.Time
	for _, g := range in.Groups {
		if g.Last.After(newest) {
			newest = g.Last
		}
	}
	old := func(g Group) bool { return newest.Sub(g.Last) > window }
	for _, g := range in.Groups {
		if !old(g) {
			continue
		}
		in.AlertCount -= g.Count
		in.Alerts = slices.DeleteFunc(in.Alerts, func(a ringwall.Alert) bool { return a.ID == g.Alert })
		in.Story = slices.DeleteFunc(in.Story, func(l api.StoryLine) bool { return l.Ref == string(g.Alert) })
	}
	in.Groups = slices.DeleteFunc(in.Groups, old)
	return len(in.Groups) > 0
}

// respond takes over a response that was recorded or changed.
func (in *Incident) respond(r api.Response, now time.Time) {
	i := slices.IndexFunc(in.Responses, func(o api.Response) bool { return o.ID == r.ID })
	switch {
	case i < 0:
		in.Responses = append(in.Responses, r)
		if len(in.Responses) > maxResponses {
			if j := slices.IndexFunc(in.Responses, func(o api.Response) bool { return ended(o.Status) }); j >= 0 {
				in.Responses = slices.Delete(in.Responses, j, j+1)
			}
		}
	case reflect.DeepEqual(in.Responses[i], r):
		return
	default:
		in.Responses[i] = r
	}
	in.Updated = now
	in.tell(responseLine(r, in.Name), true)
	contained := in.contained()
	switch {
	case contained && (in.Status == New || in.Status == Triaged):
		in.Status = Contained
	case !contained && in.Status == Contained:
		in.Status = Triaged
	}
}

// contained reports whether what is in force stops what was said: the device's
// doing by a quarantine or cut-off, its SIM's by a suspension.
func (in *Incident) contained() bool {
	var net, sim bool
	for _, r := range in.Responses {
		if !InForce(r) {
			continue
		}
		net = net || r.Kind == Quarantine || r.Kind == Cutoff
		sim = sim || r.Kind == SIMSuspend
	}
	for _, g := range in.Groups {
		if g.Nature == ringwall.NatureNotice {
			continue
		}
		if g.SIM && !sim || !g.SIM && !net {
			return false
		}
	}
	return net || sim
}

// assessed tells of a re-assessment. A clean one that was begun after the last
// alert resolves the incident: whatever was done, it is gone.
func (in *Incident) assessed(a Assessed, now time.Time) {
	if in.Status == Closed {
		return
	}
	key := "story.assessed.clean"
	if !a.Clean {
		key = "story.assessed.not-clean"
	}
	if in.told(string(a.ID), key) {
		return
	}
	in.tell(api.StoryLine{Time: a.Ended, Key: key, Params: map[string]string{"device": in.Name, "grade": a.Grade.String()}, Ref: string(a.ID)}, true)
	in.Updated = now
	if !a.Clean || !in.Active() {
		return
	}
	for _, g := range in.Groups {
		if g.Nature != ringwall.NatureNotice && !a.Started.After(g.Last) {
			return
		}
	}
	in.Status, in.ResolvedAt = Resolved, now
	in.tell(api.StoryLine{Time: now, Key: "story.status.resolved", Params: map[string]string{"by": "system:assessment"}, Ref: string(in.ID)}, true)
}

// effects says what has to happen now that did not have to before.
func (in *Incident) effects(now time.Time, cfg Config) []Effect {
	if !in.Active() {
		return nil
	}
	var effects []Effect
	attack := in.Attack()
	if dev := in.Device(); dev != "" && (attack || in.witnessed()) && in.ownStage() >= ringwall.Command && in.Compromised.IsZero() {
		in.Compromised = now
		effects = append(effects, WriteFinding{Device: dev, Finding: in.finding(now)})
	}
	for _, r := range cfg.rules() {
		key := r.Name + "@" + in.Stage.String()
		if !r.matches(*in) || slices.Contains(in.Fired, key) {
			continue
		}
		in.Fired = append(in.Fired, key)
		if r.Do == Act && !in.Act {
			in.Act = true
			if dev := in.Device(); dev != "" && attack {
				effects = append(effects, DropTrust{Device: dev, Incident: in.ID, Reason: r.Name})
			}
		}
		if target := r.target(*in); r.Do != Observe && target.ID != "" {
			effects = append(effects, Respond{Rule: r.Name, Kind: r.Kind, Target: target, Do: r.Do})
		}
	}
	return effects
}
