package api

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

// Page is one page of a list; Next is the cursor of the one after, "" at the end.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// Device is a device as the API shows it.
type Device struct {
	ID       ringwall.DeviceID  `json:"id"`
	Org      ringwall.OrgID     `json:"org"`
	Name     string             `json:"name"`
	Type     string             `json:"type"` // "camera", "meter", "phone", "hub", "unknown"
	Vendor   string             `json:"vendor,omitempty"`
	Model    string             `json:"model,omitempty"`
	Firmware string             `json:"firmware,omitempty"`
	Gateway  ringwall.GatewayID `json:"gateway,omitempty"`
	Binding  Binding            `json:"binding"`
	SIM      ringwall.SIMID     `json:"sim,omitempty"`

	Presence ringwall.Presence `json:"presence"`
	Seen     time.Time         `json:"seen,omitzero"`
	Created  time.Time         `json:"created"`

	Grade    ringwall.Grade    `json:"grade"`
	Class    ringwall.Class    `json:"class"`
	Coverage float64           `json:"coverage"` // 0 to 1, share of the rubric's weight that was measured
	Graded   time.Time         `json:"graded,omitzero"`
	Assess   ringwall.AssessID `json:"assessment,omitempty"`

	Trust        ringwall.Trust `json:"trust"`
	TrustReasons []TrustReason  `json:"trustReasons"`
	Enrolled     bool           `json:"enrolled"` // self; false is non-self
	Mode         ringwall.Mode  `json:"mode"`
	Generation   uint64         `json:"generation,omitempty"` // of the gateway's document that is in force
	Holds        []Hold         `json:"holds"`
	Terms        []Term         `json:"terms"`
	// Assessor says that assessments are run from this device.
	Assessor bool `json:"assessor,omitempty"`
	// Elsewhere is where its MAC was last seen while it is bound to another port
	// or address; what is sent from there is refused.
	Elsewhere *Binding `json:"elsewhere,omitempty"`
	Incident  string   `json:"incident,omitempty"` // the open one
	// Profile is how the rubric is applied to it; Use is the owner's to say.
	Profile Profile `json:"profile,omitzero"`
	// Gate is its own, in the place of the organisation's.
	Gate *Gate `json:"gate,omitempty"`
	// Due is when it is to be assessed again, and why; zero when never.
	Due       time.Time `json:"due,omitzero"`
	DueReason string    `json:"dueReason,omitempty"`
	// Agent is the enrolled agent that runs on it and speaks of its state.
	Agent   ringwall.GatewayID `json:"agent,omitempty"`
	Version uint64             `json:"version"` // for If-Match

	// Tags are words of the owner's own, for groups.
	Tags []string `json:"tags,omitempty"`
	// BySIM binds it to its SIM in the place of MAC and address: the gateway learns
	// where it is from its modem, or from RADIUS accounting.
	BySIM bool `json:"bySim,omitempty"`
	// Maker, IP6, Limit, Fail, Lookups and Leaves are as in DevicePolicy.
	Maker   string       `json:"maker,omitempty"`
	IP6     []netip.Addr `json:"ip6,omitempty"`
	Limit   *Limit       `json:"limit,omitempty"`
	Fail    string       `json:"fail,omitempty"`
	Lookups int          `json:"lookups,omitempty"`
	Leaves  []Leaf       `json:"leaves,omitempty"`
}

// TrustReason is one input to a device's trust, with the level it allows.
type TrustReason struct {
	Input    string         `json:"input"` // "root", "attestation", "posture", "behaviour", "binding", "enrolment", "gate", "recovery"
	Cap      ringwall.Trust `json:"cap"`
	Key      string         `json:"key,omitempty"`      // for translation, such as "trust.root.vouched"
	Reason   string         `json:"reason"`             // English
	Evidence string         `json:"evidence,omitempty"` // an id
	Since    time.Time      `json:"since,omitzero"`
	// Due is when the next step up is due, of "recovery"; zero when time alone
	// does not decide.
	Due time.Time `json:"due,omitzero"`
}

// DevicePatch changes what is not nil.
type DevicePatch struct {
	Name     *string         `json:"name,omitempty"`
	Type     *string         `json:"type,omitempty"`
	Mode     *ringwall.Mode  `json:"mode,omitempty"`
	Enrolled *bool           `json:"enrolled,omitempty"`
	SIM      *ringwall.SIMID `json:"sim,omitempty"`
	Assessor *bool           `json:"assessor,omitempty"`
	Use      *string         `json:"use,omitempty"` // "consumer", "public", "production"
	// Gate becomes the device's own; one without a grade goes back to the
	// organisation's.
	Gate *Gate `json:"gate,omitempty"`
	// Pin true binds the device to where it was last seen (Elsewhere).
	Pin *bool `json:"pin,omitempty"`
	// Agent says which enrolled agent runs on the device; "" is none.
	Agent *ringwall.GatewayID `json:"agent,omitempty"`

	Tags  *[]string `json:"tags,omitempty"`
	BySIM *bool     `json:"bySim,omitempty"`
	// Gateway moves a device that is known by its SIM to another gateway.
	Gateway *ringwall.GatewayID `json:"gateway,omitempty"`
	Maker   *string             `json:"maker,omitempty"`
	IP6     *[]netip.Addr       `json:"ip6,omitempty"`
	Limit   *Limit              `json:"limit,omitempty"` // one with no field set takes it away
	Fail    *string             `json:"fail,omitempty"`
	Lookups *int                `json:"lookups,omitempty"`
	Leaves  *[]Leaf             `json:"leaves,omitempty"`
}

// Gateway is a gateway as the API shows it.
type Gateway struct {
	ID         ringwall.GatewayID `json:"id"`
	Org        ringwall.OrgID     `json:"org"`
	Name       string             `json:"name"`
	Enrolled   time.Time          `json:"enrolled,omitzero"`
	Seen       time.Time          `json:"seen,omitzero"`
	Online     bool               `json:"online"`
	Desired    uint64             `json:"desired"` // newest generation
	InForce    uint64             `json:"inForce"` // last acknowledged
	Hash       string             `json:"hash,omitempty"`
	LastError  string             `json:"lastError,omitempty"`
	Health     *Health            `json:"health,omitempty"`
	Devices    int                `json:"devices"`
	Arrival    ringwall.Mode      `json:"arrival"`
	Resolver   string             `json:"resolver,omitempty"`
	LocalNets  []netip.Prefix     `json:"localNets"`
	Remediate  []Term             `json:"remediation"`
	CertExpiry time.Time          `json:"certExpiry,omitzero"`
	// Revoked is since when the gateway is refused, whatever it shows.
	Revoked time.Time `json:"revoked,omitzero"`
	// On is the device that the agent itself runs on, when somebody has said so.
	On ringwall.DeviceID `json:"on,omitempty"`
	// Posture is what came of its word on the state of what it runs on.
	Posture *PostureState `json:"posture,omitempty"`

	// What Site sets, as it stands at this gateway.
	Controllers []Controller       `json:"controllers,omitempty"`
	Groups      []ringwall.GroupID `json:"groups,omitempty"`
	Terms       []Term             `json:"terms,omitempty"`
	Use         string             `json:"use,omitempty"`
	ReflexLimit int                `json:"reflexLimit,omitempty"`
	MaxAge      Duration           `json:"maxAge,omitempty"`
	Confirm     Duration           `json:"confirm,omitempty"`
	// Template is the one it has, in this version; Drift names what of it is set
	// otherwise here.
	Template        ringwall.TemplateID `json:"template,omitempty"`
	TemplateVersion int                 `json:"templateVersion,omitempty"`
	Drift           []string            `json:"drift,omitempty"`

	Serial string `json:"serial,omitempty"` // as it enrolled with
	// Protocol is what it asked for its document in; 0 = it has not yet.
	Protocol int `json:"protocol,omitempty"`
	// RolledBack and Drifted are when it last went back to the document before, and
	// when its kernel was last found changed by others.
	RolledBack time.Time `json:"rolledBack,omitzero"`
	Drifted    time.Time `json:"drifted,omitzero"`
	// Flags say what somebody should look at.
	Flags []string `json:"flags,omitempty"`
	// Notices are the newest, of a single gateway's answer only.
	Notices []GatewayNotice `json:"notices,omitempty"`
}

// GatewayPatch changes what is not nil.
type GatewayPatch struct {
	Name      *string         `json:"name,omitempty"`
	Arrival   *ringwall.Mode  `json:"arrival,omitempty"`
	Resolver  *string         `json:"resolver,omitempty"`
	LocalNets *[]netip.Prefix `json:"localNets,omitempty"`
	Remediate *[]Term         `json:"remediation,omitempty"`
	// Revoked true ends the gateway's identity for good: it has to enrol anew,
	// as another. It cannot be taken back.
	Revoked *bool `json:"revoked,omitempty"`

	Controllers *[]Controller       `json:"controllers,omitempty"`
	Groups      *[]ringwall.GroupID `json:"groups,omitempty"`
	Terms       *[]Term             `json:"terms,omitempty"`
	Use         *string             `json:"use,omitempty"`
	ReflexLimit *int                `json:"reflexLimit,omitempty"`
	MaxAge      *Duration           `json:"maxAge,omitempty"`
	Confirm     *Duration           `json:"confirm,omitempty"`
	// Template gives it the newest version of a template; "" takes the template
	// away and leaves the settings.
	Template *ringwall.TemplateID `json:"template,omitempty"`
}

// EnrolToken is a one-time token; Token is shown once, when it is made.
type EnrolToken struct {
	ID      ringwall.TokenID `json:"id"`
	Token   string           `json:"token,omitempty"`
	Expires time.Time        `json:"expires"`
	Used    time.Time        `json:"used,omitzero"`
	CAPin   string           `json:"caPin,omitempty"` // SHA-256 of the platform's authority, in hex; given with Token
}

// SIM is a card as the API shows it; its numbers are masked.
type SIM struct {
	ID         ringwall.SIMID    `json:"id"`
	Org        ringwall.OrgID    `json:"org"`
	ICCID      string            `json:"iccid"`
	IMSI       string            `json:"imsi"`
	BoundIMEI  string            `json:"boundImei,omitempty"`
	SeenIMEI   string            `json:"seenImei,omitempty"`
	Device     ringwall.DeviceID `json:"device,omitempty"`
	State      string            `json:"state"` // "active", "suspended", "unknown"
	Services   []string          `json:"services"`
	Peers      []string          `json:"peers"`
	LastUsage  time.Time         `json:"lastUsage,omitzero"`
	Bytes      uint64            `json:"bytes"`
	Records    uint64            `json:"records"`
	OpenAlerts int               `json:"openAlerts"`
	// Separated is since when the card is seen in other equipment than the one
	// it is bound to; zero when it is not.
	Separated time.Time `json:"separated,omitzero"`

	Customer string `json:"customer,omitempty"` // whose card it is, as the organisation calls it
	Tariff   string `json:"tariff,omitempty"`
	Seller   string `json:"seller,omitempty"` // the intermediary that passed it on
	Area     string `json:"area,omitempty"`   // of its last use that named one
	// Restriction is what it is reduced to at its operator, as far as that is known.
	Restriction *SIMRestriction `json:"restriction,omitempty"`
	// Asked is what its operator was asked for and has not answered: "suspend",
	// "restore", "restrict", "release". State is "unknown" meanwhile.
	Asked string `json:"asked,omitempty"`
	// Contradicted is since when the equipment is right and the device behind it is
	// another than it was; zero when it is not.
	Contradicted time.Time `json:"contradicted,omitzero"`
	// StateSince is since when State is what it is, as far as the operator said so.
	StateSince time.Time `json:"stateSince,omitzero"`
	// Registered is when the platform came to know it; zero for cards older than that
	// was noted.
	Registered time.Time `json:"registered,omitzero"`
}

// SIMCreate registers a card. The numbers are given in full, stored sealed and
// never given back.
type SIMCreate struct {
	ICCID    string            `json:"iccid"`
	IMSI     string            `json:"imsi"`
	IMEI     string            `json:"imei,omitempty"` // the equipment it is bound to
	Device   ringwall.DeviceID `json:"device,omitempty"`
	Services []string          `json:"services"`        // "data", "sms", "voice"
	Peers    []string          `json:"peers,omitempty"` // addresses or APNs it may reach; empty = any

	Customer string `json:"customer,omitempty"`
	Tariff   string `json:"tariff,omitempty"`
	Seller   string `json:"seller,omitempty"`
}

// Assessment is one graded assessment of a device.
type Assessment struct {
	ID       ringwall.AssessID  `json:"id"`
	Org      ringwall.OrgID     `json:"org,omitempty"`
	Device   ringwall.DeviceID  `json:"device,omitempty"`
	Target   string             `json:"target"`
	Started  time.Time          `json:"started"`
	Ended    time.Time          `json:"ended"`
	Vendor   string             `json:"vendor,omitempty"`
	Model    string             `json:"model,omitempty"`
	Firmware string             `json:"firmware,omitempty"`
	MAC      string             `json:"mac,omitempty"`
	Type     string             `json:"type,omitempty"`
	Grade    ringwall.Grade     `json:"grade"`
	Class    ringwall.Class     `json:"class"`
	Best     ringwall.Grade     `json:"best"`  // if every unknown were a pass
	Worst    ringwall.Grade     `json:"worst"` // if every unknown were a fail
	Risk     float64            `json:"risk"`  // expected, 0 to 100
	Coverage float64            `json:"coverage"`
	Reasons  []string           `json:"reasons"`
	Modules  []ModuleScore      `json:"modules"`
	Findings []ringwall.Finding `json:"findings"`
	Services []Service          `json:"services"`
	Rubric   string             `json:"rubric"`         // its version
	Next     []string           `json:"next,omitempty"` // the cheapest measurements that would narrow Best to Worst
	Profile  Profile            `json:"profile,omitzero"`
	Impact   string             `json:"impact,omitempty"` // what harm such a device can do, in plain words
	// Prescribed is what the device must be given because of what failed.
	Prescribed []Prescription `json:"prescribed,omitempty"`
	// Examinations are what the grade follows from, by source; Findings are settled
	// from them, one an indicator.
	Examinations    []Examination   `json:"examinations,omitempty"`
	Vulnerabilities []Vulnerability `json:"vulnerabilities,omitempty"`
	// Contradictions are what a party declared and a measurement refutes. The
	// grade has counted them: who is refuted is believed less.
	Contradictions []ringwall.Finding `json:"contradictions,omitempty"`
}

// ModuleScore is the risk of one module, 0 to 1, at best, expected and worst.
type ModuleScore struct {
	Module   ringwall.Module `json:"module"`
	Best     float64         `json:"best"`
	Expected float64         `json:"expected"`
	Worst    float64         `json:"worst"`
	Coverage float64         `json:"coverage"`
}

// Service is one open port.
type Service struct {
	Proto string `json:"proto"`
	Port  uint16 `json:"port"`
	Name  string `json:"name"` // "rtsp", "http", "onvif", "telnet", ""
	Info  string `json:"info,omitempty"`
}

// Incident is the explained story of an attack on one device.
type Incident struct {
	ID          ringwall.IncidentID `json:"id"`
	Org         ringwall.OrgID      `json:"org"`
	Subject     ringwall.Subject    `json:"subject"`
	Name        string              `json:"name"` // of the subject
	SIM         ringwall.SIMID      `json:"sim,omitempty"`
	Severity    ringwall.Severity   `json:"severity"`
	Stage       ringwall.Stage      `json:"stage"` // the furthest reached
	Stages      []StageSeen         `json:"stages"`
	Status      string              `json:"status"`                // "new", "triaged", "contained", "resolved", "closed"
	Disposition string              `json:"disposition,omitempty"` // "true", "benign", "false", "unknown"
	Score       int                 `json:"score"`
	Opened      time.Time           `json:"opened"`
	Updated     time.Time           `json:"updated"`
	Closed      time.Time           `json:"closed,omitzero"`
	Story       []StoryLine         `json:"story"`
	Alerts      []ringwall.Alert    `json:"alerts"`
	AlertCount  int                 `json:"alertCount"` // repeats included
	Responses   []Response          `json:"responses"`
}

// StageSeen is one stage of the kill chain, whether reached and when.
type StageSeen struct {
	Stage ringwall.Stage `json:"stage"`
	First time.Time      `json:"first,omitzero"`
	Count int            `json:"count"`
}

// StoryLine is one sentence of an incident's story. Text is English; pages
// translate by Key and Params.
type StoryLine struct {
	Time   time.Time         `json:"time"`
	Key    string            `json:"key"` // such as "story.alert.mirai-scan"
	Params map[string]string `json:"params,omitempty"`
	Text   string            `json:"text"`
	Ref    string            `json:"ref,omitempty"` // id of the alert or response
}

// IncidentPatch is an analyst's decision.
type IncidentPatch struct {
	Status      *string `json:"status,omitempty"`
	Disposition *string `json:"disposition,omitempty"`
	Note        *string `json:"note,omitempty"`
}

// Response is an act on a device or SIM: recorded before it is done,
// reversible, with an expiry.
type Response struct {
	ID       ringwall.ResponseID `json:"id"`
	Org      ringwall.OrgID      `json:"org"`
	Incident ringwall.IncidentID `json:"incident,omitempty"`
	Kind     string              `json:"kind"` // "quarantine", "cutoff", "sim-suspend", "sim-restrict"
	Target   ringwall.Subject    `json:"target"`
	Do       string              `json:"do"`                // "observe", "ask", "act": what the rule said
	Status   string              `json:"status"`            // "proposed", "approved", "declined", "doing", "done", "failed", "undoing", "undone", "expired"
	By       string              `json:"by"`                // who or what asked for it: "usr_…", "rule:device-compromised", "reflex:mirai-scan"
	Decided  string              `json:"decided,omitempty"` // who approved, declined or ended it last; "system:expiry" when time did
	Reason   string              `json:"reason"`
	Made     time.Time           `json:"made"`
	Done     time.Time           `json:"done,omitzero"`
	Undone   time.Time           `json:"undone,omitzero"`
	Expires  time.Time           `json:"expires,omitzero"`
	Hold     ringwall.HoldID     `json:"hold,omitempty"`
	Error    string              `json:"error,omitempty"`
	// Restrict is what a "sim-restrict" reduces the card to.
	Restrict *SIMRestriction `json:"restrict,omitempty"`
	// Trial says that nothing was done: Effect tells what would be.
	Trial  bool  `json:"trial,omitempty"`
	Effect *Said `json:"effect,omitempty"`
}

// ResponseCreate asks for a response; it is recorded, then done.
type ResponseCreate struct {
	Kind     string              `json:"kind"`
	Target   ringwall.Subject    `json:"target"`
	Incident ringwall.IncidentID `json:"incident,omitempty"`
	Reason   string              `json:"reason"`
	Expiry   Duration            `json:"expiry,omitempty"`
	Restrict *SIMRestriction     `json:"restrict,omitempty"` // of a "sim-restrict"
	// Trial asks what would be done, and does nothing.
	Trial bool `json:"trial,omitempty"`
}

// ResponseDecision is "approve", "decline" or "undo".
type ResponseDecision struct {
	Decision string `json:"decision"`
}

// TimelineEntry is one thing that happened to a device, of any ring.
type TimelineEntry struct {
	Time   time.Time         `json:"time"`
	Kind   string            `json:"kind"` // an event kind
	Key    string            `json:"key"`  // for translation
	Params map[string]string `json:"params,omitempty"`
	Text   string            `json:"text"` // English
	Actor  string            `json:"actor"`
	Ref    string            `json:"ref,omitempty"`
	Event  ringwall.EventID  `json:"event"`
	// Subject is what it happened to; lists over many things need it.
	Subject ringwall.Subject `json:"subject,omitzero"`
}

// FlowRow is one flow report as the API shows it.
type FlowRow struct {
	Time      time.Time         `json:"time"`
	Gateway   string            `json:"gateway"`
	Device    ringwall.DeviceID `json:"device"`
	Direction Direction         `json:"direction"`
	Proto     string            `json:"proto"`
	Local     netip.AddrPort    `json:"local"`
	Remote    netip.AddrPort    `json:"remote"`
	Name      string            `json:"name,omitempty"`
	Verdict   string            `json:"verdict"` // "allowed", "refused", "would-refuse"
	Reason    string            `json:"reason,omitempty"`
	Term      string            `json:"term,omitempty"`
	Packets   uint64            `json:"packets"`
	Bytes     uint64            `json:"bytes"`

	// Since protocol version 2:

	ID         ringwall.FlowID `json:"id,omitempty"`
	End        time.Time       `json:"end,omitzero"`
	Generation uint64          `json:"generation,omitempty"` // of the policy that decided
	Limit      string          `json:"limit,omitempty"`      // the bound that was exceeded
	Inside     *FlowInside     `json:"inside,omitempty"`
	More       uint64          `json:"more,omitempty"` // further flows folded into this report
	BytesUp    uint64          `json:"bytesUp,omitempty"`
	BytesDown  uint64          `json:"bytesDown,omitempty"`
}

// Overview is the fleet at a glance.
type Overview struct {
	Devices   int             `json:"devices"`
	ByGrade   map[string]int  `json:"byGrade"`
	ByTrust   map[string]int  `json:"byTrust"`
	ByPresent map[string]int  `json:"byPresence"`
	Gateways  int             `json:"gateways"`
	Online    int             `json:"gatewaysOnline"`
	SIMs      int             `json:"sims"`
	Open      []Incident      `json:"openIncidents"` // newest first, without alerts
	Waiting   []Response      `json:"waiting"`       // for approval
	Recent    []TimelineEntry `json:"recent"`
	Demo      *DemoState      `json:"demo,omitempty"`
}

// DemoState tells what the demo runs and what it had to replace.
type DemoState struct {
	Live     bool     `json:"live"`     // the range; false = recorded captures
	Why      string   `json:"why"`      // when not live
	Replaced []string `json:"replaced"` // actors that were missing here, and what stands in
	Attacks  []string `json:"attacks"`  // that can be started
}

// User, Org and Token of the API.
type Org struct {
	ID   ringwall.OrgID `json:"id"`
	Name string         `json:"name"`
}

// UserCreate makes a user of one's own organisation.
type UserCreate struct {
	Name     string          `json:"name"`
	Password string          `json:"password"`
	Parts    []ringwall.Part `json:"parts"`
}

// User is a person.
type User struct {
	ID    ringwall.UserID `json:"id"`
	Org   ringwall.OrgID  `json:"org"`
	Name  string          `json:"name"`
	Parts []ringwall.Part `json:"parts"`
}

// TokenCreate makes an API token with some of one's own parts.
type TokenCreate struct {
	Name    string          `json:"name"`
	Parts   []ringwall.Part `json:"parts"`
	Expires time.Time       `json:"expires,omitzero"`
}

// APIToken is a token; Token is shown once, when it is made.
type APIToken struct {
	ID      ringwall.TokenID `json:"id"`
	Name    string           `json:"name"`
	Token   string           `json:"token,omitempty"`
	Parts   []ringwall.Part  `json:"parts"`
	Created time.Time        `json:"created"`
	Expires time.Time        `json:"expires,omitzero"`
}

// AuditEntry is one authorised or refused act.
type AuditEntry struct {
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor"`
	Act     string    `json:"act"`
	Target  string    `json:"target"`
	Allowed bool      `json:"allowed"`
	Why     string    `json:"why,omitempty"`
	Reason  string    `json:"reason,omitempty"` // that the actor gave, of an act that needs one
}
