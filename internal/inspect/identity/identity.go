// Package identity reads from an image what it says it is: maker, model,
// version and when it was built, and judges how old that is (FS-12).
//
// Only what has a fixed form is believed: os-release, OpenWrt's release file,
// files that are named for a version and hold one, the model of a device tree,
// the times in the headers of parts. The time of a build is the newest of those
// that agree with each other within the sanity of clocks; a time in the future
// or before 2005 is none. Age is counted from that time: an image says nothing
// of newer ones that may exist, so it is never more than observed.
package identity

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/inspect/view"
)

// Result is what an image says of itself.
type Result struct {
	Identity api.Identity
	Built    time.Time
	BuiltBy  string // what says so
	Evidence []string
}

var (
	version  = regexp.MustCompile(`^v?\d{1,4}(?:[._-]\d{1,8}){1,6}[A-Za-z0-9._+-]{0,24}$`)
	linux    = regexp.MustCompile(`#\d+ (?:SMP |PREEMPT |[A-Z_]+ )*((?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2} \d\d:\d\d:\d\d [A-Z]{2,5} \d{4})`)
	earliest = time.Date(2005, 1, 1, 0, 0, 0, 0, time.UTC)
)

// versionFiles are named for a version by those who make cameras and routers.
var versionFiles = []string{
	"/etc/version", "/etc/fw_version", "/etc/firmware_version", "/etc/app_version", "/etc/sw_version", "/etc/release", "/etc/build_version", "/etc/firmware-version",
	"/usr/share/version", "/system/.system", "/system/version", "/system/etc/version", "/mnt/mtd/version", "/version", "/etc/VERSION", "/home/version", "/etc/system_version", "/usr/local/bin/version", "/etc/ver",
}

// Read gathers it.
func Read(v *view.View, now time.Time) Result {
	var r Result
	r.release(v)
	for _, p := range versionFiles {
		text, ok := v.Text(p)
		if !ok || len(text) > 256 {
			continue
		}
		for w := range strings.FieldsSeq(strings.NewReplacer("=", " ", ":", " ", `"`, " ").Replace(text)) {
			if version.MatchString(w) && r.Identity.Firmware == "" {
				r.Identity.Firmware = w
				r.Evidence = append(r.Evidence, p+": version "+w)
			}
		}
	}
	r.parts(v, now)
	r.files(v, now)
	return r
}

func (r *Result) release(v *view.View) {
	for _, p := range []string{"/etc/openwrt_release", "/etc/os-release", "/usr/lib/os-release", "/etc/device_info", "/etc/product.info", "/etc/device.conf"} {
		text, ok := v.Text(p)
		if !ok {
			continue
		}
		for line := range strings.Lines(text) {
			k, val, ok := strings.Cut(strings.TrimSpace(line), "=")
			val = view.Clip(strings.Trim(strings.TrimSpace(val), `"'`), 80)
			if !ok || val == "" {
				continue
			}
			to := &r.Identity.Firmware
			switch strings.ToUpper(k) {
			case "DISTRIB_RELEASE", "VERSION_ID", "FIRMWARE_VERSION", "FW_VERSION", "SW_VERSION", "SOFTWARE_VERSION":
			case "DEVICE_MANUFACTURER", "MANUFACTURER", "VENDOR", "OPENWRT_DEVICE_MANUFACTURER":
				to = &r.Identity.Vendor
			case "DEVICE_PRODUCT", "OPENWRT_DEVICE_PRODUCT", "MODEL", "PRODUCT_MODEL", "DEVICE_MODEL":
				to = &r.Identity.Model
			default:
				continue
			}
			if *to == "" && val != "Generic" {
				*to = val
				r.Evidence = append(r.Evidence, p+": "+k+"="+val)
			}
		}
	}
}

func (r *Result) take(t time.Time, by string, now time.Time) {
	if t.Before(earliest) || t.After(now.Add(24*time.Hour)) {
		return
	}
	r.Evidence = append(r.Evidence, by+" says "+t.UTC().Format(time.DateOnly))
	if t.After(r.Built) {
		r.Built, r.BuiltBy = t, by
	}
}

func (r *Result) parts(v *view.View, now time.Time) {
	for _, p := range v.Parts {
		if p.Part == nil {
			continue
		}
		for _, k := range []string{"made", "time", "created", "timestamp"} {
			if t, err := time.Parse(time.RFC3339, p.Facts[k]); err == nil {
				r.take(t, p.Place, now)
				break
			}
		}
		if m := linux.FindStringSubmatch(p.Facts["kernel"]); m != nil {
			if t, err := time.Parse("Mon Jan _2 15:04:05 MST 2006", m[1]); err == nil {
				r.take(t, p.Place+" (kernel)", now)
			}
		}
		if m := p.Facts["model"]; m != "" && r.Identity.Model == "" {
			r.Identity.Model = view.Clip(m, 80)
			r.Evidence = append(r.Evidence, p.Place+": device tree of "+r.Identity.Model)
		}
		if w := p.Facts["vendor"]; w != "" && r.Identity.Vendor == "" {
			r.Identity.Vendor = view.Clip(w, 80)
		}
	}
}

// files takes the time before which nine tenths of the files were written: one
// file touched later is no build.
func (r *Result) files(v *view.View, now time.Time) {
	var ts []time.Time
	for _, f := range v.Files() {
		if f.Mode.IsRegular() && f.ModTime.After(earliest) && f.ModTime.Before(now) && path.Base(f.Path) != "resolv.conf" {
			ts = append(ts, f.ModTime)
		}
	}
	if len(ts) < 10 {
		return
	}
	slices.SortFunc(ts, time.Time.Compare)
	r.take(ts[len(ts)*95/100], "the times of the files", now)
}

// Ages from which on firmware counts as no longer fresh and as old: cameras
// that are cared for get updates more than once a year, and few makers support
// a model for more than three years without any.
const (
	freshFor = 18 * 30 * 24 * time.Hour
	oldAfter = 3 * 365 * 24 * time.Hour
)

// Fresh answers FS-12.
func (r Result) Fresh(now time.Time) ringwall.Finding {
	f := ringwall.Finding{Indicator: "FS-12", Confidence: ringwall.Observed, Facts: map[string]string{}}
	if r.Built.IsZero() {
		f.Title = "nothing in the image tells when it was built"
		return f
	}
	f.Facts["built"] = r.Built.UTC().Format(time.DateOnly)
	f.Evidence = append(f.Evidence, r.Evidence[:min(len(r.Evidence), 12)]...)
	age := now.Sub(r.Built)
	months := int(age.Hours() / 24 / 30)
	f.Evidence = append(f.Evidence, fmt.Sprintf("the newest time of the build is %d months ago (%s)", months, r.BuiltBy))
	switch {
	case age > oldAfter:
		f.Outcome, f.Title = ringwall.Fail, "the firmware was built more than three years ago"
	case age > freshFor:
		f.Outcome, f.Title = ringwall.Partial, "the firmware was built more than a year and a half ago"
	default:
		f.Outcome, f.Title = ringwall.Pass, "the firmware was built within the last year and a half"
	}
	return f
}
