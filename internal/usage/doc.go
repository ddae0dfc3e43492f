// Package usage judges the usage records of SIM cards, for up to a billion cards,
// as fast as memory delivers what is known of them.
//
// An Engine keeps a line of 64 bytes for each card (packages store and rules) and
// takes batches of events (cdr.Batch): it finds the lines of all of them, has them
// fetched, judges each by all rules and moves the card's state on. Nothing is
// allocated for a record; only when something is said, the record behind the event
// is read and an alert made of it. Cards are registered by their ranges
// (Announce), one by one (SetCard), or, if Config.Adopt says so, by being seen;
// those that nobody knows are counted and not judged.
//
// A Set is several engines that share the cards by their blocks of 10,000
// numbers, each on a goroutine. It says what one engine would say, in the order
// of the records, and looks at several cards at once (package cross). Run reads a
// cdr.Source into a Set and takes snapshots (Keep) on the way.
//
// Alerts have ids derived from card, rule, day (UTC) and variant, so that a
// replay of the same records, after a crash or because a file came twice,
// repeats none. A rule speaks once a day of a card. A record whose id came
// before is judged once, as far back as Config.Duplicates reaches; package spool
// refuses files that came before. Records may come late: package rules has how
// they and those from the future are judged.
//
// The input is the only log. A snapshot holds the position in it and is the state
// as of that position exactly, though it is taken while records are judged: lines
// that change after they were copied are copied again, until so few are left that
// the engine can stand still for them, some milliseconds. It is named when all of
// it is on the disk and the alerts of all records before it are durable. Torn,
// bent and incomplete ones are refused, and the one before is used; a full disk
// is told and costs nothing that is there. What is refused is never begun anew in
// silence.
//
// What is not known is not judged. All tables are bounded; Memory and Stats tell
// what they hold and what found no room.
//
// No alert holds an IMSI, an IMEI or a telephone number in clear: the subject
// is our id of the card, facts are masked, and ids are keyed with Config.Key.
// Snapshots do hold numbers of cards: their files have mode 0600 and belong on
// the operator's machines. They carry a mark of the key and are refused under
// another.
//
// An Engine belongs to one goroutine and starts none; a Set owns its own until
// Close. Hash compares states, for drills. docs/usage.md has sizes and rates.
package usage
