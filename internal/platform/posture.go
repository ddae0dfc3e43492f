package platform

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/identity"
	onboard "github.com/ringwall/ringwall/internal/posture"
	"github.com/ringwall/ringwall/internal/posture/judge"
)

const (
	// postureLate is how old a posture may be when it arrives. What waited longer
	// in a gateway's log is history; a newer one is behind it.
	postureLate = 6 * time.Hour
	// maxCertificate bounds what is parsed as one.
	maxCertificate = 16 << 10
	// retell is how often an agent whose postures do not verify is told of again.
	retell = time.Hour
	// restate is how often a posture that says what the last one said is graded
	// all the same, since its findings are fresher.
	restate = 24 * time.Hour
	// ephemeral is the first port that Linux gives to clients
	// (ip_local_port_range): what listens there comes and goes with every query.
	ephemeral = 32768
)

// posture takes an agent's word on the state of the device that it runs on. It
// counts only when the key is the sending agent's by a certificate of our own
// authority, the signature holds, it is fresh and newer than the one that
// counts. Nothing that an agent sends makes evidence about another device than
// the one its owner has said it is on.
func (t *turn) posture(gw ringwall.GatewayID, r api.Record) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	g, err := t.tx.Gateway(scope, gw)
	if err != nil {
		return err
	}
	var s api.SignedPosture
	var p api.Posture
	err = read(r, func(v api.SignedPosture) error {
		s = v
		p, err = t.verifyPosture(g, s)
		return err
	})
	state := api.PostureState{}
	if g.Posture != nil {
		state = *g.Posture
	}
	switch {
	case err != nil:
		return t.refusePosture(scope, g, state, err)
	case t.at.Sub(p.Made) > postureLate:
		return ringwall.Errorf(ringwall.Conflict, "the posture of %s was made too long ago", p.Made.Format(time.RFC3339))
	case !p.Made.After(state.Made):
		return t.refusePosture(scope, g, state, ringwall.Errorf(ringwall.Unverified, "posture: it is not newer than the one before"))
	case g.On == "":
		state.Made = p.Made
		state.Nobody++
		if err := t.keepPosture(scope, gw, state); err != nil || state.Nobody > 1 {
			return err
		}
		return t.tell(scope, ringwall.EventGatewayState, gatewaySubject(gw), "", note{Key: "timeline.gateway.nobody"})
	}
	d, err := t.tx.Device(scope, g.On)
	if err != nil {
		return err
	}
	if d.Agent != gw || p.Device != "" && p.Device != d.ID {
		return t.refusePosture(scope, g, state, ringwall.Errorf(ringwall.Unverified, "posture: it speaks of another device"))
	}
	if err := t.onboard(scope, d, s, p); err != nil {
		return err
	}
	state.Made, state.Reason, state.Nobody = p.Made, "", 0
	return t.keepPosture(scope, gw, state)
}

// verifyPosture checks that a posture is the gateway's own and returns it.
func (t *turn) verifyPosture(g api.Gateway, s api.SignedPosture) (api.Posture, error) {
	if !g.Revoked.IsZero() {
		return api.Posture{}, ringwall.Errorf(ringwall.Unverified, "posture: the agent was revoked")
	}
	key, err := certifiedKey(t.authority, t.org, g.ID, s.Certificate, t.at)
	if err != nil {
		return api.Posture{}, err
	}
	return onboard.Verify(s, onboard.Expect{Key: key, MaxAge: judge.Lifetime, Now: t.at})
}

// certifiedKey returns the key of a certificate that authority has given to the
// gateway. It was sent along, and not kept from enrolment, since a posture may
// have been signed before a renewal and arrive after it. Codes: Unverified.
func certifiedKey(authority *identity.Authority, org ringwall.OrgID, gw ringwall.GatewayID, der []byte, now time.Time) (crypto.PublicKey, error) {
	bad := func(why string) (crypto.PublicKey, error) {
		return nil, ringwall.Errorf(ringwall.Unverified, "posture: %s", why)
	}
	if len(der) == 0 || len(der) > maxCertificate {
		return bad("no certificate comes with it")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return bad("the certificate cannot be read")
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: authority.Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return bad("the certificate does not hold")
	}
	if o, g, err := identity.GatewayOf(cert); err != nil || o != org || g != gw {
		return bad("the certificate is another's")
	}
	return cert.PublicKey, nil
}

// refusePosture counts a posture that did not verify, and tells the first and
// from time to time another: nothing that fails here is evidence.
func (t *turn) refusePosture(scope audit.Scope, g api.Gateway, state api.PostureState, cause error) error {
	if code := ringwall.CodeOf(cause); code != ringwall.Unverified && code != ringwall.Invalid {
		return cause
	}
	why := clip(strings.TrimPrefix(words(cause), "posture: "), maxSaid)
	first := state.Reason == "" || t.at.Sub(state.Told) >= retell
	state.Refused++
	state.Reason = why
	if first {
		state.Told = t.at
	}
	t.log.Warn("posture refused", "gateway", g.ID, "cause", why)
	if err := t.keepPosture(scope, g.ID, state); err != nil || !first {
		return err
	}
	return t.tell(scope, ringwall.EventGatewayState, gatewaySubject(g.ID), "", note{Key: "timeline.gateway.posture", Params: map[string]string{"reason": why}})
}

func (t *turn) keepPosture(scope audit.Scope, gw ringwall.GatewayID, state api.PostureState) error {
	_, err := t.tx.UpdateGateway(scope, gw, func(g *api.Gateway) error { g.Posture = &state; return nil })
	return err
}

func gatewaySubject(gw ringwall.GatewayID) ringwall.Subject {
	return ringwall.Subject{Kind: ringwall.SubjectGateway, ID: string(gw)}
}

// agentSource is in whose name an agent's evidence stands.
func agentSource(gw ringwall.GatewayID) string { return assess.SourceAgent + string(gw) }

// onboard makes evidence of a posture that was verified.
func (t *turn) onboard(scope audit.Scope, d api.Device, s api.SignedPosture, p api.Posture) error {
	all, err := t.tx.Examinations(scope, d.ID)
	if err != nil {
		return err
	}
	var before *api.Examination
	var declared []api.Service // nil: nobody said what the device needs
	for i, x := range all {
		switch {
		case x.Source == agentSource(d.Agent):
			before = &all[i]
		case x.Kind == api.ExamDeclaration && x.Services != nil:
			declared = append(append([]api.Service{}, declared...), x.Services...)
		}
	}
	sum := sha256.Sum256(s.Body)
	x := api.Examination{
		ID: ringwall.ExamID(ringwall.NewID(ringwall.PrefixExam, t.at)), Org: t.org, Device: d.ID,
		Kind: api.ExamAgent, Source: agentSource(d.Agent), By: "gateway:" + string(d.Agent), Tool: "ringwall-agent posture",
		Digest: hex.EncodeToString(sum[:]), Key: s.Key, Made: p.Made.UTC(), Until: p.Made.Add(judge.Lifetime).UTC(),
		Findings: judge.Judge(p, declared, t.at), Services: reachable(p.Listening), Components: clippedComponents(p.Versions), Notes: lines(p.Unread),
	}
	for i, f := range x.Findings {
		f.Source = x.Source
		x.Findings[i] = clipped(f)
	}
	if before != nil && d.Assess != "" && sameWords(before.Findings, x.Findings) && slices.Equal(before.Services, x.Services) {
		last, err := t.tx.Assessment(scope, d.Assess)
		if err == nil && t.at.Sub(last.Ended) < restate {
			// It says what it said: fresher evidence for the same grade.
			return t.tx.PutExamination(scope, x)
		}
	}
	_, err = t.examined(scope, x)
	return err
}

// reachable returns the services that others than the device itself may reach,
// without the ports of clients.
func reachable(ls []api.Listener) []api.Service {
	out := []api.Service{}
	for _, l := range ls {
		if l.Proto != "tcp" && l.Proto != "udp" || l.Addr.Addr().IsLoopback() || l.Proto == "udp" && l.Addr.Port() >= ephemeral {
			continue
		}
		s := api.Service{Proto: l.Proto, Port: l.Addr.Port(), Info: clip(l.Program, maxName)}
		if !slices.ContainsFunc(out, func(o api.Service) bool { return o.Proto == s.Proto && o.Port == s.Port }) {
			out = append(out, s)
		}
	}
	return out
}

// sameWords reports whether two lists of findings say the same, but for when.
// What passes is compared without its evidence, which counts sockets.
func sameWords(a, b []ringwall.Finding) bool {
	return slices.EqualFunc(a, b, func(x, y ringwall.Finding) bool {
		return x.Indicator == y.Indicator && x.Outcome == y.Outcome && x.Confidence == y.Confidence && x.Title == y.Title &&
			(x.Outcome == ringwall.Pass || slices.Equal(x.Evidence, y.Evidence))
	})
}

// bindAgent makes the agent's side of a device's agent true: the one it had
// speaks for nobody, the one it gets speaks for no other. "" is no agent.
func (t *turn) bindAgent(d api.Device, gw ringwall.GatewayID) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	if gw != "" {
		g, err := t.tx.Gateway(scope, gw)
		switch {
		case err != nil:
			return err
		case !g.Revoked.IsZero():
			return ringwall.Errorf(ringwall.Conflict, "agent %q was revoked; what runs on a device has to be enrolled", gw)
		case g.On != "" && g.On != d.ID:
			return ringwall.Errorf(ringwall.Conflict, "the agent is that of device %q; take it off there first", g.On)
		}
		if _, err := t.tx.UpdateGateway(scope, gw, func(g *api.Gateway) error { g.On = d.ID; return nil }); err != nil {
			return err
		}
	}
	if d.Agent == "" {
		return nil
	}
	_, err = t.tx.UpdateGateway(scope, d.Agent, func(g *api.Gateway) error { g.On = ""; return nil })
	if isCode(err, ringwall.NotFound) {
		return nil
	}
	return err
}

// agentChanged tells of another agent on a device; what the one before said is
// no evidence any more.
func (t *turn) agentChanged(old api.Device, now ringwall.GatewayID) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	word := func(gw ringwall.GatewayID) string {
		if gw == "" {
			return "–"
		}
		return string(gw)
	}
	if err := t.tell(scope, ringwall.EventDeviceMode, deviceSubject(old.ID), "", note{
		Key: "timeline.device.agent", Params: map[string]string{"old": word(old.Agent), "new": word(now)},
	}); err != nil || old.Agent == "" {
		return err
	}
	err = t.tx.DropExamination(scope, old.ID, agentSource(old.Agent))
	if isCode(err, ringwall.NotFound) {
		return nil // it had said nothing
	}
	if err == nil {
		_, err = t.reassess(scope, old.ID, "")
	}
	return err
}
