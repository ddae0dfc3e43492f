package components

import (
	"bytes"
	"context"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/firmware"
)

func tree(t testing.TB, files fstest.MapFS) *firmware.Tree {
	t.Helper()
	tr, err := firmware.FromFS(files)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func program7(texts ...string) *fstest.MapFile {
	return &fstest.MapFile{Data: blob(texts), Mode: 0o755}
}

func named(all []api.Component, name string) []api.Component {
	var out []api.Component
	for _, c := range all {
		if c.Name == name {
			out = append(out, c)
		}
	}
	return out
}

func TestIdentify_aSmallRootFileSystem(t *testing.T) {
	tr := tree(t, fstest.MapFS{
		"bin/busybox":             program7("BusyBox v1.22.1 (2017-05-06 10:20:30 CST)"),
		"bin/sh":                  &fstest.MapFile{Data: []byte("busybox"), Mode: fs.ModeSymlink | 0o777},
		"lib/libz.so.1":           program7(" deflate 1.2.8 Copyright 1995-2013 Jean-loup Gailly and Mark Adler "),
		"usr/bin/tool":            program7(" inflate 1.2.8 Copyright 1995-2013 Mark Adler "),
		"usr/share/doc/README":    &fstest.MapFile{Data: []byte(strings.Repeat("BusyBox v9.9.9 is great\x00 ", 10))},
		"etc/init.d/rcS":          &fstest.MapFile{Data: []byte("#!/bin/sh\n# needs dnsmasq-2.80 and BusyBox v8.8.8\n" + strings.Repeat("echo\n", 30)), Mode: 0o755},
		"www/index.html":          &fstest.MapFile{Data: []byte("<p>lighttpd/1.4.20 BusyBox v7.7.7</p>" + strings.Repeat(" ", 100))},
		"lib/modules/3.10/x.ko":   program7("vermagic=3.10.14 preempt mod_unload MIPS32_R1 32BIT "),
		"usr/lib/opkg/status":     &fstest.MapFile{Data: []byte("Package: busybox\nVersion: 1.22.1-3\nStatus: install user installed\nArchitecture: mipsel_24kc\n\nPackage: libubox\nVersion: 2019-01-01\nStatus: install ok installed\n\nPackage: dropbear\nVersion: 2017.75-1\nStatus: deinstall ok config-files\n")},
		"usr/sbin/notedprog":      program7(`{"type":"rpm","os":"fedora","name":"dnsmasq","version":"2.80-1.fc30","architecture":"armv7hl","osCpe":"cpe:/o:fedoraproject:fedora:30"}`),
		"usr/lib/broken-image.so": &fstest.MapFile{Data: []byte("tiny")},
	})
	got := Identify(context.Background(), tr, Options{})
	names := map[string]string{}
	for _, c := range got {
		names[c.Name] += c.Version + ";"
	}
	want := map[string]string{"busybox": "1.22.1;", "zlib": "1.2.8;", "linux": "3.10.14;", "dnsmasq": "2.80;", "libubox": "2019-01-01;"}
	if !reflect.DeepEqual(names, want) {
		t.Fatalf("found %v, want %v", names, want)
	}
	bb := named(got, "busybox")[0]
	if bb.CPE != "cpe:2.3:a:busybox:busybox:1.22.1:*:*:*:*:*:*:*" || bb.PURL != "pkg:opkg/busybox@1.22.1-3?arch=mipsel_24kc" {
		t.Errorf("busybox: CPE %q, PURL %q", bb.CPE, bb.PURL)
	}
	if want := []string{"bin/busybox", "usr/lib/opkg/status"}; !reflect.DeepEqual(bb.Paths, want) {
		t.Errorf("busybox lies in %q, want %q", bb.Paths, want)
	}
	if z := named(got, "zlib")[0]; len(z.Paths) != 2 || z.PURL != "pkg:generic/zlib@1.2.8" {
		t.Errorf("zlib: %+v", z)
	}
	if again := Identify(context.Background(), tr, Options{}); !reflect.DeepEqual(again, got) {
		t.Error("a second look at the same tree says otherwise")
	}
}

func TestIdentify_marksWhatListensAndWhatItLoads(t *testing.T) {
	tr := tree(t, fstest.MapFS{
		"usr/sbin/camd":          {Data: append(minimalELF("libssl.so.1.0.0"), blob([]string{"gSOAP/2.7", "soap_serve"})...), Mode: 0o755},
		"usr/lib/libssl.so":      {Data: []byte("libssl.so.1.0.0"), Mode: fs.ModeSymlink | 0o777},
		"lib/libssl.so.1.0.0":    {Data: append(minimalELF("libcrypto.so.1.0.0"), blob([]string{"OpenSSL 1.0.1e 11 Feb 2013"})...), Mode: 0o755},
		"lib/libcrypto.so.1.0.0": {Data: append(minimalELF(), blob([]string{"OpenSSL 1.0.1e 11 Feb 2013"})...), Mode: 0o755},
		"usr/bin/curl":           {Data: append(minimalELF(), blob([]string{"curl 7.60.0 (arm-unknown-linux-gnu) %s"})...), Mode: 0o755},
	})
	got := Identify(context.Background(), tr, Options{Listening: []string{"/usr/sbin/camd"}})
	for name, want := range map[string]bool{"gsoap": true, "openssl": true, "curl": false} {
		c := named(got, name)
		if len(c) != 1 || c[0].Exposed != want {
			t.Errorf("%s: %+v, want exposed %v", name, c, want)
		}
	}
}

func TestIdentify_stopsWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var notes []string
	got := Identify(ctx, tree(t, fstest.MapFS{"bin/busybox": program7("BusyBox v1.22.1 (x)")}), Options{Note: func(s string) { notes = append(notes, s) }})
	if len(got) != 0 || len(notes) != 1 {
		t.Errorf("found %v with notes %q after the context was done", got, notes)
	}
}

func TestScan_ofAStream(t *testing.T) {
	got, err := Scan(context.Background(), "vmlinux", bytes.NewReader(blob([]string{"Linux version 4.9.37 (root@u) (gcc version 6.3.0) #1 Mon"})), Options{})
	if err != nil || len(got) != 1 || got[0].CPE != "cpe:2.3:o:linux:linux_kernel:4.9.37:*:*:*:*:*:*:*" {
		t.Errorf("Scan = %+v, %v", got, err)
	}
}

func TestUpstream(t *testing.T) {
	for in, want := range map[string]string{
		"1:1.2.13.dfsg-1":               "1.2.13",
		"1:1.3.dfsg+really1.3.1-1+b1":   "1.3.1",
		"2.12.7+dfsg+really2.9.14-2.1":  "2.9.14",
		"1.1.1n-0+deb11u5":              "1.1.1n",
		"2019.78-2":                     "2019.78",
		"1.31.1-r9":                     "1.31.1",
		"4.2.8p15+dfsg-2~1.2.2+dfsg1-1": "4.2.8p15",
		"8.4p1":                         "8.4p1",
		"4.1.0~beta2+dfsg-3":            "4.1.0~beta2",
		"2.1.12-stable-1":               "2.1.12-stable",
	} {
		if got := upstream(in); got != want {
			t.Errorf("upstream(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseAPK(t *testing.T) {
	var got []installed
	err := parseAPK(strings.NewReader("C:Q1\nP:busybox\nV:1.31.1-r9\nA:armhf\n\nP:musl\nV:1.1.24-r2\n"), func(i installed) bool { got = append(got, i); return true })
	want := []installed{{"busybox", "1.31.1-r9", "armhf"}, {"musl", "1.1.24-r2", ""}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseAPK = %v, %v, want %v", got, err, want)
	}
}

func TestParseBook_refuses(t *testing.T) {
	for name, text := range map[string]string{
		"another format":   `{"format":9,"version":"x","fingerprints":[]}`,
		"an unknown field": `{"format":1,"version":"x","fingerprints":[],"more":1}`,
		"a name twice":     `{"format":1,"version":"x","fingerprints":[{"name":"a","vendor":"v","product":"p","rules":[]},{"name":"a","vendor":"v","product":"p","rules":[]}]}`,
		"no group":         `{"format":1,"version":"x","fingerprints":[{"name":"a","vendor":"v","product":"p","rules":[{"find":["abc"],"version":"abc"}]}]}`,
		"a version standing alone without evidence": `{"format":1,"version":"x","fingerprints":[{"name":"a","vendor":"v","product":"p","rules":[{"alone":true,"version":"(1)"}]}]}`,
		"a file name without evidence":              `{"format":1,"version":"x","fingerprints":[{"name":"a","vendor":"v","product":"p","rules":[{"name":true,"version":"(1)"}]}]}`,
		"a literal of two bytes":                    `{"format":1,"version":"x","fingerprints":[{"name":"a","vendor":"v","product":"p","rules":[{"find":["ab"],"version":"(1)"}]}]}`,
		"two kinds at once":                         `{"format":1,"version":"x","fingerprints":[{"name":"a","vendor":"v","product":"p","rules":[{"find":["abc"],"alone":true,"version":"(1)"}]}]}`,
	} {
		if _, err := ParseBook(strings.NewReader(text)); err == nil {
			t.Errorf("a book with %s is accepted", name)
		}
	}
}

// minimalELF makes a 32-bit little-endian ELF header, dynamic section and
// string table that ask for libraries, and nothing else.
func minimalELF(needed ...string) []byte {
	strtab := []byte{0}
	var dyn []byte
	put := func(b []byte, vs ...uint32) []byte {
		for _, v := range vs {
			b = append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
		}
		return b
	}
	for _, n := range needed {
		dyn = put(dyn, 1, uint32(len(strtab)))
		strtab = append(append(strtab, n...), 0)
	}
	dyn = put(dyn, 0, 0)
	shstr := []byte("\x00.dynstr\x00.dynamic\x00.shstrtab\x00")
	const head = 52
	dynAt := uint32(head)
	strAt := dynAt + uint32(len(dyn))
	shstrAt := strAt + uint32(len(strtab))
	shAt := shstrAt + uint32(len(shstr))
	b := []byte{0x7f, 'E', 'L', 'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 40, 0}
	b = put(b, 1, 0, 0, shAt, 0)
	b = append(b, head, 0, 32, 0, 0, 0, 40, 0, 4, 0, 3, 0)
	b = append(append(append(b, dyn...), strtab...), shstr...)
	b = put(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = put(b, 1, 3, 0, 0, strAt, uint32(len(strtab)), 0, 0, 1, 0)
	b = put(b, 9, 6, 0, 0, dynAt, uint32(len(dyn)), 1, 0, 4, 8)
	return put(b, 18, 3, 0, 0, shstrAt, uint32(len(shstr)), 0, 0, 1, 0)
}

func FuzzScan(f *testing.F) {
	for i := range positives {
		f.Add(positives[i].file, blob(positives[i].texts))
	}
	f.Add("x", []byte(`{"type":"deb","name":`))
	b := Shipped()
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		s := newScanner(b)
		out, err := s.scan(context.Background(), name, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if cap(s.buf) > window+2*reach+b.longest || len(s.alone) > maxAlone {
			t.Fatal("the scanner grew with its input")
		}
		for _, f := range out {
			if len(f.version) > maxVersion {
				t.Fatalf("version of %d bytes", len(f.version))
			}
		}
	})
}

func FuzzPackageDatabases(f *testing.F) {
	f.Add([]byte("Package: a\nVersion: 1\nStatus: install ok installed\n\n"))
	f.Add([]byte("P:a\nV:1\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for i := range databases {
			n := 0
			_ = databases[i].parse(bytes.NewReader(data), func(i installed) bool {
				if i.name == "" || i.version == "" {
					t.Fatal("a package without name or version")
				}
				upstream(i.version)
				n++
				return n < 100
			})
		}
	})
}

func FuzzParseBook(f *testing.F) {
	f.Add([]byte(`{"format":1,"version":"x","fingerprints":[{"name":"a","vendor":"v","product":"p","rules":[{"find":["abc"],"version":"abc(\\d)"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if b, err := ParseBook(bytes.NewReader(data)); err == nil && b.auto == nil {
			t.Fatal("a book without an automaton")
		}
	})
}

// BenchmarkScan reads 32 MiB that look like programs: machine code, and text
// in a fifth of it.
func BenchmarkScan(b *testing.B) {
	var data []byte
	for len(data) < 32<<20 {
		for i := range positives {
			data = append(data, blob(positives[i].texts)...)
		}
		data = append(data, bytes.Repeat([]byte("assertion failed: %s\x00version %d.%d of the library\x00/usr/lib/\x00"), 5000)...)
	}
	s := newScanner(Shipped())
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.scan(context.Background(), "all", bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}
