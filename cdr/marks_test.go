package cdr

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is written for one kind of processor finds what plain Go finds.
func TestScan_findsWhatGoFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var a, b marks
	for round := range 800 {
		blocks := r.IntN(marksPart/64 + 1)
		in := make([]byte, 64*blocks+2*margin)
		alphabet := []string{",", "\n", ",\n", "ab,cdefgh\n", "0123456789abcdef,0123456789abcdef\n", "x\"\n,", "é,\n"}[r.IntN(7)]
		for i := range in {
			in[i] = alphabet[r.IntN(len(alphabet))]
			if round%3 == 0 && r.IntN(4) > 0 {
				in[i] = 'x'
			}
		}
		n := r.IntN(marksCarry + 1)
		n1, lines1, odd1 := scan(in, margin, blocks, ',', &a, n)
		n2, lines2, odd2 := scanGo(in, margin, blocks, ',', &b, n)
		if n1 != n2 || lines1 != lines2 || odd1 != odd2 || !slices.Equal(a.pos[n:n1], b.pos[n:n2]) || !slices.Equal(a.ends[:lines1], b.ends[:lines2]) {
			t.Fatalf("%d blocks after %d: %d %d %v, want %d %d %v\n%s", blocks, n, n1, lines1, odd1, n2, lines2, odd2, cmp.Diff(b.pos[n:n2], a.pos[n:n1]))
		}
		if odd := bytes.ContainsFunc(in[margin:margin+64*blocks], func(c rune) bool { return c == '"' || c > 0x7f }); odd != odd1 {
			t.Fatalf("out of the ordinary: %v, want %v", odd1, odd)
		}
	}
}

func TestNumbers_saysWhatGoSays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		in := make([]byte, margin)
		var p places
		p[0] = margin - 1
		var list []pick
		for f := range numNone {
			for range []int{0, 1, 5, 8, 10, 15, 16, 17, 40, 600}[r.IntN(300)/30] {
				c := byte('0' + r.IntN(10))
				if r.IntN(100) == 0 {
					c = byte(r.IntN(256))
				}
				in = append(in, c)
			}
			p[f+1] = uint32(len(in))
			in = append(in, ',')
			if r.IntN(4) > 0 {
				list = append(list, pick{uint8(f), uint8(numCell - f)})
			}
		}
		if len(list)%2 != 0 {
			list = append(list, pick{0, numNone})
		}
		in = append(in, make([]byte, margin)...)
		var got, want numbersRead
		numbers(in, &p, list, int(numNone), &got)
		numbersGo(in, &p, list, &want)
		for i := range got.n {
			if (got.n[i] != want.n[i] || got.v[i] != want.v[i]) && min(got.n[i], want.n[i]) <= 16 {
				t.Fatalf("number %d of %q is %d of %d, want %d of %d", i, in[margin:p[numNone]], got.v[i], got.n[i], want.v[i], want.n[i])
			}
		}
	}
}

// Lines of more fields than any header has, and of nothing else, are not too much.
func TestMarks_manyFields(t *testing.T) {
	k := testKeys()
	good := "1763733727,460001234567890,data\n"
	for _, n := range []int{3, MaxColumns - 1, MaxColumns, MaxColumns + 1, marksPart, marksPart + 1, 3 * marksPart} {
		in := []byte("time,imsi,service\n" + good)
		in = append(append(in, bytes.Repeat([]byte{','}, n)...), '\n')
		in = append(in, good...)
		in = append(append(in, bytes.Repeat([]byte{'\n'}, n)...), good...)
		m := Mapping{}
		got := quickly(t, func() io.Reader { return bytes.NewReader(in) }, m, k, 1)
		if d := cmp.Diff(slowly(in, m, k), got); d != "" || len(got.Events) != 3 {
			t.Errorf("%d separators: %s", n, d)
		}
	}
}
