package firmware

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"time"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

// trialBytes is how much a stream must yield before it is believed: three
// bytes of magic occur by chance once in sixteen megabytes.
const trialBytes = 512

// counting counts what is taken from a stream.
type counting struct {
	r io.Reader
	n int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// streamOpener returns the opener for a compressed stream.
func streamOpener(kind string) func(*unpacker, view, int64, []byte, scope) *Part {
	return func(u *unpacker, v view, off int64, head []byte, s scope) *Part {
		if !plausible(kind, head) || !u.mayTry() {
			return nil
		}
		if kind == "lzma" && !smallTrial(v.head(off, 4<<10)) {
			u.trials++
			return nil
		}
		p := u.stream(kind, v, off, s)
		if p == nil {
			u.trials++
			if kind != "gzip" && kind != "lzma" {
				u.trials += 9 // these decode a whole block before they fail
			}
		}
		return p
	}
}

// smallTrial decompresses the beginning of an .lzma stream with a dictionary
// cut to size: its magic is weak, and trying with the dictionary that chance
// asks for would cost 64 MiB each time.
func smallTrial(head []byte) bool {
	binary.LittleEndian.PutUint32(head[1:], 4096)
	r, err := codec.Stream("lzma", bytesReader(head))
	if err != nil {
		return false
	}
	buf := make([]byte, trialBytes)
	n := 0
	for n < len(buf) && err == nil {
		var k int
		k, err = r.Read(buf[n:])
		n += k
	}
	// What the head has of the stream may end before the buffer is full.
	return n == len(buf) || err == io.ErrUnexpectedEOF || err == io.EOF
}

// mayTry reports whether one more candidate may be tried at some cost.
func (u *unpacker) mayTry() bool {
	if u.trials < maxTrials {
		return true
	}
	u.note("too many false beginnings of streams and archives; later parts may be missing")
	return false
}

// plausible looks at the header of a stream before it is tried.
func plausible(kind string, h []byte) bool {
	if len(h) < 18 {
		return false
	}
	switch kind {
	case "gzip":
		return h[3]&0xe0 == 0 && (h[8] == 0 || h[8] == 2 || h[8] == 4) && (h[9] <= 13 || h[9] == 255)
	case "bzip2":
		return h[3] >= '1' && h[3] <= '9' && string(h[4:10]) == "1AY&SY"
	case "xz":
		return h[6] == 0 && h[7]&0xf0 == 0 && crc32.ChecksumIEEE(h[6:8]) == binary.LittleEndian.Uint32(h[8:])
	case "lzma":
		dict := binary.LittleEndian.Uint32(h[1:])
		size := binary.LittleEndian.Uint64(h[5:])
		return h[0] < 9*5*5 && dict >= 4096 && dict <= 128<<20 && (bits.OnesCount32(dict) == 1 || bits.OnesCount32(dict) == 2 && dict&(dict>>1) != 0) &&
			(size == 1<<64-1 || size >= trialBytes && size < 1<<32) && h[13] == 0
	case "lz4":
		return h[4]>>6 == 1 && h[5]&0x8f == 0
	case "lz4-legacy":
		return binary.LittleEndian.Uint32(h[4:]) < 9<<20 && binary.LittleEndian.Uint32(h[4:]) > 8
	}
	return true
}

// decompress opens the stream at off. The count tells how much of the view is
// taken, as exactly as the decoder allows.
func decompress(kind string, v view, off int64) (io.Reader, func() int64, map[string]string, error) {
	c := &counting{r: v.sub(off, frame(kind, v, off)).section()}
	b := bufio.NewReaderSize(c, 16<<10)
	taken := func() int64 { return c.n - int64(b.Buffered()) }
	facts := map[string]string{}
	if kind != "gzip" {
		z, err := codec.Stream(kind, b)
		if err != nil {
			return nil, nil, nil, err
		}
		return z, func() int64 { return taken() - z.Over() }, facts, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, nil, nil, err
	}
	z.Multistream(false)
	if !z.ModTime.IsZero() {
		facts[FactMade] = z.ModTime.UTC().Format(time.RFC3339)
	}
	if z.Name != "" {
		facts["name"] = z.Name
	}
	return z, taken, facts, nil
}

// stream opens a compressed stream, believing it when it yields trialBytes or
// ends well before that.
func (u *unpacker) stream(kind string, v view, off int64, s scope) *Part {
	r, taken, facts, err := decompress(kind, v, off)
	if err != nil {
		return nil
	}
	trial := make([]byte, trialBytes)
	n := 0
	for n < len(trial) && err == nil {
		var k int
		k, err = r.Read(trial[n:])
		n += k
	}
	short := err != nil
	if short && (err != io.EOF || n < 16 || kind == "lzma") {
		return nil
	}
	p := &Part{Format: kind, Name: facts["name"], Facts: facts}
	delete(facts, "name")
	data := view{unpack.Bytes(trial[:n]), int64(n)}
	if !short {
		held, err := u.budget.ReadAll(io.MultiReader(bytesReader(trial), r), v.size-off)
		if err != nil {
			p.Err = fmt.Sprintf("after %d bytes: %v", held.Size, err)
		}
		// A kind with a weak magic that breaks soon was chance.
		if p.Err != "" && held.Size < 16<<10 && (kind == "lzma" || kind == "gzip" || kind == "lz4-legacy") {
			u.budget.Drop(held)
			return nil
		}
		data = view{held, held.Size}
	}
	p.Length = length(kind, v, off, taken())
	p.data = data.section()
	u.banners(p, data)
	p.Parts = u.carve(data, s.into(kind, off))
	return p
}

func bytesReader(b []byte) io.Reader {
	return io.NewSectionReader(unpack.Bytes(b), 0, int64(len(b)))
}

// length corrects the count of bytes taken for the decoder that reads ahead.
func length(kind string, v view, off, taken int64) int64 {
	if kind != "xz" {
		return taken
	}
	// The stream ends with a footer at a multiple of four bytes, within what
	// the decoder has read.
	const ahead = 64 << 10
	from := max(0, taken-ahead) &^ 3
	b := v.head(off+from, taken-from+16)
	for i := 0; i+12 <= len(b); i += 4 {
		if b[i+10] == 'Y' && b[i+11] == 'Z' && crc32.ChecksumIEEE(b[i+4:i+10]) == binary.LittleEndian.Uint32(b[i:]) {
			return from + int64(i) + 12
		}
	}
	return taken
}

// frame tells how long the stream at off is, for the kinds whose decoders
// would go on into what follows it; for all others, what is left of the view.
func frame(kind string, v view, off int64) int64 {
	rest := v.size - off
	switch kind {
	case "zstd":
		return min(rest, zstdFrame(v, off, rest))
	case "lz4":
		return min(rest, lz4Frame(v, off, rest))
	case "lz4-legacy":
		at := int64(4)
		for {
			w := v.head(off+at, 4)
			if len(w) < 4 {
				return min(rest, at)
			}
			n := int64(binary.LittleEndian.Uint32(w))
			if n == 0 || n > codec.MaxLegacyBlock || n > rest-at-4 {
				return at
			}
			at += 4 + n
		}
	}
	return rest
}

// zstdFrame walks the blocks of one frame (RFC 8878 section 3.1.1).
func zstdFrame(v view, off, rest int64) int64 {
	h := v.head(off, 18)
	if len(h) < 6 {
		return rest
	}
	d := h[4]
	at := off + 5
	if d&0x20 == 0 { // no single segment: a byte for the window
		at++
	}
	at += []int64{0, 1, 2, 4}[d&3]
	size := []int64{0, 2, 4, 8}[d>>6]
	if d>>6 == 0 && d&0x20 != 0 {
		size = 1
	}
	at += size
	for {
		b := v.head(at, 3)
		if len(b) < 3 {
			return rest
		}
		w := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		n := int64(w >> 3)
		if w>>1&3 == 1 { // one byte, repeated
			n = 1
		}
		at += 3 + n
		if w&1 != 0 {
			break
		}
	}
	if d&4 != 0 {
		at += 4
	}
	return at - off
}

// lz4Frame walks the blocks of one frame (LZ4 Frame Format 1.6.1).
func lz4Frame(v view, off, rest int64) int64 {
	h := v.head(off, 8)
	if len(h) < 8 {
		return rest
	}
	flags := h[4]
	at := off + 7
	if flags&8 != 0 {
		at += 8
	}
	if flags&1 != 0 {
		at += 4
	}
	for {
		w := v.head(at, 4)
		if len(w) < 4 {
			return rest
		}
		n := int64(binary.LittleEndian.Uint32(w) & 0x7fffffff)
		at += 4
		if n == 0 {
			break
		}
		at += n
		if flags&0x10 != 0 {
			at += 4
		}
	}
	if flags&4 != 0 {
		at += 4
	}
	return at - off
}
