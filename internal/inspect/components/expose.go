package components

import (
	"debug/elf"
	"path"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/firmware"
)

// maxLoaded bounds how many libraries are followed from the programs that
// listen.
const maxLoaded = 1024

// expose marks the components that lie in a program that listens, or in a
// library that such a program loads.
func expose(t *firmware.Tree, all []api.Component, listening []string) {
	if len(listening) == 0 {
		return
	}
	byBase := map[string][]string{} // where libraries of this name lie
	for _, f := range t.Files() {
		if base := path.Base(f.Path); strings.Contains(base, ".so") {
			byBase[base] = append(byBase[base], f.Path)
		}
	}
	reached := map[string]bool{}
	var queue []string
	reach := func(p string) {
		if at, ok := t.Resolve(strings.TrimPrefix(p, "/")); ok && !reached[at] && len(reached) < maxLoaded {
			reached[at] = true
			queue = append(queue, at)
		}
	}
	for _, p := range listening {
		reach(p)
	}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		for _, lib := range loads(t, p) {
			for _, at := range byBase[path.Base(lib)] {
				reach(at)
			}
		}
	}
	for i := range all {
		all[i].Exposed = slices.ContainsFunc(all[i].Paths, func(p string) bool { return reached[p] })
	}
}

// loads returns the names of the libraries that an ELF file asks for
// (DT_NEEDED), or nil when it is none or is broken.
func loads(t *firmware.Tree, p string) (libs []string) {
	r, err := t.Open(p)
	if err != nil {
		return nil
	}
	// debug/elf answers some broken files with a panic.
	defer func() {
		if recover() != nil {
			libs = nil
		}
	}()
	f, err := elf.NewFile(r)
	if err != nil {
		return nil
	}
	libs, err = f.ImportedLibraries()
	if err != nil {
		return nil
	}
	return libs
}
