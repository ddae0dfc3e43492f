package view

import (
	"cmp"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/firmware"
)

// Source is what a view is made of: one opened image, or one folder.
type Source struct {
	Label string // before the place of each part, when there are several images; may be empty
	Image *firmware.Image
	Tree  *firmware.Tree // instead of an image
}

// piece is a tree before it has a place.
type piece struct {
	tree   *firmware.Tree
	prefix string // where in the tree it begins
	from   string
	kind   string // file system type
	root   int    // how much like a root it is
}

// Of lays out what the sources hold.
func Of(sources ...Source) []*View {
	var parts []Part
	var all []piece
	for _, s := range sources {
		label := ""
		if s.Label != "" {
			label = s.Label + ":"
		}
		if s.Tree != nil {
			all = append(all, pieces(s.Tree, s.Label, "")...)
			continue
		}
		s.Image.Walk(func(place string, p *firmware.Part) {
			parts = append(parts, Part{Place: label + place, Part: p})
			if p.Tree != nil {
				all = append(all, pieces(p.Tree, label+p.Tree.From(), p.Format)...)
			}
		})
	}
	var roots, rest []piece
	for _, p := range all {
		if p.root >= rootMarks {
			roots = append(roots, p)
		} else {
			rest = append(rest, p)
		}
	}
	if len(roots) == 0 {
		v := empty(parts)
		for _, p := range rest {
			at := "/"
			if len(rest) > 1 {
				at = unplaced(p)
			}
			v.mount(p, at, "no root file system was found")
		}
		v.finish()
		return []*View{v}
	}
	slices.SortStableFunc(roots, func(a, b piece) int { return cmp.Compare(b.root, a.root) })
	if len(roots) > maxRoots {
		roots = roots[:maxRoots]
	}
	var views []*View
	for i, r := range roots {
		v := empty(parts)
		v.Name, v.Root = r.from, true
		v.mount(r, "/", "it is a root file system")
		v.finish()
		points, named := v.mounts()
		v.points = points
		if i == 0 {
			v.place(rest, points, named) // the other partitions belong to the fullest root
			v.finish()
		}
		views = append(views, v)
	}
	return views
}

const (
	// rootMarks is how many signs of a root file system make one.
	rootMarks = 2
	// maxRoots bounds how many systems of one image are examined: two slots, a
	// recovery system and one more.
	maxRoots = 4
	// maxPlaced bounds how many partitions are placed in a root.
	maxPlaced = 64
)

func empty(parts []Part) *View {
	return &View{Parts: parts, files: map[string]*File{}, texts: map[string]string{}}
}

func (v *View) mount(p piece, at, why string) {
	v.add(p.tree, p.prefix, at, p.from)
	v.Trees = append(v.Trees, Tree{At: at, From: p.from, Type: p.kind, Why: why})
}

func unplaced(p piece) string { return "/.part/" + strings.ReplaceAll(p.from, "/", "+") }

// pieces finds what in a tree is a root. A root in a folder of an archive
// counts only when the top of the tree is none itself.
func pieces(t *firmware.Tree, from, kind string) []piece {
	if from == "" {
		from = t.From()
	}
	whole := piece{tree: t, from: from, kind: kind, root: rootness(t, "")}
	if whole.root >= rootMarks {
		return []piece{whole}
	}
	var in []piece
	for _, f := range t.Files() {
		if dir, name := path.Split(f.Path); name == "etc" && f.Mode.IsDir() && dir != "" && strings.Count(dir, "/") <= 6 {
			dir = strings.TrimSuffix(dir, "/")
			under := slices.ContainsFunc(in, func(p piece) bool { return strings.HasPrefix(dir, p.prefix+"/") })
			if n := rootness(t, dir+"/"); n >= rootMarks && !under {
				in = append(in, piece{tree: t, prefix: dir, from: from, kind: kind, root: n})
			}
		}
	}
	if len(in) > 0 && len(in) <= maxRoots {
		return in
	}
	return []piece{whole}
}

// rootness counts the signs of a root file system below a prefix; without
// accounts and without a start there is none, for application partitions have
// programs, libraries and release files too.
func rootness(t *firmware.Tree, prefix string) int {
	n := 0
	for i, sign := range [][]string{
		{"etc/passwd"}, {"etc/inittab", "etc/init.d", "etc/rc.d", "etc/rc.local", "etc/systemd", "lib/systemd", "usr/lib/systemd"},
		{"bin/sh", "bin/busybox", "usr/bin/sh"}, {"sbin/init", "init", "linuxrc", "usr/sbin/init"},
		{"etc/shadow", "etc/group", "etc/fstab", "etc/os-release"}, {"lib/ld-linux.so.3", "lib/ld-uClibc.so.0", "lib/libc.so.6", "lib/libc.so.0", "lib/libc.so"},
	} {
		if slices.ContainsFunc(sign, func(p string) bool {
			f, ok := t.Stat(prefix + p)
			return ok && (i != 3 || !f.Mode.IsDir())
		}) {
			n++
		}
		if i == 1 && n == 0 {
			return 0
		}
	}
	return n
}

var (
	mountLine = regexp.MustCompile(`(?m)^[^#\n]*\bmount\s([^#\n|;&>]*?)\s(/[A-Za-z0-9_./-]+)\s*(?:$|[;&|)>#-])`)
	mountType = regexp.MustCompile(`-t\s*(\S+)`)
	fstabLine = regexp.MustCompile(`(?m)^\s*[^#\s]\S*\s+(/[A-Za-z0-9_./-]+)\s+([a-z0-9]+)\s`)
	absPath   = regexp.MustCompile(`/[A-Za-z0-9_.+/-]{2,200}`)
)

// place mounts each of the other pieces where the root's scripts and links say.
func (v *View) place(rest []piece, points map[string]string, named map[string]bool) {
	used := map[string]bool{}
	for i, p := range rest {
		if i >= maxPlaced {
			break
		}
		at, best := "", 0
		for m := range points {
			n := 0
			for ref := range named {
				if rel, ok := strings.CutPrefix(ref, m+"/"); ok && rel != "" {
					if _, there := p.tree.Stat(rel); there {
						n++
					}
				}
			}
			if n > best || n == best && n > 0 && m < at {
				at, best = m, n
			}
		}
		why := "what the root names below it is there"
		if best == 0 {
			at, why = only(points, used, p, rest), "it is the only "+p.kind+" that is mounted"
		}
		if at == "" || used[at] {
			at, why = unplaced(p), "nothing tells where it is mounted"
		}
		used[at] = true
		v.mount(p, at, why)
	}
}

// only returns the one mount point that names this type of file system, when
// there is one such piece alone.
func only(points map[string]string, used map[string]bool, p piece, rest []piece) string {
	if p.kind == "" {
		return ""
	}
	same := 0
	for _, q := range rest {
		if q.kind == p.kind {
			same++
		}
	}
	at, n := "", 0
	for m, kind := range points {
		if kind == p.kind && !used[m] {
			at, n = m, n+1
		}
	}
	if same != 1 || n != 1 {
		return ""
	}
	return at
}

// mounts reads from the root's texts where something is mounted, with the type
// where it is told, and which absolute paths are named at all.
func (v *View) mounts() (points map[string]string, named map[string]bool) {
	points, named = map[string]string{}, map[string]bool{}
	for _, f := range v.order {
		if f.Mode&fs.ModeSymlink != 0 {
			t := f.Link
			if !strings.HasPrefix(t, "/") {
				t = path.Join(path.Dir(f.Path), t)
			}
			named[path.Clean(t)] = true
			continue
		}
		if !f.Mode.IsRegular() || f.Size > 64<<10 || strings.HasPrefix(f.Path, "/usr/share/") || len(named) > 50_000 {
			continue
		}
		switch strings.ToLower(path.Ext(f.Path)) {
		case ".so", ".ko", ".html", ".js", ".css", ".png", ".jpg", ".gif", ".wav", ".pcm", ".bin":
			continue
		}
		text, ok := v.TextOf(f)
		if !ok {
			continue
		}
		for _, m := range mountLine.FindAllStringSubmatch(text, 64) {
			kind := ""
			if t := mountType.FindStringSubmatch(m[1]); t != nil {
				kind = t[1]
			}
			point(points, m[2], kind)
		}
		if path.Base(f.Path) == "fstab" {
			for _, m := range fstabLine.FindAllStringSubmatch(text, 64) {
				point(points, m[1], m[2])
			}
		}
		for _, p := range absPath.FindAllString(text, 2000) {
			named[path.Clean(p)] = true
		}
	}
	return points, named
}

func point(points map[string]string, at, kind string) {
	at = path.Clean(at)
	switch at {
	case "/", "/proc", "/sys", "/tmp", "/dev", "/run", "/var", "/dev/pts", "/dev/shm", "/var/run":
		return
	}
	if points[at] == "" {
		points[at] = kind
	}
}

// Writable reports whether what is at a path may be made or changed while the
// device runs: in memory, on removable media, on a partition that is not in the
// image, or on a file system that is written to.
func (v *View) Writable(p string) bool {
	p = path.Clean("/" + p)
	for _, dir := range []string{"/tmp", "/var", "/mnt", "/media", "/proc", "/sys", "/dev", "/run", "/home", "/sdcard", "/overlay"} {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	best, kind := "", ""
	for _, t := range v.Trees {
		if (t.At == "/" || p == t.At || strings.HasPrefix(p, t.At+"/")) && len(t.At) > len(best) {
			best, kind = t.At, t.Type
		}
	}
	for m := range v.points {
		if len(m) > len(best) && (p == m || strings.HasPrefix(p, m+"/")) {
			return true // a partition that we have not seen
		}
	}
	return WritableType(kind)
}

// WritableType reports whether a type of file system is written to.
func WritableType(kind string) bool {
	switch kind {
	case "jffs2", "ubifs", "ext2", "ext3", "ext4", "f2fs", "yaffs", "yaffs2", "fat", "vfat", "exfat":
		return true
	}
	return false
}
