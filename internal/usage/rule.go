package usage

import (
	"net/netip"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

// Names of the rules; they are stable.
const (
	Separation = "separation"  // the card sits in other equipment than it is bound to
	SIMService = "sim-service" // a service that the card is not meant for
	SIMPeer    = "sim-peer"    // another end that is not on the card's list
)

// maxVariants is how many kinds of statement one rule can make of a card in
// one day, and maxRules how many rules an engine has: their product is the
// width of the field that notes what was said.
const (
	maxVariants = 2
	maxRules    = 16
)

// Present is what a rule may know of a card's past.
type Present struct {
	Bound    Equipment // the equipment it is bound to; 0 = not known yet
	Declared bool      // the binding was declared, not learned
	Seen     Equipment // the equipment of the newest record that named one
}

// Rule judges one record. Judge depends on nothing but its arguments and
// changes none of them.
type Rule struct {
	Name string
	// Why explains the rule and its limits to people.
	Why   string
	Judge func(Card, Present, *cdr.Record) (Statement, bool)
}

// Statement is what a rule has to say of a record.
type Statement struct {
	// Variant tells apart what the rule may say of one card on one day, from 0
	// to maxVariants-1: the worse must not be kept back by the lesser.
	Variant  int
	Nature   ringwall.Nature
	Severity ringwall.Severity
	Stage    ringwall.Stage
	Title    string
	Attack   string
	Peer     netip.Addr
	Facts    map[string]string
}

// Rules returns the rules in the order in which they are asked.
func Rules() []Rule {
	return []Rule{
		{Separation, "A card that is bound to one piece of equipment and is used in another was taken out. Other equipment of the same model may be a repair; another model (another TAC) is not.", separation},
		{SIMService, "A card for data alone that calls or sends messages was taken out, or its device obeys somebody else. What others send it is not its doing and counts little.", service},
		{SIMPeer, "A card with a list of peers that reaches another one. Sets are exact; a record that names no peer is not judged.", peer},
	}
}

// separation compares the equipment of the record with that of the binding.
func separation(c Card, p Present, r *cdr.Record) (Statement, bool) {
	seen := EquipmentOf(r.IMEI)
	if seen == 0 || p.Bound == 0 || seen == p.Bound {
		return Statement{}, false
	}
	s := Statement{
		Nature: ringwall.NatureAttack, Severity: ringwall.High, Attack: "T1451",
		Title: "SIM seen in other equipment of the same model",
		Facts: map[string]string{"boundImei": p.Bound.String(), "seenImei": seen.String(), "boundTac": p.Bound.TAC(), "binding": "declared"},
	}
	if seen.TAC() != p.Bound.TAC() {
		s.Variant, s.Severity = 1, ringwall.Critical
		s.Title = "SIM seen in equipment of another model"
		s.Facts["seenTac"] = seen.TAC()
	}
	if !p.Declared {
		s.Nature, s.Severity = ringwall.NatureDeviation, s.Severity-1
		s.Facts["binding"] = "learned"
	}
	return s, true
}

// service asks whether the card is meant for what was used.
func service(c Card, p Present, r *cdr.Record) (Statement, bool) {
	if c.Services == 0 || c.Services.Has(r.Service) {
		return Statement{}, false
	}
	s := Statement{
		Nature: ringwall.NatureAttack, Severity: ringwall.High, Stage: byDevice(p, r, ringwall.Action), Attack: "T1643",
		Title: "SIM used for " + r.Service.String() + ", which it is not meant for",
		Facts: map[string]string{"service": r.Service.String()},
	}
	if r.Direction != cdr.DirectionUnknown {
		s.Facts["direction"] = r.Direction.String()
	}
	if n := number(r.Peer); n != "" && r.Service != cdr.Data {
		s.Facts["number"] = maskNumber(n)
	}
	switch {
	case r.Service == cdr.Data, r.Direction == cdr.DirectionUnknown:
		s.Nature, s.Severity = ringwall.NatureDeviation, ringwall.Medium
	case r.Direction == cdr.Terminated:
		s.Nature, s.Severity, s.Stage = ringwall.NatureDeviation, ringwall.Low, ringwall.NoStage
	default:
		s.Variant = 1
	}
	return s, true
}

// peer asks whether the other end is on the card's list.
func peer(c Card, p Present, r *cdr.Record) (Statement, bool) {
	kind, who := c.Peers.refuse(r)
	if kind == "" {
		return Statement{}, false
	}
	s := Statement{
		Nature: ringwall.NatureDeviation, Severity: ringwall.Medium, Stage: byDevice(p, r, ringwall.Command), Attack: "T1437",
		Title: "SIM reached a peer that is not on its list",
		Facts: map[string]string{"kind": kind, "peer": who},
	}
	switch kind {
	case "address":
		s.Peer, _ = netip.ParseAddr(who)
	case "number":
		s.Facts["peer"] = maskNumber(who)
	}
	return s, true
}

// byDevice is the stage of something that the bound device did. What was done
// with the card elsewhere says nothing of the device.
func byDevice(p Present, r *cdr.Record, stage ringwall.Stage) ringwall.Stage {
	seen := EquipmentOf(r.IMEI)
	if seen == 0 {
		seen = p.Seen
	}
	if seen == 0 || p.Bound == 0 || seen != p.Bound {
		return ringwall.NoStage
	}
	return stage
}
