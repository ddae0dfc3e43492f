package run

import (
	"encoding/binary"
)

// Sums of a run stand for each device, hour, verdict and reason one after the
// other, by device and then as they come:
//
//	hour     uvarint  since 1970, less the hour of the run's first start
//	verdict  byte
//	reason   uvarint  code
//	flows    uvarint
//	bytes    uvarint  up and down
const hourMicros = 3600 * 1e6

type sumKey struct {
	hour    uint64
	verdict uint8
	reason  uint32
}

type sum struct{ flows, bytes uint64 }

// writeSums writes the sums and returns where those of each device begin.
func (b *Builder) writeSums(p *pager, rows, starts, reasonRank []uint32) (offs []uint32) {
	var base uint64
	if len(rows) > 0 {
		base = uint64(b.min) / hourMicros
	}
	begin := p.off
	var out []byte
	var keys []sumKey
	sums := map[sumKey]sum{}
	for d := range len(starts) - 1 {
		offs = append(offs, uint32(p.off-begin)+uint32(len(out)))
		keys = keys[:0]
		clear(sums)
		for _, r := range rows[starts[d]:starts[d+1]] {
			k := sumKey{b.col[colStart][r]/hourMicros - base, uint8(b.col[colFlags][r] & flagsVerdict), reasonRank[b.col[colReason][r]]}
			s, ok := sums[k]
			if !ok {
				keys = append(keys, k)
			}
			s.flows += b.col[colFlows][r]
			s.bytes += b.col[colUp][r] + b.col[colDown][r]
			sums[k] = s
		}
		for _, k := range keys {
			out = binary.AppendUvarint(out, k.hour)
			out = append(out, k.verdict)
			out = binary.AppendUvarint(out, uint64(k.reason))
			out = binary.AppendUvarint(out, sums[k].flows)
			out = binary.AppendUvarint(out, sums[k].bytes)
		}
		if len(out) > pageSize {
			_, _ = p.Write(out)
			out = out[:0]
		}
	}
	_, _ = p.Write(out)
	return append(offs, uint32(p.off-begin))
}
