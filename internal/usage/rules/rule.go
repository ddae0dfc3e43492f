package rules

import "github.com/ringwall/ringwall"

// Rule describes a rule for people and programs.
type Rule struct {
	Name string
	// Version grows when the rule's answers change.
	Version int
	// Why explains the rule and its limits.
	Why string
	// Needs names what must be known for it to judge.
	Needs string
	// Learns is how many days of a card's records it needs, by its defaults, before it
	// judges all that it can.
	Learns int
	// Severity is the worst that it says.
	Severity ringwall.Severity
	// Attack is the MITRE ATT&CK technique that it points to, for Mobile or, where
	// that has none, for Enterprise.
	Attack string
	Limits []Limit
}

// Limit is a threshold of a rule that settings may change.
type Limit struct {
	Name       string
	Default    float64
	Least      float64 // what settings may say
	Most       float64
	What       string
	Statements []int // the variants that hang on it; nil = all
}

// All returns the rules, in the order in which their statements are told.
func All() []Rule {
	return []Rule{
		{
			Name: Separation, Version: 2, Severity: ringwall.Critical, Attack: "T1451",
			Why:   "A card that is bound to one piece of equipment and is used in another was taken out. Other equipment of the same model may be a repair; another model (another TAC) is not. A binding that was learned, not declared, counts a step less. Not seen: equipment that reports the IMEI of the bound one.",
			Needs: "the IMEI in the record; a declared binding, or a first record to learn it from",
		},
		{
			Name: Service, Version: 2, Severity: ringwall.High, Attack: "T1643",
			Why:   "A card for data alone that calls or sends messages was taken out, or its device obeys somebody else. What others send it is not its doing and counts little. A service that goes one way alone is judged by direction, where the record tells one.",
			Needs: "the services that the card is meant for",
		},
		{
			Name: Peer, Version: 2, Severity: ringwall.Medium, Attack: "T1437",
			Why:   "A card with a list of peers that reaches another one. Sets are exact; a kind of peer of which none is listed is not judged, nor is a record that names no peer.",
			Needs: "a list of peers; the peer or access point in the record",
		},
		{
			Name: Moved, Version: 1, Learns: 3, Severity: ringwall.High, Attack: "T1078",
			Why:   "A device that does not move and is used elsewhere was carried off, or its card was. Cells near home, in the home area, or between which it went back and forth are its neighbourhood. Where coordinates are known, distance decides at once; where they are not, several records in a row from unknown places do. It is said again each day until the device is back or a planned move is declared. Not seen: moves within the radius.",
			Needs: "cells or areas in the records; settings that say the device is fixed; coordinates make it quicker",
			Limits: []Limit{
				{"learn-days", 3, 1, 60, "days with use before home is settled", nil},
				{"records", 4, 1, 200, "records in a row from unknown places", []int{0}},
				{"moves", 8, 1, 250, "changes between unknown places in a day", []int{0}},
				{"radius-km", 5, 1, 1000, "around home, where coordinates are known", []int{1}},
			},
		},
		{
			Name: Roaming, Version: 1, Learns: 7, Severity: ringwall.High, Attack: "T1078",
			Why:   "A card used outside the networks or countries that it is for, or in a place from which fraud comes. The table of risky places is the operator's; a place of which it says nothing is no risk, and a card that lives in a risky one (it was there in its first days) is at home. A place of high risk is nobody's home. A device that moves comes through risky places; it is told of when it is still there the next day.",
			Needs: "home networks or countries in the settings; a table of risky networks, areas or cells",
			Limits: []Limit{
				{"learn-days", 7, 0, 63, "first days with use in which it gets to know risky places", []int{1}},
				{"passing", 1, 0, 1, "1 = a device that moves is told of when it is in risky places on two days running, 0 = at once", []int{1}},
			},
		},
		{
			Name: Volume, Version: 2, Learns: 21, Severity: ringwall.High, Attack: "T1643",
			Why:   "An hour with far more traffic than the card's hours have: a device that attacks, sends video to strangers, or a card that serves as somebody's internet. What is usual is the mean of the logarithm and the mean deviation from it, of hours with use, and the largest hours of the last days; one wild hour moves them little, a silence widens them, and hours in a maintenance window are not learned. An hour that comes out of order is judged by all that came of it so, unless its records are very small. It says nothing in a card's first hours and days with use (Fired.Cold tells). A rise that is too slow for that is seen by the day against what was usual long ago.",
			Needs: "volumes; learn-hours hours and learn-days days with use",
			Limits: []Limit{
				{"learn-hours", 24, 4, 255, "hours with use before it judges", []int{0}},
				{"learn-days", 7, 1, 63, "days with use before it judges", []int{0}},
				{"deviations", 8, 2, 100, "mean deviations above the mean", []int{0}},
				{"least-times", 8, 1, 1e6, "times the largest usual hours, at least", []int{0}},
				{"least-bytes", 8 << 20, 0, 1e15, "bytes in the hour, at least", []int{0}},
				{"most-bytes", 0, 0, 1e15, "bytes in the hour that are always too many; 0 = none", []int{0}},
				{"drift-times", 4, 1.5, 1e6, "times the usual day of long ago, and once more for each time that its hours vary", []int{1}},
				{"drift-days", 21, 3, 63, "days with use before drift is judged", []int{1}},
				{"drift-bytes", 32 << 20, 0, 1e15, "bytes in the usual day, at least", []int{1}},
			},
		},
		{
			Name: Dormant, Version: 2, Learns: 45, Severity: ringwall.Medium, Attack: "T1078",
			Why:   "A card that was silent for far longer than it ever is and is used again may have been found by somebody. Its own habit counts: a meter that reports once a month is not dormant in between. Without a habit yet (its first reports) it is judged by days alone, if settings give them.",
			Needs: "a habit (8 hours with use), or days in the settings",
			Limits: []Limit{
				{"least-days", 45, 1, 3650, "of silence, at least", nil},
				{"habit-times", 4, 1, 1000, "times the longest usual silence, at least", nil},
				{"days", 0, 0, 3650, "of silence, whatever the habit; 0 = by habit", nil},
			},
		},
		{
			Name: Travel, Version: 2, Severity: ringwall.Critical, Attack: "T1078",
			Why:   "Two records of one card from places so far apart that nothing travels as fast: one of them is a copy, or the records lie. It is critical when the equipment differs, when the first session had not ended, or when two pieces of equipment far apart take turns. A device that does not move is not flown while its session goes on. The uncertainty of both cells is taken off; times that the receiver made up are not judged.",
			Needs: "coordinates of cells or areas",
			Limits: []Limit{
				{"kmh", 1000, 50, 30000, "kilometres an hour that nothing exceeds", nil},
				{"session-kmh", 400, 50, 30000, "kilometres an hour that a device that does not move never has while its session goes on", nil},
				{"slack-km", 50, 0, 5000, "that are never judged", nil},
				{"turns", 3, 2, 15, "changes of equipment in a day, places far apart", []int{1}},
				{"apart-km", 100, 1, 20000, "that are far apart", []int{1}},
			},
		},
		{
			Name: Burst, Version: 2, Severity: ringwall.High, Attack: "T1582",
			Why:   "Many calls or messages in an hour or a day, or calls that go on and on: a card that serves a call centre, a sender of mass messages, or a relay for calls. Only what the card began counts for messages; calls count both ways in minutes. A session that several records tell of counts once for each. What comes late, or is ahead of the clock, counts in the hour and day that it says it is of.",
			Needs: "records of calls and messages",
			Limits: []Limit{
				{"messages-hour", 30, 1, 250, "messages sent in an hour", []int{0}},
				{"messages-day", 100, 1, 1000, "messages sent in a day", []int{0}},
				{"calls-hour", 20, 1, 250, "calls made in an hour", []int{1}},
				{"calls-day", 60, 1, 1000, "calls made in a day", []int{1}},
				{"minutes-day", 240, 1, 4000, "minutes of calls in a day", []int{2}},
				{"call-minutes", 120, 1, 10000, "minutes of one call", []int{2}},
			},
		},
		{
			Name: Verification, Version: 2, Severity: ringwall.High, Attack: "T1585",
			Why:   "Accounts on the internet are opened with codes that come by message from short numbers or named senders. A card that gets such messages from many senders in a day opens accounts for somebody. Senders are told apart by a sketch that never counts one too many. Cards that settings mean for it are not judged.",
			Needs: "records of received messages with their senders",
			Limits: []Limit{
				{"messages", 20, 2, 250, "messages from such senders in a day", []int{0}},
				{"senders", 5, 2, 14, "different such senders in a day", []int{1}},
			},
		},
		{
			Name: Lifecycle, Version: 1, Severity: ringwall.High, Attack: "T1078",
			Why:   "A card that is used before it was activated was diverted on its way; one that is used after it was suspended or ended is not switched off, or is a copy. Records that began before the change and come late are judged by when they began.",
			Needs: "the card's life, from the operator or the custody ledger",
			Limits: []Limit{
				{"grace-minutes", 60, 0, 100000, "after the change that are not judged", nil},
			},
		},
		{Name: Hours, Version: 2, Severity: ringwall.Medium, Attack: "T1078", Why: "A card used outside the hours of its function profile. Hours are those of the wall at the time of the record, summer time included. Times that the receiver made up, or that are ahead of the clock, are not judged.", Needs: "hours in the function profile"},
		{Name: Place, Version: 1, Severity: ringwall.Medium, Attack: "T1078", Why: "A card used outside the countries, areas or cells of its function profile. A record that names none is not judged.", Needs: "places in the function profile"},
		{Name: Quota, Version: 2, Severity: ringwall.Medium, Attack: "T1643", Why: "More bytes, messages or calls in a calendar month (UTC) than the function profile allows. What comes late counts in its own month.", Needs: "monthly caps in the function profile"},
	}
}
