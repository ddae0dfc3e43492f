package report

import (
	"io"
	"testing"
)

// BenchmarkWriters measures one report of the sample in each format.
func BenchmarkWriters(b *testing.B) {
	in := sample(b, "zh-CN")
	for _, name := range []string{"html", "pdf", "sarif", "oscal", "cdx", "csv"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := writers[name](io.Discard, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
