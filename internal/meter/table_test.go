package meter

import (
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestTable: whatever is opened and closed, the table finds what a map finds.
func TestTable(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var flows table
	flows.init(maphash.MakeSeed(), 16) // far fewer places than flows: chains
	model := map[tuple]*entry{}
	for range 20_000 {
		k := tuple{a: netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(64))}), bPort: uint16(r.IntN(4))}
		if got := flows.find(&k); got != model[k] {
			t.Fatalf("find(%v) = %p, want %p", k, got, model[k])
		}
		if e := model[k]; e != nil {
			flows.drop(e)
			delete(model, k)
		} else {
			model[k] = &entry{key: k}
			flows.put(model[k])
		}
		if flows.n != len(model) {
			t.Fatalf("%d flows, want %d", flows.n, len(model))
		}
	}
}

// TestEnds: ends are told apart as two maps would, also those that there is no
// room to remember.
func TestEnds(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var got ends
	known, minute := map[uint64]bool{}, map[uint64]bool{}
	for i := range 39_990 {
		if i%500 == 499 {
			got.anew()
			clear(minute)
		}
		to := uint64(r.IntN(2 * maxKnown))
		if again, there := got.begun(to); again != minute[to] || there != known[to] {
			t.Fatalf("call %d of %d: again %t, known %t; want %t, %t", i, to, again, there, minute[to], known[to])
		}
		minute[to] = true
		if len(known) < maxKnown {
			known[to] = true
		}
	}
	if len(known) != maxKnown || len(got.more) == 0 {
		t.Fatalf("the bound was not reached: %d known, %d more", len(known), len(got.more))
	}
}
