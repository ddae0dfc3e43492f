package api

import (
	"time"

	"github.com/ringwall/ringwall"
)

// UsageSettings are what the usage records of the cards of one customer, or of
// one customer's tariff, are judged by. Settings of a tariff stand in the place
// of those of the customer, and these in the place of those of everybody
// (Customer and Tariff ""). Every version is kept.
type UsageSettings struct {
	Customer string    `json:"customer"`
	Tariff   string    `json:"tariff,omitempty"`
	Version  int       `json:"version"` // 0 = nobody has said anything: the defaults
	Made     time.Time `json:"made,omitzero"`
	By       string    `json:"by,omitempty"`
	Note     string    `json:"note,omitempty"`
	// None says that there are no settings of its own since this version.
	None bool `json:"none,omitempty"`
	// Rules by name; one that is not named is on, with its defaults.
	Rules map[string]UsageRuleSetting `json:"rules,omitempty"`
	// Fixed says that the devices do not move.
	Fixed bool `json:"fixed,omitempty"`
	// Services and Peers are for cards that have none of their own.
	Services  []string `json:"services,omitempty"`
	Peers     []string `json:"peers,omitempty"`
	Countries []string `json:"countries,omitempty"` // mobile country codes
	Areas     []string `json:"areas,omitempty"`
	Hours     []Window `json:"hours,omitempty"`
	// Pools name pools of equipment in which the cards may sit.
	Pools []string `json:"pools,omitempty"`
}

// UsageRuleSetting changes one rule.
type UsageRuleSetting struct {
	Off bool `json:"off,omitempty"`
	// Limits are thresholds by name; those that are not named keep their defaults.
	Limits map[string]float64 `json:"limits,omitempty"`
}

// UsageRule describes a rule for people.
type UsageRule struct {
	Name string `json:"name"`
	Why  string `json:"why"`
	// Limits are its thresholds with their defaults.
	Limits map[string]float64 `json:"limits,omitempty"`
}

// UsageTrial tells what changed settings would have changed.
type UsageTrial struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Records says that records were judged again (from the archive); else only
	// what the rules did say could be looked at again, and what they would say anew
	// by other thresholds is unknown.
	Records bool       `json:"records"`
	Looked  int        `json:"looked"` // records, or alerts
	Same    int        `json:"same"`   // alerts that would be said as well
	Gone    []SIMAlert `json:"gone"`   // that would not be said; at most MaxTrial
	Fresh   []SIMAlert `json:"fresh"`  // that would be said anew; at most MaxTrial
	GoneAll int        `json:"goneAll"`
	NewAll  int        `json:"freshAll"`
	Unknown []string   `json:"unknown,omitempty"` // rules of which it cannot be told
}

// MaxTrial bounds the lists of a UsageTrial.
const MaxTrial = 100

// UsageTry asks what settings would change, over the last days.
type UsageTry struct {
	Settings UsageSettings `json:"settings"`
	Days     int           `json:"days,omitempty"` // 0 = 7, at most 90
}

// Kinds of a UsageException.
const (
	ExceptRule   = "exception" // one rule says nothing
	ExceptWindow = "window"    // maintenance: no rule, or none of Rules, says anything
	ExceptSwap   = "swap"      // a planned swap: the card may sit in another device
)

// UsageException keeps rules from speaking for a while.
type UsageException struct {
	ID       ringwall.ExceptionID `json:"id"`
	Kind     string               `json:"kind"`
	SIM      ringwall.SIMID       `json:"sim,omitempty"`      // for one card
	Customer string               `json:"customer,omitempty"` // else for all cards of a customer; "" and no card = all
	Rules    []string             `json:"rules,omitempty"`    // of a window: none = all
	IMEI     string               `json:"imei,omitempty"`     // of a swap, masked
	From     time.Time            `json:"from"`
	Until    time.Time            `json:"until"`
	Reason   string               `json:"reason"`
	By       string               `json:"by"`
	Made     time.Time            `json:"made"`
	Ended    time.Time            `json:"ended,omitzero"` // before its time
	EndedBy  string               `json:"endedBy,omitempty"`
	Alert    ringwall.AlertID     `json:"alert,omitempty"` // that it was made of
}

// ExceptionCreate makes a UsageException. A time that is zero is now.
type ExceptionCreate struct {
	Kind     string         `json:"kind"`
	SIM      ringwall.SIMID `json:"sim,omitempty"`
	Customer string         `json:"customer,omitempty"`
	Rules    []string       `json:"rules,omitempty"`
	IMEI     string         `json:"imei,omitempty"` // of a swap; sealed, and given back masked
	From     time.Time      `json:"from,omitzero"`
	Until    time.Time      `json:"until"`
	Reason   string         `json:"reason"`
}

// IMEIPool is equipment in which cards may sit by turns. IMEIs are sealed and
// given back as a number alone.
type IMEIPool struct {
	Name    string    `json:"name"`
	TACs    []string  `json:"tacs,omitempty"`  // whole models: the first eight digits of IMEIs
	IMEIs   []string  `json:"imeis,omitempty"` // when it is made
	Count   int       `json:"count"`           // of IMEIs
	Version int       `json:"version"`
	Made    time.Time `json:"made,omitzero"`
	By      string    `json:"by,omitempty"`
}

// Credit is how far the behaviour of its cards lets a customer or an
// intermediary be relied on.
type Credit struct {
	Kind  string    `json:"kind"` // "customer", "seller"
	Name  string    `json:"name"`
	Known bool      `json:"known"`         // false: too little is known
	Value int       `json:"value"`         // 0 to 100, when Known
	Why   string    `json:"why,omitempty"` // why it is not known
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Cards int       `json:"cards"` // of which something is known
	// Deductions are what is taken from 100, the most first.
	Deductions []CreditDeduction `json:"deductions"`
}

// CreditDeduction is what one rule takes away.
type CreditDeduction struct {
	Rule   string             `json:"rule"`
	Points float64            `json:"points"`
	Alerts int                `json:"alerts"`
	Cards  int                `json:"cards"`
	Share  float64            `json:"share"` // of the cards
	First  time.Time          `json:"first"`
	Last   time.Time          `json:"last"`
	Proofs []ringwall.AlertID `json:"proofs"` // the newest few
}

// WarningRoute says to which party's system warnings go, by signed HTTP
// requests. A party gets what its part entitles it to see, of the cards and
// devices that the route is for.
type WarningRoute struct {
	ID    ringwall.RouteID `json:"id"`
	Party ringwall.Part    `json:"party"` // "enterprise", "manufacturer", "application", "operator", ...
	Name  string           `json:"name"`
	URL   string           `json:"url"`
	// Secret is what requests are signed with; shown once, when it is made.
	Secret string `json:"secret,omitempty"`
	// Customer, Vendor and Tag narrow it: to a customer's cards, to devices of a
	// vendor, to devices with a tag. An enterprise's route needs Customer, a
	// manufacturer's Vendor, an application provider's Tag.
	Customer string            `json:"customer,omitempty"`
	Vendor   string            `json:"vendor,omitempty"`
	Tag      string            `json:"tag,omitempty"`
	Severity ringwall.Severity `json:"severity"` // at least
	Off      bool              `json:"off,omitempty"`
	Made     time.Time         `json:"made,omitzero"`
	By       string            `json:"by,omitempty"`
	// Waiting, Sent and LastError tell how it goes.
	Waiting   int       `json:"waiting"`
	Sent      int       `json:"sent"`
	LastSent  time.Time `json:"lastSent,omitzero"`
	LastError string    `json:"lastError,omitempty"`
}

// WarningRoutePut makes a route, or changes one.
type WarningRoutePut struct {
	Party    ringwall.Part     `json:"party"`
	Name     string            `json:"name"`
	URL      string            `json:"url"`
	Customer string            `json:"customer,omitempty"`
	Vendor   string            `json:"vendor,omitempty"`
	Tag      string            `json:"tag,omitempty"`
	Severity ringwall.Severity `json:"severity,omitempty"`
	Off      bool              `json:"off,omitempty"`
}

// Warning is what a party is told: an incident as its part may see it.
type Warning struct {
	Type     string        `json:"type"` // "incident.opened", "incident.grew", "incident.closed", "test"
	Time     time.Time     `json:"time"`
	Party    ringwall.Part `json:"party"`
	Incident *Incident     `json:"incident,omitempty"`
}

// Delivery is one warning on its way.
type Delivery struct {
	ID    string           `json:"id"`
	Route ringwall.RouteID `json:"route"`
	Type  string           `json:"type"`
	Made  time.Time        `json:"made"`
	Tries int              `json:"tries"`
	Next  time.Time        `json:"next,omitzero"`
	Done  time.Time        `json:"done,omitzero"`
	// State is "waiting", "sent", "given-up".
	State string `json:"state"`
	Error string `json:"error,omitempty"`
}
