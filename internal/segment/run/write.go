package run

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
)

// A run file is
//
//	magic     8 bytes  "RWRUN\x00\x00\x01"
//	columns            each row a number of the column's width, little endian, less its base
//	rows               of each device the first, and then the number of all: uint32 each
//	sums               see sums.go; of each device the offset of the first: uint32 each
//	dictionaries       each the offsets of its texts (uint32, one more than texts) and the texts, sorted
//	footer             see footer; then its length and CRC-32C, and the magic again
//
// all in little endian. Pages of 16 KiB from the start of the file to the footer
// have their CRC-32C in the footer.
const (
	magic    = "RWRUN\x00\x00\x01"
	pageSize = 16 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// footer says where everything is.
type footer struct {
	Tag         uint64 // the store's
	First, Next uint64 // frames
	Rows        uint32
	Min, Max    int64 // first start and last end
	MaxStart    int64 // last start
	Cols        [columns]colPlace
	Starts      uint64 // of the rows of each device
	Sums        uint64
	SumsLen     uint64
	SumStarts   uint64
	Dicts       [dicts]dictPlace
	End         uint64 // of the pages
}

type colPlace struct {
	Off, Base uint64
	Width     uint8
}

type dictPlace struct {
	Off, Texts uint64
	Len        uint32 // entries
	TextsLen   uint32 // bytes
}

// pager writes and keeps the CRC of each page.
type pager struct {
	w    *bufio.Writer
	off  uint64
	crc  uint32
	fill int
	crcs []uint32
	err  error
}

func (p *pager) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 && p.err == nil {
		k := min(len(b), pageSize-p.fill)
		p.crc = crc32.Update(p.crc, castagnoli, b[:k])
		if _, err := p.w.Write(b[:k]); err != nil {
			p.err = err
		}
		p.off += uint64(k)
		if p.fill += k; p.fill == pageSize {
			p.end()
		}
		b = b[k:]
	}
	return n, p.err
}

func (p *pager) end() {
	if p.fill > 0 {
		p.crcs = append(p.crcs, p.crc)
		p.crc, p.fill = 0, 0
	}
}

// Write writes the run to a file of this name, which it replaces. It is not
// synced. The builder can go on being asked, and added to.
func (b *Builder) Write(path string, tag uint64) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "run.*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	w := bufio.NewWriterSize(f, 256<<10)
	if err := b.write(w, tag); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func (b *Builder) write(w *bufio.Writer, tag uint64) error {
	ranks, order := b.sortDicts()
	rows, starts := b.sortRows(ranks[dictDevice])
	p := &pager{w: w}
	ft := footer{Tag: tag, First: b.first, Next: b.next, Rows: uint32(len(rows)), Min: b.min, Max: b.max, MaxStart: b.maxStart}
	_, _ = p.Write([]byte(magic)) // p.err keeps what fails
	for c := range columns {
		var rank []uint32
		if d := dictOf[c]; d >= 0 {
			rank = ranks[d]
		}
		ft.Cols[c] = p.column(b.col[c], rows, rank)
	}
	ft.Starts = p.numbers(starts)
	ft.Sums = p.off
	sumStarts := b.writeSums(p, rows, starts, ranks[dictReason])
	ft.SumsLen = p.off - ft.Sums
	ft.SumStarts = p.numbers(sumStarts)
	for d := range dicts {
		ft.Dicts[d] = p.texts(b.dicts[d].texts, order[d])
	}
	p.end()
	ft.End = p.off
	if p.err != nil {
		return p.err
	}
	out, err := binary.Append(nil, binary.LittleEndian, &ft)
	if err != nil {
		return fmt.Errorf("writing the footer of a run: %w", err)
	}
	for _, c := range p.crcs {
		out = binary.LittleEndian.AppendUint32(out, c)
	}
	n, sum := len(out), crc32.Checksum(out, castagnoli)
	out = binary.LittleEndian.AppendUint32(out, uint32(n))
	out = binary.LittleEndian.AppendUint32(out, sum)
	_, err = w.Write(append(out, magic...))
	return err
}

// sortDicts returns of each dictionary the rank of each code, and the codes in
// the order of their texts.
func (b *Builder) sortDicts() (ranks, order [dicts][]uint32) {
	for d := range b.dicts {
		texts := b.dicts[d].texts
		o, r := make([]uint32, len(texts)), make([]uint32, len(texts))
		for i := range o {
			o[i] = uint32(i)
		}
		slices.SortFunc(o, func(x, y uint32) int { return cmp.Compare(texts[x], texts[y]) })
		for i, c := range o {
			r[c] = uint32(i)
		}
		ranks[d], order[d] = r, o
	}
	return ranks, order
}

// sortRows returns the rows in the order of the run and the first row of each
// device, with one more at the end. Rows come almost in the order of time, so
// that within a device there is little to sort.
func (b *Builder) sortRows(rank []uint32) (rows, starts []uint32) {
	starts = make([]uint32, len(rank)+1)
	for _, c := range b.device {
		starts[rank[c]+1]++
	}
	for i := range rank {
		starts[i+1] += starts[i]
	}
	rows = make([]uint32, len(b.device))
	at := slices.Clone(starts)
	for i, c := range b.device {
		k := rank[c]
		rows[at[k]] = uint32(i)
		at[k]++
	}
	start := b.col[colStart]
	for i := range rank {
		part := rows[starts[i]:starts[i+1]]
		slices.SortFunc(part, func(x, y uint32) int {
			if c := cmp.Compare(start[x], start[y]); c != 0 {
				return c
			}
			return cmp.Compare(x, y) // the order in which they came: of frame and record
		})
	}
	return rows, starts
}

// column writes the values of one column in the order of rows.
func (p *pager) column(values []uint64, rows, rank []uint32) colPlace {
	at := func(r uint32) uint64 {
		if rank != nil {
			return uint64(rank[values[r]])
		}
		return values[r]
	}
	lo, hi := ^uint64(0), uint64(0)
	for _, r := range rows {
		v := at(r)
		lo, hi = min(lo, v), max(hi, v)
	}
	if len(rows) == 0 {
		lo = 0
	}
	place := colPlace{Off: p.off, Base: lo, Width: uint8((bits.Len64(hi-min(lo, hi)) + 7) / 8)}
	if place.Width == 0 {
		return place
	}
	var buf [pageSize + 8]byte
	n, w := 0, int(place.Width)
	for _, r := range rows {
		binary.LittleEndian.PutUint64(buf[n:], at(r)-lo)
		if n += w; n > pageSize-8 {
			_, _ = p.Write(buf[:n])
			n = 0
		}
	}
	_, _ = p.Write(buf[:n])
	return place
}

func (p *pager) numbers(ns []uint32) (off uint64) {
	off = p.off
	buf := make([]byte, 0, 4*len(ns))
	for _, n := range ns {
		buf = binary.LittleEndian.AppendUint32(buf, n)
	}
	_, _ = p.Write(buf)
	return off
}

func (p *pager) texts(texts []string, order []uint32) dictPlace {
	place := dictPlace{Off: p.off, Len: uint32(len(order))}
	offs := make([]uint32, 0, len(order)+1)
	for _, c := range order {
		offs = append(offs, place.TextsLen)
		place.TextsLen += uint32(len(texts[c]))
	}
	p.numbers(append(offs, place.TextsLen))
	place.Texts = p.off
	for _, c := range order {
		_, _ = p.Write([]byte(texts[c]))
	}
	return place
}
