// Package wal is the gateway's write-ahead log: every report is in it, synced,
// before anything is done or said because of it.
//
// A record gets the next sequence number. (Gateway, Epoch, Seq) names it for
// ever; the epoch is drawn when the log is created, so that a gateway whose
// disk was replaced begins a sequence of its own. Read gives records to the
// uploader, from any Seq that is still there, only after they are durable;
// Trim lets go of what the platform has acknowledged. Trimming is lazy: after a
// crash some acknowledged records are sent again, and the platform stores them
// once.
//
// The log keeps to MaxBytes on disk, and to less when the disk itself is short:
// it leaves the room that it needs to evict. When the platform is away for so
// long that it is full, records are evicted by class, oldest first: Bulk (flows
// that passed, minutes of traffic), then Sample (further refusals, lookups), then
// Useful (health, presence, peers, posture). Precious records (holds,
// acknowledgements, alerts, notices, the first refusal of its kind, and kinds it
// does not know) are never evicted: when the log is full of those, new records of
// other classes, and new reports of flows and lookups of any, are dropped, and the log grows past its limit
// with the rest of the precious only, which are rare by their nature. Everything dropped or
// evicted is counted by Lost, and of each kind by Losses; its Seq stays used, and Read
// reports it as one record of kind "lost" for each run of them. Pressure tells
// producers to fold and sample more before that.
//
// After a failed write or fsync the log has stopped (see package durable) and
// must be opened again. A damaged log is never read in part: SetAside moves it
// away for an examiner, and the next Open begins a new epoch.
//
// The log starts no goroutines and owns its directory. All methods may be
// called concurrently; appends that wait at the same time share one fsync.
package wal
