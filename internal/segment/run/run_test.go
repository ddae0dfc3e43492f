package run_test

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/segment/run"
)

const tag = 77

type row struct {
	org, gw string
	key     run.Key
	r       flow.Record
}

var epoch = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

func micros(t time.Time) int64 { return t.UnixMicro() }

// fill makes frames of rows of two organisations with the same device ids.
func fill(t testing.TB, rng *rand.Rand, b *run.Builder, frames, per int) (all []row) {
	t.Helper()
	frame, _ := b.Frames()
	for range frames {
		org, gw := fmt.Sprintf("org_%d", rng.IntN(2)), fmt.Sprintf("gw_%d", rng.IntN(3))
		for i := range rng.IntN(per + 1) {
			at := epoch.Add(time.Duration(rng.IntN(4*3600*1000)) * time.Millisecond)
			r := flow.Record{
				Start: at, End: at.Add(time.Duration(rng.IntN(600_000)) * time.Millisecond), Device: ringwall.DeviceID(fmt.Sprintf("dev_%d", rng.IntN(6))),
				Direction: []flow.Direction{flow.FromDevice, flow.ToDevice}[rng.IntN(2)], Proto: []uint8{6, 17, 1}[rng.IntN(3)],
				Local: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(9))}), uint16(rng.IntN(4))), Verdict: flow.Verdict(rng.IntN(3)),
				Name: []string{"", "a.vendor.example", "b.vendor.example", "vendor.example"}[rng.IntN(4)], Reason: []string{"allow", "default", "deny"}[rng.IntN(3)],
				Term: fmt.Sprintf("t%d", rng.IntN(3)), BytesUp: uint64(rng.IntN(1 << 20)), BytesDown: uint64(rng.IntN(1 << 10)), More: uint64(rng.IntN(3)),
			}
			switch rng.IntN(5) {
			case 0:
				r.Device = ""
			case 1:
				r.Remote = netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", rng.IntN(9))), uint16(rng.IntN(4)))
			case 2:
			default:
				r.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(rng.IntN(3)), byte(rng.IntN(20))}), uint16(rng.IntN(4)))
			}
			enc, err := r.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			var v flow.View
			if err := v.Read(enc); err != nil {
				t.Fatal(err)
			}
			b.Add(org, gw, frame, i, &v)
			all = append(all, row{org, gw, run.Key{Start: micros(at), Frame: frame, Record: i}, r})
		}
		b.Frame(frame)
		frame++
	}
	return all
}

func randomFilter(rng *rand.Rand, frames uint64) run.Filter {
	f := run.Filter{Org: fmt.Sprintf("org_%d", rng.IntN(3)), Verdict: -1, Port: -1, Proto: -1}
	maybe := func(set func()) {
		if rng.IntN(4) == 0 {
			set()
		}
	}
	maybe(func() { f.Device = fmt.Sprintf("dev_%d", rng.IntN(7)) })
	maybe(func() { f.Device = fmt.Sprintf("dev_%d", rng.IntN(7)) })
	maybe(func() { f.From = micros(epoch.Add(time.Duration(rng.IntN(5*3600)) * time.Second)) })
	maybe(func() { f.To = micros(epoch.Add(time.Duration(rng.IntN(5*3600)) * time.Second)) })
	maybe(func() { f.Verdict = rng.IntN(3) })
	maybe(func() {
		f.Remote = netip.MustParsePrefix([]string{"198.51.0.0/16", "198.51.1.0/25", "198.51.1.7/32", "2001:db8::/125", "::/0", "0.0.0.0/0", "198.51.0.0/23"}[rng.IntN(7)])
	})
	maybe(func() {
		f.Name = []string{"a.vendor.example", "*.vendor.example", "nobody.example", "*.nobody"}[rng.IntN(4)]
	})
	maybe(func() { f.Port = rng.IntN(5) })
	maybe(func() { f.Proto = []int{6, 17, 99}[rng.IntN(3)] })
	maybe(func() { f.Reason = []string{"deny", "allow", "none such"}[rng.IntN(3)] })
	maybe(func() { f.Term = fmt.Sprintf("t%d", rng.IntN(4)) })
	maybe(func() { f.Gateway = fmt.Sprintf("gw_%d", rng.IntN(4)) })
	maybe(func() { f.Oldest = rng.Uint64N(frames) })
	maybe(func() { f.Newest = 1 + rng.Uint64N(frames) })
	maybe(func() {
		f.Before = &run.Key{Start: micros(epoch.Add(time.Duration(rng.IntN(4*3600)) * time.Second)), Frame: rng.Uint64N(frames), Record: 3}
	})
	return f
}

// asked is the filter's meaning, in as few words as there are.
func asked(f *run.Filter, x row, totals bool) bool {
	port := x.r.Remote.Port()
	if x.r.Direction == flow.ToDevice {
		port = x.r.Local.Port()
	}
	end := micros(x.r.End)
	if totals {
		end = micros(x.r.Start)
	}
	name := f.Name == "" || f.Name == x.r.Name
	if below, ok := strings.CutPrefix(f.Name, "*"); ok {
		name = strings.HasSuffix(x.r.Name, below)
	}
	return x.org == f.Org && (f.Device == "" || string(x.r.Device) == f.Device) && end >= f.From && (f.To == 0 || x.key.Start < f.To) &&
		(f.Verdict < 0 || int(x.r.Verdict) == f.Verdict) && (!f.Remote.IsValid() || f.Remote.Contains(x.r.Remote.Addr())) && name &&
		(f.Port < 0 || int(port) == f.Port) && (f.Proto < 0 || int(x.r.Proto) == f.Proto) && (f.Reason == "" || x.r.Reason == f.Reason) &&
		(f.Term == "" || x.r.Term == f.Term) && (f.Gateway == "" || x.gw == f.Gateway) &&
		x.key.Frame >= f.Oldest && (f.Newest == 0 || x.key.Frame < f.Newest) && (f.Before == nil || x.key.Less(*f.Before))
}

// TestRun_Newest_isWhatASearchFinds compares builder, run, and both together
// with a plain search over everything.
func TestRun_Newest_isWhatASearchFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	first, b := run.NewBuilder(1), (*run.Builder)(nil)
	all := fill(t, rng, first, 900, 60) // more than one chunk
	path := filepath.Join(t.TempDir(), "x.run")
	if err := first.Write(path, tag); err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(path, tag)
	if err != nil {
		t.Fatal(err)
	}
	_, next := r.Frames()
	b = run.NewBuilder(next)
	all = append(all, fill(t, rng, b, 100, 30)...)
	slices.SortFunc(all, func(x, y row) int {
		if x.key.Less(y.key) {
			return 1
		}
		return -1
	})
	found := 0
	for i := range 250 {
		f := randomFilter(rng, 1000)
		most := 1 + rng.IntN(200)
		var want []run.Key
		for _, x := range all {
			if len(want) < most && asked(&f, x, false) {
				want = append(want, x.key)
			}
		}
		for _, written := range []bool{true, false} {
			top := run.Top{Most: most}
			var err error
			if written {
				err = r.Newest(&f, &top)
			} else {
				err = first.Newest(&f, &top)
			}
			if err := errors.Join(err, b.Newest(&f, &top)); err != nil {
				t.Fatal(err)
			}
			if got := top.Newest(); !slices.Equal(got, want) {
				t.Fatalf("query %d %+v (written %v): %d rows, want %d", i, f, written, len(got), len(want))
			}
		}
		found += len(want)
	}
	if found < 200 {
		t.Errorf("only %d rows were found in all: the queries test little", found)
	}
}

func TestRun_Totals_areSumsOfASearch(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	b := run.NewBuilder(1)
	all := fill(t, rng, b, 900, 60)
	path := filepath.Join(t.TempDir(), "x.run")
	if err := b.Write(path, tag); err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(path, tag)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 120 {
		f := randomFilter(rng, 900)
		f.Before = nil
		hour := int64(time.Hour / time.Microsecond)
		f.From, f.To = f.From/hour*hour, f.To/hour*hour
		if i%3 == 0 { // what the sums of a run answer
			f = run.Filter{Org: f.Org, Device: f.Device, From: f.From, To: f.To, Verdict: f.Verdict, Reason: f.Reason, Port: -1, Proto: -1}
		}
		hours := map[int64]*run.Hour{}
		devices, remotes := map[string]run.Talker{}, map[string]run.Talker{}
		count := func(m map[string]run.Talker, name string, x row) {
			n := m[name]
			n.Name, n.Flows, n.Bytes = name, n.Flows+1+x.r.More, n.Bytes+x.r.BytesUp+x.r.BytesDown
			if x.r.Verdict == flow.Refused {
				n.Refused += 1 + x.r.More
			}
			m[name] = n
		}
		for _, x := range all {
			if !asked(&f, x, true) {
				continue
			}
			h := hours[x.key.Start/hour]
			if h == nil {
				h = &run.Hour{Reasons: map[string]uint64{}}
				hours[x.key.Start/hour] = h
			}
			h.Flows[x.r.Verdict] += 1 + x.r.More
			h.Bytes += x.r.BytesUp + x.r.BytesDown
			if x.r.Verdict != flow.Allowed {
				h.Reasons[x.r.Reason] += 1 + x.r.More
			}
			count(devices, string(x.r.Device), x)
			count(remotes, x.r.Remote.Addr().String(), x)
		}
		far := rng.IntN(2) == 0
		for _, totals := range []func(*run.Filter, *run.Totals) error{r.Totals, b.Totals} {
			got := run.NewTotals(far)
			if err := totals(&f, got); err != nil {
				t.Fatal(err)
			}
			if !maps.EqualFunc(got.Hours, hours, func(a, b *run.Hour) bool { return reflect.DeepEqual(a, b) }) {
				t.Fatalf("query %d %+v: hours %v, want %v", i, f, got.Hours, hours)
			}
			check := func(got []run.Talker, want map[string]run.Talker, name func(string) string) {
				t.Helper()
				for k := range got {
					got[k].Name = name(got[k].Name)
				}
				if len(got) != len(want) || !slices.IsSortedFunc(got, func(a, b run.Talker) int { return cmp.Compare(b.Bytes, a.Bytes) }) {
					t.Fatalf("query %d %+v: %d talkers, want %d, in order", i, f, len(got), len(want))
				}
				for _, x := range got {
					if want[x.Name] != x {
						t.Fatalf("query %d %+v: %+v, want %+v", i, f, x, want[x.Name])
					}
				}
			}
			check(got.Devices(100), devices, func(s string) string { return s })
			if far {
				check(got.Far(1000), remotes, func(s string) string { return run.Address(s).String() })
			}
		}
	}
}

// Whatever byte of a run is changed, queries give what is right or say that it
// is damaged.
func TestRun_damageIsFound(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	b := run.NewBuilder(1)
	all := fill(t, rng, b, 60, 40)
	dir := t.TempDir()
	path := filepath.Join(dir, "x.run")
	if err := b.Write(path, tag); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := run.Filter{Org: "org_0", Verdict: -1, Port: -1, Proto: -1, Name: "*.vendor.example"}
	want := 0
	for _, x := range all {
		if asked(&f, x, false) {
			want++
		}
	}
	bad := filepath.Join(dir, "bad.run")
	hurt := 0
	try := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(bad, data, 0o600); err != nil {
			t.Fatal(err)
		}
		top := run.Top{Most: 1e6}
		r, err := run.Open(bad, tag)
		if err == nil {
			err = r.Newest(&f, &top)
		}
		switch {
		case errors.Is(err, run.ErrDamaged):
			hurt++
		case err != nil:
			t.Fatalf("damage gives %v, want ErrDamaged", err)
		case len(top.Newest()) != want:
			t.Fatal("damage changes an answer")
		}
	}
	for range 300 {
		data := slices.Clone(whole)
		data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
		try(data)
	}
	for range 50 {
		try(whole[:rng.IntN(len(whole))])
	}
	if hurt < 200 {
		t.Errorf("%d of 350 were found: too few for the columns that are read", hurt)
	}
	if _, err := run.Open(path, tag+1); !errors.Is(err, run.ErrDamaged) {
		t.Errorf("a run of another store: %v, want ErrDamaged", err)
	}
}

func TestBuilder_fullOfText(t *testing.T) {
	b := run.NewBuilder(1)
	v := flow.View{Direction: flow.FromDevice}
	n := 0
	for ; !b.Full(); n++ {
		v.Name = fmt.Appendf(nil, "%d.%s", n, strings.Repeat("x", 200))
		b.Add("org_0", "gw_0", uint64(n+1), 0, &v)
		b.Frame(uint64(n + 1))
	}
	if n >= run.MaxRows || n < 1000 {
		t.Errorf("a builder takes %d rows of made-up names", n)
	}
}

// FuzzOpen gives footers that their checksum vouches for.
func FuzzOpen(f *testing.F) {
	b := run.NewBuilder(1)
	fill(f, rand.New(rand.NewPCG(9, 9)), b, 5, 10)
	dir := f.TempDir()
	if err := b.Write(filepath.Join(dir, "seed.run"), tag); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(filepath.Join(dir, "seed.run"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte("RWRUN\x00\x00\x01"))
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	path := filepath.Join(dir, "fuzz.run")
	f.Fuzz(func(t *testing.T, data []byte) {
		if n := len(data); n > 16 {
			if k := int(binary.LittleEndian.Uint32(data[n-16:])); k < n-16 {
				binary.LittleEndian.PutUint32(data[n-12:], crc32.Checksum(data[n-16-k:n-16], castagnoli))
			}
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := run.Open(path, tag)
		if err == nil {
			q := run.Filter{Org: "org_0", Verdict: -1, Port: -1, Proto: -1, Name: "*.example"}
			err = errors.Join(r.Newest(&q, &run.Top{Most: 10}), r.Totals(&q, run.NewTotals(true)))
		}
		if err != nil && !errors.Is(err, run.ErrDamaged) {
			t.Fatalf("%v, want ErrDamaged", err)
		}
	})
}

func BenchmarkBuilder(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	var encs [1000][]byte
	for i := range encs {
		at := epoch.Add(time.Duration(i) * time.Second)
		encs[i], _ = flow.Record{Start: at, End: at.Add(time.Second), Device: ringwall.DeviceID(fmt.Sprintf("dev_%014d", i)), Direction: flow.FromDevice, Proto: 6,
			Local: netip.MustParseAddrPort("10.0.0.1:4000"), Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(rng.IntN(256))}), 443),
			Name: "cloud.vendor.example", Reason: "allow", Term: "class:camera/1", PacketsUp: 10, BytesUp: uint64(rng.IntN(1 << 20)), Generation: 7}.MarshalBinary()
	}
	path := filepath.Join(b.TempDir(), "x.run")
	x := run.NewBuilder(1)
	var v flow.View
	frame := uint64(1)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := v.Read(encs[n*7919%1000]); err != nil {
			b.Fatal(err)
		}
		v.Start += int64(n) * 10
		v.End += int64(n) * 10
		x.Add("org_0", "gw_00000000000000", frame, n%100, &v)
		if n++; n%100 == 0 {
			x.Frame(frame)
			frame++
			if x.Full() {
				if err := x.Write(path, tag); err != nil {
					b.Fatal(err)
				}
				x.Reset(frame)
			}
		}
	}
}
