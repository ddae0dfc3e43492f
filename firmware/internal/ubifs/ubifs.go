// Package ubifs reads UBIFS (fs/ubifs/ubifs-media.h of Linux).
//
// The index that the master node points to is the state of the last commit;
// the journal behind it is replayed in memory, as mounting would. Where the
// index does not hold, all nodes that can be found are applied in the order
// they were written, and the walk says so: that may bring back what had been
// deleted. Files that fscrypt encrypted are listed and not read.
package ubifs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

const (
	magic     = 0x06101831
	headLen   = 24
	blockSize = 4096
	logLEB    = 3
	rootIno   = 1
	maxLevels = 64 // of the index; a billion nodes need ten
	nodeCost  = 96 // bytes of memory a node is counted with
)

// The types of nodes that count here.
const (
	nodeIno   = 0
	nodeData  = 1
	nodeDent  = 2
	nodeTrun  = 4
	nodeSuper = 6
	nodeMast  = 7
	nodeRef   = 8
	nodeIndex = 9
	nodeStart = 10
)

// Super is the superblock of a volume.
type Super struct {
	LEBSize     int64
	LEBs        int64
	LogLEBs     int64
	Compression string
	Version     uint32
	Length      int64
	flags       uint32
}

// check returns the node at the beginning of b when its checksum holds.
func check(b []byte) (kind byte, node []byte, ok bool) {
	if len(b) < headLen || binary.LittleEndian.Uint32(b) != magic {
		return 0, nil, false
	}
	n := int64(binary.LittleEndian.Uint32(b[16:]))
	if n < headLen || n > int64(len(b)) || ^crc32.ChecksumIEEE(b[8:n]) != binary.LittleEndian.Uint32(b[4:]) {
		return 0, nil, false
	}
	return b[20], b[:n], true
}

// Parse reads the superblock, which is the first node of the volume and 4 KiB
// long.
func Parse(head []byte) (*Super, bool) {
	kind, n, ok := check(head)
	if !ok || kind != nodeSuper || len(n) < 100 {
		return nil, false
	}
	s := &Super{
		flags: binary.LittleEndian.Uint32(n[28:]), LEBSize: int64(binary.LittleEndian.Uint32(n[36:])), LEBs: int64(binary.LittleEndian.Uint32(n[40:])), LogLEBs: int64(binary.LittleEndian.Uint32(n[56:])), Version: binary.LittleEndian.Uint32(n[80:]),
		Compression: comprName(binary.LittleEndian.Uint16(n[84:])),
	}
	if s.LEBSize < 4096 || s.LEBSize > 16<<20 || s.LEBs < 8 || s.LEBs > 1<<24 || s.LogLEBs < 1 || s.LogLEBs > s.LEBs {
		return nil, false
	}
	s.Length = s.LEBSize * s.LEBs
	return s, true
}

func comprName(c uint16) string {
	if names := []string{"none", "lzo", "zlib", "zstd"}; int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprint(c)
}

type location struct {
	at  int64
	len uint32
}

type dentKey struct {
	parent uint32
	name   string
}

type dent struct {
	ino  uint64
	kind byte
}

type volume struct {
	*Super
	r      io.ReaderAt
	size   int64
	codec  *codec.Decoder
	budget *unpack.Budget
	inos   map[uint32]location
	data   map[uint32]map[uint32]location // by inode and block
	dents  map[dentKey]dent
	bad    int
	first  error
}

func (v *volume) fail(err error) {
	if v.bad++; v.first == nil {
		v.first = err
	}
}

// node reads the node at a place.
func (v *volume) node(l location) (kind byte, n []byte, err error) {
	if l.len < headLen || int64(l.len) > v.LEBSize {
		return 0, nil, fmt.Errorf("a node of %d bytes", l.len)
	}
	b, err := unpack.At(v.r, v.size, l.at, int64(l.len))
	if err != nil {
		return 0, nil, err
	}
	kind, n, ok := check(b)
	if !ok {
		return 0, nil, fmt.Errorf("the node at %#x has a wrong checksum", l.at)
	}
	return kind, n, nil
}

func (v *volume) place(lnum, offs, length uint32) location {
	return location{int64(lnum)*v.LEBSize + int64(offs), length}
}

// Walk yields the entries of the volume in r.
func (s *Super) Walk(r io.ReaderAt, size int64, c *codec.Decoder, b *unpack.Budget, yield unpack.Sink) error {
	v := &volume{Super: s, r: r, size: min(size, s.Length), codec: c, budget: b}
	v.reset()
	master, err := v.master()
	if err == nil {
		if err = v.index(v.place(master.rootLEB, master.rootOff, master.rootLen), 0, map[int64]bool{}); err == nil {
			err = v.replay(master)
		}
	}
	var said error
	if err != nil {
		if stop := b.Check(); stop != nil || errors.Is(err, unpack.ErrBudget) {
			return err
		}
		said = fmt.Errorf("the index does not hold (%w); what is listed is every node that was found, deleted files perhaps among them", err)
		v.reset()
		if err := v.everything(); err != nil {
			return err
		}
	}
	if err := v.tree(yield); err != nil {
		return err
	}
	if v.bad > 0 {
		said = errors.Join(said, fmt.Errorf("%d entries cannot be read, first: %w", v.bad, v.first))
	}
	return said
}

func (v *volume) reset() {
	v.inos, v.data, v.dents = map[uint32]location{}, map[uint32]map[uint32]location{}, map[dentKey]dent{}
}

type master struct {
	commit                    uint64
	rootLEB, rootOff, rootLen uint32
}

// master finds the newest master node; they are written one behind the other
// in two erase blocks that mirror each other.
func (v *volume) master() (m master, err error) {
	newest := uint64(0)
	for leb := int64(1); leb <= 2; leb++ {
		err := v.scan(leb, 0, func(kind byte, n []byte, at int64) error {
			if seq := binary.LittleEndian.Uint64(n[8:]); kind == nodeMast && len(n) >= 60 && seq >= newest {
				newest = seq
				m = master{binary.LittleEndian.Uint64(n[32:]), binary.LittleEndian.Uint32(n[48:]), binary.LittleEndian.Uint32(n[52:]), binary.LittleEndian.Uint32(n[56:])}
			}
			return nil
		})
		if err != nil {
			return m, err
		}
	}
	if m.rootLen == 0 {
		return m, errors.New("no master node")
	}
	return m, nil
}

// scan visits the nodes of one erase block from an offset on, going on behind
// damage at the next multiple of eight.
func (v *volume) scan(leb, from int64, visit func(kind byte, n []byte, at int64) error) error {
	base := leb * v.LEBSize
	if base >= v.size {
		return nil
	}
	if err := v.budget.Check(); err != nil {
		return err
	}
	b, err := unpack.At(v.r, v.size, base, min(v.LEBSize, v.size-base))
	if err != nil {
		return err
	}
	for off := from; off+headLen <= int64(len(b)); {
		kind, n, ok := check(b[off:])
		if !ok {
			off += 8
			continue
		}
		if err := visit(kind, n, base+off); err != nil {
			return err
		}
		off += int64(len(n)+7) &^ 7
	}
	return nil
}

// index walks the B+ tree below the index node at l.
func (v *volume) index(l location, depth int, seen map[int64]bool) error {
	if err := v.budget.Check(); err != nil {
		return err
	}
	if seen[l.at] || depth > maxLevels {
		return errors.New("the index runs in a circle")
	}
	seen[l.at] = true
	kind, n, err := v.node(l)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if kind != nodeIndex || len(n) < 28 {
		return fmt.Errorf("index: a node of type %d at %#x", kind, l.at)
	}
	count, level := int(binary.LittleEndian.Uint16(n[24:])), binary.LittleEndian.Uint16(n[26:])
	if count == 0 {
		return nil
	}
	width := (len(n) - 28) / count // 20, and a hash where the volume is authenticated
	if width < 20 {
		return fmt.Errorf("index: %d branches in %d bytes", count, len(n))
	}
	for i := range count {
		br := n[28+i*width:]
		at := v.place(binary.LittleEndian.Uint32(br), binary.LittleEndian.Uint32(br[4:]), binary.LittleEndian.Uint32(br[8:]))
		if level > 0 {
			if err := v.index(at, depth+1, seen); err != nil {
				return err
			}
			continue
		}
		if err := v.leaf(binary.LittleEndian.Uint32(br[12:]), binary.LittleEndian.Uint32(br[16:]), at); err != nil {
			return err
		}
	}
	return nil
}

// leaf takes up what the index refers to. Data is only located; names are
// read, since the index has but their hashes.
func (v *volume) leaf(ino, key uint32, at location) error {
	if err := v.budget.Take(nodeCost); err != nil {
		return err
	}
	switch key >> 29 {
	case nodeIno:
		v.inos[ino] = at
	case nodeData:
		v.locate(ino, key&(1<<29-1), at)
	case nodeDent:
		_, n, err := v.node(at)
		if err != nil {
			v.fail(err)
			return nil
		}
		v.name(n)
	}
	return nil
}

func (v *volume) locate(ino, block uint32, at location) {
	blocks := v.data[ino]
	if blocks == nil {
		blocks = map[uint32]location{}
		v.data[ino] = blocks
	}
	blocks[block] = at
}

func (v *volume) name(n []byte) {
	if len(n) < 56 {
		return
	}
	size := int(binary.LittleEndian.Uint16(n[50:]))
	if 56+size > len(n) {
		v.fail(fmt.Errorf("a name of %d bytes in a node of %d", size, len(n)))
		return
	}
	k := dentKey{binary.LittleEndian.Uint32(n[24:]), string(n[56 : 56+size])}
	if ino := binary.LittleEndian.Uint64(n[40:]); ino == 0 {
		delete(v.dents, k)
	} else {
		v.dents[k] = dent{ino, n[49]}
	}
}
