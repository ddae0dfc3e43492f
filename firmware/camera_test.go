package firmware

import (
	"bytes"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/internal/sharedtest"
)

const (
	flashSize = 16 << 20
)

// flash joins the partitions of a real camera to the dump of its flash, at the
// places its own boot loader names in mtdparts.
func flash(t testing.TB) []byte {
	t.Helper()
	dump := bytes.Repeat([]byte{0xff}, flashSize)
	for name, at := range map[string]int{"uboot": 0, "kernel": 256 << 10, "rootfs": 2304 << 10, "driver": 5696 << 10, "config": 15616 << 10} {
		b, err := os.ReadFile(sharedtest.Path(t, "firmware/xiaofang_5.6.2.43_"+name+".bin"))
		if err != nil {
			t.Fatal(err)
		}
		copy(dump[at:], b)
	}
	return dump
}

func TestOpen_flashOfARealCamera(t *testing.T) {
	im := openBytes(t, flash(t), Options{})
	var places []string
	im.Walk(func(place string, p *Part) {
		places = append(places, place)
		if p.Err != "" {
			t.Errorf("%s: %s", place, p.Err)
		}
	})
	want := []string{
		"uboot@0x0", "uboot@0x0/uboot-env@0x2a65c", "uimage@0x40000", "uimage@0x40000/lzma@0x0", "squashfs@0x240000", "squashfs@0x590000", "jffs2@0xf40000",
	}
	if strings.Join(places, "\n") != strings.Join(want, "\n") {
		t.Errorf("parts:\n%s\nwant:\n%s", strings.Join(places, "\n"), strings.Join(want, "\n"))
	}
	env := part(t, im, "uboot@0x0/uboot-env@0x2a65c")
	checkFacts(t, env, map[string]string{FactDefault: "true", FactBootdelay: "1"})
	checkFacts(t, part(t, im, "uimage@0x40000"), map[string]string{FactChecksum: "ok", FactArch: "mips", FactCompression: "lzma"})
	if k := part(t, im, "uimage@0x40000/lzma@0x0").Facts[FactKernel]; !strings.HasPrefix(k, "Linux version 3.10.14") {
		t.Errorf("the kernel names itself %q", k)
	}
	files, bytes := readAll(t, im)
	if files != 81 || bytes != 11_938_310 {
		t.Errorf("%d files of %d bytes", files, bytes)
	}
}

// readAll reads every file of every tree.
func readAll(t testing.TB, im *Image) (files int, total int64) {
	for _, tree := range im.Trees() {
		for _, f := range tree.Files() {
			if !f.Mode.IsRegular() {
				continue
			}
			b, err := tree.ReadFile(f.Path, 64<<20)
			if err != nil {
				t.Error(err)
			}
			files++
			total += int64(len(b))
		}
	}
	return files, total
}

func TestOpen_overlayOfIoTGoat(t *testing.T) {
	im := openPath(t, sharedtest.Path(t, "firmware/iotgoat_overlay.tar.gz"), Options{})
	trees := im.Trees()
	if len(trees) != 1 || trees[0].From() != "gzip@0x0/tar@0x0" || len(problems(im)) > 0 {
		t.Fatalf("%d trees, problems %q", len(trees), problems(im))
	}
	if n, _ := readAll(t, im); n == 0 {
		t.Error("no file was read")
	}
}

// BenchmarkOpen_cameraRoot opens the root file system of a real camera (405
// entries, 3.5 MB of SquashFS with xz) and reads every file once.
func BenchmarkOpen_cameraRoot(b *testing.B) {
	raw, err := os.ReadFile(sharedtest.Path(b, "firmware/xiaofang_5.6.2.43_rootfs.bin"))
	if err != nil {
		b.Fatal(err)
	}
	benchmarkOpen(b, raw)
}

// BenchmarkOpen_cameraFlash does so with a whole flash of 16 MiB.
func BenchmarkOpen_cameraFlash(b *testing.B) { benchmarkOpen(b, flash(b)) }

func benchmarkOpen(b *testing.B, raw []byte) {
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	peak := uint64(0)
	for b.Loop() {
		im := openBytes(b, raw, Options{})
		readAll(b, im)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapSys)
	}
	b.ReportMetric(float64(peak)/(1<<20), "heap-MiB")
}
