package resolved_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/resolved"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	cam = resolved.KeyOf("dev_cam")
	nvr = resolved.KeyOf("dev_nvr")
	one = netip.MustParseAddr("198.51.100.1")
	two = netip.MustParseAddr("2001:db8::2")
)

func TestBook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "names")
	now := 100 * time.Second
	r := resolved.NewReader(path, func() time.Duration { return now })
	defer r.Close()
	if r.Knows(cam, one, "a.example") {
		t.Error("known without a file")
	}
	b, have, err := resolved.Open(path, 64)
	must(t, err)
	if len(have) != 0 {
		t.Errorf("a new file holds %v", have)
	}
	entry := func(key uint64, a netip.Addr, name string, until time.Duration) resolved.Entry {
		return resolved.Entry{Key: key, Mark: 7, Addr: a, Name: name, Life: time.Minute, Until: until, Asked: 50 * time.Second, Seen: 40 * time.Second, Remedy: name == "b.example"}
	}
	slots := map[string]uint32{}
	for _, e := range []resolved.Entry{
		entry(cam, one, "a.example", 200*time.Second), entry(cam, one, "b.example", 300*time.Second),
		entry(cam, two, "a.example", 200*time.Second), entry(nvr, one, "c.example", 200*time.Second), entry(cam, one, "old.example", 90*time.Second),
	} {
		s, err := b.Add(e)
		must(t, err)
		slots[fmt.Sprint(e.Addr, e.Name)] = s
	}
	check := func(when string, key uint64, a netip.Addr, want ...string) {
		t.Helper()
		got := r.Names(key, a)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v of %x, want %v", when, got, key, want)
		}
		for _, n := range want {
			if !r.Knows(key, a, n) {
				t.Errorf("%s: %q is told and not known", when, n)
			}
		}
	}
	check("at first", cam, one, "a.example", "b.example")
	check("at first", cam, two, "a.example")
	check("at first", nvr, one, "c.example")
	check("at first", nvr, two)
	if r.Knows(cam, one, "c.example") || r.Knows(cam, one, "old.example") {
		t.Error("a name of another device, or an old one, is known")
	}
	e := entry(cam, one, "a.example", 200*time.Second)
	must(t, b.Remove(slots[fmt.Sprint(one, "a.example")], e))
	check("one removed", cam, one, "b.example")
	now = 250 * time.Second
	check("later", nvr, one)
	if s := r.Stale(nvr, one); s != "c.example" {
		t.Errorf("stale: %q", s)
	}
	if s := r.Stale(cam, one); s != "" {
		t.Errorf("an address that has a name is stale: %q", s)
	}
	must(t, b.Set(slots[fmt.Sprint(one, "c.example")], entry(nvr, one, "c.example", 400*time.Second)))
	check("renewed", nvr, one, "c.example")

	// The next writer takes it over.
	must(t, b.Close())
	b, have, err = resolved.Open(path, 64)
	must(t, err)
	if len(have) != 4 || b.Len() != 4 {
		t.Errorf("taken over: %v", have)
	}
	for _, e := range have {
		if e.Name == "b.example" && (!e.Remedy || e.Mark != 7 || e.Seen != 40*time.Second || e.Asked != 50*time.Second || e.Life != time.Minute) {
			t.Errorf("an entry changed: %+v", e)
		}
	}
	check("taken over", nvr, one, "c.example")
	for i := range 60 {
		if _, err := b.Add(entry(cam, two, fmt.Sprintf("n%d.example", i), 400*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Add(entry(cam, two, "more.example", 400*time.Second)); err == nil {
		t.Error("more is kept than there is room for")
	}
	if n := len(r.Names(cam, two)); n != 60 {
		t.Errorf("%d names of one address, want 60", n)
	}
	must(t, b.Close())
}

func TestBook_anotherBootAndDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "names")
	b, _, err := resolved.Open(path, 64)
	must(t, err)
	_, err = b.Add(resolved.Entry{Key: cam, Addr: one, Name: "a.example", Until: time.Hour})
	must(t, err)
	must(t, b.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	r := resolved.NewReader(path, func() time.Duration { return 0 })
	defer r.Close()
	for i := 0; i < len(whole); i += 3 {
		cut := bytes.Clone(whole)
		cut[i] ^= 0x40
		other := filepath.Join(dir, "damaged")
		must(t, os.WriteFile(other, cut, 0o600))
		must(t, os.Rename(other, path))
		for _, n := range r.Names(cam, one) {
			if n != "a.example" {
				t.Fatalf("octet %d damaged: %q", i, n)
			}
		}
		b, have, err := resolved.Open(path, 64)
		must(t, err)
		for _, e := range have {
			if e.Name != "a.example" || e.Key != cam || e.Addr != one {
				t.Fatalf("octet %d damaged: %+v", i, e)
			}
		}
		must(t, b.Close())
	}
	whole[20] ^= 1 // of the boot
	other := filepath.Join(dir, "damaged")
	must(t, os.WriteFile(other, whole, 0o600))
	must(t, os.Rename(other, path))
	if r.Knows(cam, one, "a.example") {
		t.Error("a name of another boot is known")
	}
}

// TestReader_whileWritten: what is read is whole, and what is there is found.
func TestReader_whileWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "names")
	b, _, err := resolved.Open(path, 1024)
	must(t, err)
	defer b.Close()
	fixed := resolved.Entry{Key: cam, Addr: one, Name: "fixed.example", Until: time.Hour}
	slot, err := b.Add(fixed)
	must(t, err)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			r := resolved.NewReader(path, func() time.Duration { return 0 })
			defer r.Close()
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, n := range r.Names(cam, one) {
					if n != "fixed.example" && n != "flicker.example" {
						t.Errorf("read %q", n)
						return
					}
				}
				if !r.Knows(cam, one, "fixed.example") {
					t.Error("an entry that is there is not found")
					return
				}
			}
		})
	}
	for i := range 5000 {
		fixed.Until += time.Duration(i)
		must(t, b.Set(slot, fixed))
		e := resolved.Entry{Key: cam, Addr: one, Name: "flicker.example", Until: time.Hour}
		s, err := b.Add(e)
		must(t, err)
		must(t, b.Remove(s, e))
	}
	close(stop)
	wg.Wait()
}

func BenchmarkKnows(b *testing.B) {
	path := filepath.Join(b.TempDir(), "names")
	book, _, err := resolved.Open(path, 0)
	must(b, err)
	defer book.Close()
	for i := range 10000 {
		_, err := book.Add(resolved.Entry{Key: cam, Addr: netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), Name: "a.example", Until: 1 << 60})
		must(b, err)
	}
	r := resolved.NewReader(path, nil)
	defer r.Close()
	a := netip.AddrFrom4([4]byte{198, 51, 1, 1})
	for b.Loop() {
		if !r.Knows(cam, a, "a.example") {
			b.Fatal("not known")
		}
	}
}
