package identity

import (
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/firmware"
	"github.com/ringwall/ringwall/internal/inspect/view"
	"github.com/ringwall/ringwall/internal/inspect/viewtest"
)

var now = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func TestRead(t *testing.T) {
	v := viewtest.Of(t, map[string]string{
		"etc/passwd": "root:*:0:0::/:/bin/sh\n", "etc/inittab": "x\n",
		"etc/openwrt_release": "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='18.06.2'\n", "etc/device_info": "DEVICE_MANUFACTURER='Maker'\nDEVICE_PRODUCT='Cam 3'\n", "etc/version": "not a version\n",
	})
	r := Read(v, now)
	if want := (api.Identity{Vendor: "Maker", Model: "Cam 3", Firmware: "18.06.2"}); r.Identity != want {
		t.Errorf("identity %+v, want %+v", r.Identity, want)
	}
	v = viewtest.Of(t, map[string]string{"etc/passwd": "root:*:0:0::/:/bin/sh\n", "etc/inittab": "x\n", "etc/fw_version": "version: 4.3.2.77\n"})
	if r := Read(v, now); r.Identity.Firmware != "4.3.2.77" {
		t.Errorf("version %q", r.Identity.Firmware)
	}
}

func TestFresh(t *testing.T) {
	for _, c := range []struct {
		name  string
		facts []map[string]string
		want  ringwall.Outcome
		built string
	}{
		{"new", []map[string]string{{"made": "2026-05-01T00:00:00Z"}}, ringwall.Pass, "2026-05-01"},
		{"aging", []map[string]string{{"made": "2024-12-01T00:00:00Z"}}, ringwall.Partial, "2024-12-01"},
		{"old", []map[string]string{{"made": "2019-12-01T00:00:00Z"}}, ringwall.Fail, "2019-12-01"},
		{"the newest part counts", []map[string]string{{"made": "2019-12-01T00:00:00Z"}, {"made": "2026-03-01T00:00:00Z"}}, ringwall.Pass, "2026-03-01"},
		{"from the kernel's line", []map[string]string{{"kernel": "Linux version 3.10.14 (a@b) (gcc) #1 PREEMPT Wed Jan 24 02:41:01 CST 2018"}}, ringwall.Fail, "2018-01-24"},
		{"from the future", []map[string]string{{"made": "2099-01-01T00:00:00Z"}}, ringwall.Unknown, ""},
		{"before there was any", []map[string]string{{"made": "1970-01-01T00:00:00Z"}}, ringwall.Unknown, ""},
		{"nothing", nil, ringwall.Unknown, ""},
	} {
		v := viewtest.Of(t, map[string]string{"a": "b"})
		for _, facts := range c.facts {
			v.Parts = append(v.Parts, view.Part{Place: "x@0x0", Part: &firmware.Part{Format: "x", Facts: facts}})
		}
		if f := Read(v, now).Fresh(now); f.Outcome != c.want || f.Facts["built"] != c.built {
			t.Errorf("%s: %v, built %q: %v, want %v, %q", c.name, f.Outcome, f.Facts["built"], f.Evidence, c.want, c.built)
		}
	}
}
