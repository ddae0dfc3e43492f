// Package kafka reads usage records from Kafka, where operators' mediation puts
// them, and writes logs of batches into it.
//
// A Source is a cdr.Source over partitions of one topic. Where it goes on is what
// its position says, which its owner keeps in the snapshot of what was made of the
// records; offsets that are committed to Kafka decide nothing, and are written by
// Commit only so that others see the lag. So a crash between two snapshots repeats
// what came after the last, and leaves nothing out. With Config.Group the members
// of a consumer group share the partitions, and each is told which it has (Assigned)
// and gives back from where they go on.
//
// A message holds records in one form: lines of CSV (whose header is in the
// config), records of TS 32.298 one behind the other, or batches in the wire form
// of package cdr. One message may hold any number of them: a position may be inside
// of a message. What cannot be read goes to Config.Bad and never stops the stream.
//
// A broker that is away is waited for (Config.Trouble is told), for as long as the
// context lasts. When records that were not read yet are gone from the topic, because
// it keeps them too short a time, Next fails with code Conflict: nothing is lost in
// silence, and going on from what is left is its owner's decision (Config.SkipGone).
//
// A Producer waits until all replicas in sync have a batch (acks=all, idempotent).
// With a user and password TLS is required.
//
// A Source belongs to one goroutine, a Producer may be used by several. The client
// inside starts goroutines of its own, which Close ends.
package kafka
