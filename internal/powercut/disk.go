package powercut

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const sectorSize = 512

type sector = [sectorSize]byte

// disk is the tree of a mounted file system. One mutex guards all of it: the
// file system is for tests and proves order, not speed.
type disk struct {
	mu      sync.Mutex
	root    *node
	nextIno uint64
	config  Config
	dead    bool // the power is off: nothing that comes now counts
	syncs   uint64
}

// node is a file or a directory. What programs see is in the first group; what
// survives a strict cut is in the second.
type node struct {
	ino   uint64
	mode  uint32 // type and permissions
	mtime time.Time
	link  string // target of a symbolic link

	sectors []*sector // nil is a hole
	size    int64
	names   map[string]*node
	nlink   int

	kept      []*sector
	keptSize  int64
	keptNames map[string]*node
	dirty     map[int]bool // sectors that differ from kept; their arrays are not shared
	changes   []*change    // of names, not synced, in order; dirs only
	parents   map[*node]bool
}

// change is one atomic change of names, in one directory or, for a rename
// between two, in both.
type change struct {
	entries []entry
	done    bool
}

type entry struct {
	dir  *node
	name string
	to   *node // nil removes the name
}

func newDisk(c Config) *disk {
	d := &disk{config: c}
	d.root = d.newNode(syscallDir | 0o755)
	return d
}

func (d *disk) newNode(mode uint32) *node {
	d.nextIno++
	n := &node{ino: d.nextIno, mode: mode, mtime: time.Now(), dirty: map[int]bool{}, parents: map[*node]bool{}}
	if n.isDir() {
		n.names, n.keptNames = map[string]*node{}, map[string]*node{}
	}
	return n
}

func (n *node) isDir() bool { return n.mode&syscallType == syscallDir }

// alter applies a change of names to what programs see and notes it.
func (d *disk) alter(entries ...entry) {
	c := &change{entries: entries}
	var dirs []*node
	for _, e := range entries {
		if old := e.dir.names[e.name]; old != nil {
			old.nlink--
		}
		if e.to == nil {
			delete(e.dir.names, e.name)
		} else {
			e.dir.names[e.name] = e.to
			e.to.nlink++
			e.to.parents[e.dir] = true
		}
		e.dir.mtime = time.Now()
		if !slices.Contains(dirs, e.dir) {
			dirs = append(dirs, e.dir)
			e.dir.changes = append(e.dir.changes, c)
		}
	}
}

// syncNames makes the first n changes of dir durable. A change that also
// belongs to another directory takes with it what came before it there.
func (d *disk) syncNames(dir *node, n int) {
	for _, c := range dir.changes[:n] {
		if c.done {
			continue
		}
		c.done = true
		for _, e := range c.entries {
			if e.dir != dir {
				if i := slices.Index(e.dir.changes, c); i > 0 {
					d.syncNames(e.dir, i)
				}
			}
			if e.to == nil {
				delete(e.dir.keptNames, e.name)
			} else {
				e.dir.keptNames[e.name] = e.to
			}
		}
	}
	dir.changes = slices.DeleteFunc(dir.changes, func(c *change) bool { return c.done })
}

// sync is fsync.
func (d *disk) sync(n *node) {
	d.syncs++
	if n.isDir() {
		d.syncNames(n, len(n.changes))
	} else {
		n.syncContent()
	}
	if d.config.NamesWithFiles {
		d.syncUp(n, map[*node]bool{})
	}
}

// syncUp makes the names that lead to n durable.
func (d *disk) syncUp(n *node, seen map[*node]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	for p := range n.parents {
		d.syncNames(p, len(p.changes))
		d.syncUp(p, seen)
	}
}

func (n *node) syncContent() {
	n.setKeptSize(n.size)
	for i := range n.dirty {
		if i < len(n.kept) {
			n.kept[i] = n.sectors[i]
		}
	}
	n.dirty = map[int]bool{}
}

func (n *node) setKeptSize(size int64) {
	n.kept = resize(n.kept, size)
	n.keptSize = size
}

func resize(s []*sector, size int64) []*sector {
	want := int((size + sectorSize - 1) / sectorSize)
	if want <= len(s) {
		clear(s[want:])
		return s[:want]
	}
	return append(s, make([]*sector, want-len(s))...)
}

// own returns sector i for writing, not shared with what is kept.
func (n *node) own(i int) *sector {
	if !n.dirty[i] || n.sectors[i] == nil {
		fresh := new(sector)
		if old := n.sectors[i]; old != nil {
			*fresh = *old
		}
		n.sectors[i] = fresh
		n.dirty[i] = true
	}
	return n.sectors[i]
}

func (n *node) write(data []byte, off int64) {
	if end := off + int64(len(data)); end > n.size {
		n.sectors = resize(n.sectors, end)
		n.size = end
	}
	for len(data) > 0 {
		i, at := int(off/sectorSize), int(off%sectorSize)
		c := copy(n.own(i)[at:], data)
		data, off = data[c:], off+int64(c)
	}
	n.mtime = time.Now()
}

func (n *node) read(dest []byte, off int64) int {
	if off >= n.size {
		return 0
	}
	dest = dest[:min(int64(len(dest)), n.size-off)]
	for done := 0; done < len(dest); {
		i, at := int((off+int64(done))/sectorSize), int((off+int64(done))%sectorSize)
		var c int
		if s := n.sectors[i]; s != nil {
			c = copy(dest[done:], s[at:])
		} else {
			c = min(len(dest)-done, sectorSize-at)
			clear(dest[done : done+c])
		}
		done += c
	}
	return len(dest)
}

func (n *node) truncate(size int64) {
	if size < n.size {
		n.sectors = resize(n.sectors, size)
		for i := range n.dirty {
			if i >= len(n.sectors) {
				delete(n.dirty, i)
			}
		}
		if at := int(size % sectorSize); at != 0 && n.sectors[len(n.sectors)-1] != nil {
			clear(n.own(len(n.sectors) - 1)[at:])
		}
		// What is cut off and grows back is zero, not what was kept.
		for i := len(n.sectors); i < len(n.kept); i++ {
			n.dirty[i] = true
		}
	} else {
		n.sectors = resize(n.sectors, size)
	}
	n.size = size
	n.mtime = time.Now()
}

// Survival says what is left of the unsynced after a cut.
type Survival struct {
	torn bool
	rng  *rand.Rand
}

// Strict drops everything unsynced.
func Strict() Survival { return Survival{} }

// Torn keeps a part of it, drawn from seed.
func Torn(seed uint64) Survival {
	return Survival{torn: true, rng: rand.New(rand.NewPCG(seed, 0x706f776572637574))}
}

// survivors returns a fresh disk that holds what is left.
func (d *disk) survivors(s Survival) *disk {
	if s.torn {
		// Directories in the order of their numbers, so that a seed repeats.
		all := d.reachable()
		for _, n := range all {
			if n.isDir() && len(n.changes) > 0 {
				d.syncNames(n, s.rng.IntN(len(n.changes)+1))
			}
		}
		for _, n := range all {
			if !n.isDir() {
				n.tear(s.rng)
			}
		}
	}
	next := &disk{nextIno: d.nextIno, config: d.config}
	copies := map[*node]*node{}
	next.root = survivor(d.root, copies)
	return next
}

// reachable returns every node that has a name, seen or kept, by number.
func (d *disk) reachable() []*node {
	seen := map[*node]bool{}
	var all []*node
	var walk func(n *node)
	walk = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		all = append(all, n)
		for _, m := range []map[string]*node{n.names, n.keptNames} {
			for _, c := range m {
				walk(c)
			}
		}
		for _, c := range n.changes {
			for _, e := range c.entries {
				if e.to != nil {
					walk(e.to)
				}
			}
		}
	}
	walk(d.root)
	slices.SortFunc(all, func(a, b *node) int { return int(int64(a.ino) - int64(b.ino)) })
	return all
}

// tear makes durable a random part of what is not.
func (n *node) tear(rng *rand.Rand) {
	if len(n.dirty) == 0 && n.size == n.keptSize {
		return
	}
	dirty := make([]int, 0, len(n.dirty))
	for i := range n.dirty {
		dirty = append(dirty, i)
	}
	slices.Sort(dirty)
	size := n.keptSize
	switch lo, hi := min(n.size, n.keptSize), max(n.size, n.keptSize); rng.IntN(3) {
	case 0:
		size = n.size
	case 1:
		size = lo + rng.Int64N(hi-lo+1)
	}
	n.setKeptSize(size)
	mode := rng.IntN(3) // all, a coin for each, or few
	for _, i := range dirty {
		if i < len(n.kept) && (mode == 0 || mode == 1 && rng.IntN(2) == 0 || mode == 2 && rng.IntN(8) == 0) {
			n.kept[i] = nil
			if i < len(n.sectors) {
				n.kept[i] = n.sectors[i]
			}
		}
	}
}

func survivor(n *node, copies map[*node]*node) *node {
	if c, ok := copies[n]; ok {
		return c
	}
	c := &node{ino: n.ino, mode: n.mode, mtime: n.mtime, link: n.link, dirty: map[int]bool{}, parents: map[*node]bool{}}
	copies[n] = c
	if !n.isDir() {
		c.size, c.keptSize = n.keptSize, n.keptSize
		c.kept = slices.Clone(n.kept)
		if at := int(c.keptSize % sectorSize); at != 0 && c.kept[len(c.kept)-1] != nil {
			// Beyond the end of a file there are zeroes.
			tail := *c.kept[len(c.kept)-1]
			clear(tail[at:])
			c.kept[len(c.kept)-1] = &tail
		}
		c.sectors = slices.Clone(c.kept)
		return c
	}
	c.names, c.keptNames = map[string]*node{}, map[string]*node{}
	for name, child := range n.keptNames {
		k := survivor(child, copies)
		c.names[name], c.keptNames[name] = k, k
		k.nlink++
		k.parents[c] = true
	}
	return c
}

const (
	syscallType = 0o170000
	syscallDir  = 0o040000
	syscallReg  = 0o100000
	syscallLink = 0o120000
)
