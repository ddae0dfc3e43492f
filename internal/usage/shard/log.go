package shard

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/ringwall/ringwall"
)

// Kind of an entry.
type Kind uint8

const (
	// Records are usage records (cdr.AppendBatch); Lines says which of their source.
	Records Kind = 1 + iota
	// Cards declares or takes away cards.
	Cards
	// Settings replaces what all cards of the shard are judged by.
	Settings
	// Seen is what another shard saw that concerns this one: equipment and cells are
	// judged where their numbers lead, not where the card is.
	Seen
	// Closed says that a source ended and will not come again: what is kept to tell
	// its duplicates may be forgotten.
	Closed

	lastKind = Closed
)

// Entry is one entry of a shard's log.
type Entry struct {
	Kind Kind
	// Source names where the payload came from: a keyed hash, 0 for none. Entries
	// of one source have rising lines within a shard.
	Source uint64
	// First and Last are the lines of the source that the payload holds; a shard
	// takes each line once. Both 0: the entry is taken as often as it comes.
	First, Last uint64
	Payload     []byte
}

// MaxPayload bounds the payload of an entry.
const MaxPayload = 4 << 20

const (
	entryVersion = 1
	entryHead    = 1 + 1 + 8 + 8 + 8 + 4
)

// Append writes an entry behind dst: version, kind, source, first and last line,
// CRC-32C (Castagnoli) over all of it and the payload, big endian.
func (e *Entry) Append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, entryVersion, byte(e.Kind))
	dst = binary.BigEndian.AppendUint64(dst, e.Source)
	dst = binary.BigEndian.AppendUint64(dst, e.First)
	dst = binary.BigEndian.AppendUint64(dst, e.Last)
	sum := crc32.Update(crc32.Checksum(dst[at:], castagnoli()), castagnoli(), e.Payload)
	dst = binary.BigEndian.AppendUint32(dst, sum)
	return append(dst, e.Payload...)
}

// ParseEntry reads what Append wrote; the payload is not copied. The error has
// code Invalid.
func ParseEntry(b []byte) (e Entry, err error) {
	if len(b) < entryHead || len(b) > entryHead+MaxPayload {
		return e, ringwall.Errorf(ringwall.Invalid, "a log entry of %d bytes, want %d to %d", len(b), entryHead, entryHead+MaxPayload)
	}
	if b[0] != entryVersion {
		return e, ringwall.Errorf(ringwall.Invalid, "a log entry of version %d, want %d: this program is too old", b[0], entryVersion)
	}
	if e.Kind = Kind(b[1]); e.Kind == 0 || e.Kind > lastKind {
		return e, ringwall.Errorf(ringwall.Invalid, "a log entry of kind %d is not known: this program is too old", b[1])
	}
	e.Source, e.First, e.Last = binary.BigEndian.Uint64(b[2:]), binary.BigEndian.Uint64(b[10:]), binary.BigEndian.Uint64(b[18:])
	e.Payload = b[entryHead:]
	if e.First > e.Last {
		return e, ringwall.Errorf(ringwall.Invalid, "a log entry of lines %d to %d", e.First, e.Last)
	}
	sum := crc32.Update(crc32.Checksum(b[:entryHead-4], castagnoli()), castagnoli(), e.Payload)
	if sum != binary.BigEndian.Uint32(b[entryHead-4:]) {
		return e, ringwall.Errorf(ringwall.Invalid, "a log entry is damaged: its checksum is wrong")
	}
	return e, nil
}

// castagnoli returns the table of CRC-32C; package crc32 keeps it.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Log holds the entries of all shards. Sequences of a shard rise by any step from
// 1. It may be used from several goroutines.
type Log interface {
	// Append returns when the entry is durable. An error leaves open whether it is:
	// append it again. Codes: Unavailable; Invalid for what will never be taken.
	Append(ctx context.Context, shard int, entry []byte) (seq uint64, err error)
	// Read hands the entries of a shard from a sequence on to f, in order and without
	// end, until ctx ends (nil), f fails (its error) or the log cannot be read
	// (Unavailable). idle is called when there is nothing to read for now, again and
	// again. When what is asked for was trimmed away, code NotFound: the reader has
	// missed entries.
	Read(ctx context.Context, shard int, from uint64, f func(seq uint64, entry []byte) error, idle func() error) error
	// Trim lets go of entries before a sequence.
	Trim(ctx context.Context, shard int, before uint64) error
}

// Lease is the right to own a shard for a while. Epochs of one shard rise with
// each new owner.
type Lease struct {
	Shard int
	Epoch uint64
}

// Leases says which machine owns which shard, and which machines there are. It
// may be used from several goroutines.
type Leases interface {
	// Join says that this machine is there; to be repeated within the time to live.
	// It returns how many are there, this one included.
	Join(ctx context.Context, node string) (nodes int, err error)
	// Leave takes back Join.
	Leave(ctx context.Context, node string) error
	// Acquire takes a shard that nobody owns. Code Conflict: somebody does.
	Acquire(ctx context.Context, shard int, node string) (Lease, error)
	// Renew keeps a shard. Code Conflict: it is not owned any more.
	Renew(ctx context.Context, l Lease, node string) error
	// Release gives a shard away.
	Release(ctx context.Context, l Lease, node string) error
}

// Store holds the snapshots of shards, at least the newest two of each. It may be
// used from several goroutines.
type Store interface {
	// Put keeps a snapshot, written by write, once it is whole and durable. Code
	// Conflict: the store has one of a newer epoch, or of this epoch and not an
	// older sequence; then the caller does not own the shard any more. It returns
	// the sequence of the snapshot before: entries after it must stay in the log.
	Put(ctx context.Context, l Lease, seq uint64, write func(io.Writer) error) (before uint64, err error)
	// Get hands the newest snapshot to read, then, when that fails, the one before.
	// Code NotFound: there is none.
	Get(ctx context.Context, shard int, read func(seq uint64, r io.Reader) error) error
}

// Output is what a Machine said.
type Output struct {
	Alerts []ringwall.Alert
	// Seen is for the shards that it names: what Seen entries hold. A machine puts
	// more behind what is there; read again, in other pieces, it changes nothing.
	Seen map[int][]byte
}

// tell puts something behind what another shard is told.
func (o *Output) tell(shard int, b []byte) {
	if o.Seen == nil {
		o.Seen = map[int][]byte{}
	}
	o.Seen[shard] = append(o.Seen[shard], b...)
}

// Sink takes alerts. Alerts returns when they are durable; it is called again
// with the same alerts, which it tells by their ids. It may be used from several
// goroutines.
type Sink interface {
	Alerts(ctx context.Context, shard int, alerts []ringwall.Alert) error
}

// Machine judges the entries of one shard. It belongs to one goroutine. What it
// says and what it knows follow from the entries alone.
type Machine interface {
	// Apply takes the next entry. after is the last line of the entry's source that
	// it has taken before: what it holds up to there is passed over. An error with
	// code Invalid concerns this entry, which is counted and passed over; any other
	// ends the shard.
	Apply(e *Entry, after uint64, out *Output) error
	// Snapshot writes what is known, and position, which Restore returns.
	Snapshot(w io.Writer, position []byte) error
	Restore(r io.Reader) (position []byte, err error)
}
