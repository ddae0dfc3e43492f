package usage

import (
	"testing"

	"github.com/ringwall/ringwall/internal/usage/rules"
)

// What engines report is summed, all of it.
func TestMemory_add(t *testing.T) {
	side := rules.SideStats{Homes: 1, Cells: 2, Foreign: 3, Calls: 4, Quota: 5, Life: 6, Former: 7, Aside: 8, Bytes: 9, Full: 10}
	var m Memory
	m.add(Memory{Side: side, Cards: 3})
	if m.Side != side || m.SidePerCard != 3 {
		t.Errorf("one engine's %+v is %+v, %v bytes a card", side, m.Side, m.SidePerCard)
	}
	m.add(Memory{Side: side, Cards: 3})
	if m.Side.Aside != 16 || m.Side.Former != 14 || m.SidePerCard != 3 {
		t.Errorf("two engines' are %+v", m.Side)
	}
}
