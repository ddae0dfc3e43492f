package audit

import (
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// Act is one thing that can be done. The list is closed; policies name them.
type Act string

const (
	DeviceRead    Act = "device.read"    // devices, their findings, assessments, flows and timelines
	DeviceWrite   Act = "device.write"   // name, type, mode, enrolment
	DeviceRespond Act = "device.respond" // quarantine, cut off, release
	PolicyRead    Act = "policy.read"
	PolicyWrite   Act = "policy.write"   // the owner's own terms
	PolicyRollout Act = "policy.rollout" // start, stop and resume a change by stages
	GroupWrite    Act = "group.write"    // groups of devices and their terms
	TemplateWrite Act = "template.write" // settings of sites
	AssessRun     Act = "assess.run"

	TunnelAsk     Act = "tunnel.ask"     // ask for a way to a port of a device
	TunnelApprove Act = "tunnel.approve" // approve, decline or close one, and say how it is done
	TunnelUse     Act = "tunnel.use"     // connect through an approved one
	TunnelReview  Act = "tunnel.review"  // read what went through

	SIMRead    Act = "sim.read"
	SIMWrite   Act = "sim.write" // register, bind
	SIMRespond Act = "sim.respond"
	SIMReveal  Act = "sim.reveal" // see a card's numbers in clear

	GatewayRead    Act = "gateway.read"
	GatewayWrite   Act = "gateway.write"
	GatewayEnrol   Act = "gateway.enrol"   // make and use one-time tokens
	GatewayReport  Act = "gateway.report"  // a gateway's own batches
	GatewayDesired Act = "gateway.desired" // a gateway fetches its own document
	GatewayRenew   Act = "gateway.renew"   // a gateway renews its own certificate

	IncidentRead  Act = "incident.read"
	IncidentWrite Act = "incident.write"

	WarningWrite Act = "warning.write" // say to whom warnings go

	OrgRead    Act = "org.read"
	OrgAdmin   Act = "org.admin"
	UserAdmin  Act = "user.admin"
	TokenAdmin Act = "token.admin"
	AuditRead  Act = "audit.read"
	DemoRun    Act = "demo.run" // start an attack of the range

	SystemBootstrap    Act = "system.bootstrap"    // the first organisation, its administrator and token
	SystemAuthenticate Act = "system.authenticate" // look up proofs of identity
	SystemOutbox       Act = "system.outbox"       // publish what was committed
	SystemProject      Act = "system.project"      // turn reports into state
	SystemPresence     Act = "system.presence"     // notice who fell silent
	SystemPolicy       Act = "system.policy"       // compose and sign desired states
	SystemUsage        Act = "system.usage"        // judge usage records
	SystemMeter        Act = "system.meter"        // count the fleet for /metrics
	SystemRollout      Act = "system.rollout"      // carry rollouts on, watch and stop them
)

var acts = []Act{
	DeviceRead, DeviceWrite, DeviceRespond, PolicyRead, PolicyWrite, PolicyRollout, GroupWrite, TemplateWrite, AssessRun, TunnelAsk, TunnelApprove, TunnelUse, TunnelReview, SIMRead, SIMWrite, SIMRespond, SIMReveal,
	GatewayRead, GatewayWrite, GatewayEnrol, GatewayReport, GatewayDesired, GatewayRenew, IncidentRead, IncidentWrite, WarningWrite,
	OrgRead, OrgAdmin, UserAdmin, TokenAdmin, AuditRead, DemoRun,
	SystemBootstrap, SystemAuthenticate, SystemOutbox, SystemProject, SystemPresence, SystemPolicy, SystemUsage, SystemMeter, SystemRollout,
}

// Acts lists all acts.
func Acts() []Act { return slices.Clone(acts) }

func (a Act) known() bool { return slices.Contains(acts, a) }

// quiet lists acts that are no reads and yet are recorded without an fsync:
// what they do is durable elsewhere, or they only look, and they come often.
var quiet = []Act{GatewayReport, GatewayDesired, SystemAuthenticate, SystemOutbox, SystemProject, SystemPresence, SystemMeter, SystemRollout}

// HasEffect reports whether the record of the act must be durable before it.
func (a Act) HasEffect() bool {
	return !a.reads() && !slices.Contains(quiet, a)
}

func (a Act) reads() bool { return strings.HasSuffix(string(a), ".read") }

// reach lists the acts that a scope of a permits, itself included: who may
// change a thing may look at it, and what an act cannot do without.
func (a Act) reach() []Act {
	switch a {
	case TunnelAsk, TunnelApprove, TunnelUse, TunnelReview:
		return []Act{a, DeviceRead, PolicyRead, GatewayRead}
	case DeviceWrite, PolicyWrite, AssessRun:
		return []Act{a, DeviceRead, PolicyRead, GatewayRead, SIMRead}
	case PolicyRead:
		// What a device may do follows from what it is, where it is, and its card.
		return []Act{a, DeviceRead, GatewayRead, SIMRead}
	case GroupWrite:
		return []Act{a, DeviceRead, PolicyRead, GatewayRead}
	case TemplateWrite:
		return []Act{a, GatewayRead, PolicyRead}
	case PolicyRollout, SystemRollout:
		// What a rollout ends with is the change itself: of groups, of modes, of sites.
		return []Act{a, GroupWrite, DeviceRead, DeviceWrite, GatewayRead, GatewayWrite, PolicyRead}
	case DeviceRespond, SIMRespond:
		// A response is written into its incident and into the desired state.
		return []Act{a, DeviceRead, SIMRead, IncidentRead, IncidentWrite, GatewayRead}
	case SIMReveal:
		return []Act{a, SIMRead}
	case SIMWrite:
		return []Act{a, SIMRead, DeviceRead}
	case GatewayWrite, GatewayEnrol:
		return []Act{a, GatewayRead, PolicyRead}
	case GatewayRenew:
		return []Act{a, GatewayRead, GatewayWrite}
	case GatewayRead:
		// How far a site is from its template is part of what is seen of it.
		return []Act{a, PolicyRead}
	case GatewayReport, GatewayDesired:
		return []Act{a, GatewayRead}
	case WarningWrite:
		return []Act{a, IncidentRead}
	case IncidentWrite:
		return []Act{a, IncidentRead, DeviceRead, SIMRead}
	case OrgAdmin, UserAdmin:
		return []Act{a, OrgRead, UserAdmin}
	case TokenAdmin:
		return []Act{a, OrgRead}
	case SystemBootstrap:
		return []Act{a, OrgAdmin, OrgRead, UserAdmin, TokenAdmin}
	case SystemProject:
		// A finding is no response: the projector may write what it learned but
		// needs a scope of its own, on the device, to restrict it.
		return []Act{a, DeviceRead, DeviceWrite, IncidentRead, IncidentWrite, GatewayRead, GatewayWrite, SIMRead, PolicyRead}
	case SystemUsage:
		// What a card did may be a finding about its device, which is graded anew by
		// the organisation's settings.
		return []Act{a, DeviceRead, DeviceWrite, IncidentRead, IncidentWrite, SIMRead, SIMWrite, PolicyRead}
	case SystemPresence:
		return []Act{a, DeviceRead, DeviceWrite, GatewayRead, GatewayWrite, PolicyRead}
	case SystemPolicy:
		return []Act{a, DeviceRead, DeviceWrite, GatewayRead, GatewayWrite, PolicyRead, SIMRead}
	case SystemMeter:
		// What is to be looked at about a gateway follows from its template as well.
		return []Act{a, DeviceRead, GatewayRead, IncidentRead, SIMRead, PolicyRead}
	case DeviceRead:
		return []Act{a, PolicyRead}
	}
	return []Act{a}
}

func (a Act) uid() cedar.EntityUID { return cedar.NewEntityUID("Action", cedar.String(a)) }

// actionEntities puts each act into its group, as policies name them.
func actionEntities() cedar.EntityMap {
	m := cedar.EntityMap{}
	for _, a := range acts {
		group := "write"
		switch {
		case a.reads():
			group = "read"
		case strings.HasPrefix(string(a), "system."):
			group = "system"
		}
		m[a.uid()] = cedar.Entity{UID: a.uid(), Parents: cedar.NewEntityUIDSet(cedar.NewEntityUID("Action", cedar.String(group)))}
	}
	return m
}

// SystemName names a part of the platform that acts by itself.
type SystemName string

// The parts of the platform that act. Policies say what each may do.
const (
	SysBootstrap SystemName = "bootstrap"
	SysIdentity  SystemName = "identity"
	SysEnrol     SystemName = "enrol"    // an enrolment token was proven
	SysOutbox    SystemName = "outbox"   //
	SysProject   SystemName = "project"  //
	SysPresence  SystemName = "presence" //
	SysPolicy    SystemName = "policy"   //
	SysIncident  SystemName = "incident" // responses that a rule marks act
	SysExpiry    SystemName = "expiry"   // ends responses whose time is over
	SysUsage     SystemName = "usage"    //
	SysMeter     SystemName = "meter"    //
	SysDemo      SystemName = "demo"     //
	SysAssess    SystemName = "assess"   // assesses again what is due
	SysRollout   SystemName = "rollout"  //
)
