package agent

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// gcPercent trades processor time for memory: most of the heap is the tables of
// the detectors, which never grow, and gateways have more of the former.
const gcPercent = 25

// ownBytes is what the Go runtime takes besides what is alive and may become so:
// stacks, spans that are not full, what it knows of them and of what is marked. With
// a third less the collector works twice as much.
const ownBytes = 9 << 20

// memory keeps what the process takes near what it needs. The collector alone lets
// go of memory slowly: after a peak, such as a document that was read, a fifth more
// than is needed stays for minutes. A soft limit makes it let go at once, but one
// below what is needed has it do nothing but collect. So the limit follows what was
// found alive, with as much above it as gcPercent gives anyway, and there is none
// while something large is being done.
type memory struct{ large atomic.Int32 }

// during does something that needs memory only for its own time.
func (m *memory) during(f func() error) error {
	m.large.Add(1)
	debug.SetMemoryLimit(math.MaxInt64)
	err := f()
	debug.FreeOSMemory()
	m.large.Add(-1)
	m.follow()
	return err
}

// follow sets the limit by what was alive when the collector last looked. It is
// called each second.
func (m *memory) follow() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	if m.large.Load() > 0 {
		return
	}
	if metrics.Read(live); live[0].Value.Kind() == metrics.KindUint64 {
		debug.SetMemoryLimit(limitFor(live[0].Value.Uint64()))
	}
}

func limitFor(live uint64) int64 {
	return int64(min(live+live*gcPercent/100+ownBytes, math.MaxInt64))
}
