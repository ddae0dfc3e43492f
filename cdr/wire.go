package cdr

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"

	"github.com/ringwall/ringwall"
)

// The wire form of a batch, in which logs and archives carry it. All numbers are
// little-endian:
//
//	0   4   "RWB" and the version, 1
//	4   4   bytes of the whole, check sum included
//	8   2   events, 1 to 512
//	10  1   1 = the records follow
//	11  1   0
//	12  64  of each event, in the order of the fields of Event
//	    n   of each event its line, as the signed varint of the difference to the one before
//	    n   of each event, when records follow, uvarint length and the line of its record
//	    4   CRC-32C of all before
const (
	wireMagic   = "RWB\x01"
	wireHeader  = 12
	wireRecords = 1
	eventBytes  = 64
	// MaxWire bounds the wire form of a batch.
	MaxWire = wireHeader + MaxBatch*(eventBytes+binary.MaxVarintLen64+maxWireLine+3) + 4
	// maxWireLine bounds one record: its texts of 256 bytes, all quotes, and numbers.
	maxWireLine = 6 << 10
)

var wireTable = crc32.MakeTable(crc32.Castagnoli)

// AppendBatch appends the wire form of a batch to dst; with the records behind
// the events, which another machine needs to explain an alert, when records is
// set. A record that cannot be had or written is left out: its event stays. The
// error has code Invalid: there are no events, or too many.
//
// It reveals IMSIs and IMEIs: the wire form belongs where usage records belong.
func AppendBatch(dst []byte, b *Batch, records bool) ([]byte, error) {
	if len(b.Events) == 0 || len(b.Events) > MaxBatch || len(b.Lines) != len(b.Events) {
		return dst, ringwall.Errorf(ringwall.Invalid, "cdr: a batch of %d events with %d lines, want 1 to %d", len(b.Events), len(b.Lines), MaxBatch)
	}
	at := len(dst)
	dst = append(dst, wireMagic...)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(b.Events)))
	if records && b.Detail != nil {
		dst = append(dst, wireRecords, 0)
	} else {
		dst = append(dst, 0, 0)
		records = false
	}
	for i := range b.Events {
		dst = b.Events[i].append(dst)
	}
	last := uint64(0)
	for _, n := range b.Lines {
		dst = binary.AppendVarint(dst, int64(n-last))
		last = n
	}
	if records {
		dst = b.appendRecords(dst)
	}
	binary.LittleEndian.PutUint32(dst[at+4:], uint32(len(dst)+4-at))
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], wireTable)), nil
}

func (b *Batch) appendRecords(dst []byte) []byte {
	var r Record
	room := make([]byte, 0, 512)
	if w, ok := b.Detail.(*wireDetail); ok {
		for i := range b.Events { // as they came, not read and written again
			line := w.line(i)
			dst = append(binary.AppendUvarint(dst, uint64(len(line))), line...)
		}
		return dst
	}
	for i := range b.Events {
		line, err := room[:0], b.Detail.Record(i, &r)
		if err == nil {
			line, err = AppendLine(line, &r)
		}
		if err != nil || len(line) > maxWireLine {
			dst = append(dst, 0)
			continue
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		dst = append(binary.AppendUvarint(dst, uint64(len(line))), line...)
	}
	return dst
}

// DecodeBatch reads the batch at the beginning of src into b and returns how
// many bytes it took. Nothing is copied but events and lines: src must stay as it
// is as long as b.Detail is used. Decoding into the same batch again allocates
// nothing. The error has code Invalid.
func DecodeBatch(src []byte, b *Batch) (int, error) {
	detail, _ := b.Detail.(*wireDetail)
	b.Reset()
	size, err := WireSize(src)
	if err != nil {
		return 0, err
	}
	if size > len(src) {
		return 0, ringwall.Errorf(ringwall.Invalid, "cdr: batch of %d bytes is cut to %d", size, len(src))
	}
	body := src[:size-4]
	if crc32.Checksum(body, wireTable) != binary.LittleEndian.Uint32(src[size-4:]) {
		return 0, ringwall.Errorf(ringwall.Invalid, "cdr: batch of %d bytes does not fit its check sum", size)
	}
	n, records := int(binary.LittleEndian.Uint16(body[8:])), body[10] == wireRecords
	body = body[wireHeader:]
	if n == 0 || n > MaxBatch || len(body) < n*(eventBytes+1) || src[10] > wireRecords || src[11] != 0 {
		return 0, ringwall.Errorf(ringwall.Invalid, "cdr: batch of %d bytes with %d events is of no known form", size, n)
	}
	for ; len(b.Events) < n; body = body[eventBytes:] {
		var e Event
		if !e.decode(body) {
			b.Reset()
			return 0, ringwall.Errorf(ringwall.Invalid, "cdr: event %d of a batch is none", len(b.Events))
		}
		b.Events = append(b.Events, e)
	}
	last := uint64(0)
	for len(b.Lines) < n {
		d, k := binary.Varint(body)
		if k <= 0 {
			b.Reset()
			return 0, ringwall.Errorf(ringwall.Invalid, "cdr: batch ends inside its line numbers")
		}
		last += uint64(d)
		b.Lines, body = append(b.Lines, last), body[k:]
	}
	if records {
		if detail == nil {
			detail = &wireDetail{layout: ours()}
		}
		if body, err = detail.cut(body, n); err != nil {
			b.Reset()
			return 0, err
		}
		b.Detail = detail
	}
	if len(body) != 0 {
		b.Reset()
		return 0, ringwall.Errorf(ringwall.Invalid, "cdr: batch has %d bytes after its end", len(body))
	}
	return size, nil
}

// WireSize tells from at least 8 bytes how long the batch is that begins with
// them. The error has code Invalid.
func WireSize(src []byte) (int, error) {
	if len(src) < 8 || string(src[:4]) != wireMagic {
		return 0, ringwall.Errorf(ringwall.Invalid, "cdr: %d bytes that do not begin as a batch of version 1", len(src))
	}
	size := binary.LittleEndian.Uint32(src[4:])
	if size < wireHeader+eventBytes+1+4 || size > MaxWire {
		return 0, ringwall.Errorf(ringwall.Invalid, "cdr: batch of %d bytes, want at most %d", size, MaxWire)
	}
	return int(size), nil
}

func (e *Event) append(b []byte) []byte {
	le := binary.LittleEndian
	var w [eventBytes]byte
	le.PutUint64(w[0:], e.Card)
	le.PutUint64(w[8:], e.IMEI)
	le.PutUint64(w[16:], e.Peer)
	le.PutUint64(w[24:], e.Cell)
	le.PutUint64(w[32:], e.ID)
	le.PutUint32(w[40:], e.Sec)
	le.PutUint32(w[44:], e.Area)
	le.PutUint32(w[48:], e.PLMN)
	le.PutUint32(w[52:], e.APN)
	le.PutUint32(w[56:], math.Float32bits(e.Volume))
	le.PutUint32(w[60:], uint32(e.Use))
	return append(b, w[:]...)
}

// decode reports whether the event is one that Keys could have made.
func (e *Event) decode(b []byte) bool {
	le := binary.LittleEndian
	b = b[:eventBytes]
	*e = Event{
		Card: le.Uint64(b), IMEI: le.Uint64(b[8:]), Peer: le.Uint64(b[16:]), Cell: le.Uint64(b[24:]), ID: le.Uint64(b[32:]),
		Sec: le.Uint32(b[40:]), Area: le.Uint32(b[44:]), PLMN: le.Uint32(b[48:]), APN: le.Uint32(b[52:]),
		Volume: math.Float32frombits(le.Uint32(b[56:])), Use: Use(le.Uint32(b[60:])),
	}
	return e.Card-1e6 < 2e15-1e6 && e.Volume >= 0 && e.Volume <= 1<<65 && e.Use.Service() <= Voice && e.Sec >= minTime && e.Sec < maxTime
}

// wireDetail has the lines of the records of a batch.
type wireDetail struct {
	layout *Layout
	src    []byte
	ends   [MaxBatch]uint32
	starts [MaxBatch]uint32
}

func ours() *Layout {
	l, err := ParseHeader([]byte(Header()), Mapping{})
	if err != nil {
		panic("cdr: our own header is none: " + err.Error())
	}
	return l
}

// cut finds the lines and returns what is behind them.
func (w *wireDetail) cut(body []byte, n int) ([]byte, error) {
	w.src = body
	at := 0
	for i := range n {
		size, k := binary.Uvarint(body[at:])
		if k <= 0 || size > maxWireLine || size > uint64(len(body)-at-k) {
			return nil, ringwall.Errorf(ringwall.Invalid, "cdr: batch ends inside its records")
		}
		at += k
		w.starts[i] = uint32(at)
		at += int(size)
		w.ends[i] = uint32(at)
	}
	return body[at:], nil
}

func (w *wireDetail) line(i int) []byte { return w.src[w.starts[i]:w.ends[i]] }

// Record implements Detail.
func (w *wireDetail) Record(i int, r *Record) error {
	line := w.line(i)
	if len(line) == 0 {
		return ringwall.Errorf(ringwall.NotFound, "cdr: the batch came without this record")
	}
	return w.layout.Decode(line, r)
}
