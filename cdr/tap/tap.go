// Package tap reads TAP 3.12 files (GSMA TD.57), by which a visited network tells
// a home network what its cards used while they roamed: calls, short messages and
// packet data.
//
// Open walks a file that is in memory: a transfer batch, or a notification, which
// says that there is none. Lengths may be definite or indefinite. A file that is
// cut gives the events that came whole. Each event is read by File.Record; one
// that is wrong costs only itself. Times are made UTC by the batch's own table of
// offsets; when an event names none, its time is taken for UTC and marked
// estimated. TAP names networks by TADIG codes: who knows the codes says which
// networks they are (Config.Networks).
//
// Supplementary services, content, location and messaging events and mobile
// sessions are passed over (ErrKind). Numbers of tags stand in tags.go and are
// held against the module's text by a test.
//
// The package is pure.
package tap

import (
	"errors"
	"fmt"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr/ber"
)

// ErrKind is returned for an event of a kind that is not judged.
var ErrKind = errors.New("tap: an event of a kind that is not judged")

// Bounds.
const (
	MaxFile   = 512 << 20
	maxEvent  = 1 << 20
	maxTables = 1000
)

// Config says what a file does not.
type Config struct {
	// Networks gives for TADIG codes the networks, such as "46000".
	Networks map[string]string
}

// File is a file that was opened. Its bytes must stay as they are.
type File struct {
	Sender, Recipient string // TADIG codes
	Sequence          string // number of the file from sender to recipient
	Release           uint64 // of TAP 3
	Test              bool   // the file is for tests: what it says was never used
	Notification      bool   // there is no batch

	config  Config
	b       []byte
	offsets map[uint64]int // seconds ahead of UTC, by code
	events  []event
}

type event struct {
	tag      uint32
	from, to uint32 // of the contents
	at, next uint32 // of the whole
}

// Is reports whether b begins as a TAP file does.
func Is(b []byte) bool {
	t, _, err := ber.Header(b, 0, len(b))
	return err == nil && t.Class == ber.Application && t.Constructed && (t.Tag == tagTransferBatch || t.Tag == tagNotification)
}

// Open walks a file. When it is wrong somewhere the file is returned with the
// events before that place, and an error with code Invalid that says where.
func Open(b []byte, c Config) (*File, error) {
	f := &File{config: c, b: b, offsets: map[uint64]int{}}
	if len(b) > MaxFile {
		return f, ringwall.Errorf(ringwall.Invalid, "tap: a file of %d bytes, want at most %d", len(b), MaxFile)
	}
	if !Is(b) {
		return f, ringwall.Errorf(ringwall.Invalid, "tap: neither a transfer batch nor a notification")
	}
	end, err := f.each(0, len(b), false, 1, func(t ber.TLV) error {
		f.Notification = t.Tag == tagNotification
		if f.Notification {
			return f.control(t)
		}
		_, err := f.each(t.From, t.To, t.Indefinite, 0, f.part)
		return err
	})
	if err == nil && end != len(b) {
		err = ringwall.Errorf(ringwall.Invalid, "tap: byte %d: %d bytes behind the end of the batch", end, len(b)-end)
	}
	return f, err
}

// each calls do for the elements in b[p:end], which are those of an open element
// when open is set, and returns where they end. Only most of them when that is
// not 0. Elements that are cut are handed over when they are structures of which
// parts are there.
func (f *File) each(p, end int, open bool, most int, do func(ber.TLV) error) (int, error) {
	for n := 0; (open || p < end) && (most == 0 || n < most); n++ {
		if open && end-p >= 2 && f.b[p] == 0 && f.b[p+1] == 0 {
			return p + 2, nil
		}
		t, known, err := ber.Header(f.b, p, end)
		if err != nil {
			return p, ringwall.Errorf(ringwall.Invalid, "tap: %v", err)
		}
		whole := known && t.To <= end
		switch {
		case whole:
		case t.Class == ber.Application && (t.Tag == tagTransferBatch || t.Tag == tagCallEvents):
			// Cut or of indefinite length: what is there of it is walked.
			t.To = end
		default:
			if t, err = ber.Parse(f.b, p, end); err != nil {
				return p, ringwall.Errorf(ringwall.Invalid, "tap: %v", err)
			}
			whole = true
		}
		if whole {
			if err := do(t); err != nil {
				return p, err
			}
			p = t.Next
			continue
		}
		at := p
		if p, err = f.inside(t); err != nil {
			return p, err
		}
		if known {
			return p, ringwall.Errorf(ringwall.Invalid, "tap: byte %d: the file is cut inside of what begins here", at)
		}
	}
	if open && most == 0 {
		return p, ringwall.Errorf(ringwall.Invalid, "tap: byte %d: the file is cut", p)
	}
	return p, nil
}

// inside walks a batch or its list of events when its end is not known from its
// beginning.
func (f *File) inside(t ber.TLV) (int, error) {
	if t.Tag == tagTransferBatch {
		return f.each(t.From, t.To, t.Indefinite, 0, f.part)
	}
	return f.each(t.From, t.To, t.Indefinite, 0, f.event)
}

// part reads one part of a batch.
func (f *File) part(t ber.TLV) error {
	if t.Class != ber.Application {
		return nil
	}
	switch t.Tag {
	case tagBatchControl:
		return f.control(t)
	case tagNetworkInfo:
		return f.network(t)
	case tagCallEvents:
		_, err := f.each(t.From, t.To, false, 0, f.event)
		return err
	}
	return nil
}

func (f *File) event(t ber.TLV) error {
	if t.Next-t.From > maxEvent {
		return ringwall.Errorf(ringwall.Invalid, "tap: byte %d: an event of %d bytes", t.From, t.Next-t.From)
	}
	tag := t.Tag
	if t.Class != ber.Application {
		tag = 0
	}
	f.events = append(f.events, event{tag, uint32(t.From), uint32(t.To), uint32(t.From), uint32(t.Next)})
	return nil
}

// walk calls do for the elements of a structure, which is whole.
func walk(b []byte, from, to int, do func(tag uint32, t ber.TLV) error) error {
	for p := from; p < to; {
		t, err := ber.Parse(b, p, to)
		if err != nil {
			return ringwall.Errorf(ringwall.Invalid, "tap: %v", err)
		}
		p = t.Next
		if t.Class == ber.Application {
			if err := do(t.Tag, t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *File) control(t ber.TLV) error {
	return walk(f.b, t.From, t.To, func(tag uint32, t ber.TLV) error {
		v := f.b[t.From:t.To]
		switch tag {
		case tagSender:
			f.Sender = text(v)
		case tagRecipient:
			f.Recipient = text(v)
		case tagFileSequence:
			f.Sequence = text(v)
		case tagRelease:
			f.Release, _ = ber.Uint(v)
		case tagFileType:
			f.Test = string(v) == "T"
		}
		return nil
	})
}

// network reads the table of offsets to UTC.
func (f *File) network(t ber.TLV) error {
	return walk(f.b, t.From, t.To, func(tag uint32, t ber.TLV) error {
		if tag != tagOffsets {
			return nil
		}
		return walk(f.b, t.From, t.To, func(tag uint32, t ber.TLV) error {
			if tag != tagOffsetInfo {
				return nil
			}
			code, offset, ok := uint64(0), 0, false
			err := walk(f.b, t.From, t.To, func(tag uint32, t ber.TLV) error {
				v := f.b[t.From:t.To]
				switch tag {
				case tagOffsetCode:
					code, _ = ber.Uint(v)
				case tagOffset:
					offset, ok = ahead(v)
				}
				return nil
			})
			if ok && len(f.offsets) < maxTables {
				f.offsets[code] = offset
			}
			return err
		})
	})
}

// ahead reads an offset such as "+0200".
func ahead(v []byte) (int, bool) {
	if len(v) != 5 || v[0] != '+' && v[0] != '-' {
		return 0, false
	}
	n := 0
	for _, c := range v[1:] {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	if n/100 > 23 || n%100 > 59 {
		return 0, false
	}
	n = n/100*3600 + n%100*60
	if v[0] == '-' {
		n = -n
	}
	return n, true
}

// Len is the number of events.
func (f *File) Len() int { return len(f.events) }

// Raw returns the bytes of the contents of event i, and where they stand.
func (f *File) Raw(i int) ([]byte, int64) {
	e := f.events[i]
	return f.b[e.from:e.to], int64(e.at)
}

func (f *File) String() string {
	return fmt.Sprintf("TAP file %s from %s to %s with %d events", f.Sequence, f.Sender, f.Recipient, len(f.events))
}

// text is v with what is not printable ASCII as '?', and at most 64 bytes.
func text(v []byte) string {
	b := append([]byte(nil), v[:min(len(v), 64)]...)
	for i, c := range b {
		if c < 0x20 || c >= 0x7f {
			b[i] = '?'
		}
	}
	return string(b)
}
