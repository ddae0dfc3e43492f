package api

import "net/netip"

// FunctionProfile says what a SIM is for, and so what it may do: function
// minimisation. One profile is compiled to what the operator switches, what a
// gateway enforces and what usage records are judged by. What it does not name
// is not for this SIM.
type FunctionProfile struct {
	Name  string       `json:"name"`
	Voice *CallUse     `json:"voice,omitempty"` // nil = none
	SMS   *CallUse     `json:"sms,omitempty"`
	Data  *DataUse     `json:"data,omitempty"`
	Place *PlaceBounds `json:"place,omitempty"` // nil = anywhere
	// Hours are when it may be used; none = always.
	Hours []Window `json:"hours,omitempty"`
}

// CallUse is how calls or messages are used.
type CallUse struct {
	In  bool `json:"in,omitempty"`  // to the SIM
	Out bool `json:"out,omitempty"` // from the SIM
	// Numbers of the other side, in the form of E.164 with or without "+", or short
	// codes. None only together with Any.
	Numbers []string `json:"numbers,omitempty"`
	Any     bool     `json:"any,omitempty"`
	// Month is the most calls or messages a month; 0 = any number.
	Month uint64 `json:"month,omitempty"`
}

// DataUse is how data connections are used.
type DataUse struct {
	APNs []string `json:"apns,omitempty"` // none = any that the operator gives it
	// Peers whom the SIM may reach, or who may reach it. None only together with Any.
	Peers []FunctionPeer `json:"peers,omitempty"`
	Any   bool           `json:"any,omitempty"`   // it may reach anybody; nobody may reach it
	Bytes uint64         `json:"bytes,omitempty"` // both ways, a month; 0 = any number
}

// FunctionPeer is one other end: one of CIDR, Domain and Controller.
type FunctionPeer struct {
	Direction  Direction    `json:"direction,omitempty"` // "" = from
	CIDR       netip.Prefix `json:"cidr,omitzero"`
	Domain     string       `json:"domain,omitempty"`
	Controller string       `json:"controller,omitempty"`
	Proto      string       `json:"proto"`
	Ports      []PortRange  `json:"ports,omitempty"`
	Inside     *Inside      `json:"inside,omitempty"`
}

// PlaceBounds are where a SIM may be used; an empty list bounds nothing.
type PlaceBounds struct {
	Countries []string `json:"countries,omitempty"` // mobile country codes (ITU-T E.212), such as "460"
	Areas     []string `json:"areas,omitempty"`     // tracking or location areas, as usage records name them
	Cells     []string `json:"cells,omitempty"`
}

// OperatorSettings are what an operator is asked to switch for one SIM.
type OperatorSettings struct {
	Voice OperatorService `json:"voice"`
	SMS   OperatorService `json:"sms"`
	Data  OperatorService `json:"data"`
	APNs  []string        `json:"apns,omitempty"`
	// Peers are addresses and networks to which data is directed; nil = not bounded by
	// the operator, because some peer is known by name alone.
	Peers     []netip.Prefix `json:"peers,omitempty"`
	Bytes     uint64         `json:"bytes,omitempty"` // a month
	Countries []string       `json:"countries,omitempty"`
	Areas     []string       `json:"areas,omitempty"`
	Cells     []string       `json:"cells,omitempty"`
}

// OperatorService is one service of a SIM.
type OperatorService struct {
	In      bool     `json:"in"`
	Out     bool     `json:"out"`
	Numbers []string `json:"numbers,omitempty"` // the only ones; none = any
}

// UsageRules are what the usage records of one SIM are judged by.
type UsageRules struct {
	// Services are those that it has any use for. None is a statement: any use is
	// then one too many.
	Services []string `json:"services"`
	// Peers as in SIMCreate. A kind of peer (address, APN, number) of which none is
	// named is not judged.
	Peers     []string `json:"peers,omitempty"`
	Countries []string `json:"countries,omitempty"`
	Areas     []string `json:"areas,omitempty"`
	Cells     []string `json:"cells,omitempty"`
	Hours     []Window `json:"hours,omitempty"`
	Bytes     uint64   `json:"bytes,omitempty"` // a month
	Calls     uint64   `json:"calls,omitempty"`
	Messages  uint64   `json:"messages,omitempty"`
	// OnlyIn and OnlyOut name services ("sms", "voice") that go one way alone.
	OnlyIn  []string `json:"onlyIn,omitempty"`
	OnlyOut []string `json:"onlyOut,omitempty"`
}

// FunctionPlan is a function profile, compiled.
type FunctionPlan struct {
	Operator OperatorSettings `json:"operator"`
	Terms    []Term           `json:"terms"`           // for the gateway or the agent on the device
	Limit    *Limit           `json:"limit,omitempty"` // of all that it does together
	Rules    UsageRules       `json:"rules"`
}
