package components

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/firmware"
	"github.com/ringwall/ringwall/internal/sharedtest"
	"github.com/ringwall/ringwall/internal/vuln"
)

// A real camera's root file system: no package database, stripped binaries.
func TestIdentify_ofARealCamera(t *testing.T) {
	p := sharedtest.Path(t, "firmware/xiaofang_5.6.2.43_rootfs.bin")
	f, err := os.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	im, err := firmware.Open(f, st.Size(), firmware.Options{})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	var all []api.Component
	for _, tree := range im.Trees() {
		all = append(all, Identify(context.Background(), tree, Options{Note: func(s string) { t.Log("note:", s) }})...)
	}
	t.Logf("%d components in %v", len(all), time.Since(begin).Round(time.Millisecond))
	for _, c := range all {
		t.Logf("%-14s %-12s %v (%s)", c.Name, c.Version, c.Paths, c.How)
	}
	for name, version := range map[string]string{"busybox": "1.22.1", "boa": "0.94.13", "libcurl": "7.36.0", "openssl": "1.0.2f", "uclibc": "0.9.33.2", "paho-mqtt": "1.1.0"} {
		if got := named(all, name); len(got) != 1 || got[0].Version != version {
			t.Errorf("%s: %+v, want %s", name, got, version)
		}
	}
	for _, f := range vuln.Default().Judge("firmware/x", all, vuln.Default().Match(all), begin) {
		t.Log(f.Indicator, f.Outcome, f.Title, f.Facts)
		for _, e := range f.Evidence {
			t.Log("   ", e)
		}
	}
}
