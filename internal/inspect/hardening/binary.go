// Package hardening tells how programs and libraries of an image protect their
// memory (FS-07), judged by what their platform has.
//
// It reads ELF headers, the dynamic section and the names of imported symbols,
// and nothing else. A protection that a platform does not provide is left out
// of the count instead of being held against the vendor: MIPS systems have no
// tradition of PT_GNU_STACK and most of their kernels execute every page, uClibc
// and musl have no FORTIFY functions, and in a stripped static program a stack
// protector leaves no name to see. Programs that the network reaches weigh more
// than others.
//
// Input is hostile: sections are read within the file's own bytes, a file that
// debug/elf refuses is noted as unreadable, and a panic in it is contained.
//
// Formats: System V ABI (gABI 4.1) chapters 4 and 5; GNU extensions PT_GNU_STACK
// and PT_GNU_RELRO; DT_FLAGS_1.
package hardening

import (
	"bytes"
	"debug/elf"
	"fmt"
	"slices"
	"strings"
)

// Answer is what is known of one protection.
type Answer uint8

// The answers. Absent is a fault; NotProvided is none of the vendor's.
const (
	Unseen Answer = iota
	Absent
	Part
	Present
	NotProvided
)

// Binary is one program or library.
type Binary struct {
	Path    string
	From    string
	Machine elf.Machine
	Program bool // it can be started
	NX      Answer
	PIE     Answer
	RELRO   Answer // Part: partial
	Canary  Answer
	Fortify Answer
	RunPath string // search path that others may be able to write to, "" for none
	Imports []string
	Needed  []string
	Size    int
	Err     string
}

// maxSymbols bounds how many imported names are kept: more than any program of
// a device that we have seen.
const maxSymbols = 20_000

// Read reads one ELF file. It reports false for what is no program or library:
// objects and kernel modules.
func Read(path, from string, data []byte) (b Binary, ok bool) {
	b = Binary{Path: path, From: from, Size: len(data)}
	defer func() {
		if r := recover(); r != nil {
			b.Err, ok = "its headers are broken", true
		}
	}()
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		if len(data) > 17 && data[16] == 1 {
			return b, false
		}
		b.Err = "its headers are broken"
		return b, true
	}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return b, false
	}
	b.Machine = f.Machine
	b.Needed, _ = f.DynString(elf.DT_NEEDED)
	if syms, err := f.ImportedSymbols(); err == nil {
		for _, s := range syms[:min(len(syms), maxSymbols)] {
			b.Imports = append(b.Imports, s.Name)
		}
	} else {
		b.Imports = hashed(f)
	}
	slices.Sort(b.Imports)
	interp := slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
	flags1 := dynamic(f, elf.DT_FLAGS_1)
	soname, _ := f.DynString(elf.DT_SONAME)
	b.Program = f.Type == elf.ET_EXEC || flags1&uint64(elf.DF_1_PIE) != 0 || interp && len(soname) == 0 && !strings.Contains(path, ".so")
	b.judge(f, flags1)
	return b, true
}

func dynamic(f *elf.File, tag elf.DynTag) uint64 {
	v, err := f.DynValue(tag)
	if err != nil || len(v) == 0 {
		return 0
	}
	return v[0]
}

func (b *Binary) judge(f *elf.File, flags1 uint64) {
	static := len(b.Needed) == 0 && len(b.Imports) == 0
	mips := f.Machine == elf.EM_MIPS || f.Machine == elf.EM_MIPS_RS3_LE
	b.NX = Absent
	b.RELRO = Absent
	for _, p := range f.Progs {
		switch p.Type {
		case elf.PT_GNU_STACK:
			if p.Flags&elf.PF_X == 0 {
				b.NX = Present
			}
		case elf.PT_GNU_RELRO:
			b.RELRO = Part
		}
	}
	if b.RELRO == Part && (flags1&uint64(elf.DF_1_NOW) != 0 || dynamic(f, elf.DT_FLAGS)&uint64(elf.DF_BIND_NOW) != 0 || has(f, elf.DT_BIND_NOW)) {
		b.RELRO = Present
	}
	if mips && b.NX == Absent {
		b.NX = NotProvided
	}
	if mips && b.RELRO == Absent {
		// Binutils made PT_GNU_RELRO for MIPS by default only from 2018 on, and
		// lazy binding there goes through the GOT that it would protect.
		b.RELRO = NotProvided
	}
	b.PIE = NotProvided // of a library there is no question
	if b.Program {
		b.PIE = Absent
		if f.Type == elf.ET_DYN {
			b.PIE = Present
		}
	}
	b.Canary = Absent
	if b.imports("__stack_chk_fail", "__stack_chk_guard", "__stack_smash_handler", "__intel_security_cookie", "__stack_chk_fail_local") {
		b.Canary = Present
	} else if static {
		b.Canary = Unseen
	}
	b.Fortify = Absent
	glibc := slices.ContainsFunc(b.Needed, func(n string) bool { return strings.HasPrefix(n, "libc.so.6") })
	switch {
	case slices.ContainsFunc(b.Imports, func(n string) bool {
		return strings.HasPrefix(n, "__") && strings.HasSuffix(n, "_chk")
	}):
		b.Fortify = Present
	case !glibc:
		b.Fortify = NotProvided
	case !b.imports("memcpy", "strcpy", "sprintf", "snprintf", "printf", "fprintf", "memset", "strcat", "strncpy", "read", "memmove", "vsnprintf"):
		b.Fortify = Unseen // nothing that would be fortified
	}
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		paths, _ := f.DynString(tag)
		for _, p := range paths {
			for dir := range strings.SplitSeq(p, ":") {
				if dir == "" || dir == "." || !strings.HasPrefix(dir, "/") && !strings.HasPrefix(dir, "$ORIGIN") || strings.HasPrefix(dir, "/tmp") || strings.HasPrefix(dir, "/home/") || strings.HasPrefix(dir, "/var/tmp") || strings.HasPrefix(dir, "/mnt/") {
					b.RunPath = dir
					if dir == "" {
						b.RunPath = "(empty)"
					}
				}
			}
		}
	}
}

func has(f *elf.File, tag elf.DynTag) bool {
	v, err := f.DynValue(tag)
	return err == nil && len(v) > 0
}

// imports reports whether any of the names is imported.
func (b *Binary) imports(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		_, ok := slices.BinarySearch(b.Imports, n)
		return ok
	})
}

// Uses reports whether the program asks for any of these functions.
func (b *Binary) Uses(names ...string) bool { return b.imports(names...) }

// hashed reads imported names of a program whose section headers were cut off,
// from the string table that the dynamic segment points to.
func hashed(f *elf.File) []string {
	var strtab, size uint64
	for _, p := range f.Progs {
		if p.Type != elf.PT_DYNAMIC || p.Filesz > 64<<10 {
			continue
		}
		d := make([]byte, p.Filesz)
		if n, _ := p.ReadAt(d, 0); n < len(d) {
			return nil
		}
		word := 4
		if f.Class == elf.ELFCLASS64 {
			word = 8
		}
		get := func(b []byte) uint64 {
			if word == 8 {
				return f.ByteOrder.Uint64(b)
			}
			return uint64(f.ByteOrder.Uint32(b))
		}
		for ; len(d) >= 2*word; d = d[2*word:] {
			switch elf.DynTag(get(d)) {
			case elf.DT_STRTAB:
				strtab = get(d[word:])
			case elf.DT_STRSZ:
				size = get(d[word:])
			}
		}
	}
	if size == 0 || size > 1<<20 {
		return nil
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && strtab >= p.Vaddr && strtab+size <= p.Vaddr+p.Filesz {
			b := make([]byte, size)
			if n, _ := p.ReadAt(b, int64(strtab-p.Vaddr)); n < len(b) {
				return nil
			}
			var out []string
			for s := range bytes.SplitSeq(b, []byte{0}) {
				if len(s) > 0 && len(s) < 256 && len(out) < maxSymbols {
					out = append(out, string(s))
				}
			}
			return out
		}
	}
	return nil
}

func (b *Binary) where() string {
	if b.From == "" {
		return b.Path
	}
	return fmt.Sprintf("%s (%s)", b.Path, b.From)
}
