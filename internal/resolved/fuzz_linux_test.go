package resolved_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/resolved"
)

// FuzzFile opens and asks files of any content: what comes out is a name that
// somebody could have written, or nothing.
func FuzzFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "names")
	b, _, err := resolved.Open(path, 8)
	must(f, err)
	for _, n := range []string{"a.example", "b.example"} {
		_, err = b.Add(resolved.Entry{Key: cam, Mark: 1, Addr: one, Name: n, Until: time.Hour, Life: time.Minute})
		must(f, err)
	}
	must(f, b.Close())
	whole, err := os.ReadFile(path)
	must(f, err)
	f.Add(0, []byte{})
	f.Add(64, []byte{9, 0, 0, 0})  // a head that leads nowhere
	f.Add(96, []byte{1, 0, 0, 0})  // an entry that leads to itself
	f.Add(416, []byte{2, 0, 0, 0}) // the second one too
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, at int, patch []byte) {
		raw := append([]byte(nil), whole...)
		if at < 0 || at > len(raw) {
			return
		}
		copy(raw[at:], patch)
		path := filepath.Join(dir, "names")
		must(t, os.WriteFile(path+".x", raw, 0o600))
		must(t, os.Rename(path+".x", path))
		r := resolved.NewReader(path, func() time.Duration { return 0 })
		defer r.Close()
		ask := func() {
			for _, a := range []netip.Addr{one, two} {
				for _, n := range r.Names(cam, a) {
					if n == "" || len(n) > 253 {
						t.Fatalf("a name of %d octets", len(n))
					}
				}
			}
		}
		ask()
		b, have, err := resolved.Open(path, 8)
		must(t, err)
		defer b.Close()
		if len(have) > 8 {
			t.Fatalf("%d entries of 8", len(have))
		}
		ask()
		e := resolved.Entry{Key: cam, Addr: two, Name: "new.example", Until: time.Hour}
		if _, err := b.Add(e); err == nil && !r.Knows(cam, two, "new.example") {
			t.Fatal("what is added is not known")
		}
	})
}
