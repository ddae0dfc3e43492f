// Package ubi finds the volumes of a UBI device in a dump of its flash
// (drivers/mtd/ubi/ubi-media.h of Linux).
//
// Each erase block names its volume and its place in it; where two claim one
// place the one written later counts, unless it is a copy whose checksum does
// not hold. A volume is read through the map that results; what is not mapped
// reads as erased flash.
package ubi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

const (
	headLen   = 64
	tableID   = 0x7fffefff // the volume that names the others
	recordLen = 172
	maxID     = 128
	maxLost   = 64 // erase blocks in a row without a header, within one device
	blockCost = 64 // bytes of memory an erase block is counted with
)

// Volume is one volume of a device.
type Volume struct {
	ID       uint32
	Name     string
	Static   bool
	LEBSize  int64
	Size     int64
	lebs     map[uint32]leb
	r        io.ReaderAt
	imageEnd int64
}

type leb struct {
	data  int64 // where its content begins
	sqnum uint64
	size  uint32 // of a static volume
}

// Device is a scanned device.
type Device struct {
	Length   int64
	PEBSize  int64
	Volumes  []*Volume
	Bad      int // erase blocks whose headers do not hold
	ImageSeq uint32
}

func sum(b []byte) uint32 { return ^crc32.ChecksumIEEE(b) }

// Valid reports whether head begins with the header of an erase block.
func Valid(head []byte) bool {
	return len(head) >= headLen && string(head[:4]) == "UBI#" && head[4] == 1 && sum(head[:60]) == binary.BigEndian.Uint32(head[60:])
}

// Scan reads the headers of the device that begins at the start of r.
func Scan(r io.ReaderAt, size int64, b *unpack.Budget) (*Device, error) {
	d := &Device{}
	head, err := unpack.At(r, size, 0, headLen)
	if err != nil {
		return nil, err
	}
	d.ImageSeq = binary.BigEndian.Uint32(head[24:])
	for d.PEBSize = 4 << 10; d.PEBSize < size; d.PEBSize *= 2 {
		if next, err := unpack.At(r, size, d.PEBSize, headLen); err == nil && Valid(next) {
			break
		}
	}
	d.PEBSize = min(d.PEBSize, size)
	vols := map[uint32]*Volume{}
	lost := 0
	for off := int64(0); off+headLen <= size && lost <= maxLost; off += d.PEBSize {
		if err := b.Check(); err != nil {
			return nil, err
		}
		head, err := unpack.At(r, size, off, headLen)
		if err != nil || !Valid(head) {
			lost++
			if err == nil && bytes.Count(head, []byte{0xff}) != headLen {
				d.Bad++
			}
			continue
		}
		lost = 0
		d.Length = min(off+d.PEBSize, size)
		if err := b.Take(blockCost); err != nil {
			return nil, err
		}
		d.block(r, size, off, int64(binary.BigEndian.Uint32(head[16:])), int64(binary.BigEndian.Uint32(head[20:])), vols)
	}
	d.name(vols[tableID])
	delete(vols, tableID)
	for _, v := range vols {
		v.finish()
		if i := slices.IndexFunc(d.Volumes, func(n *Volume) bool { return n.ID == v.ID }); i >= 0 {
			v.Name = d.Volumes[i].Name
			d.Volumes[i] = v
		} else {
			d.Volumes = append(d.Volumes, v)
		}
	}
	slices.SortFunc(d.Volumes, func(a, b *Volume) int { return int(a.ID) - int(b.ID) })
	return d, nil
}

// block reads the header by which an erase block names its volume.
func (d *Device) block(r io.ReaderAt, size, off, vid, data int64, vols map[uint32]*Volume) {
	if vid < headLen || data < vid+headLen || data >= d.PEBSize {
		d.Bad++
		return
	}
	h, err := unpack.At(r, size, off+vid, headLen)
	if err != nil || string(h[:4]) != "UBI!" || sum(h[:60]) != binary.BigEndian.Uint32(h[60:]) {
		if err != nil || bytes.Count(h, []byte{0xff}) != headLen { // a free block has none
			d.Bad++
		}
		return
	}
	u32 := func(i int) uint32 { return binary.BigEndian.Uint32(h[i:]) }
	id, lnum, dataSize, pad := u32(8), u32(12), u32(20), int64(u32(28))
	if lnum > 1<<24 || pad >= d.PEBSize-data || id >= maxID && id != tableID {
		d.Bad++
		return
	}
	v := vols[id]
	if v == nil {
		v = &Volume{ID: id, Static: h[5] == 2, LEBSize: d.PEBSize - data - pad, lebs: map[uint32]leb{}, r: r, imageEnd: size}
		vols[id] = v
	}
	l := leb{data: off + data, sqnum: binary.BigEndian.Uint64(h[40:]), size: dataSize}
	if have, twice := v.lebs[lnum]; twice {
		if have.sqnum > l.sqnum {
			return
		}
		if h[6] != 0 && !copied(r, size, l.data, dataSize, u32(32)) {
			return
		}
	}
	v.lebs[lnum] = l
}

// copied reports whether the content of a moved block is whole.
func copied(r io.ReaderAt, size, at int64, n, want uint32) bool {
	b, err := unpack.At(r, size, at, int64(min(n, 16<<20)))
	return err == nil && sum(b) == want
}

// name reads the volume table; either of its two copies will do.
func (d *Device) name(table *Volume) {
	if table == nil {
		return
	}
	table.finish()
	for lnum := range int64(2) {
		found := false
		for i := range int64(maxID) {
			rec, err := unpack.At(table, table.Size, lnum*table.LEBSize+i*recordLen, recordLen)
			if err != nil || sum(rec[:168]) != binary.BigEndian.Uint32(rec[168:]) || binary.BigEndian.Uint32(rec) == 0 {
				continue
			}
			n := min(int(binary.BigEndian.Uint16(rec[14:])), 127)
			d.Volumes = append(d.Volumes, &Volume{ID: uint32(i), Name: string(rec[16 : 16+n]), Static: rec[12] == 2, LEBSize: 1})
			found = true
		}
		if found {
			return
		}
	}
}

func (v *Volume) finish() {
	for lnum, l := range v.lebs {
		end := (int64(lnum) + 1) * v.LEBSize
		if v.Static {
			end = int64(lnum)*v.LEBSize + min(int64(l.size), v.LEBSize)
		}
		v.Size = max(v.Size, end)
	}
}

// ReadAt implements io.ReaderAt through the map of erase blocks.
func (v *Volume) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		if off < 0 || off >= v.Size {
			return done, io.EOF
		}
		in := off % v.LEBSize
		n := min(int64(len(p)-done), v.LEBSize-in, v.Size-off)
		b := p[done : done+int(n)]
		if l, ok := v.lebs[uint32(off/v.LEBSize)]; ok && l.data+in+n <= v.imageEnd {
			if k, err := v.r.ReadAt(b, l.data+in); k < len(b) {
				return done + k, fmt.Errorf("volume %d: %w", v.ID, err)
			}
		} else {
			for i := range b {
				b[i] = 0xff
			}
		}
		done += int(n)
		off += n
	}
	return done, nil
}
