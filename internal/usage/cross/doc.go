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
// What is usual in a cell or for a peer is learned by the day: a table that is
// new, and settings that are, say nothing of cells and peers for LearnDays.
// Alerts have ids of what is said and of the day, so that many cards make one
// alert a day for each organisation that has some of them, and a replay none.
//
// All is bounded: what few cards were seen with is noted in a table of 24 bytes an
// entry that forgets its oldest; only a second card of an equipment, or a fourth
// of a day of a cell or peer, makes an entry of a few hundred bytes, of which
// there are at most Config.Entries. Stats counts what found no room.
//
// A Table belongs to one goroutine and starts none.
package cross
