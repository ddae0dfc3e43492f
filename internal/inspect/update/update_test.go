package update

import (
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/inspect/hardening"
	"github.com/ringwall/ringwall/internal/inspect/view"
	"github.com/ringwall/ringwall/internal/inspect/viewtest"
)

const (
	unknown = ringwall.Unknown
	pass    = ringwall.Pass
	partial = ringwall.Partial
	fail    = ringwall.Fail
)

func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name, path, content       string
		signed, channel, rollback ringwall.Outcome
	}{
		{"checksum only, in clear", "usr/bin/ota.sh", "#!/bin/sh\nwget http://fw.example.org/cam.bin -O /tmp/fw\nmd5sum -c /tmp/fw.md5 || exit 1\nflashcp /tmp/fw /dev/mtd3\n", fail, fail, fail},
		{"no check at all", "sbin/upgrade", "#!/bin/sh\ndd if=/tmp/fw of=/dev/mtdblock2\n", fail, unknown, fail},
		{"OpenWrt's mtd", "sbin/up", "#!/bin/sh\nmtd -r write /tmp/fw firmware\n", fail, unknown, fail},
		{"signature, TLS, version", "usr/bin/ota.sh", "#!/bin/sh\ncurl -fsS https://fw.example.org/cam.bin -o /tmp/fw\nusign -V -m /tmp/fw -p /etc/key.pub || exit 1\nno_downgrade /tmp/fw || exit 1\nflashcp /tmp/fw /dev/mtd3\n", pass, pass, partial},
		{"server not checked", "usr/bin/ota.sh", "#!/bin/sh\ncurl -sk https://fw.example.org/cam.bin -o /tmp/fw\nopenssl dgst -sha256 -verify /etc/k.pem -signature /tmp/s /tmp/fw || exit 1\nflashcp /tmp/fw /dev/mtd3\n", pass, fail, fail},
		{"pipe to a shell", "etc/init.d/rcS", "#!/bin/sh\nwget -qO- http://10.0.0.1/x | sh\n", unknown, fail, unknown},

		{"formats a partition", "etc/init.d/rcS", "#!/bin/sh\nflash_eraseall /dev/mtd4\nmount -t jffs2 /dev/mtdblock4 /system\n", unknown, unknown, unknown},
		{"reads flash", "usr/bin/dump.sh", "#!/bin/sh\ndd if=/dev/mtd0 of=/tmp/x\nmd5sum /tmp/x\n", unknown, unknown, unknown},
		{"comment", "usr/bin/ota.sh", "#!/bin/sh\n# flashcp /tmp/fw /dev/mtd3\n# wget http://x.example.org/fw\necho flashcp x /dev/mtd3\n", unknown, unknown, unknown},
		{"documentation", "usr/share/doc/ota.sh", "#!/bin/sh\nflashcp /tmp/fw /dev/mtd3\n", unknown, unknown, unknown},
		{"fetches something else", "usr/bin/weather.sh", "#!/bin/sh\nwget http://weather.example.org/today\n", unknown, unknown, unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := scan(t, map[string]string{c.path: c.content}, nil)
			for id, want := range map[string]ringwall.Outcome{"FS-09": c.signed, "FS-10": c.channel, "FS-11": c.rollback} {
				if f := got[id]; f.Outcome != want || f.Confidence != ringwall.Observed {
					t.Errorf("%s is %v: %q %v, want %v", id, f.Outcome, f.Title, f.Evidence, want)
				}
			}
		})
	}
}

func scan(t *testing.T, files map[string]string, bin *hardening.Binary) map[string]ringwall.Finding {
	t.Helper()
	v := viewtest.Of(t, files)
	var s Scan
	for f := range v.Regular {
		data := v.Data(f)
		if view.IsELF(data) {
			s.File(f, data, bin)
		} else {
			s.File(f, data, nil)
		}
	}
	out := map[string]ringwall.Finding{}
	for _, f := range s.Findings() {
		out[f.Indicator] = f
	}
	return out
}

func TestFindings_programs(t *testing.T) {
	body := "\x7fELF\x00flashcp /tmp/fw /dev/mtd3\x00start upgrade\x00http://ota.cam.example2.org/upgrade/fw.bin\x00"
	got := scan(t, map[string]string{"usr/bin/app": body}, &hardening.Binary{Imports: []string{"MD5_Final", "system"}})
	if got["FS-09"].Outcome != fail || got["FS-10"].Outcome != fail {
		t.Errorf("MD5 only, in clear: %v %v, %v %v", got["FS-09"].Outcome, got["FS-09"].Evidence, got["FS-10"].Outcome, got["FS-10"].Evidence)
	}
	got = scan(t, map[string]string{"usr/bin/app": body}, &hardening.Binary{Imports: []string{"MD5_Final", "RSA_verify"}})
	if got["FS-09"].Outcome != unknown || len(got["FS-09"].Evidence) == 0 {
		t.Errorf("it could verify: %v %v", got["FS-09"].Outcome, got["FS-09"].Evidence)
	}
	got = scan(t, map[string]string{"usr/sbin/flashcp": body, "bin/busybox": body, "usr/lib/libcurl.so.4": "\x7fELF\x00http://curl.example2.org/docs/update.html\x00"}, &hardening.Binary{})
	if got["FS-09"].Outcome != unknown || got["FS-10"].Outcome != unknown {
		t.Errorf("tools are no updaters: %v, %v %v", got["FS-09"].Evidence, got["FS-10"].Outcome, got["FS-10"].Evidence)
	}
}
