package inspector_test

import (
	"bufio"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/api"
)

// BenchmarkIdle opens 200 connections that have said something and are silent,
// and says how much memory each takes: of client, server and inspector together,
// beside the same without an inspector.
func BenchmarkIdle(b *testing.B) {
	const n = 200
	for _, name := range []string{"plain", "inspected"} {
		in := &api.Inside{Proto: "mqtt", Paths: []string{"#"}}
		if name == "plain" {
			in = nil
		}
		b.Run(name, func(b *testing.B) {
			h := newHouse(b, allow("mqtt", "cloud.example", "tcp", 1883, in))
			h.serve(b, "0.0.0.0:1883", func(c net.Conn) {
				raw := c.(*kept).Conn
				raw.Read(make([]byte, 256))
				io.WriteString(raw, "\x20\x02\x00\x00")
				raw.Read(make([]byte, 256))
			})
			h.resolve(b, "cloud.example")
			use := func() uint64 {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return m.HeapInuse + m.StackInuse
			}
			for b.Loop() {
				before := use()
				var open []net.Conn
				for range n {
					c, err := h.cam.DialContext(b.Context(), "tcp4", edge+":1883")
					must(b, err)
					io.WriteString(c, connect(4, ""))
					if _, err := io.ReadFull(bufio.NewReaderSize(c, 16), make([]byte, 4)); err != nil {
						b.Fatal(err)
					}
					open = append(open, c)
				}
				b.ReportMetric(float64(use()-before)/n, "B/conn")
				for _, c := range open {
					c.Close()
				}
				if strings.HasPrefix(name, "i") {
					wait(b, func() bool { return h.in.Open() == 0 })
				}
			}
		})
	}
}
