package view_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/firmware"
	"github.com/ringwall/ringwall/internal/inspect/view"
	"github.com/ringwall/ringwall/internal/inspect/viewtest"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

func root(more map[string]string) map[string]string {
	files := map[string]string{"etc/passwd": "root:x:0:0::/:/bin/sh\n", "etc/inittab": "::sysinit:/etc/init.d/rcS\n", "bin/sh": "ELF"}
	for k, v := range more {
		files[k] = v
	}
	return files
}

func source(t *testing.T, files map[string]string) view.Source {
	return view.Source{Tree: viewtest.Tree(t, files)}
}

func TestOf_partitionsAreMounted(t *testing.T) {
	r := source(t, root(map[string]string{
		"etc/init.d/rcS": "#!/bin/sh\nmount -t jffs2 /dev/mtdblock4 /system\nmount -t jffs2 /dev/mtdblock5 /configs\n/system/init/app_init.sh &\n",
		"etc/os-release": "-> ../system/etc/os-release", "system/": "",
	}))
	app := source(t, map[string]string{"init/app_init.sh": "#!/bin/sh\n/system/bin/app\n", "bin/app": "ELF", "etc/os-release": "VERSION_ID=1.2\n"})
	stray := source(t, map[string]string{"log.txt": "hello\n"})
	vs := view.Of(r, app, stray)
	if len(vs) != 1 || !vs[0].Root {
		t.Fatalf("%d views", len(vs))
	}
	v := vs[0]
	if text, ok := v.Text("/etc/os-release"); !ok || text != "VERSION_ID=1.2\n" {
		t.Errorf("a link into another partition gives %q, %v", text, ok)
	}
	if f, ok := v.Find("/system/init/app_init.sh"); !ok || f.Path != "/system/init/app_init.sh" {
		t.Errorf("the script of the partition was not found: %+v", f)
	}
	if _, ok := v.Find("/log.txt"); ok {
		t.Error("a partition of nowhere stands in the root")
	}
	if at := v.Trees[2].At; !strings.HasPrefix(at, "/.part/") {
		t.Errorf("it is mounted at %q", at)
	}
	if !v.Writable("/configs/x") || !v.Writable("/tmp/x") || v.Writable("/etc/x") {
		t.Error("what can be written: a partition not in the image and /tmp can, /etc of the root cannot")
	}
}

func TestOf_rootInAFolder(t *testing.T) {
	files := map[string]string{}
	for k, c := range root(nil) {
		files["build/target/"+k] = c
	}
	vs := view.Of(source(t, files))
	if len(vs) != 1 || !vs[0].Root {
		t.Fatalf("%d views, root %v", len(vs), vs[0].Root)
	}
	if _, ok := vs[0].Text("/etc/passwd"); !ok {
		t.Error("the root in a folder is not laid out from /")
	}
}

func TestOf_noRoot(t *testing.T) {
	vs := view.Of(source(t, map[string]string{"a.conf": "x=y\n"}))
	if len(vs) != 1 || vs[0].Root || vs[0].Name != "" {
		t.Errorf("%d views, root %v", len(vs), vs[0].Root)
	}
	if _, ok := vs[0].Text("/a.conf"); !ok {
		t.Error("its files cannot be read")
	}
}

func TestView_links(t *testing.T) {
	v := viewtest.Of(t, root(map[string]string{
		"a": "-> b", "b": "-> a", "up": "-> ../../../etc/passwd", "abs": "-> /etc/passwd", "dir": "-> etc", "lib/x": "-> ../gone",
	}))
	for p, want := range map[string]string{"/up": "/etc/passwd", "/abs": "/etc/passwd", "/dir/passwd": "/etc/passwd", "/dir/../bin/sh": "/bin/sh"} {
		if f, ok := v.Find(p); !ok || f.Path != want {
			t.Errorf("Find(%q) = %+v, %v, want %q", p, f, ok, want)
		}
	}
	for _, p := range []string{"/a", "/lib/x", "/etc/passwd/x", "/nothing"} {
		if f, ok := v.Find(p); ok {
			t.Errorf("Find(%q) = %q, want nothing", p, f.Path)
		}
	}
	if got := v.Target("/lib/x"); got != "/gone" {
		t.Errorf("Target = %q", got)
	}
}

func TestOf_realCamera(t *testing.T) {
	var ss []view.Source
	for _, n := range []string{"rootfs", "driver"} {
		b, err := os.ReadFile(sharedtest.Path(t, "firmware/xiaofang_5.6.2.43_"+n+".bin"))
		if err != nil {
			t.Fatal(err)
		}
		im, err := firmware.Open(bytes.NewReader(b), int64(len(b)), firmware.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ss = append(ss, view.Source{Label: n, Image: im})
	}
	v := view.Of(ss...)[0]
	if f, ok := v.Find("/driver/tx-isp.ko"); !ok || !strings.HasPrefix(f.From, "driver:") && !strings.HasPrefix(f.From, "squashfs") {
		t.Errorf("the driver partition is not at /driver: %+v", v.Trees)
	}
}

func TestIsText(t *testing.T) {
	for s, want := range map[string]bool{"hello\n": true, "\xc9\xea\xc7\xebGPIO\n": true, "a\x00b": false, "\x7fELF\x01\x01": false, "": false} {
		if got := view.IsText([]byte(s)); got != want {
			t.Errorf("IsText(%q) = %v", s, got)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("mount -t jffs2 /dev/mtdblock4 /system\n/system/x\n", "/x/y")
	f.Fuzz(func(t *testing.T, text, link string) {
		if len(text) > 16<<10 || len(link) > 1024 || link == "" || strings.ContainsRune(link, 0) {
			return
		}
		v := view.Of(source2(t, map[string]string{"etc/passwd": "x", "etc/inittab": text, "etc/fstab": text, "l": "-> " + link}), source2(t, map[string]string{"x": text}))[0]
		v.Find("/l")
		v.Target("/l/x")
		for _, f := range v.Files() {
			v.TextOf(f)
		}
	})
}

func source2(t *testing.T, files map[string]string) view.Source {
	return view.Source{Tree: viewtest.Tree(t, files)}
}
