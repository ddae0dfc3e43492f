package cdr

import "golang.org/x/sys/cpu"

var hasAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasBMI1 && cpu.X86.HasBMI2 && cpu.X86.HasPOPCNT

// scanAVX2 is scanGo for blocks of 64 bytes of the array at b.
//
//go:noescape
func scanAVX2(b *byte, from, blocks, comma uint64, pos *uint32, n uint64, ends *uint32) (n2, lines, odd uint64)

// scan is scanGo, by vectors where the processor has them.
func scan(b []byte, from, blocks int, comma byte, m *marks, n int) (int, int, bool) {
	if !hasAVX2 {
		return scanGo(b, from, blocks, comma, m, n)
	}
	_ = b[from : from+64*blocks]
	_ = m.pos[n : n+64*blocks+marksOver]
	n2, lines, odd := scanAVX2(&b[0], uint64(from), uint64(blocks), uint64(comma), &m.pos[0], uint64(n), &m.ends[0])
	return int(n2), int(lines), odd != 0
}

// masks keep the last n of sixteen characters: sixteen bytes from byte n on.
var masks = func() (m [16 + 16 + numbersLine]byte) {
	for i := range m[16:] {
		m[16+i] = 0xff
	}
	return m
}()

// numbersLine is how long a line may be whose numbers are read by vectors: there
// must be a mask for each length of a field.
const numbersLine = 4096

// numbersAVX2 is numbersGo.
//
//go:noescape
func numbersAVX2(b *byte, p *places, list *pick, pairs uint64, out *numbersRead, masks *byte)

// numbers is numbersGo, by vectors where the processor has them. All of b that
// the line's places name lies within b, with a margin.
func numbers(b []byte, p *places, list []pick, width int, out *numbersRead) {
	if !hasAVX2 || len(list) == 0 || p[width]-p[0] > numbersLine {
		numbersGo(b, p, list, out)
		return
	}
	numbersAVX2(&b[0], p, &list[0], uint64(len(list)/2), out, &masks[0])
}
