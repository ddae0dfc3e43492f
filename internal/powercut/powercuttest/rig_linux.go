package powercuttest

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/powercut"
)

// ErrKilled is what every fsync of a killed program returns.
var ErrKilled = errors.New("the program was killed before this fsync")

// Rig is a machine that can lose its power and whose programs can be killed,
// with one fsync of theirs left out if Drop names it.
type Rig struct {
	Dir  string
	Disk *durable.Disk
	Rand *rand.Rand

	fs *powercut.FS

	mu    sync.Mutex
	alive int // fsyncs that are still done, -1 = all
	seen  map[durable.Site]int
}

// NewRig returns a machine whose luck is drawn from seed and whose fsyncs at
// the site drop, if any, are left out.
func NewRig(t testing.TB, seed uint64, drop durable.Site) *Rig {
	t.Helper()
	r := &Rig{Rand: rand.New(rand.NewPCG(seed, 1)), alive: -1, seen: map[durable.Site]int{}}
	r.fs, r.Dir = New(t, powercut.Config{})
	r.Disk = &durable.Disk{Intercept: func(site durable.Site, sync func() error) error {
		r.mu.Lock()
		killed := r.alive == 0
		r.alive = max(r.alive-1, min(r.alive, 0))
		r.seen[site]++
		r.mu.Unlock()
		switch {
		case killed:
			return ErrKilled
		case site == drop:
			return nil
		}
		return sync()
	}}
	return r
}

// Kill makes the program under test unable to sync after that many more
// fsyncs, as if it were killed between two of its system calls: the test then
// closes its files.
func (r *Rig) Kill(after int) { r.set(after) }

// Revive lets the next program sync again.
func (r *Rig) Revive() { r.set(-1) }

func (r *Rig) set(alive int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alive = alive
}

// Cut cuts the power, strictly or with a torn rest. All files must be closed.
func (r *Rig) Cut(t testing.TB) {
	t.Helper()
	s := powercut.Strict()
	if r.Rand.IntN(2) == 0 {
		s = powercut.Torn(r.Rand.Uint64())
	}
	if err := r.fs.Cut(s); err != nil {
		t.Fatal(err)
	}
}

// Seen returns the sites whose fsyncs were asked for.
func (r *Rig) Seen() []durable.Site {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.seen))
}

// Mutate proves that scenario finds a fault in no seed when all fsyncs are
// done, and in some seed for each site whose fsyncs are left out. The sites
// must be all those that the scenarios come by. A scenario returns what it
// found to be lost, doubled or unreadable.
func Mutate(t *testing.T, sites []durable.Site, seeds int, scenario func(t *testing.T, r *Rig) error) {
	t.Helper()
	seen := map[durable.Site]bool{}
	for seed := range uint64(seeds) {
		r := NewRig(t, seed, "")
		if err := scenario(t, r); err != nil {
			t.Fatalf("seed %d, every fsync done: %v", seed, err)
		}
		for _, s := range r.Seen() {
			seen[s] = true
		}
		r.end(t)
	}
	if got, want := slices.Sorted(maps.Keys(seen)), slices.Sorted(slices.Values(sites)); !slices.Equal(got, want) {
		t.Errorf("the scenarios came by the fsyncs %q, want %q", got, want)
	}
	for _, site := range sites {
		found := false
		for seed := uint64(0); seed < uint64(16*seeds) && !found; seed++ {
			r := NewRig(t, seed, site)
			if err := scenario(t, r); err != nil {
				found = true
				t.Logf("without the fsync %q, seed %d: %v", site, seed, err)
			}
			r.end(t)
		}
		if !found {
			t.Errorf("leaving out the fsync %q does no harm in %d seeds: it is not needed, or the test is too weak", site, 16*seeds)
		}
	}
}

// end unmounts early, so that a test with many seeds holds one mount.
func (r *Rig) end(t testing.TB) {
	if err := r.fs.Close(); err != nil {
		t.Error(err)
	}
}

// SiteConstants returns the values of the constants of type durable.Site in
// the packages in dirs, so that a test can check that it knows them all.
func SiteConstants(t testing.TB, dirs ...string) (out []durable.Site) {
	t.Helper()
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no Go files in %q: %v", dir, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				v, ok := n.(*ast.ValueSpec)
				if !ok || len(v.Values) != 1 {
					return true
				}
				name := ""
				switch x := v.Type.(type) {
				case *ast.Ident:
					name = x.Name
				case *ast.SelectorExpr:
					name = x.Sel.Name
				}
				lit, ok := v.Values[0].(*ast.BasicLit)
				if name == "Site" && ok {
					if s, err := strconv.Unquote(lit.Value); err == nil {
						out = append(out, durable.Site(s))
					}
				}
				return true
			})
		}
	}
	return out
}
