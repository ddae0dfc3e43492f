package rtsp

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/rtsp/rtsptest"
)

// wrongs are n credentials, the right one of the gate at place at (-1: none).
func wrongs(n, at int) []Credential {
	out := make([]Credential, n)
	for i := range out {
		out[i] = Credential{"admin", fmt.Sprintf("wrong%d", i)}
	}
	if at >= 0 {
		out[at] = Credential{"admin", "right"}
	}
	return out
}

func TestGuesser_findsTheRightOneWhateverTheManners(t *testing.T) {
	for _, m := range []rtsptest.Manner{rtsptest.Steady, rtsptest.Fresh, rtsptest.HangsUp} {
		for _, at := range []int{0, 1, 17, 299, -1} {
			g := rtsptest.StartGate(t, &rtsptest.Gate{User: "admin", Password: "right", Manner: m})
			var hits []int
			told := map[int]int{}
			err := Guesser{Dial: dial, Address: g.Address, Path: "live"}.Run(t.Context(), wrongs(300, at), func(n int, r Reply) bool {
				told[n]++
				if r.Described() {
					hits = append(hits, n)
				}
				return true
			})
			want := []int{at}
			if at < 0 {
				want = nil
			}
			if err != nil || !slices.Equal(hits, want) || len(told) != 300 {
				t.Errorf("manner %d, right one at %d: found %v, %d told, %v", m, at, hits, len(told), err)
			}
			for n, times := range told {
				if times != 1 {
					t.Fatalf("credential %d was told %d times", n, times)
				}
			}
			if m == rtsptest.Steady && g.Wrong.Load()+g.Right.Load() != 300 {
				t.Errorf("the server saw %d tries of 300", g.Wrong.Load()+g.Right.Load())
			}
		}
	}
}

func TestGuesser_realServer(t *testing.T) {
	for _, basic := range []bool{false, true} {
		s := rtsptest.Start(t, rtsptest.Config{User: "admin", Password: "right", Basic: basic})
		hit := -1
		err := Guesser{Dial: dial, Address: s.Address, Path: "live"}.Run(t.Context(), wrongs(200, 150), func(n int, r Reply) bool {
			if r.Described() {
				hit = n
			}
			return true
		})
		if err != nil || hit != 150 {
			t.Errorf("basic %v: found %d, %v", basic, hit, err)
		}
	}
}

func TestGuesser_endsWhenTold(t *testing.T) {
	g := rtsptest.StartGate(t, &rtsptest.Gate{User: "admin", Password: "right", LockAfter: 20})
	n := 0
	err := Guesser{Dial: dial, Address: g.Address, Conns: 1, Depth: 1}.Run(t.Context(), wrongs(300, -1), func(_ int, r Reply) bool {
		n++
		return r.Status != 453
	})
	if err != nil || n != 20 || g.Wrong.Load() != 20 {
		t.Errorf("%d answers, %d wrong ones at the server, %v", n, g.Wrong.Load(), err)
	}
}

func TestGuesser_brokenServersEnd(t *testing.T) {
	never := func(int, Reply) bool { t.Error("something was told"); return false }
	gone := server(t, func(net.Conn) {})
	if err := (Guesser{Dial: dial, Address: gone}).Run(t.Context(), wrongs(50, -1), never); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("a server that hangs up at once: %v", err)
	}
	open := rtsptest.Start(t, rtsptest.Config{})
	if err := (Guesser{Dial: dial, Address: open.Address}).Run(t.Context(), wrongs(50, -1), never); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a server without a login: %v", err)
	}
}

// BenchmarkGuess is the published figure of credential checks a second against
// one server.
func BenchmarkGuess(b *testing.B) {
	run := func(name, address string, conns, depth int) {
		b.Run(name, func(b *testing.B) {
			creds := wrongs(b.N, -1)
			b.ResetTimer()
			err := Guesser{Dial: dial, Address: address, Path: "live", Conns: conns, Depth: depth}.Run(b.Context(), creds, func(int, Reply) bool { return true })
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "checks/s")
		})
	}
	for m, name := range map[rtsptest.Manner]string{rtsptest.Steady: "steady", rtsptest.Fresh: "fresh-nonce", rtsptest.HangsUp: "hangs-up"} {
		run(name, rtsptest.StartGate(b, &rtsptest.Gate{User: "admin", Password: "right", Manner: m}).Address, 0, 0)
	}
	lib := rtsptest.Start(b, rtsptest.Config{User: "admin", Password: "right"})
	run("gortsplib", lib.Address, 0, 0)
	run("gortsplib-one-connection", lib.Address, 1, 0)
	run("gortsplib-one-by-one", lib.Address, 1, 1)
}
