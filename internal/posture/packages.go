package posture

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/api"
)

// wanted are packages that weaknesses are most often found in; where there are
// more packages than places, these come first.
var wanted = [...]string{
	"openssl", "libssl", "busybox", "dropbear", "openssh", "dnsmasq", "uhttpd", "lighttpd", "nginx", "curl", "libcurl", "wpa", "hostapd", "miniupnpd",
	"mosquitto", "samba", "avahi", "mbedtls", "libmbedtls", "gnutls", "libc6", "musl", "zlib", "ffmpeg", "gstreamer", "live555", "net-snmp", "libxml2", "expat",
}

// packages lists what package managers say is installed: dpkg, opkg, apk.
func (c *collector) packages() {
	var all []api.Component
	for _, db := range []struct{ path, kind string }{
		{"var/lib/dpkg/status", "deb"}, {"usr/lib/opkg/status", "opkg"}, {"var/lib/opkg/status", "opkg"}, {"lib/apk/db/installed", "apk"},
	} {
		if text, ok := c.read(db.path, 2*maxFile); ok {
			all = append(all, readPackages(text, db.kind)...)
		}
	}
	rank := func(p api.Component) int {
		if slices.ContainsFunc(wanted[:], func(w string) bool { return strings.HasPrefix(p.Name, w) }) {
			return 0
		}
		return 1
	}
	slices.SortFunc(all, func(a, b api.Component) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	all = slices.CompactFunc(all, func(a, b api.Component) bool { return a.Name == b.Name && a.Version == b.Version })
	for _, p := range all {
		if !list(c, &c.p.Versions, "packages", p) {
			break
		}
	}
	slices.SortFunc(c.p.Versions, func(a, b api.Component) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
}

// readPackages reads the stanzas of a package manager: "Package:" and
// "Version:" of dpkg and opkg, "P:" and "V:" of apk.
func readPackages(text, kind string) []api.Component {
	var out []api.Component
	name, version, installed := "", "", true
	flush := func() {
		if name != "" && version != "" && installed {
			out = append(out, api.Component{Name: clean(name, 80), Version: clean(version, 80), How: kind})
		}
		name, version, installed = "", "", true
	}
	for l := range strings.Lines(text) {
		l = strings.TrimRight(l, "\r\n")
		if l == "" {
			flush()
			continue
		}
		key, value, ok := strings.Cut(l, ":")
		if !ok {
			continue
		}
		switch key {
		case "Package", "P":
			name = strings.TrimSpace(value)
		case "Version", "V":
			version = strings.TrimSpace(value)
		case "Status":
			installed = strings.HasSuffix(value, " installed")
		}
	}
	flush()
	return out
}
