package wal

import (
	"encoding/json"
	"maps"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
)

// Class orders records by how soon they may be evicted.
type Class uint8

const (
	// Bulk goes first: what is many, and whose totals come otherwise (flows that
	// passed, minutes of traffic).
	Bulk Class = iota
	// Sample goes next: more of what has been told (further refusals, lookups).
	Sample
	// Useful goes last: what the next of its kind makes up for (health, sightings).
	Useful
	// Precious is never evicted: what there is only one of (holds, acknowledgements,
	// alerts, the first refusal of its kind, and kinds that nobody here knows).
	Precious
)

// ClassOf is the loss policy unless Config has another. The payload is as Append
// was given it.
func ClassOf(kind api.RecordKind, payload []byte) Class {
	switch kind {
	case api.RecordFlow:
		var v flow.View
		switch {
		case v.Read(payload) != nil:
			return Bulk
		case v.Verdict == flow.Refused && v.First:
			return Precious
		case v.Verdict == flow.Allowed && !v.First:
			return Bulk
		}
		return Sample
	case api.RecordFeatures:
		return Bulk
	case api.RecordDNS:
		var r struct {
			First bool `json:"first"`
		}
		if json.Unmarshal(payload, &r) == nil && r.First {
			return Precious
		}
		return Sample
	case api.RecordHealth, api.RecordPresence, api.RecordPeers, api.RecordPosture:
		return Useful
	}
	return Precious
}

// lastResort reports whether a precious record may make the log grow past its
// limit. What is said of flows and lookups may not: an attacker makes as many as he
// likes, and the limit must hold.
func lastResort(kind api.RecordKind) bool { return kind != api.RecordFlow && kind != api.RecordDNS }

// payloadOf returns what Append was given for a record.
func payloadOf(r api.Record) []byte {
	if r.Kind == api.RecordFlow {
		return r.Bin
	}
	return r.Data
}

// drop counts a record of a kind as lost. The caller holds mu.
func (l *Log) drop(kind api.RecordKind, n uint64) {
	if n == 0 {
		return
	}
	if l.meta.Kinds == nil {
		l.meta.Kinds = map[api.RecordKind]uint64{}
	}
	l.meta.Kinds[kind] += n
	l.dirty += n
}

// UnknownKind is the kind under which Losses counts records that were dropped
// shortly before the process was killed: how many is known from the gaps, of
// which kinds is not.
const UnknownKind api.RecordKind = ""

// Losses returns how many records of each kind were dropped for want of disk, in
// all; together they are Lost.
func (l *Log) Losses() map[api.RecordKind]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := maps.Clone(l.meta.Kinds)
	if out == nil {
		out = map[api.RecordKind]uint64{}
	}
	known, all := uint64(0), l.meta.Lost+l.lost
	for _, n := range out {
		known += n
	}
	if all > known {
		out[UnknownKind] += all - known
	}
	return out
}

// Pressure tells producers how much room there is.
type Pressure struct {
	Bytes int64 // taken
	Limit int64 // what the log may take now: less than MaxBytes when the disk is short
	// Full says that nothing is left to evict: what is not precious is dropped.
	Full bool
}

// Share returns how much of its room the log takes, from 0 to 1. From a half on
// producers should fold and sample more: what is never written is not lost.
func (p Pressure) Share() float64 {
	if p.Full || p.Limit <= 0 {
		return 1
	}
	return min(1, float64(p.Bytes)/float64(p.Limit))
}

// Pressure returns how full the log is now.
func (l *Log) Pressure() Pressure {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Pressure{Bytes: l.j.Bytes(), Limit: l.limit(), Full: l.full}
}

// checkEvery is after how many more bytes the disk is asked for its room again.
const checkEvery = 64 << 10

// limit returns what the log may take: MaxBytes, or less when the disk has less
// room than the log needs to evict in (it writes a segment anew before it
// removes the old). The caller holds mu.
func (l *Log) limit() int64 {
	size := l.j.Bytes()
	if l.room == 0 || size-l.checked > checkEvery || size < l.checked {
		l.checked, l.room = size, l.cfg.MaxBytes
		if free, ok := l.cfg.Free(l.dir); ok {
			l.room = max(1, min(l.cfg.MaxBytes, size+free-l.reserve))
		}
	}
	return l.room
}
