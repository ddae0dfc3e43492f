package store

import (
	"math/rand/v2"
	"runtime"
	"testing"
)

// BenchmarkLimit changes random lines whose places are known: what the machine's
// memory allows at this moment, to hold BenchmarkFind against.
func BenchmarkLimit(b *testing.B) {
	tab, _ := fill(b, "dense", *benchCards)
	defer tab.Close()
	places := make([]uint32, 1<<22)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range places {
		places[i] = uint32(r.Uint64N(uint64(*benchCards)))
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	from := threadCPU()
	b.ResetTimer()
	for done := 0; done < b.N; done += Width {
		at := (*Places)(places[done%len(places):])
		next := (*Places)(places[(done+Width)%len(places):])
		prefetch(tab.lines.base, &next[0], Width, lineShift)
		for _, p := range at {
			tab.Line(p).Data[0]++
		}
	}
	b.ReportMetric(float64(b.N)/(threadCPU()-from).Seconds()/1e6, "Mrec/cpu-s")
}
