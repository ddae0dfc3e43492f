package boot

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/inspect/services"
	"github.com/ringwall/ringwall/internal/inspect/shell"
	"github.com/ringwall/ringwall/internal/inspect/view"
)

var (
	// fromMedia are boot loader commands that run or write what a card or
	// stick holds. "mmc read" alone is not one: boards boot from soldered
	// eMMC with it.
	fromMedia = regexp.MustCompile(`(?:^|[;\s])(sdupdate|sdstart|fatload\s+(?:mmc|usb)\s\S+|usb\s+start|mmcupdate|usbupdate|sd_update|usb_update|autoupdate|update_sd|au_sd)(?:$|[;\s])`)
	// cardName is how vendors name the place of a card or stick.
	cardName = regexp.MustCompile(`(?i)^/(?:mnt|media|tmp|opt|system|var|app|home|run)?/?(?:[a-z0-9_-]+/)?(?:sd|sd_?card|sd[a-e][0-9]?|tf|tf_?card|mmc|mmc_?card|mmcblk0p?[0-9]?|usb|usb_?disk|udisk|u-disk|usbdisk|sda[0-9]?|hd_?usb)(?:[0-9]|_[a-z0-9]+)?/`)
)

// removable reports whether a path lies on a card or stick.
func removable(mounts []string, p string) bool {
	p = path.Clean(p)
	for _, m := range mounts {
		if strings.HasPrefix(p, m+"/") {
			return true
		}
	}
	return strings.HasPrefix(p, "/media/") || cardName.MatchString(p)
}

// cardMounts returns where the scripts mount cards and sticks.
func cardMounts(commands []shell.Command) []string {
	var out []string
	for _, c := range commands {
		if path.Base(c.Name) != "mount" || len(c.Args) < 2 {
			continue
		}
		dev, at := c.Args[len(c.Args)-2], c.Args[len(c.Args)-1]
		kind := ""
		for i, a := range c.Args {
			if a == "-t" && i+1 < len(c.Args) {
				kind = c.Args[i+1]
			}
		}
		fat := kind == "vfat" || kind == "exfat" || kind == "fat" || kind == "msdos" || kind == "ntfs"
		stick := strings.HasPrefix(dev, "/dev/sd")
		card := strings.HasPrefix(dev, "/dev/mmcblk") && (fat || kind == "" || kind == "auto")
		// A device whose name is only known when it is plugged in.
		stick = stick || dev == "/dev/"+shell.Unsure || dev == shell.Unsure
		if strings.HasPrefix(at, "/") && at != "/" && (fat || stick || card) {
			out = append(out, path.Clean(at))
		}
	}
	return out
}

// media answers HW-05.
func media(v *view.View, c Chain, s *services.Result) ringwall.Finding {
	f := answer("HW-05")
	var runs []string
	if cmd := c.Bootenv["bootcmd"]; cmd != "" {
		if m := fromMedia.FindStringSubmatch(expand(c.Bootenv, cmd)); m != nil {
			runs = append(runs, fmt.Sprintf("%s: bootcmd begins with or runs %q: the boot loader takes what a card or stick holds", c.Envs[0].Where, view.Clip(m[1], 40)))
		}
	}
	all := slices.Concat(s.Commands, s.Plugged)
	mounts := cardMounts(all)
	seen := map[string]bool{}
	copied := map[string]string{} // where something from a card was put
	for _, k := range all {
		name := path.Base(k.Name)
		if (name == "cp" || name == "mv" || name == "tar" || name == "unzip") && len(k.Args) >= 2 {
			for _, a := range k.Args {
				if removable(mounts, a) && shell.Sure(k.Args[len(k.Args)-1]) {
					copied[path.Clean(k.Args[len(k.Args)-1])] = a
				}
			}
		}
		target := k.Path
		if target == "" {
			target = k.Name
		}
		line := ""
		switch {
		case strings.HasPrefix(target, "/") && removable(mounts, target):
			line = fmt.Sprintf("%s: runs %s from a card or stick", k.At(), view.Clip(strings.ReplaceAll(target, shell.Unsure, "?"), 80))
		case copied[target] != "":
			line = fmt.Sprintf("%s: runs %s, which was copied from %s", k.At(), view.Clip(target, 60), view.Clip(copied[target], 60))
		case name == "insmod" && slices.ContainsFunc(k.Args, func(a string) bool { return removable(mounts, a) }):
			line = fmt.Sprintf("%s: loads a kernel module from a card or stick", k.At())
		}
		if line == "" || seen[line] {
			continue
		}
		seen[line] = true
		if len(k.When) > 0 {
			line += ", if " + view.Clip(strings.Join(k.When, "; "), 120)
		}
		runs = append(runs, line)
	}
	for _, m := range s.Missing {
		if removable(mounts, m.Path) {
			line := fmt.Sprintf("%s: runs or sources %s from a card or stick", m.By, view.Clip(m.Path, 80))
			if !slices.ContainsFunc(runs, func(r string) bool { return strings.Contains(r, m.Path) }) {
				runs = append(runs, line)
			}
		}
	}
	f.Evidence = bound(runs)
	switch {
	case len(runs) > 0:
		f.Outcome, f.Title = ringwall.Fail, "what is on a card or stick is run or written without a signature"
	case !s.Found:
		f.Title = "no start was found, so what removable media may do was not seen"
	case incomplete(s):
		f.Title = "scripts that the start runs are not in the image, so what removable media may do was not seen"
		for _, m := range s.Missing {
			if line := m.By + " runs " + m.Path + ", which is not in the image"; !slices.Contains(f.Evidence, line) {
				f.Evidence = append(f.Evidence, line)
			}
		}
		f.Evidence = bound(f.Evidence)
	default:
		f.Outcome, f.Title = ringwall.Pass, "no script runs anything from removable media"
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d commands of the start and %d of plugging in were followed", len(s.Commands), len(s.Plugged)))
	}
	return f
}

// incomplete reports whether a part of the start is on a partition that is not
// in the image.
func incomplete(s *services.Result) bool {
	return slices.ContainsFunc(s.Missing, func(m shell.Missing) bool { return !strings.HasPrefix(m.Path, "/etc/") })
}

// expand follows "run NAME" in an environment, a few levels deep.
func expand(env map[string]string, cmd string) string {
	out := cmd
	for range 4 {
		var next strings.Builder
		for part := range strings.SplitSeq(out, ";") {
			f := strings.Fields(part)
			if len(f) >= 2 && f[0] == "run" {
				for _, n := range f[1:] {
					next.WriteString(env[n] + ";")
				}
				continue
			}
			next.WriteString(part + ";")
		}
		if next.Len() > 64<<10 || next.String() == out+";" {
			break
		}
		out = strings.TrimSuffix(next.String(), ";")
	}
	return out
}

// readOnly answers FS-13.
func readOnly(v *view.View, c Chain, s *services.Result) ringwall.Finding {
	f := answer("FS-13")
	if !v.Root || len(v.Trees) == 0 {
		f.Title = "no root file system was found"
		return f
	}
	root := v.Trees[0]
	_, overlay := v.Lookup("/overlay")
	var writes []string
	seen := map[string]bool{}
	for _, k := range s.Commands {
		if k.Path == "" || seen[k.Path] {
			continue
		}
		seen[k.Path] = true
		for _, t := range v.Trees[1:] {
			if strings.HasPrefix(k.Path, t.At+"/") && view.WritableType(t.Type) {
				writes = append(writes, fmt.Sprintf("%s: starts %s from a partition that is written to (%s)", k.At(), k.Path, t.Type))
			}
		}
		if jffs := mountedAs(s.Commands, k.Path); jffs != "" {
			writes = append(writes, fmt.Sprintf("%s: starts %s from a partition mounted as %s", k.At(), k.Path, jffs))
		}
	}
	if root.Type != "" {
		f.Facts["root"] = root.Type
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s: the root is %s", root.From, root.Type))
	}
	f.Evidence = append(f.Evidence, bound(writes)...)
	verity := strings.Contains(c.Args, "verity")
	switch {
	case root.Type == "" || root.Type == "tar" || root.Type == "zip" || root.Type == "cpio":
		f.Title = "the type of the root file system is not told by a folder or an archive"
	case view.WritableType(root.Type) && !verity:
		f.Outcome, f.Title = ringwall.Partial, "the root file system is of a type that is written to"
		ro := strings.Contains(" "+c.Args+" ", " ro ")
		if !ro && c.Args != "" {
			f.Outcome, f.Title = ringwall.Fail, "the root file system can be written to while the device runs"
			f.Evidence = append(f.Evidence, c.ArgsAt+": the kernel is not told to mount it read-only")
		}
	case overlay && !verity:
		f.Outcome, f.Title = ringwall.Partial, "the root is read-only, but an overlay over it is written to"
	case len(writes) > 0:
		f.Outcome, f.Title = ringwall.Partial, "the root is read-only, but programs are started from partitions that are written to"
	default:
		f.Outcome, f.Title = ringwall.Pass, "the root file system is of a type that cannot be written to"
		if verity {
			f.Evidence = append(f.Evidence, c.ArgsAt+": dm-verity stands under it")
		}
	}
	return f
}

// mountedAs returns the writable type with which a script mounts what holds a
// path, "" when none does.
func mountedAs(commands []shell.Command, p string) string {
	best, kind := "", ""
	for _, c := range commands {
		if path.Base(c.Name) != "mount" || len(c.Args) < 3 {
			continue
		}
		at := path.Clean(c.Args[len(c.Args)-1])
		for i, a := range c.Args {
			if a == "-t" && i+1 < len(c.Args) && at != "/" && strings.HasPrefix(p, at+"/") && len(at) > len(best) {
				best, kind = at, c.Args[i+1]
			}
		}
	}
	if view.WritableType(kind) {
		return kind
	}
	return ""
}
