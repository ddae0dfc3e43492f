package rules

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

// A book is written as "RWBOOK\x01", the length of what follows as 8 bytes, the
// BookSpec as JSON, and its CRC-32C, numbers big endian.
const bookMagic = "RWBOOK\x01"

// maxBook bounds what ReadBook believes.
const maxBook = 1 << 30

// Encode writes the book, so that ReadBook makes an equal one. It holds keys of
// cards and equipment: whoever keeps it, keeps it from others.
func (b *Book) Encode(w io.Writer) error {
	text, err := json.Marshal(b.spec)
	if err != nil {
		return ringwall.Errorf(ringwall.Internal, "encoding the book of usage settings: %w", err)
	}
	out := binary.BigEndian.AppendUint64([]byte(bookMagic), uint64(len(text)))
	out = append(out, text...)
	out = binary.BigEndian.AppendUint32(out, crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)))
	_, err = w.Write(out)
	return err
}

// ReadBook reads what Encode wrote. The error has code Unverified when it is cut
// or torn, and Invalid when what it says cannot be judged by.
func ReadBook(r io.Reader, keys *cdr.Keys) (*Book, error) {
	torn := func(why string) error {
		return ringwall.Errorf(ringwall.Unverified, "the book of usage settings cannot be trusted: %s", why)
	}
	head := make([]byte, len(bookMagic)+8)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:len(bookMagic)]) != bookMagic {
		return nil, torn("it does not begin as one")
	}
	n := binary.BigEndian.Uint64(head[len(bookMagic):])
	if n > maxBook {
		return nil, torn("it is too long")
	}
	// Memory grows with what is there, not with what the head says.
	var text bytes.Buffer
	if m, err := io.Copy(&text, io.LimitReader(r, int64(n)+4)); err != nil || uint64(m) != n+4 {
		return nil, torn("it is cut off")
	}
	all := text.Bytes()
	if crc32.Checksum(all[:n], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(all[n:]) {
		return nil, torn("its checksum does not hold")
	}
	var spec BookSpec
	d := json.NewDecoder(bytes.NewReader(all[:n]))
	d.DisallowUnknownFields()
	if err := d.Decode(&spec); err != nil {
		return nil, torn("it is no book in JSON")
	}
	return NewBook(spec, keys)
}
