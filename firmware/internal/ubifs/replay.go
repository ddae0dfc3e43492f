package ubifs

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// written is a node of the journal, to be applied in the order of writing.
type written struct {
	seq  uint64
	kind byte
	at   location
}

// replay applies the journal: the log names the erase blocks that were written
// since the commit, and from where on.
func (v *volume) replay(m master) error {
	type bud struct{ leb, off int64 }
	var start uint64
	var all []written
	refs := map[bud]uint64{}
	for leb := int64(logLEB); leb < logLEB+v.LogLEBs; leb++ {
		err := v.scan(leb, 0, func(kind byte, n []byte, at int64) error {
			switch {
			case kind == nodeStart && len(n) >= 32 && binary.LittleEndian.Uint64(n[24:]) == m.commit:
				start = binary.LittleEndian.Uint64(n[8:])
			case kind == nodeRef && len(n) >= 36:
				refs[bud{int64(binary.LittleEndian.Uint32(n[24:])), int64(binary.LittleEndian.Uint32(n[28:]))}] = binary.LittleEndian.Uint64(n[8:])
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for b, seq := range refs {
		if seq <= start || b.leb < logLEB || b.off < 0 || b.off%8 != 0 {
			continue
		}
		if err := v.collect(b.leb, b.off, &all); err != nil {
			return err
		}
	}
	return v.apply(all)
}

// everything applies all nodes of the volume.
func (v *volume) everything() error {
	var all []written
	for leb := int64(0); leb < v.LEBs && leb*v.LEBSize < v.size; leb++ {
		if err := v.collect(leb, 0, &all); err != nil {
			return err
		}
	}
	return v.apply(all)
}

func (v *volume) collect(leb, off int64, all *[]written) error {
	return v.scan(leb, off, func(kind byte, n []byte, at int64) error {
		switch kind {
		case nodeIno, nodeData, nodeDent, nodeTrun:
			if err := v.budget.Take(nodeCost); err != nil {
				return err
			}
			*all = append(*all, written{binary.LittleEndian.Uint64(n[8:]), kind, location{at, uint32(len(n))}})
		}
		return nil
	})
}

func (v *volume) apply(all []written) error {
	slices.SortFunc(all, func(a, b written) int { return cmp.Compare(a.seq, b.seq) })
	for _, w := range all {
		if err := v.budget.Check(); err != nil {
			return err
		}
		_, n, err := v.node(w.at)
		if err != nil || len(n) < 48 {
			continue
		}
		ino, key := binary.LittleEndian.Uint32(n[24:]), binary.LittleEndian.Uint32(n[28:])
		switch w.kind {
		case nodeIno:
			if len(n) < 160 {
				continue
			}
			if binary.LittleEndian.Uint32(n[92:]) == 0 { // no name left: deleted
				delete(v.inos, ino)
				delete(v.data, ino)
			} else {
				v.inos[ino] = w.at
			}
		case nodeData:
			v.locate(ino, key&(1<<29-1), w.at)
		case nodeDent:
			v.name(n)
		case nodeTrun:
			if len(n) < 56 {
				continue
			}
			first := (binary.LittleEndian.Uint64(n[48:]) + blockSize - 1) / blockSize
			for block := range v.data[ino] {
				if uint64(block) >= first {
					delete(v.data[ino], block)
				}
			}
		}
	}
	return nil
}
