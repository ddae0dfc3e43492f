// Package usage judges the usage records of SIM cards against what each card
// may do.
//
// An Engine takes one record at a time. It knows the cards it was told of
// (SetCard) and keeps of each a state of 56 bytes; every rule is a pure function
// of card, state and record and of nothing else. No rule sees another's output,
// and state is moved on by the engine alone after all rules have spoken, so that
// adding, removing or reordering rules changes nothing in what the others say.
//
// Alerts have ids derived from card, rule, day (UTC) and variant, so that a
// replay of the same records, after a crash or because a file came twice,
// repeats none. A rule speaks once a day of a card. A record whose id came
// before is judged once, as far back as Config.Duplicates reaches. Records may
// come late: each is judged by its own time, and only the newest moves what is
// known of the card's present. A record from the future is judged, and moves
// nothing.
//
// What is not known is not judged: a card whose binding was not declared is
// bound to the first equipment it is seen in, and what breaks a learned binding
// is a deviation, not an attack; a record that names no equipment, peer or
// direction breaks no rule about it.
//
// No alert holds an IMSI, an IMEI or a telephone number in clear: the subject
// is our id of the card, facts are masked, and ids are keyed with Config.Key.
// Snapshots name cards by a keyed hash.
//
// An Engine belongs to one goroutine and starts none; Partition says which of
// several engines a card belongs to. Techniques are MITRE ATT&CK for Mobile.
package usage
