package audit

import (
	"slices"
	"time"

	"github.com/ringwall/ringwall"
)

// Scope is the permission to do one act, already recorded. Stores and effects
// take one. Only Authorise makes it; the zero Scope permits nothing.
type Scope struct{ grant *grant }

type grant struct {
	actor  Actor
	act    Act
	target Target
	at     time.Time
	reach  []Act
}

// Permits reports whether the scope covers act.
func (s Scope) Permits(act Act) bool { return s.grant != nil && slices.Contains(s.grant.reach, act) }

// Org returns the organisation within which the scope holds; "" for the zero
// Scope and for acts of the platform that concern no one organisation.
func (s Scope) Org() ringwall.OrgID {
	if s.grant == nil {
		return ""
	}
	return s.grant.target.Org
}

// Actor returns who acts.
func (s Scope) Actor() Actor {
	if s.grant == nil {
		return Actor{}
	}
	return s.grant.actor
}

// Act returns the act that was authorised.
func (s Scope) Act() Act {
	if s.grant == nil {
		return ""
	}
	return s.grant.act
}

// Target returns what the act is on.
func (s Scope) Target() Target {
	if s.grant == nil {
		return Target{}
	}
	return s.grant.target
}

// At returns when the act was authorised, for scopes that are kept a while.
func (s Scope) At() time.Time {
	if s.grant == nil {
		return time.Time{}
	}
	return s.grant.at
}

// System returns the actor of a part of the platform, acting for org; org is
// "" where the act concerns no one organisation.
func System(name SystemName, org ringwall.OrgID) Actor {
	return Actor{Kind: KindSystem, ID: string(name), Org: org, system: true}
}
