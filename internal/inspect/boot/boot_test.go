package boot_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/firmware"
	"github.com/ringwall/ringwall/internal/inspect/boot"
	"github.com/ringwall/ringwall/internal/inspect/services"
	"github.com/ringwall/ringwall/internal/inspect/view"
	"github.com/ringwall/ringwall/internal/inspect/viewtest"
)

const (
	unknown = ringwall.Unknown
	pass    = ringwall.Pass
	partial = ringwall.Partial
	fail    = ringwall.Fail
)

func part(format string, facts map[string]string) view.Part {
	return view.Part{Place: format + "@0x0", Part: &firmware.Part{Format: format, Facts: facts}}
}

func env(facts map[string]string) view.Part { return part("uboot-env", facts) }

func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name, indicator string
		files           map[string]string
		parts           []view.Part
		want            ringwall.Outcome
	}{
		{"legacy image", "HW-01", nil, []view.Part{part("uimage", nil)}, fail},
		{"FIT without signature", "HW-01", nil, []view.Part{part("fit", map[string]string{"hash": "sha256"})}, fail},
		{"FIT with signature", "HW-01", nil, []view.Part{part("fit", map[string]string{"signature-algorithm": "sha256,rsa2048"})}, partial},
		{"legacy beside FIT", "HW-01", nil, []view.Part{part("fit", map[string]string{"signed": "true"}), part("uimage", nil)}, partial},
		{"verity", "HW-01", nil, []view.Part{env(map[string]string{"bootargs": "dm-mod.create=\"vroot,,,ro,0 1 verity 1 /dev/a\" root=/dev/dm-0"})}, partial},
		{"no kernel", "HW-01", nil, nil, unknown},

		{"shell on the console", "HW-02", map[string]string{"etc/inittab": "ttyS0::askfirst:-/bin/sh\n"}, nil, fail},
		{"getty that skips the login", "HW-02", map[string]string{"etc/inittab": "ttyS0::respawn:/sbin/getty -n -l /bin/sh 115200 ttyS0\n"}, nil, fail},
		{"getty", "HW-02", map[string]string{"etc/inittab": "ttyS0::respawn:/sbin/getty -L ttyS0 115200\n"}, nil, partial},
		{"shell on a screen", "HW-02", map[string]string{"etc/inittab": "tty1::askfirst:-/bin/sh\n"}, []view.Part{env(map[string]string{"bootargs": "root=/dev/mtdblock2"})}, pass},
		{"commented", "HW-02", map[string]string{"etc/inittab": "#ttyS0::askfirst:-/bin/sh\n"}, []view.Part{env(map[string]string{"bootargs": "console=tty1 quiet"})}, pass},
		{"kernel console alone", "HW-02", map[string]string{"etc/inittab": "::sysinit:/bin/true\n"}, []view.Part{env(map[string]string{"bootargs": "console=ttyAMA0,115200 root=/dev/mtdblock2"})}, partial},
		{"OpenWrt without ttylogin", "HW-02", map[string]string{"etc/inittab": "::askconsole:/usr/libexec/login.sh\n", "etc/config/system": "config system\n option ttylogin '0'\n"}, nil, fail},
		{"OpenWrt with ttylogin", "HW-02", map[string]string{"etc/inittab": "::askconsole:/usr/libexec/login.sh\n", "etc/config/system": "config system\n option ttylogin '1'\n"}, nil, partial},
		{"nothing known", "HW-02", map[string]string{"etc/inittab": "-> nowhere"}, nil, unknown},

		{"delay", "HW-03", nil, []view.Part{env(map[string]string{"bootdelay": "3", "bootcmd": "bootm"})}, fail},
		{"no delay", "HW-03", nil, []view.Part{env(map[string]string{"bootdelay": "0", "bootcmd": "bootm"})}, partial},
		{"never", "HW-03", nil, []view.Part{env(map[string]string{"bootdelay": "-2", "bootcmd": "bootm"})}, pass},
		{"prompt", "HW-03", nil, []view.Part{env(map[string]string{"bootdelay": "-1", "bootcmd": "bootm"})}, fail},
		{"not told", "HW-03", nil, []view.Part{env(map[string]string{"bootcmd": "bootm"})}, unknown},
		{"no environment", "HW-03", nil, []view.Part{part("uimage", nil)}, unknown},

		{"run from a card if it is there", "HW-05", map[string]string{"etc/init.d/rcS": "#!/bin/sh\nmount -t vfat /dev/mmcblk0p1 /mnt/sdcard\nif [ -f /mnt/sdcard/test.sh ]; then\n sh /mnt/sdcard/test.sh\nfi\n"}, nil, fail},
		{"sourced from a stick", "HW-05", map[string]string{"etc/init.d/rcS": "#!/bin/sh\n[ -f /media/sda1/auto.sh ] && . /media/sda1/auto.sh\n"}, nil, fail},
		{"copied from a card and run", "HW-05", map[string]string{"etc/init.d/rcS": "#!/bin/sh\nmount /dev/mmcblk0p1 /mnt/card\ncp /mnt/card/app /tmp/app\n/tmp/app &\n"}, nil, fail},
		{"on plugging in", "HW-05", map[string]string{"etc/mdev.conf": "sd[a-z] 0:0 660 @/etc/plug.sh\n", "etc/plug.sh": "#!/bin/sh\nmount -t vfat /dev/$MDEV /mnt/usb\n/mnt/usb/update.sh\n"}, nil, fail},
		{"on plugging in, by a name known only then", "HW-05", map[string]string{"etc/mdev.conf": "mmcblk[0-9]p[0-9] root:disk 660 *(/etc/auto.sh)\n", "etc/auto.sh": "#!/bin/sh\nd=/mnt\nup() {\n mkdir -p $d/$1 || exit 1\n if ! mount -t auto \"/dev/$1\" \"$d/$1\"; then exit 1; fi\n [ -f \"$d/$1/start.sh\" ] && sh $d/$1/start.sh | logger\n}\ncase \"$ACTION\" in add|\"\") up $MDEV;; esac\n"}, nil, fail},
		{"on plugging in, mounted only", "HW-05", map[string]string{"etc/mdev.conf": "sd[a-z][0-9] root:disk 660 @/etc/auto.sh\n", "etc/auto.sh": "#!/bin/sh\nmkdir -p /mnt/$MDEV\nmount /dev/$MDEV /mnt/$MDEV\necho /mnt/$MDEV > /tmp/disks\n"}, nil, pass},
		{"boot loader's update from a card", "HW-05", nil, []view.Part{env(map[string]string{"bootcmd": "sdupdate;sf probe;bootm", "bootdelay": "1"})}, fail},
		{"by run in the environment", "HW-05", nil, []view.Part{env(map[string]string{"bootcmd": "run upd; bootm", "env.upd": "mmc rescan; fatload mmc 0 0x80000 fw.bin", "bootdelay": "1"})}, fail},
		{"data on a card", "HW-05", map[string]string{"etc/init.d/rcS": "#!/bin/sh\nmount -t vfat /dev/mmcblk0p1 /mnt/sdcard\nmkdir -p /mnt/sdcard/record\ncp /etc/passwd /mnt/sdcard/\n"}, nil, pass},
		{"boots from soldered memory", "HW-05", nil, []view.Part{env(map[string]string{"bootcmd": "mmc dev 0; mmc read 0x80000 0 100; bootm", "bootdelay": "1"})}, pass},
		{"names that only look like a card", "HW-05", map[string]string{"etc/init.d/rcS": "#!/bin/sh\n/opt/sdk/run.sh\n/usr/share/usb/init.sh\n", "opt/sdk/run.sh": "#!/bin/sh\necho hi\n", "usr/share/usb/init.sh": "#!/bin/sh\necho hi\n"}, nil, pass},
		{"comment", "HW-05", map[string]string{"etc/init.d/rcS": "#!/bin/sh\n#/mnt/sdcard/test.sh\necho /mnt/sdcard/test.sh\n"}, nil, pass},
		{"start on a missing partition", "HW-05", map[string]string{"etc/init.d/rcS": "#!/bin/sh\nmount -t jffs2 /dev/mtdblock4 /system\n/system/init.sh\n"}, nil, unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{"etc/passwd": "root:*:0:0::/:/bin/sh\n", "bin/sh": "ELF", "etc/group": "root:x:0:\n", "etc/inittab": "::sysinit:/etc/init.d/rcS\n", "etc/init.d/rcS": "#!/bin/sh\necho hi\n"}
			maps.Copy(files, c.files)
			v := viewtest.Of(t, files)
			v.Parts = c.parts
			for _, f := range boot.Findings(v, boot.Read(v), services.Examine(v)) {
				if f.Indicator != c.indicator {
					continue
				}
				if f.Outcome != c.want || f.Confidence != ringwall.Observed {
					t.Errorf("%s is %v: %q %v, want %v", f.Indicator, f.Outcome, f.Title, f.Evidence, c.want)
				}
				if f.Outcome == pass && len(f.Evidence) == 0 {
					t.Error("a pass without a reason")
				}
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	v := viewtest.Of(t, map[string]string{"etc/passwd": "root:*:0:0::/:/bin/sh\n", "etc/inittab": "::sysinit:/etc/init.d/rcS\n", "bin/sh": "ELF", "etc/init.d/rcS": "#!/bin/sh\nmount -t jffs2 /dev/mtdblock4 /system\n/system/app &\n"})
	s := services.Examine(v)
	for _, c := range []struct {
		kind, args string
		want       ringwall.Outcome
	}{{"squashfs", "", partial}, {"ext4", "root=/dev/mmcblk0p2 rw", fail}, {"ext4", "root=/dev/mmcblk0p2 ro", partial}, {"", "", unknown}} {
		v.Trees[0].Type = c.kind
		for _, f := range boot.Findings(v, boot.Chain{Args: c.args}, s) {
			if f.Indicator == "FS-13" && f.Outcome != c.want {
				t.Errorf("root %q with %q: %v %q, want %v", c.kind, c.args, f.Outcome, f.Title, c.want)
			}
		}
	}
}

func TestCompiled(t *testing.T) {
	blob := "\x00junk\x00\x01\x02bootargs=console=ttyS1\x00bootcmd=bootm 0x8000\x00bootdelay=1\x00\x00strings: bootcmd=%s\x00"
	vals, at := boot.Compiled([]byte(strings.Repeat("\xff", 100) + strings.Replace(blob, "\x02boot", "\x02\x00boot", 1)))
	if vals["bootcmd"] != "bootm 0x8000" || vals["bootdelay"] != "1" || vals["bootargs"] != "console=ttyS1" || at < 100 {
		t.Errorf("environment %v at %d", vals, at)
	}
	for _, s := range []string{"", "\x00bootcmd=", "\x00bootcmd\x00bootdelay\x00", "usage: \x00bootcmd=%s is not set\x00help\x00"} {
		if vals, _ := boot.Compiled([]byte(s)); vals != nil {
			t.Errorf("Compiled(%q) = %v, want none", s, vals)
		}
	}
}

func FuzzCompiled(f *testing.F) {
	f.Add([]byte("\x00a=b\x00bootcmd=x\x00bootdelay=1\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if vals, at := boot.Compiled(b); vals != nil && (at < 0 || at >= len(b) || len(vals) > 200) {
			t.Fatalf("%d values at %d of %d", len(vals), at, len(b))
		}
	})
}
