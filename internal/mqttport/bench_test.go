package mqttport

import (
	"crypto/tls"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ringwall/ringwall/api"
)

// resident returns this process's resident memory.
func resident(b *testing.B) int {
	b.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("SKIPPED, NOT MEASURED: there is no /proc here")
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// BenchmarkTerminals is the resident memory of the door for each terminal that is
// connected over mutual TLS and listens for pokes. The terminals are in another
// process, this test binary again.
func BenchmarkTerminals(b *testing.B) {
	if addr := os.Getenv("MQTTPORT_BENCH"); addr != "" {
		benchTerminals(b, addr)
		return
	}
	const n = 2000
	s := newSite(b, nil)
	dir := b.TempDir()
	for b.Loop() {
		writeIdentities(b, s, dir, n)
		before := resident(b)
		cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkTerminals$", "-test.benchtime=1x")
		cmd.Env = append(os.Environ(), "MQTTPORT_BENCH="+s.port.Addr().String(), "MQTTPORT_BENCH_DIR="+dir)
		in, err := cmd.StdinPipe()
		if err != nil {
			b.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 4096)
		said := ""
		for !strings.Contains(said, "all here") {
			k, err := out.Read(buf)
			if err != nil {
				b.Fatalf("the terminals ended: %v: %s", err, said)
			}
			said += string(buf[:k])
		}
		b.ReportMetric(float64(resident(b)-before)/n/1024, "KiB/terminal")
		b.ReportMetric(float64(s.port.Stats().Terminals), "terminals")
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

func benchTerminals(b *testing.B, addr string) {
	pairs, pool, org, gws := readIdentities(b, os.Getenv("MQTTPORT_BENCH_DIR"))
	var all sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i, pair := range pairs {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			c, err := tls.Dial("tcp", addr, &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: "127.0.0.1"})
			if err != nil {
				b.Error(err)
				return
			}
			gw := gws[i]
			_, _ = c.Write(packet(0x10, append(append(text("MQTT"), 4, 2, 0, 0), text(gw)...)))
			_, _ = c.Write(packet(0x82, append(append([]byte{0, 1}, text("rw/"+org+"/"+gw+"/"+api.TopicPoke)...), 0)))
			if _, err := io.ReadFull(c, make([]byte, 4+5)); err != nil {
				b.Error(err)
			}
			kept.Store(c, true)
		})
	}
	all.Wait()
	_, _ = os.Stdout.WriteString("all here\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}
