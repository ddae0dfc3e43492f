package firmware

import (
	"path"
	"slices"
	"strings"
)

// Images are looked for among the files of an archive, since that is how
// updates are packed; among those of a root file system only in files whose
// names say so, since what is there is the business of who reads the files.
const (
	maxWithin    = 256       // images opened among the files of one tree
	minRawWithin = 32 << 10  // of a file that only its name calls an image
	holdWithin   = 128 << 20 // of a compressed member that is opened as an image
)

func imageName(name string) bool {
	return slices.Contains([]string{
		".img", ".bin", ".fw", ".rom", ".trx", ".chk", ".squashfs", ".sqfs", ".sqsh", ".jffs2", ".ubi", ".ubifs", ".cramfs", ".romfs", ".ext2", ".ext3",
		".ext4", ".itb", ".fit", ".dtb", ".uimage", ".cpio", ".initramfs", ".tar", ".tgz", ".txz", ".gz", ".xz", ".zip", ".ota", ".pkg", ".pak", ".upd",
		".update", ".swu", ".vfat", ".lzma", ".zst", ".lz4", ".bz2", ".dat", ".yaffs2", ".dav",
	}, strings.ToLower(path.Ext(name)))
}

// opensAsImage reports whether a file of this kind has parts to show.
func opensAsImage(k Kind) bool {
	switch k {
	case "squashfs", "gzip", "xz", "bzip2", "zstd", "lz4", "lzop", "zip", "tar", "cpio", "uimage", "dtb", "ubi", "ubifs", "cramfs", "romfs", "jffs2",
		"android-boot", "android-vendor-boot", "android-sparse", "android-payload", "trx", "ext":
		return true
	}
	return false
}

// within opens the images among the files of a part's tree.
func (u *unpacker) within(p *Part, off int64, s scope) {
	if s.depth+1 > u.options.MaxDepth {
		return
	}
	root := isRoot(p.Tree)
	opened := 0
	for i, f := range p.Tree.files {
		if !f.Mode.IsRegular() || f.Size < 64 || f.Err != "" || p.Tree.data[i] == nil || u.budget.Check() != nil {
			continue
		}
		named := imageName(f.Path) && f.Size >= minRawWithin || path.Base(f.Path) == "root" || path.Base(f.Path) == "kernel"
		if root && !named {
			continue
		}
		v := view{p.Tree.data[i], f.Size}
		if k := Sniff(v.head(0, SniffLen)); !opensAsImage(k) && (!named || k != KindUnknown) {
			continue
		}
		if opened++; opened > maxWithin {
			u.note("%s: more than %d files look like images; the rest was not opened", p.Tree.from, maxWithin)
			return
		}
		q := Part{Format: "file", Name: f.Path, Length: f.Size, Facts: map[string]string{}}
		if c, slow := v.ReaderAt.(*sequential); slow {
			held, err := u.budget.ReadAll(c.open(), min(f.Size, holdWithin))
			if err != nil || held.Size > holdWithin {
				u.budget.Drop(held)
				q.Err = "the file is compressed and too large to be opened as an image"
				p.Parts = append(p.Parts, q)
				continue
			}
			v = view{held, held.Size}
		}
		q.data = v.section()
		q.Parts = u.carve(v, s.into(p.Format, off).below(&q))
		if known := slices.ContainsFunc(q.Parts, func(in Part) bool { return in.Format != Unknown }); known {
			p.Parts = append(p.Parts, q)
		}
	}
}

// isRoot reports whether a tree looks like the root of a system.
func isRoot(t *Tree) bool {
	has := func(name string) bool { _, ok := t.index[name]; return ok }
	return has("etc") && (has("bin") || has("sbin") || has("usr")) || has("bin/busybox")
}
