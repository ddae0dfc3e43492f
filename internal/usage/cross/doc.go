// Package cross finds cards that act as one: what no line of a single card
// shows. It is rule sim-box, in three kinds:
//
//   - Equipment: one IMEI in which many cards are used. A SIM box, a rack of
//     modems, or modules that were made with one number.
//   - Cell: many cards that are new in a cell call or write from there.
//   - Peer: many cards of the same settings suddenly reach one address or number
//     that is not on their list, or that none of them reached before: a fleet
//     that was taken over and calls home, floods somebody, or sends messages to
//     lure people.
//
// Collect makes observations of what rules.Step found of single events; a Table
// takes them. An observation that is made again changes nothing, so that whoever
// carries them to the table of their partition (Observation.Partition) may
// deliver twice. Time is event time; what is a day late still counts for its
// day.
//
// What is usual in a cell is learned by the day, and so is which peers there are: a
// table that is new, and settings that are, say nothing of cells and peers for
// LearnDays. Peers that came in these days, or were not told in the three days after
// they first came, are known, and nothing is said of them any more, until they were
// away for a month or two. Alerts have ids of what is said and of the day, so that
// many cards make one alert a day for each organisation that has some of them, and
// a replay none.
//
// # Memory
//
// All is bounded, for each kind by itself: see Config.Bytes. First cards are noted
// in slots of 16 bytes; when all are taken by what still matters, a first sighting
// is only a few bits in a filter (the gate), and the next card counts as the first.
// A second card of an equipment, or a fourth of a day of a cell or peer, makes an
// entry of 120 bytes, and 152 more past four cards. Known peers are Bloom filters
// of two periods of a month. What tells least gives way first, and Stats counts what
// is lost. What is noted ends by the newest day, which no single card with a wrong
// clock can move on.
//
// # What need not be observed
//
// Most observations are of known peers, and change nothing, provided that one was
// made on the same day before. Config.Usual and Config.Settled hear of these, and
// whoever makes observations may leave them out, however far behind or ahead the
// table is: findings and state (Snapshot) are the same to the byte.
//
// A Table belongs to one goroutine and starts none.
package cross
