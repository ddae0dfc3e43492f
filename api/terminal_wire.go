package api

import (
	"crypto/ed25519"
	"encoding/binary"

	"github.com/ringwall/ringwall"
)

// TerminalStatus is how a constrained terminal says which generation it has, and
// asks for a newer one: version, type 1, the generation in 8 bytes.
type TerminalStatus struct{ Have uint64 }

// Append appends the encoding of s to b.
func (s TerminalStatus) Append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(append(b, TerminalVersion, terminalStatus), s.Have)
}

// ReadTerminalStatus reads what Append has written.
func ReadTerminalStatus(b []byte) (TerminalStatus, error) {
	r, err := terminalMessage(b, terminalStatus)
	s := TerminalStatus{Have: r.u64()}
	return s, r.end(err)
}

// AppendTerminalBatch appends a batch in the form of the constrained terminal to
// b: version, type 2; epoch, records lost and the Seq of the first record in 8
// bytes each; the number of records in 2; then the records as AppendRecord
// writes them.
func AppendTerminalBatch(b []byte, in Batch) (_ []byte, err error) {
	if len(in.Records) > MaxBatchRecords {
		return nil, ringwall.Errorf(ringwall.Invalid, "batch of %d records is over the limit of %d", len(in.Records), MaxBatchRecords)
	}
	first := uint64(0)
	if len(in.Records) > 0 {
		first = in.Records[0].Seq
	}
	b = append(b, TerminalVersion, terminalBatch)
	for _, n := range []uint64{in.Epoch, in.Lost, first} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(in.Records)))
	for _, rec := range in.Records {
		if b, err = AppendRecord(b, rec); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// ReadTerminalBatch reads what AppendTerminalBatch has written. The records'
// data is part of b.
func ReadTerminalBatch(b []byte) (Batch, error) {
	r, err := terminalMessage(b, terminalBatch)
	out := Batch{Version: Version, Epoch: r.u64(), Lost: r.u64()}
	seq, n := r.u64(), int(r.u16())
	if err == nil && (r.bad || n > MaxBatchRecords || seq+uint64(n) < seq) {
		err = ringwall.Errorf(ringwall.Invalid, "batch of a terminal has a head of wrong form")
	}
	if err != nil {
		return Batch{}, err
	}
	for i := range n {
		rec, rest, err := ReadRecord(r.b)
		if err != nil {
			return Batch{}, err
		}
		rec.Seq, r.b = seq+uint64(i), rest
		out.Records = append(out.Records, rec)
	}
	return out, r.end(nil)
}

// AppendTerminalAck appends the acknowledgement of a batch to b: version, type
// 3, epoch and Seq in 8 bytes each, and the error as a text, empty when there is
// none.
func AppendTerminalAck(b []byte, a BatchAck) []byte {
	b = append(b, TerminalVersion, terminalAck)
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, a.Epoch), a.Seq)
	return appendText(b, clipText(a.Error))
}

// ReadTerminalAck reads what AppendTerminalAck has written.
func ReadTerminalAck(b []byte) (BatchAck, error) {
	r, err := terminalMessage(b, terminalAck)
	a := BatchAck{Epoch: r.u64(), Seq: r.u64(), Error: r.text()}
	return a, r.end(err)
}

// TerminalAnswer answers a TerminalStatus. Both empty: what it has is newest.
type TerminalAnswer struct {
	Error  string
	Signed *SignedTerminal
}

// Append appends the encoding of a to b: version, type 4, the error as a text,
// a byte that is 1 when a policy follows, then its key's id as a text, the
// signature in 64 bytes, the payload's length in 4 and the payload.
func (a TerminalAnswer) Append(b []byte) []byte {
	b = appendText(append(b, TerminalVersion, terminalAnswer), clipText(a.Error))
	if a.Signed == nil {
		return append(b, 0)
	}
	b = append(appendText(append(b, 1), a.Signed.KeyID), a.Signed.Sig...)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(a.Signed.Payload))), a.Signed.Payload...)
}

// ReadTerminalAnswer reads what Append has written. The policy is not verified
// yet.
func ReadTerminalAnswer(b []byte) (TerminalAnswer, error) {
	r, err := terminalMessage(b, terminalAnswer)
	a := TerminalAnswer{Error: r.text()}
	switch r.u8() {
	case 0:
	case 1:
		s := SignedTerminal{KeyID: r.text(), Sig: r.take(ed25519.SignatureSize)}
		n := r.take(4)
		if !r.bad {
			s.Payload = r.take(int(min(binary.BigEndian.Uint32(n), MaxTerminalPolicy+1)))
		}
		a.Signed = &s
	default:
		r.bad = true
	}
	return a, r.end(err)
}

func terminalMessage(b []byte, kind byte) (terminalReader, error) {
	r := terminalReader{b: b}
	if v, k := r.u8(), r.u8(); r.bad || v != TerminalVersion || k != kind {
		r.bad = true
		return r, ringwall.Errorf(ringwall.Invalid, "message of a terminal has version %d and type %d, want %d and %d", v, k, TerminalVersion, kind)
	}
	return r, nil
}

func (r *terminalReader) end(err error) error {
	if err == nil && (r.bad || len(r.b) > 0) {
		return ringwall.Errorf(ringwall.Invalid, "message of a terminal is of wrong form, %d bytes before its end", len(r.b))
	}
	return err
}

func clipText(s string) string { return s[:min(len(s), maxTerminalText)] }
