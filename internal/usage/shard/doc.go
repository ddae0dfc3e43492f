// Package shard spreads the judging of usage records over machines.
//
// All cards are divided into a fixed number of shards by their numbers. A shard
// is a Log and what follows from it: what is known of its cards is the fold of
// its entries, in their order, by a Machine. Records, cards that are declared and
// settings all stand in that one log, so that wherever and however often it is
// read, the same is known and the same is said.
//
// # Promises
//
// Nothing that Ingest has put into a log is lost, and nothing is judged twice: an
// entry names its source and the lines of its records, and a shard passes over
// lines that it has already taken, however often they were appended.
//
// What a Machine says (alerts, and what other shards have to know) is durable
// before the snapshot that covers it. After a crash the entries since the last
// snapshot are judged again and say the same again, with the same ids.
//
// One machine owns a shard at a time, by a Lease that ends when it is not renewed.
// An owner that was cut off and does not know it yet can do no harm: what it says
// has the ids that the next owner's words have, and its snapshot is refused,
// because the store knows a newer epoch.
//
// # Owners
//
// Node.Run takes as many shards as are its share and runs each in a goroutine of
// its own; it hands shards over when a machine joins, after a last snapshot, and
// takes those of a machine that died once its leases have ended. Run returns when
// its context has ended and everything is handed over. Ingest.Run belongs to its
// caller's goroutine.
//
// What stands behind Log, Leases, Store and Sink is the assembly's: JetStream
// (package usagelog), Kafka, a directory.
package shard
