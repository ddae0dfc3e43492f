package agent

import (
	"errors"
	"math"
	"runtime/debug"
	"testing"
)

// TestMemory: the limit leaves the collector the room that gcPercent gives it,
// however much is needed, and there is none while a document is read.
func TestMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	for _, live := range []uint64{1 << 20, 24 << 20, 240 << 20, 2 << 30} {
		if room := uint64(limitFor(live)) - live; room < live*gcPercent/100 || room > live*gcPercent/100+ownBytes {
			t.Errorf("%d bytes that are needed have %d above them", live, room)
		}
	}
	var m memory
	want := errors.New("not taken")
	err := m.during(func() error {
		m.follow() // the second in between
		if l := debug.SetMemoryLimit(-1); l != math.MaxInt64 {
			t.Errorf("the limit is %d while a document is read", l)
		}
		return want
	})
	if l := debug.SetMemoryLimit(-1); err != want || l == math.MaxInt64 || l < ownBytes {
		t.Errorf("afterwards the limit is %d, the error %v", l, err)
	}
}
