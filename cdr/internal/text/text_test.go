package text

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestLast(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 50_000 {
		n := r.IntN(17)
		s := ""
		for range n {
			s += string(rune('0' + r.IntN(10)))
		}
		if n > 0 && r.IntN(3) == 0 {
			i := r.IntN(n)
			s = s[:i] + string([]byte{byte(r.IntN(256))}) + s[i+1:]
		}
		b := []byte(strings.Repeat("9", 16) + s)
		lo, hi := Last(b, len(b), n)
		want, err := strconv.ParseUint("0"+s, 10, 64)
		if ok := NoDigits(lo, hi) == 0; ok != (err == nil) {
			t.Fatalf("%q: digits %v, want %v", s, ok, err)
		}
		if got := Value(hi)*1e8 + Value(lo); err == nil && got != want {
			t.Fatalf("%q is %d", s, got)
		}
	}
}

func TestLine(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var l Line
	for range 100_000 {
		want := []byte("recorder-of-twenty-octets"[:r.IntN(26)])
		l.Begin(want)
		for range 2 { // the beginning stays
			line := l.Start()
			want := want
			for range r.IntN(6) {
				v := r.Uint64() >> r.IntN(64)
				if r.IntN(3) == 0 {
					v = uint64(r.IntN(20)) + []uint64{0, 90, 1e7 - 10, 1e8 - 10, 1e9 - 10, 1795000000, 1e10 - 10, 1e16 - 10, 1<<64 - 20}[r.IntN(9)]
				}
				c := byte(r.Uint32())
				if r.IntN(2) == 0 {
					line = l.Uint(l.Byte(line, c), v)
				} else {
					line = l.Number(line, c, v)
				}
				want = strconv.AppendUint(append(want[:len(want):len(want)], c), v, 10)
			}
			if got := l.Bytes(line); string(got) != string(want) {
				t.Fatalf("%q, want %q", got, want)
			}
		}
	}
}

func TestCard15(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	for range 100_000 {
		b := []byte(fmt.Sprintf("%c%015d", byte(r.Uint32()), r.Int64N(1e15)))
		if i := r.IntN(40); i < 15 {
			b[len(b)-15+i] = byte(r.Uint32())
		}
		b = b[len(b)-16:]
		want := uint64(0)
		if v, err := strconv.ParseUint(string(b[1:]), 10, 64); err == nil {
			want = 1e15 + v
		}
		if got := Card15(Load(b, 0), Load(b, 8)); got != want {
			t.Fatalf("%q is %d, want %d", b, got, want)
		}
	}
}

// Texts that differ have keys of their own, whatever stands before them.
func TestMemo(t *testing.T) {
	var m Memo[uint32]
	r := rand.New(rand.NewPCG(1, 3))
	hits := 0
	for range 100_000 {
		s := []string{"0", "00", "a", "0a", "\x00a", "10.0.0.1", "110.0.0.1", strings.Repeat("0", 15), fmt.Sprint(r.IntN(1000))}[r.IntN(9)]
		b := []byte(fmt.Sprint(1e16+float64(r.IntN(9))) + strings.Repeat("0", r.IntN(3)+16) + s)
		key, ok := m.Find(b, len(b), len(s))
		want := uint32(len(s))
		for _, c := range []byte(s) {
			want = want*31 + uint32(c)
		}
		if ok && *key != want {
			t.Fatalf("%q has the key of another text", s)
		}
		if ok {
			hits++
		}
		*key = want
	}
	if hits < 50_000 {
		t.Errorf("%d of 100000 remembered", hits)
	}
}

func FuzzLast(f *testing.F) {
	f.Add([]byte("1234567890"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 16 {
			return
		}
		b := append(make([]byte, 16), in...)
		lo, hi := Last(b, len(b), len(in))
		want, err := strconv.ParseUint("0"+string(in), 10, 64)
		if (NoDigits(lo, hi) == 0) != (err == nil) || err == nil && Value(hi)*1e8+Value(lo) != want {
			t.Fatalf("%q", in)
		}
	})
}
