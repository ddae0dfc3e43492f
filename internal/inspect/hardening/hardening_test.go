package hardening

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/firmware"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

const source = `#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) { char b[64]; strcpy(b, argv[argc-1]); printf("%s", b); return (int)strlen(b); }
`

func compile(t *testing.T, flags ...string) []byte {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("SKIPPED, NOT TESTED: no gcc on this machine")
	}
	dir := t.TempDir()
	src, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a")
	if err := os.WriteFile(src, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command(gcc, append([]string{"-w", "-o", out, src}, flags...)...).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: gcc %v: %v: %s", flags, err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRead(t *testing.T) {
	hard := compile(t, "-O2", "-fPIE", "-pie", "-fstack-protector-all", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now", "-Wl,-z,noexecstack")
	soft := compile(t, "-O0", "-no-pie", "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-Wl,-z,norelro", "-Wl,-z,execstack", "-Wl,-rpath,/tmp/lib")
	for _, c := range []struct {
		name string
		data []byte
		want [5]Answer
		path string
	}{
		{"hard", hard, [5]Answer{Present, Present, Present, Present, Present}, ""},
		{"soft", soft, [5]Answer{Absent, Absent, Absent, Absent, Absent}, "/tmp/lib"},
	} {
		b, ok := Read("/bin/"+c.name, "", c.data)
		if !ok || b.Err != "" || !b.Program {
			t.Fatalf("%s: %+v, %v", c.name, b, ok)
		}
		if got := [5]Answer{b.NX, b.PIE, b.RELRO, b.Canary, b.Fortify}; got != c.want || b.RunPath != c.path {
			t.Errorf("%s: NX PIE RELRO canary FORTIFY = %v, run path %q, want %v, %q", c.name, got, b.RunPath, c.want, c.path)
		}
	}
	h, _ := Read("/bin/hard", "", hard)
	s, _ := Read("/bin/soft", "", soft)
	no := func(Binary) bool { return false }
	if f := Finding([]Binary{h, h}, no); f.Outcome != ringwall.Pass {
		t.Errorf("hard programs: %v %v", f.Outcome, f.Evidence)
	}
	if f := Finding([]Binary{s, s}, no); f.Outcome != ringwall.Fail {
		t.Errorf("soft programs: %v %v", f.Outcome, f.Evidence)
	}
	// Of many hard ones, the soft one that faces the network weighs more.
	s.RunPath = ""
	all := []Binary{h, h, h, h, h, h, s}
	if f := Finding(all, no); f.Outcome != ringwall.Pass {
		t.Errorf("one soft program among six: %v %v", f.Outcome, f.Facts)
	}
	if f := Finding(all, func(b Binary) bool { return b.Path == "/bin/soft" }); f.Outcome != ringwall.Partial {
		t.Errorf("the soft one faces the network: %v %v", f.Outcome, f.Facts)
	}
	if f := Finding(nil, no); f.Outcome != ringwall.Unknown {
		t.Errorf("no programs: %v", f.Outcome)
	}
}

// What MIPS does not provide is not the vendor's fault.
func TestRead_platform(t *testing.T) {
	raw, err := os.ReadFile(sharedtest.Path(t, "firmware/xiaofang_5.6.2.43_rootfs.bin"))
	if err != nil {
		t.Fatal(err)
	}
	im, err := firmware.Open(bytes.NewReader(raw), int64(len(raw)), firmware.Options{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := im.Trees()[0].ReadFile("bin/busybox", 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	b, ok := Read("/bin/busybox", "squashfs", data)
	if !ok || b.Machine != elf.EM_MIPS || b.NX != NotProvided || b.Fortify != NotProvided || b.RELRO != NotProvided || b.PIE != Absent || b.Canary != Absent {
		t.Errorf("BusyBox of a MIPS camera: %+v", b)
	}
	if !b.Uses("listen", "accept") {
		t.Error("its imports were not read")
	}
	f := Finding([]Binary{b}, func(Binary) bool { return true })
	if !strings.Contains(strings.Join(f.Evidence, "\n"), "NX: not provided by the platform") {
		t.Errorf("evidence %v", f.Evidence)
	}
}

func TestRead_broken(t *testing.T) {
	for _, s := range []string{"\x7fELF", "\x7fELF\x01\x01\x01\x00 made up", "\x7fELF\x02\x01\x01" + strings.Repeat("\xff", 200)} {
		if b, ok := Read("/x", "", []byte(s)); ok && b.Err == "" {
			t.Errorf("Read(%q) = %+v without an error", s, b)
		}
	}
	object := append([]byte("\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 1, 0)
	if _, ok := Read("/x.ko", "", object); ok {
		t.Error("an object counts as a program")
	}
}

func FuzzRead(f *testing.F) {
	if exe, err := os.Executable(); err == nil {
		if b, err := os.ReadFile(exe); err == nil {
			f.Add(b[:min(len(b), 4096)])
		}
	}
	f.Add([]byte("\x7fELF\x01\x01\x01\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, ok := Read("/x", "", data)
		if ok && len(b.Imports) > maxSymbols {
			t.Fatal("too many imports")
		}
	})
}
