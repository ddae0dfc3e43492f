package cdr

import "github.com/ringwall/ringwall/cdr/internal/text"

// numbersRead are what the characters of fields say in decimal, and how many there
// are: far more than there can be when not all are digits. Of more than sixteen
// the value means nothing.
type numbersRead struct {
	v [numbersOf]uint64
	n [numbersOf]int
}

// notDigits is added to n when not all are.
const notDigits = 1 << 40

// The numbers of a line.
const (
	numTime = iota
	numIMSI
	numIMEI
	numUp
	numDown
	numDuration
	numArea
	numCell
	numNone // what is read to make their number even
	numbersOf
)

// numbered are the columns that are numbers.
var numbered = [...]int{numTime: colTime, numIMSI: colIMSI, numIMEI: colIMEI, numUp: colUp, numDown: colDown, numDuration: colDuration, numArea: colArea, numCell: colCell}

// pick is a field and which number it is.
type pick struct{ field, number uint8 }

// picks lists the numbers of a layout, an even number of them.
func picks(l *Layout) (list []pick) {
	for i, c := range numbered {
		for f, has := range l.field {
			if int(has) == c {
				list = append(list, pick{uint8(f), uint8(i)})
			}
		}
	}
	if len(list)%2 != 0 {
		list = append(list, pick{0, numNone})
	}
	return list
}

// numbersGo reads the numbers of a list. b has a margin around the line.
func numbersGo(b []byte, p *places, list []pick, out *numbersRead) {
	for _, k := range list {
		from, to := p.of(int16(k.field))
		lo, hi := text.Last(b, to, to-from)
		out.v[k.number], out.n[k.number] = text.Value(hi)*1e8+text.Value(lo), to-from
		if text.NoDigits(lo, hi) != 0 {
			out.n[k.number] |= notDigits
		}
	}
}
