// Package rules judges events of SIM cards: pure functions of a card's line,
// its settings, the event and what is set down about places and exceptions.
//
// A Line is what is kept of one card, 64 bytes; a Side holds what only some
// cards need, in blocks of 16. Step brings the line to the event's time, asks
// every rule, and then takes the event in. No rule sees what another says, and
// state moves whether or not a rule is on, so that adding, removing or turning
// off one changes nothing in what the others say. What Step finds are bits
// (Fired); only for the few events of which something is said, Explain puts it
// into words.
//
// Time is event time alone. The newest record moves what is known of the card's
// present; a late one is judged by its own time and counts where it belongs,
// while its hour, day or month is still open; one from the future (Env.Horizon)
// is judged and moves nothing. The same events in the same order give the same
// statements and the same state, on every machine: state is whole numbers, and
// sums of the events' own volumes in their order.
//
// A statement is said once a day (UTC) of a card, of the day of the event; of
// the newest two days it is remembered. Which statements there are, and what ids
// of alerts are made of, is in Statements.
//
// What is not known is not judged: no field that is zero breaks a rule about it,
// a card without a history breaks none about its habits (Cold tells that it has
// none), and when the Side is full what it cannot keep is not judged.
//
// All says what each rule sees, needs and cannot see; docs/usage.md has the
// table. Techniques are MITRE ATT&CK for Mobile, or for Enterprise where Mobile
// has none. Nothing here starts a goroutine or reads a clock or a file.
package rules
