package nft

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	wide "math/bits"

	"github.com/ringwall/ringwall/internal/policy"
)

// digest is a fingerprint of a set of elements, whatever their order: the sum of
// the SHA-256 of each, modulo 2^256. So one that comes or goes changes it
// without a look at the others. It tells drift; it is no signature, and nobody
// who may write into the kernel would need to forge it.
type digest [4]uint64

func (d *digest) add(o digest) {
	var c uint64
	for i := range d {
		d[i], c = wide.Add64(d[i], o[i], c)
	}
}

func (d *digest) sub(o digest) {
	var c uint64
	for i := range d {
		d[i], c = wide.Sub64(d[i], o[i], c)
	}
}

// summer computes the digests of single elements.
type summer struct{ buf []byte }

func (s *summer) of(d *setDef, key, end []byte, stop bool, val []byte, comment, bound string) digest {
	b := append(s.buf[:0], d.family...)
	field := func(x string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(x)))
		b = append(b, x...)
	}
	field(d.name)
	for _, x := range [][]byte{key, end, val} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(x)))
		b = append(b, x...)
	}
	if stop {
		b = append(b, 1)
	}
	field(comment)
	field(bound)
	s.buf = b
	sum := sha256.Sum256(b)
	var out digest
	for i := range out {
		out[i] = binary.BigEndian.Uint64(sum[i*8:])
	}
	return out
}

// ledger is the digests of what the sets hold: of the policy, and of the tokens,
// which number the changes of the past and are no part of what is in force.
type ledger struct {
	policy, tokens digest
	n              int
	s              summer
}

func (l *ledger) pick(d *setDef) *digest {
	if d.token {
		return &l.tokens
	}
	return &l.policy
}

func (l *ledger) add(d *setDef, e *element) {
	l.pick(d).add(l.s.of(d, e.key, e.end, e.stop, e.val, e.comment, boundOf(e.expr)))
	l.n++
}

func (l *ledger) remove(d *setDef, e *element) {
	l.pick(d).sub(l.s.of(d, e.key, e.end, e.stop, e.val, e.comment, boundOf(e.expr)))
	l.n--
}

func (l *ledger) found(d *setDef, e *found) {
	l.pick(d).add(l.s.of(d, e.key, e.boxEnd(d), e.stop(), e.val, e.comment(), e.bound))
	l.n++
}

func (l *ledger) same(o *ledger) bool {
	return l.policy == o.policy && l.tokens == o.tokens && l.n == o.n
}

// hash is what is acknowledged: of the rules as they were read and of what the
// sets hold.
func (l *ledger) hash(rules []byte) string {
	h := sha256.New()
	h.Write(rules)
	var b [8]byte
	for _, v := range l.policy {
		binary.BigEndian.PutUint64(b[:], v)
		h.Write(b[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// writeField writes fields with their lengths, so that no two lists look alike.
func writeField(h hash.Hash, fields ...string) {
	var n [4]byte
	for _, f := range fields {
		binary.BigEndian.PutUint32(n[:], uint32(len(f)))
		h.Write(n[:])
		h.Write([]byte(f))
	}
}

// namesID identifies the name rules of a device; it is kept in the kernel with
// the device's token, so that a restarted agent can tell whether they changed.
func namesID(names []policy.Name) string {
	if len(names) == 0 {
		return ""
	}
	h := sha256.New()
	for _, n := range names {
		flags := ""
		for _, x := range []struct {
			is   bool
			word string
		}{{n.Deny, "deny"}, {n.Inspect, "inspect"}, {n.Private, "private"}} {
			if x.is {
				flags += x.word
			}
		}
		writeField(h, n.Pattern, flags, string(rune(n.Proto)), string(rune(n.Limit)))
		for _, r := range n.Ports {
			writeField(h, string(be16(r.First)), string(be16(r.Last)))
		}
	}
	return "names:" + hex.EncodeToString(h.Sum(nil)[:8])
}
