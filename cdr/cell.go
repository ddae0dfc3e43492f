package cdr

// CellKey is the key of a cell in an area of which only the key is known, as
// PlaceKey gives it; 0 when there is none.
func (k *Keys) CellKey(plmn, area uint32, cell []byte) uint64 {
	if len(cell) == 0 {
		return 0
	}
	if v, ok := plain(cell, 11); ok && v < 1<<36 {
		return k.CellNumber(plmn, area, v)
	}
	return k.hashCell(plmn, area, cell)
}
