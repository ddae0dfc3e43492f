// Package audit is the one choke point: nothing of an organisation is read or
// changed without a Scope, and only this package mints one.
//
// Authorise decides by the embedded Cedar policies (policies.cedar), denies
// whatever no policy permits, writes the decision down, refusals included, and
// only then returns a Scope. When the decision cannot be written, there is no
// Scope: an act that leaves no record does not happen. Acts with effects are
// on the disk before Authorise returns; reads are recorded without an fsync,
// so a power cut may lose the last of them and nothing else.
//
// The record is a chain: each entry carries the hash of the one before it, so
// that a changed, removed or reordered entry is found by Verify. It does not
// defend against somebody who can rewrite all of it and knows this format; the
// ledger's checkpoints will.
//
// An Auditor and a Log may be used from several goroutines. The package starts
// none. A Log owns the files in its directory and must be closed.
package audit

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/ringwall/ringwall"
)

//go:embed policies.cedar
var policyText []byte

// Kind says what kind of party acts.
type Kind string

const (
	KindUser    Kind = "user"
	KindToken   Kind = "token"
	KindGateway Kind = "gateway"
	KindSystem  Kind = "system"
)

// Actor is who acts. Identity makes those of users, tokens and gateways after
// it has checked a proof; System makes those of the platform's own parts. An
// Actor of KindSystem that System did not make is refused.
type Actor struct {
	Kind  Kind
	ID    string
	Org   ringwall.OrgID
	Parts []ringwall.Part
	Name  string // of a person, for pages; never decides anything

	system bool // made by System
}

// String names the actor as events and entries do: "usr_…", "system:project".
func (a Actor) String() string {
	if a.Kind == KindSystem {
		return "system:" + a.ID
	}
	return a.ID
}

// Plays reports whether the actor plays part p.
func (a Actor) Plays(p ringwall.Part) bool {
	for _, q := range a.Parts {
		if p == q {
			return true
		}
	}
	return false
}

// Target is what an act is on. Org is the organisation that it belongs to.
type Target struct {
	Kind string // "device", "sim", "gateway", "incident", "organisation", …
	ID   string // may be empty: all of the kind
	Org  ringwall.OrgID
	// Reason is what the actor gave for an act that needs one; no secret.
	Reason string
}

func (t Target) String() string { return t.Kind + ":" + t.ID }

// maxReason bounds reasons likewise.
const maxReason = 256

// maxID bounds the ids that come from outside and are written down.
const maxID = 128

// Recorder writes entries down.
type Recorder interface {
	// Record appends e. When durable, it is on the disk on return. An error
	// means that nothing may be done in e's name.
	Record(ctx context.Context, e Entry, durable bool) error
}

// Entry is one decision.
type Entry struct {
	Time    time.Time
	Org     ringwall.OrgID // of the target: who may read the entry
	Actor   string
	Act     Act
	Target  string
	Allowed bool
	Why     string // the policy that decided, or "no policy permits it"
	Reason  string // that the actor gave
}

// Auditor decides and records.
type Auditor struct {
	policies *cedar.PolicySet
	actions  cedar.EntityMap
	recorder Recorder
	now      func() time.Time
}

// Config of an Auditor. All fields are needed.
type Config struct {
	Recorder Recorder
	Now      func() time.Time
}

// New returns an Auditor.
func New(cfg Config) (*Auditor, error) {
	policies, err := cedar.NewPolicySetFromBytes("policies.cedar", policyText)
	if err != nil {
		return nil, fmt.Errorf("reading the embedded policies: %w", err)
	}
	return &Auditor{policies: policies, actions: actionEntities(), recorder: cfg.Recorder, now: cfg.Now}, nil
}

// Authorise decides whether actor may do act on target, records the decision,
// and returns the Scope of the act. Codes: Forbidden when it may not,
// Unavailable when the decision cannot be recorded.
func (a *Auditor) Authorise(ctx context.Context, actor Actor, act Act, target Target) (Scope, error) {
	if len(target.ID) > maxID {
		target.ID = target.ID[:maxID]
	}
	if len(target.Reason) > maxReason {
		target.Reason = target.Reason[:maxReason]
	}
	allowed, why := a.decide(actor, act, target)
	entry := Entry{
		Time: a.now().UTC(), Org: target.Org, Actor: actor.String(), Act: act, Target: target.String(), Allowed: allowed, Why: why, Reason: target.Reason,
	}
	// A refusal is filed with the organisation of the one who tried: a stranger
	// must not write into the record that another organisation reads.
	if !allowed {
		entry.Org = actor.Org
	}
	if err := a.recorder.Record(ctx, entry, act.HasEffect() || !allowed); err != nil {
		return Scope{}, ringwall.Errorf(ringwall.Unavailable, "the act cannot be recorded, so it is not done: %w", err)
	}
	if !allowed {
		return Scope{}, ringwall.Errorf(ringwall.Forbidden, "%s is not allowed to you here", act)
	}
	return Scope{grant: &grant{actor: actor, act: act, target: target, at: entry.Time, reach: act.reach()}}, nil
}

func (a *Auditor) decide(actor Actor, act Act, target Target) (bool, string) {
	if !act.known() {
		return false, "unknown act"
	}
	if actor.ID == "" || actor.Kind == KindSystem != actor.system {
		return false, "unproven actor"
	}
	if actor.Org == "" && !actor.system {
		return false, "actor without organisation"
	}
	principal, resource := actorUID(actor), targetUID(target)
	entities := cedar.EntityMap{
		principal: {UID: principal, Attributes: cedar.NewRecord(cedar.RecordMap{
			"org": cedar.String(actor.Org), "parts": partSet(actor.Parts),
		})},
	}
	if resource != principal { // a gateway acts on itself
		entities[resource] = cedar.Entity{UID: resource, Attributes: cedar.NewRecord(cedar.RecordMap{
			"org": cedar.String(target.Org), "kind": cedar.String(target.Kind),
		})}
	}
	if resource == principal && actor.Org != target.Org {
		return false, "another organisation"
	}
	decision, diag := cedar.Authorize(a.policies, getter{entities, a.actions}, cedar.Request{
		Principal: principal, Action: act.uid(), Resource: resource, Context: cedar.NewRecord(nil),
	})
	if len(diag.Errors) > 0 {
		// A policy that cannot be evaluated is skipped by Cedar; a skipped
		// forbid must not open the door.
		return false, "a policy could not be evaluated"
	}
	switch {
	case decision == cedar.Allow && len(diag.Reasons) > 0:
		return true, a.nameOf(diag.Reasons[0].PolicyID)
	case len(diag.Reasons) > 0:
		return false, a.nameOf(diag.Reasons[0].PolicyID)
	}
	return false, "no policy permits it"
}

// nameOf returns the @id of a policy.
func (a *Auditor) nameOf(id cedar.PolicyID) string {
	if p := a.policies.Get(id); p != nil {
		if name, ok := p.Annotations()["id"]; ok {
			return string(name)
		}
	}
	return string(id)
}

func partSet(parts []ringwall.Part) cedar.Set {
	vs := make([]cedar.Value, len(parts))
	for i, p := range parts {
		vs[i] = cedar.String(p)
	}
	return cedar.NewSet(vs...)
}

func actorUID(a Actor) cedar.EntityUID {
	switch a.Kind {
	case KindGateway:
		return cedar.NewEntityUID("Gateway", cedar.String(a.ID))
	case KindSystem:
		return cedar.NewEntityUID("System", cedar.String(a.ID))
	case KindUser, KindToken:
		return cedar.NewEntityUID("Person", cedar.String(a.ID))
	}
	return cedar.NewEntityUID("Stranger", cedar.String(a.ID))
}

func targetUID(t Target) cedar.EntityUID {
	if t.Kind == "gateway" {
		return cedar.NewEntityUID("Gateway", cedar.String(t.ID))
	}
	return cedar.NewEntityUID("Thing", cedar.String(t.ID))
}

// getter looks an entity up among those of the request, then the actions.
type getter struct{ request, actions cedar.EntityMap }

func (g getter) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	if e, ok := g.request[uid]; ok {
		return e, true
	}
	e, ok := g.actions[uid]
	return e, ok
}
