package firmware

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

// The operations of an update that write a partition from nothing
// (system/update_engine/update_metadata.proto). All others copy from what is
// on the device already.
const (
	opReplace   = 0
	opReplaceBZ = 1
	opZero      = 6
	opDiscard   = 7
	opReplaceXZ = 8

	maxManifest  = 16 << 20
	maxOperation = 64 << 20 // bytes one operation may write; Android's tools write 2 MiB
)

// message reads the fields of a protobuf message, numbers as they are and
// everything else as bytes.
func message(b []byte, field func(num int, n uint64, data []byte) error) error {
	for len(b) > 0 {
		tag, k := binary.Uvarint(b)
		if k <= 0 {
			return errors.New("a broken field")
		}
		b = b[k:]
		var n uint64
		var data []byte
		switch tag & 7 {
		case 0:
			if n, k = binary.Uvarint(b); k <= 0 {
				return errors.New("a broken number")
			}
			b = b[k:]
		case 1, 5:
			w := 8
			if tag&7 == 5 {
				w = 4
			}
			if len(b) < w {
				return io.ErrUnexpectedEOF
			}
			b = b[w:]
		case 2:
			n, k = binary.Uvarint(b)
			if k <= 0 || n > uint64(len(b)-k) {
				return io.ErrUnexpectedEOF
			}
			data, b = b[k:k+int(n)], b[k+int(n):]
		default:
			return fmt.Errorf("a field of wire type %d", tag&7)
		}
		if err := field(int(tag>>3), n, data); err != nil {
			return err
		}
	}
	return nil
}

// openPayload opens the payload of an A/B update.
func openPayload(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	if len(head) < 24 || binary.BigEndian.Uint64(head[4:]) != 2 {
		return nil
	}
	size := int64(binary.BigEndian.Uint64(head[12:]) & (1<<62 - 1))
	sigSize := int64(binary.BigEndian.Uint32(head[20:]))
	if size > maxManifest || size > v.size-off {
		return nil
	}
	p := &Part{Format: "android-payload", Length: v.size - off, Facts: map[string]string{FactVersion: "2", FactSigned: fmt.Sprint(sigSize > 0), FactPartialUpdate: "false"}}
	p.data = v.sub(off, p.Length).section()
	base := off + 24 + size + sigSize
	block := int64(4096)
	var partitions [][]byte
	err := message(v.head(off+24, size), func(num int, n uint64, data []byte) error {
		switch num {
		case 3:
			block = int64(n)
		case 12:
			p.Facts[FactPartialUpdate] = fmt.Sprint(n != 0) // a minor version other than zero is a delta
		case 13:
			partitions = append(partitions, data)
		}
		return nil
	})
	if err != nil || block < 512 || block > 1<<20 {
		p.Err = fmt.Sprintf("the manifest cannot be read: %v", err)
		return p
	}
	in := s.into(p.Format, off)
	for i, raw := range partitions {
		if len(p.Parts) >= 256 || u.budget.Check() != nil {
			p.Err = "more partitions than are opened"
			break
		}
		p.Parts = append(p.Parts, u.partition(raw, v, base, block, int64(i), in))
	}
	return p
}

func (u *unpacker) partition(raw []byte, v view, base, block, i int64, s scope) Part {
	q := Part{Format: "android-partition", Offset: i, Facts: map[string]string{}}
	content := &segments{}
	err := message(raw, func(num int, n uint64, data []byte) error {
		switch num {
		case 1:
			q.Name = string(data)
		case 7:
			return message(data, func(num int, n uint64, _ []byte) error {
				if num == 1 {
					q.Length = int64(n & (1<<62 - 1))
				}
				return nil
			})
		case 8:
			return u.operation(data, v, base, block, content)
		}
		return nil
	})
	if err != nil {
		q.Err = err.Error()
	}
	content.sort()
	if content.size == 0 {
		return q
	}
	if content.size > u.options.MaxBytes*maxSpread {
		q.Err = fmt.Sprintf("it claims to hold %d bytes, more than is searched", content.size)
		return q
	}
	whole := view{content, content.size}
	q.data = whole.section()
	q.Parts = u.carve(whole, s.below(&q))
	return q
}

// operation adds what one operation writes, decompressed when it is read.
func (u *unpacker) operation(raw []byte, v view, base, block int64, content *segments) error {
	var kind uint64
	var at, length, total int64
	type extent struct{ start, n int64 }
	var extents []extent
	err := message(raw, func(num int, n uint64, data []byte) error {
		n &= 1<<40 - 1
		switch num {
		case 1:
			kind = n
		case 2:
			at = int64(n)
		case 3:
			length = int64(n)
		case 6:
			var e extent
			err := message(data, func(num int, n uint64, _ []byte) error {
				switch num {
				case 1:
					e.start = int64(n&(1<<32-1)) * block
				case 2:
					e.n = int64(n&(1<<32-1)) * block
				}
				return nil
			})
			total += e.n
			extents = append(extents, e)
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := u.budget.Take(128 * int64(1+len(extents))); err != nil {
		return err
	}
	stream := map[uint64]string{opReplaceBZ: "bzip2", opReplaceXZ: "xz"}[kind]
	var from io.ReaderAt = v
	at += base
	switch {
	case kind == opReplace:
	case kind == opZero || kind == opDiscard:
		from = nil
	case stream != "":
		if total > maxOperation {
			return fmt.Errorf("an operation that writes %d bytes", total)
		}
		packed := v.sub(at, length)
		from = &unpack.Blocks{Size: total, BlockSize: max(1, total), Cache: u.budget.Cache, Load: func(int64) ([]byte, error) {
			r, err := codec.Stream(stream, packed.section())
			if err != nil {
				return nil, err
			}
			b := make([]byte, total)
			n, err := io.ReadFull(r, b)
			if err == io.ErrUnexpectedEOF {
				err = nil
			}
			return b[:n], err
		}}
		at = 0
	default:
		return fmt.Errorf("the update changes what is on the device already (operation %d); it cannot be opened alone", kind)
	}
	for _, e := range extents {
		content.add(segment{start: e.start, length: e.n, from: from, at: at})
		at += e.n
	}
	return nil
}
