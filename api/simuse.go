package api

import (
	"time"

	"github.com/ringwall/ringwall"
)

// SIMCard is all that is known of one SIM; its numbers are masked.
type SIMCard struct {
	SIM     SIM        `json:"sim"`
	Binding SIMBinding `json:"binding"`
	// Profile is the newest version of what it may be used for; nil when nobody
	// has said so.
	Profile  *SIMProfile   `json:"profile,omitempty"`
	Settings UsageSettings `json:"settings"` // what its records are judged by
	Hours    UsageCurve    `json:"hours"`    // of 14 days
	Days     UsageCurve    `json:"days"`     // of 13 months
	Places   []SIMPlace    `json:"places"`   // the last one first
	Alerts   []SIMAlert    `json:"alerts"`   // the newest
	Open     []Incident    `json:"incidents"`
	Acts     []Response    `json:"responses"`
	// Custody tells how the card came to be where it is, oldest first; Proven says
	// that it comes from the ledger, else it is what the platform itself saw.
	Custody []CustodyEvent   `json:"custody"`
	Proven  bool             `json:"custodyProven"`
	Except  []UsageException `json:"exceptions"` // in force or to come
}

// SIMBinding is what ties a card to its equipment.
type SIMBinding struct {
	// State is "held", "broken" (seen in other equipment), "learned" (nobody
	// declared one; it is bound to the first it was seen in) or "unknown".
	State string    `json:"state"`
	Bound string    `json:"bound,omitempty"` // masked IMEI
	Seen  string    `json:"seen,omitempty"`  // masked IMEI
	Since time.Time `json:"since,omitzero"`  // of a broken one
	Pools []string  `json:"pools,omitempty"` // of equipment that it may sit in as well
	Swap  string    `json:"swap,omitempty"`  // masked IMEI of a planned swap
	Until time.Time `json:"until,omitzero"`  // of the planned swap
}

// UsageCurve is what a card used, a point an hour or a day; those without use
// are left out.
type UsageCurve struct {
	Step   Duration     `json:"step"`
	From   time.Time    `json:"from"`
	To     time.Time    `json:"to"`
	Points []UsagePoint `json:"points"` // oldest first
}

// UsagePoint is what was used from Time on, for one step. Times are those of
// the records.
type UsagePoint struct {
	Time     time.Time `json:"time"`
	Up       uint64    `json:"up"` // bytes from the card
	Down     uint64    `json:"down"`
	Calls    uint64    `json:"calls"`
	Messages uint64    `json:"messages"`
	Records  uint64    `json:"records"`
}

// SIMPlace is an area or cell that a card was used in.
type SIMPlace struct {
	Area  string    `json:"area"`
	Cell  string    `json:"cell,omitempty"`
	PLMN  string    `json:"plmn,omitempty"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Count uint64    `json:"count"` // records
}

// SIMAlert is what a rule said of a card, and what people made of it.
type SIMAlert struct {
	ID       ringwall.AlertID    `json:"id"`
	SIM      ringwall.SIMID      `json:"sim"`
	Time     time.Time           `json:"time"`
	Rule     string              `json:"rule"`
	Nature   ringwall.Nature     `json:"nature"`
	Severity ringwall.Severity   `json:"severity"`
	Title    string              `json:"title"` // English; pages translate by Rule and Facts
	Facts    map[string]string   `json:"facts,omitempty"`
	Area     string              `json:"area,omitempty"`
	Incident ringwall.IncidentID `json:"incident,omitempty"`
	// With are other cards that it names: many acted as one. Each has an alert of its
	// own.
	With []ringwall.SIMID `json:"with,omitempty"`
	// Muted says why it made no incident: "off", "exception", "window", "swap",
	// "pool"; By names the exception or pool. "" = it did.
	Muted       string               `json:"muted,omitempty"`
	MutedBy     string               `json:"mutedBy,omitempty"`
	Disposition string               `json:"disposition,omitempty"` // "true", "benign", "false", "unknown"
	Note        string               `json:"note,omitempty"`
	Decided     string               `json:"decided,omitempty"` // by whom
	DecidedAt   time.Time            `json:"decidedAt,omitzero"`
	Exception   ringwall.ExceptionID `json:"exception,omitempty"` // that was made of it
}

// AlertDecision is what somebody makes of an alert about a card. Except makes an
// exception in the same act, so that it is not said again for a while.
type AlertDecision struct {
	Disposition string       `json:"disposition"`
	Note        string       `json:"note,omitempty"`
	Except      *AlertExcept `json:"except,omitempty"`
}

// AlertExcept is an exception to the rule of an alert.
type AlertExcept struct {
	Customer bool      `json:"customer,omitempty"` // for all cards of the card's customer, else for the card alone
	Until    time.Time `json:"until"`
}

// CustodyEvent is one step of a card's way.
type CustodyEvent struct {
	Time time.Time `json:"time"`
	// What happened: "registered", "activated", "suspended", "restored",
	// "restricted", "released", "bound", "separated", "rejoined", "profile",
	// "customer", or what the ledger calls it.
	What string `json:"what"`
	By   string `json:"by"`
	Text string `json:"text,omitempty"`
	Ref  string `json:"ref,omitempty"` // id of the event, response or entry of the ledger
}

// SIMPatch changes what is not nil.
type SIMPatch struct {
	Customer *string `json:"customer,omitempty"`
	Tariff   *string `json:"tariff,omitempty"`
	Seller   *string `json:"seller,omitempty"`
}

// SIMBatch registers many cards.
type SIMBatch struct {
	Cards []SIMCreate `json:"cards"` // at most MaxBatch
}

// MaxBatch bounds one SIMBatch.
const MaxBatch = 1000

// SIMBatchAnswer tells what became of each card of a batch, in order.
type SIMBatchAnswer struct {
	Made  int            `json:"made"`
	There int            `json:"there"` // that were registered before, with these numbers
	Wrong []SIMBatchFail `json:"wrong"`
}

// SIMBatchFail is a card that was not taken; the others were.
type SIMBatchFail struct {
	Index int    `json:"index"` // in the batch, from 0
	Why   string `json:"why"`
}

// SIMRestriction is what a card is reduced to. One field at least is set.
type SIMRestriction struct {
	Rate     uint64   `json:"rate,omitempty"`     // most bits a second, each way
	Services []string `json:"services,omitempty"` // that are switched off: "data", "sms", "voice"
	APNs     []string `json:"apns,omitempty"`     // the only ones that are left
}

// SIMFleet is the fleet of cards at a glance.
type SIMFleet struct {
	From       time.Time      `json:"from"` // of alerts and trend
	To         time.Time      `json:"to"`
	Cards      int            `json:"cards"`
	ByState    map[string]int `json:"byState"`
	NoDevice   int            `json:"noDevice"`   // cards without a device
	NoCard     int            `json:"noCard"`     // devices without a card
	Silent     int            `json:"silent"`     // used before, and not since SilentAfter
	Never      int            `json:"neverUsed"`  //
	Separated  int            `json:"separated"`  //
	SilentFor  Duration       `json:"silentFor"`  // what Silent means
	Areas      []AreaRisk     `json:"areas"`      // most risk first, at most MaxAreas
	AreasTotal int            `json:"areasTotal"` //
	Top        []CardRisk     `json:"top"`        // most risk first
	Rules      []RuleCount    `json:"rules"`      // most alerts first
	Trend      []UsageDay     `json:"trend"`      // oldest first
}

// MaxAreas bounds the areas of a SIMFleet.
const MaxAreas = 400

// AreaRisk is what was said of the cards in one area.
type AreaRisk struct {
	Area  string `json:"area"`
	Name  string `json:"name,omitempty"`
	Known bool   `json:"known"` // where it is
	// Lat and Lon are degrees (WGS 84), when Known.
	Lat    float64 `json:"lat,omitempty"`
	Lon    float64 `json:"lon,omitempty"`
	Given  int     `json:"given,omitempty"` // risk that its operator gives it, 0 to 100
	Cards  int     `json:"cards"`           // whose last use was there
	Alerts int     `json:"alerts"`
	// Risk is 0 to 100: severity points of the alerts there for each hundred cards.
	Risk int `json:"risk"`
}

// CardRisk is a card with what was said of it.
type CardRisk struct {
	SIM      ringwall.SIMID    `json:"sim"`
	ICCID    string            `json:"iccid"` // masked
	Device   ringwall.DeviceID `json:"device,omitempty"`
	Customer string            `json:"customer,omitempty"`
	Points   int               `json:"points"`
	Alerts   int               `json:"alerts"`
	Worst    ringwall.Severity `json:"worst"`
	Rules    []string          `json:"rules"`
	Last     time.Time         `json:"last"`
}

// RuleCount counts what one rule said.
type RuleCount struct {
	Rule   string `json:"rule"`
	Alerts int    `json:"alerts"`
	Cards  int    `json:"cards"`
	Muted  int    `json:"muted"`
	False  int    `json:"false"` // that people called false alarms
}

// UsageDay is one day (UTC) of the trend.
type UsageDay struct {
	Day    time.Time `json:"day"`
	Alerts int       `json:"alerts"`
	Severe int       `json:"severe"` // high and critical
	Cards  int       `json:"cards"`
}

// UsageArea says where an area or cell is, and how risky its operator holds it.
type UsageArea struct {
	Area string  `json:"area"`
	Name string  `json:"name,omitempty"`
	Lat  float64 `json:"lat"`
	Lon  float64 `json:"lon"`
	Risk int     `json:"risk,omitempty"` // 0 to 100
}
