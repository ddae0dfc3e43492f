package cdr

import "strconv"

// Kinds of a cell, as the two highest bits of its key tell.
const (
	cellWide   = 1 // network and a cell identity that is unique in it (ECI, NCI)
	cellInArea = 2 // network, area and a cell identity of 16 bits (CI, SAC)
	cellHashed = 3
)

// areaHashed marks the key of an area that is no number below 1<<24.
const areaHashed = 1 << 31

// AreaKey is the location or tracking area: its code when it is written in
// decimal, from 1 to 16,777,215 (a TAC of 5GS has 24 bits), else a keyed hash
// with the highest bit set. 0 when there is none.
func (k *Keys) AreaKey(area []byte) uint32 {
	if len(area) == 0 {
		return 0
	}
	if v, ok := plain(area, 8); ok && v > 0 && v < 1<<24 {
		return uint32(v)
	}
	return areaHashed | uint32(k.place.sum(area)>>33)
}

// AreaNumber is the key of an area of a number.
func (k *Keys) AreaNumber(v uint32) uint32 {
	if v > 0 && v < 1<<24 {
		return v
	}
	var b [10]byte
	return k.AreaKey(strconv.AppendUint(b[:0], uint64(v), 10))
}

// PlaceKey gives the keys of an area and of a cell in it, with plmn as ParsePLMN
// gives it. A cell identity that is written in decimal and has more than 16 bits
// is one for the network, up to 36 bits (TS 23.003 sections 19.6 and 19.6A); a
// smaller one is one for its area (section 4.3.1); anything else is hashed with
// its area. The cell is 0 when there is none.
func (k *Keys) PlaceKey(plmn uint32, area, cell []byte) (uint32, uint64) {
	a := k.AreaKey(area)
	return a, k.cellKey(plmn, a, cell)
}

func (k *Keys) cellKey(plmn, area uint32, cell []byte) uint64 {
	if len(cell) == 0 {
		return 0
	}
	if v, ok := plain(cell, 11); ok && v < 1<<36 {
		return k.CellNumber(plmn, area, v)
	}
	return k.hashCell(plmn, area, cell)
}

// CellNumber is the key of a cell of a number in a place whose area has the key
// that is given.
func (k *Keys) CellNumber(plmn, area uint32, cell uint64) uint64 {
	if cell >= 1<<36 || area >= 1<<24 && cell < 1<<16 {
		var b [20]byte
		return k.hashCell(plmn, area, strconv.AppendUint(b[:0], cell, 10))
	}
	// Both are made and one is taken: which of them, no processor could guess.
	key, in := cellWide<<62|network(plmn)<<36|cell, cellInArea<<62|network(plmn)<<40|uint64(area)<<16|cell
	if cell < 1<<16 {
		key = in
	}
	return key
}

func (k *Keys) hashCell(plmn, area uint32, cell []byte) uint64 {
	b := make([]byte, 0, 64)
	b = append(b, byte(plmn>>24), byte(plmn>>16), byte(plmn>>8), byte(plmn), byte(area>>24), byte(area>>16), byte(area>>8), byte(area))
	return cellHashed<<62 | k.place.sum(append(b, cell...))>>2
}

// network squeezes a PLMN into 21 bits: 10 of country, 1 of length, 10 of code.
func network(plmn uint32) uint64 {
	return uint64(plmn>>20&(1<<10-1))<<11 | uint64(plmn>>10&1)<<10 | uint64(plmn&(1<<10-1))
}

// AreaText gives the number of an area back; "" for a hashed one.
func AreaText(key uint32) string {
	if key == 0 || key >= 1<<24 {
		return ""
	}
	return strconv.FormatUint(uint64(key), 10)
}

// CellText gives the number of a cell back; "" for a hashed one.
func CellText(key uint64) string {
	switch key >> 62 {
	case cellWide:
		return strconv.FormatUint(key&(1<<36-1), 10)
	case cellInArea:
		return strconv.FormatUint(key&(1<<16-1), 10)
	}
	return ""
}

// plain reads a number of at most most digits without leading zeros.
func plain(b []byte, most int) (uint64, bool) {
	if len(b) > most || len(b) > 1 && b[0] == '0' {
		return 0, false
	}
	return decimal(b)
}
