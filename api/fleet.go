package api

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

// Group is a named set of devices with terms of its own. A device is in it by
// name (Members), by what it is (Select), or by the gateway it is behind
// (Gateway.Groups).
type Group struct {
	ID      ringwall.GroupID    `json:"id"`
	Org     ringwall.OrgID      `json:"org"`
	Name    string              `json:"name"`
	Note    string              `json:"note,omitempty"`
	Members []ringwall.DeviceID `json:"members"`
	Select  *Selector           `json:"select,omitempty"`
	Terms   []Term              `json:"terms"`
	Devices int                 `json:"devices"` // that are in it now, by whatever way
	Made    time.Time           `json:"made"`
	Changed time.Time           `json:"changed"`
	Version uint64              `json:"version"` // for If-Match
	// Rollout is the one under way that changes it.
	Rollout ringwall.RolloutID `json:"rollout,omitempty"`
}

// Selector says which devices are meant: those that fulfil every field that is
// set. One with no field set means none.
type Selector struct {
	Type    string             `json:"type,omitempty"`
	Vendor  string             `json:"vendor,omitempty"` // case is not looked at
	Model   string             `json:"model,omitempty"`
	Gateway ringwall.GatewayID `json:"gateway,omitempty"`
	Tag     string             `json:"tag,omitempty"`
}

// GroupPatch makes a group, or changes what is not nil.
type GroupPatch struct {
	Name    *string              `json:"name,omitempty"`
	Note    *string              `json:"note,omitempty"`
	Members *[]ringwall.DeviceID `json:"members,omitempty"`
	// Select replaces the selector; one with no field set takes it away.
	Select *Selector `json:"select,omitempty"`
	// Terms are in force for all at once; a rollout puts them in force by stages.
	Terms *[]Term `json:"terms,omitempty"`
}

// OwnerTerms are what the owner of a device says of it.
type OwnerTerms struct {
	Terms []Term `json:"terms"`
	// Mode, when it is set, is what the device is put into with them.
	Mode *ringwall.Mode `json:"mode,omitempty"`
}

// PolicyView is what one device may do, and who says so.
type PolicyView struct {
	Device ringwall.DeviceID `json:"device"`
	// Mode is the one in force: a closed gate or a rollout may have another than
	// the device's own.
	Mode   ringwall.Mode `json:"mode"`
	Owner  []Term        `json:"owner"`
	Groups []GroupTerms  `json:"groups"`
	Site   []Term        `json:"site"` // of the gateway it is behind
	SIM    []Term        `json:"sim"`  // of its card's profile
	// Terms are all of them composed with class, MUD and what was learned, and
	// reduced to what trust allows.
	Terms []Term `json:"terms"`
	// Rollouts are those under way that cover it.
	Rollouts []ringwall.RolloutID `json:"rollouts,omitempty"`
}

// GroupTerms are the terms that a device has of a group.
type GroupTerms struct {
	ID    ringwall.GroupID `json:"id"`
	Name  string           `json:"name"`
	Terms []Term           `json:"terms"`
}

// PolicyChange tells what a change of terms would do before it is made.
type PolicyChange struct {
	// Allows and Refuses tell in words what would newly pass, and newly not.
	Allows  []string `json:"allows"`
	Refuses []string `json:"refuses"`
	// Lines are the same, for programs that have words of their own; More is how many
	// there are beyond them.
	Lines []ChangeLine `json:"lines,omitempty"`
	More  int          `json:"more,omitempty"`
	// Flows are some that passed since From and would be refused, one an end, the
	// newest first.
	Flows []FlowRow `json:"flows"`
	From  time.Time `json:"from"`
	// Looked is how many flow reports were looked at; All is false when there were
	// more than are looked at.
	Looked int  `json:"looked"`
	All    bool `json:"all"`
}

// ChangeLine is one block of flows that newly passes, or newly does not.
type ChangeLine struct {
	Allows    bool      `json:"allows"`
	Direction Direction `json:"direction"`
	// Kind of the other end: "address" (Value is one, or a range), "name", "device",
	// "local", "samemaker", "controller" (Value is the role), "gateway".
	Kind  string      `json:"kind"`
	Value string      `json:"value,omitempty"`
	Over  string      `json:"over,omitempty"` // "IPv4" or "IPv6" when it is about one alone
	Proto string      `json:"proto"`          // "tcp", "udp", "icmp", "any", "other"
	Ports []PortRange `json:"ports,omitempty"`
	// When is the condition, as of a term; nil = always.
	When *Condition `json:"when,omitempty"`
	// Deny says that it is about a deny alone: what some other term allows of it.
	Deny bool `json:"deny,omitempty"`
}

// Condition is what a term holds under beside its end and ports.
type Condition struct {
	Inside  *Inside `json:"inside,omitempty"`
	Window  *Window `json:"window,omitempty"`
	Who     *Who    `json:"who,omitempty"`
	Limit   *Limit  `json:"limit,omitempty"`
	Private bool    `json:"private,omitempty"`
}

// Rollout puts a change of policy in force by stages and watches what breaks.
type Rollout struct {
	ID     ringwall.RolloutID `json:"id"`
	Org    ringwall.OrgID     `json:"org"`
	Name   string             `json:"name"`
	Change RolloutChange      `json:"change"`
	Stages []int              `json:"stages"` // percent of the devices (of a template: of the gateways)
	Soak   Duration           `json:"soak"`   // how long each stage is watched
	Stop   StopRule           `json:"stop"`
	// Status is "running", "stopped" (and undone), "done".
	Status string `json:"status"`
	Stage  int    `json:"stage"` // index into Stages
	// Since is when the stage was in force at every gateway concerned; zero while
	// it is waited for.
	Since   time.Time            `json:"since,omitzero"`
	Begun   time.Time            `json:"begun,omitzero"` // when the stage was asked for
	Waiting []ringwall.GatewayID `json:"waiting"`        // gateways that have not acknowledged it
	// Wanted is the generation that each gateway concerned has to acknowledge.
	Wanted  map[ringwall.GatewayID]uint64 `json:"wanted,omitempty"`
	Total   int                           `json:"total"`   // devices (gateways) that the change is for
	Covered int                           `json:"covered"` // that have it now
	// Cut is the greatest place in the order of all devices that is covered.
	Cut    uint64         `json:"cut"`
	Broken []RolloutBreak `json:"broken"` // what was refused and had been allowed; at most MaxBroken
	Why    string         `json:"why,omitempty"`
	Reason *Said          `json:"reason,omitempty"` // Why, for other languages
	Log    []RolloutStep  `json:"log"`
	By     string         `json:"by"`
	Made   time.Time      `json:"made"`
	Ended  time.Time      `json:"ended,omitzero"`
	// Before are settings of gateways before a template's rollout covered them, to go back to.
	Before map[ringwall.GatewayID]SiteState `json:"before,omitempty"`
}

// Statuses of a rollout.
const (
	RolloutRunning = "running"
	RolloutStopped = "stopped"
	RolloutDone    = "done"
)

// MaxBroken bounds what a rollout keeps of what it broke.
const MaxBroken = 50

// RolloutChange is one of: terms of a group, the mode of a group's devices, or
// a version of a template at the gateways that have it.
type RolloutChange struct {
	Group    ringwall.GroupID    `json:"group,omitempty"`
	Terms    *[]Term             `json:"terms,omitempty"`
	Mode     *ringwall.Mode      `json:"mode,omitempty"`
	Template ringwall.TemplateID `json:"template,omitempty"`
	Version  int                 `json:"version,omitempty"`
}

// StopRule says when a rollout stops by itself. An end (a device, another end,
// a port) is broken when it was refused, or would have been in mode shadow,
// Refusals times since the stage is in force, and was allowed before.
type StopRule struct {
	Ends     int `json:"ends,omitempty"`     // broken ends at which it stops; 0 = 1
	Refusals int `json:"refusals,omitempty"` // refused packets that make an end a broken one; 0 = 3
	// Never lets it go on whatever breaks. What is broken is shown all the same.
	Never bool `json:"never,omitempty"`
}

// RolloutStart begins a rollout.
type RolloutStart struct {
	Name   string        `json:"name,omitempty"`
	Change RolloutChange `json:"change"`
	Stages []int         `json:"stages,omitempty"` // none = 5, 25, 100
	Soak   Duration      `json:"soak,omitempty"`   // 0 = an hour
	Stop   StopRule      `json:"stop,omitzero"`
}

// RolloutBreak is one end that a rollout broke.
type RolloutBreak struct {
	Device ringwall.DeviceID `json:"device"`
	Name   string            `json:"name"`
	Flow   FlowRow           `json:"flow"` // the newest report of it
	Count  uint64            `json:"count"`
	Was    string            `json:"was"` // the term that allowed it before, or "shadow"
}

// RolloutStep is one thing that happened to a rollout.
type RolloutStep struct {
	Time  time.Time `json:"time"`
	What  string    `json:"what"` // "begun", "stage", "inforce", "stopped", "resumed", "done"
	Stage int       `json:"stage"`
	By    string    `json:"by,omitempty"`
	Why   string    `json:"why,omitempty"`
	// Reason is Why, for other languages; nil for what a person wrote.
	Reason *Said `json:"reason,omitempty"`
}

// RolloutDecision is "stop" or "resume".
type RolloutDecision struct {
	Decision string `json:"decision"`
	Reason   string `json:"reason,omitempty"`
}

// Site is what a template sets at a gateway: what is nil it leaves as it is.
type Site struct {
	Arrival     *ringwall.Mode      `json:"arrival,omitempty"`
	Resolver    *string             `json:"resolver,omitempty"`
	LocalNets   *[]netip.Prefix     `json:"localNets,omitempty"`
	Remediate   *[]Term             `json:"remediation,omitempty"`
	Controllers *[]Controller       `json:"controllers,omitempty"`
	Groups      *[]ringwall.GroupID `json:"groups,omitempty"` // that all devices behind it are in
	Terms       *[]Term             `json:"terms,omitempty"`  // of all devices behind it
	Use         *string             `json:"use,omitempty"`    // profile of devices that appear: "consumer", "public", "production"
	// ReflexLimit is the most devices that one reflex may hold at once there; 0 = as
	// the rules say, and never more than they say.
	ReflexLimit *int      `json:"reflexLimit,omitempty"`
	MaxAge      *Duration `json:"maxAge,omitempty"`
	Confirm     *Duration `json:"confirm,omitempty"`
}

// SiteState is a gateway's template and settings at one moment.
type SiteState struct {
	Template ringwall.TemplateID `json:"template,omitempty"`
	Version  int                 `json:"version,omitempty"`
	Site     Site                `json:"site"`
}

// Template is a named set of settings for sites.
type Template struct {
	ID      ringwall.TemplateID `json:"id"`
	Org     ringwall.OrgID      `json:"org"`
	Name    string              `json:"name"`
	Version int                 `json:"version"`
	Site    Site                `json:"site"`
	By      string              `json:"by"`
	Made    time.Time           `json:"made"` // this version
	// Gateways have it; Behind of them an older version, Drifted other settings than
	// their version of it says.
	Gateways int `json:"gateways"`
	Behind   int `json:"behind"`
	Drifted  int `json:"drifted"`
}

// TemplatePut makes a template, or its next version.
type TemplatePut struct {
	Name string `json:"name,omitempty"`
	Site Site   `json:"site"`
}

// BulkLine is one gateway to come.
type BulkLine struct {
	Name   string `json:"name"`
	Serial string `json:"serial,omitempty"`
	// Template and Groups may be named by id or by name.
	Template string   `json:"template,omitempty"`
	Groups   []string `json:"groups,omitempty"`
}

// BulkEnrol asks for what enrols many gateways.
type BulkEnrol struct {
	Lines []BulkLine `json:"lines"`
	// Life is how long it waits; 0 = a day, at most 30 days.
	Life Duration `json:"life,omitempty"`
	// Each makes a one-time token a line instead of one token for all of them.
	Each bool `json:"each,omitempty"`
}

// MaxBulk bounds the lines of one request.
const MaxBulk = 5000

// BulkTokens are shown once. With Each there is one a line, in their order.
type BulkTokens struct {
	Tokens []EnrolToken `json:"tokens"`
	Lines  int          `json:"lines"`
}

// GatewayNotice is the newest of one kind of notice about one device, or about
// the gateway itself.
type GatewayNotice struct {
	Notice
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Total uint64    `json:"total"`
}

// Flags of a gateway: what somebody should look at.
const (
	FlagAway       = "away"         // not heard from
	FlagVersion    = "old-version"  // speaks an older protocol, or runs an older program than others
	FlagClock      = "clock"        // its clock is off by more than MaxClock
	FlagLost       = "lost-reports" // reports were lost, or could not be written
	FlagRolledBack = "rolled-back"  // it went back to the document before
	FlagDrift      = "drift"        // its kernel's rules were changed by others, or its settings differ from its template
	FlagBehind     = "behind"       // the newest document or template is not in force
	FlagRefused    = "refused"      // it refused a document
	FlagDNS        = "dns-down"     // its DNS guard or inspector does not run
	FlagCert       = "certificate"  // its certificate ends within CertNear
	FlagDisk       = "backlog"      // it holds more than MaxBacklog of reports that are not sent, or its log is full to MaxLogShare
	FlagOld        = "document-old" // MaxAge is over
	FlagFast       = "fast-path"    // it was given the fast path, and that is off: packets take the ordinary way
)

// Limits behind the flags.
const (
	MaxClock   = 3 * time.Minute
	CertNear   = 7 * 24 * time.Hour
	MaxBacklog = 16 << 20
	// MaxLogShare is how full a gateway's log may be, from 0 to 1: from there on it folds.
	MaxLogShare = 0.5
)

// GatewayFlags lists all flags.
func GatewayFlags() []string {
	return []string{FlagAway, FlagVersion, FlagClock, FlagLost, FlagRolledBack, FlagDrift, FlagBehind, FlagRefused, FlagDNS, FlagCert, FlagDisk, FlagOld, FlagFast}
}
