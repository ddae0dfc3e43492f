package inspector_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/ringwall/ringwall/api"
)

// sink swallows what it is sent.
func sink(b *testing.B, h *house, name string) {
	h.serve(b, "0.0.0.0:443", func(c net.Conn) {
		raw := c.(*kept).Conn
		raw.Read(make([]byte, 4096))
		raw.Write([]byte{21, 3, 3, 0, 2, 1, 0}) // a first word that is none: the rest is passed on
		io.Copy(io.Discard, raw)
	})
	h.resolve(b, name)
}

// BenchmarkThroughput moves a megabyte in one connection, plain through the
// filter and through the inspector: read the ratio.
func BenchmarkThroughput(b *testing.B) {
	for name, in := range map[string]*api.Inside{"plain": nil, "inspected": {Proto: "tls"}} {
		b.Run(name, func(b *testing.B) {
			h := newHouse(b, allow("cloud", "cloud.example", "tcp", 443, in))
			sink(b, h, "cloud.example")
			c, err := h.cam.DialContext(b.Context(), "tcp4", edge+":443")
			must(b, err)
			defer c.Close()
			c.Write(hello(b, "cloud.example"))
			buf := make([]byte, 1<<20)
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				if _, err := c.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkConnections opens a connection, shakes hands over TLS and closes it.
func BenchmarkConnections(b *testing.B) {
	for name, in := range map[string]*api.Inside{"plain": nil, "inspected": {Proto: "tls"}} {
		b.Run(name, func(b *testing.B) {
			h := newHouse(b, allow("cloud", "cloud.example", "tcp", 443, in))
			tlsServer(b, h, nil)
			h.resolve(b, "cloud.example")
			for b.Loop() {
				if err := handshake(b, h, edge, &tls.Config{ServerName: "cloud.example"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
