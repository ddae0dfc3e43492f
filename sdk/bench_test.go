package sdk_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/sdk"
)

// BenchmarkExplain is the decision alone, as an application asks for it: among 20
// terms, the last of which allows.
func BenchmarkExplain(b *testing.B) {
	terms := []api.Term{}
	for i := range 20 {
		terms = append(terms, allowNet(fmt.Sprint("t", i), api.FromDevice, fmt.Sprintf("198.51.100.%d/32", i), "tcp"))
	}
	s := newSite(b, terms...)
	c := s.open(b.TempDir(), nil)
	addr := []netip.Addr{netip.MustParseAddr("198.51.100.19")}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if a, err := c.Explain(ctx, sdk.Question{To: "tcp://198.51.100.19:443", Addrs: addr}); err != nil || !a[0].Pass {
			b.Fatal(err, a)
		}
	}
}

// BenchmarkDial opens, judges, reports and closes a TCP connection on loopback,
// with the policy and without it.
func BenchmarkDial(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	s := newSite(b, loopback)
	c := s.open(b.TempDir(), nil)
	for _, way := range []struct {
		name string
		dial func(context.Context, string, string) (net.Conn, error)
	}{{"net", (&net.Dialer{}).DialContext}, {"sdk", c.Dialer().DialContext}, {"net again", (&net.Dialer{}).DialContext}} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				conn, err := way.dial(context.Background(), "tcp", l.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				conn.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Time{})
				conn.Close()
			}
		})
	}
	refused := allowNet("none", api.FromDevice, "198.51.100.0/24", "tcp")
	s.terms(refused)
	s.inForce(c)
	b.Run("sdk refused", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Dialer().DialContext(context.Background(), "tcp", l.Addr().String()); err == nil {
				b.Fatal("passes")
			}
		}
	})
}

// BenchmarkRoundTrip is one GET on a connection that is kept, with the URI judged
// and without.
func BenchmarkRoundTrip(b *testing.B) {
	w := newWeb(b, true)
	s := newSite(b, allowName("api", "example.com", &api.Inside{Proto: "http", Paths: []string{"/v1/*"}, Methods: []string{"GET"}}))
	c := s.open(b.TempDir(), nil)
	plain := w.roots()
	plain.DialContext = func(ctx context.Context, n, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, n, w.Listener.Addr().String())
	}
	for _, way := range []struct {
		name string
		rt   http.RoundTripper
	}{{"net/http", plain}, {"sdk", c.Transport(w.roots())}, {"net/http again", plain}} {
		b.Run(way.name, func(b *testing.B) {
			client := &http.Client{Transport: way.rt}
			b.ReportAllocs()
			for b.Loop() {
				resp, err := client.Get("https://example.com:" + w.port() + "/v1/x")
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
}

// BenchmarkQuarantine is the time from the platform's act (a new document and a
// poke over MQTT) until a blocked reader has its refusal.
func BenchmarkQuarantine(b *testing.B) {
	l := echo(b)
	s := newSite(b, loopback)
	c := s.open(b.TempDir(), nil)
	var took []time.Duration
	for b.Loop() {
		conn, err := c.Dialer().DialContext(context.Background(), "tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); _, _ = conn.Read(make([]byte, 1)) }()
		start := time.Now()
		id := s.hold(ringwall.Quarantine)
		<-done
		took = append(took, time.Since(start))
		s.change(func(d *api.Desired) {
			d.Holds = nil
			d.Releases = []api.Release{{Hold: id, By: "usr_test", At: time.Now()}}
		})
		s.inForce(c)
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkReports counts records that the platform acknowledges over MQTT, each
// batch after its fsync, from many clients at once.
func BenchmarkReports(b *testing.B) {
	for _, shape := range []struct{ clients, records int }{{1, 1}, {1, 100}, {64, 1}, {64, 100}} {
		b.Run(fmt.Sprintf("%d clients, batches of %d", shape.clients, shape.records), func(b *testing.B) {
			s := newSite(b, loopback)
			ups := make([]*reporter, shape.clients)
			for i := range ups {
				ups[i] = newReporter(b, s)
			}
			b.ResetTimer()
			var all sync.WaitGroup
			for i, u := range ups {
				n := b.N / len(ups)
				if i < b.N%len(ups) {
					n++
				}
				all.Go(func() {
					for range n {
						if err := u.send(shape.records); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			b.ReportMetric(float64(b.N*shape.records)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
