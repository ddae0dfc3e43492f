package components

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/firmware"
)

// A package manager's own list is the best evidence there is: it names the
// version and what the distribution did to it.

// installed is one entry of a package database.
type installed struct {
	name, version, arch string
}

// database is one kind of package database.
type database struct {
	purl  string // type of its package URLs
	globs []string
	parse func(io.Reader, func(installed) bool) error
}

var databases = [...]database{
	{"deb", []string{"var/lib/dpkg/status", "var/lib/dpkg/status.d/*"}, parseStanzas},
	{"opkg", []string{"usr/lib/opkg/status", "var/lib/opkg/status", "lib/opkg/status", "overlay/upper/usr/lib/opkg/status"}, parseStanzas},
	{"apk", []string{"lib/apk/db/installed", "usr/lib/apk/db/installed"}, parseAPK},
}

const (
	maxLine = 64 << 10 // bytes of a line; longer ones end the reading
)

// files returns the databases of this kind in a tree.
func (d *database) files(t *firmware.Tree) []string {
	var all []string
	for _, g := range d.globs {
		if !strings.Contains(g, "*") {
			if f, ok := t.Stat(g); ok && f.Mode.IsRegular() {
				all = append(all, g)
			}
			continue
		}
		for _, f := range t.Files() {
			if ok, _ := path.Match(g, f.Path); ok && f.Mode.IsRegular() && !strings.HasSuffix(f.Path, ".md5sums") {
				all = append(all, f.Path)
			}
		}
	}
	return all
}

// packages adds what a database lists.
func (m *merger) packages(t *firmware.Tree, p string, d *database, distribution string) error {
	r, err := t.Open(p)
	if err != nil {
		return err
	}
	n := 0
	return d.parse(r, func(i installed) bool {
		if n++; n > maxListed {
			return false
		}
		m.installed(p, d.purl, distribution, i, "package database")
		return true
	})
}

func (m *merger) installed(p, kind, distribution string, i installed, how string) {
	c := api.Component{Name: i.name, Version: i.version, Paths: []string{p}, How: how}
	if print := m.book.packaged(i.name); print != nil {
		c.Name, c.Version, c.Supplier = print.Name, upstream(i.version), print.Supplier
		c.CPE = cpe(print, c.Version)
	}
	c.PURL = "pkg:" + kind + "/"
	if distribution != "" {
		c.PURL += purlEscape(distribution) + "/"
	}
	c.PURL += purlEscape(i.name) + "@" + purlEscape(i.version)
	if i.arch != "" && i.arch != "all" {
		c.PURL += "?arch=" + purlEscape(i.arch)
	}
	k := key{c.Name, c.Version}
	if have := m.parts[k]; have != nil {
		// The same was found in the files: the package says who built it.
		if strings.HasPrefix(have.PURL, "pkg:generic/") {
			have.PURL = c.PURL
			have.How += "; " + how
		}
		if len(have.Paths) < maxPaths && !slices.Contains(have.Paths, p) {
			have.Paths = append(have.Paths, p)
		}
		return
	}
	m.parts[k] = &c
}

// packaged returns the fingerprint whose packages include name.
func (b *Book) packaged(name string) *Fingerprint {
	for i := range b.prints {
		for _, pattern := range b.prints[i].Packages {
			if ok, _ := path.Match(pattern, name); ok {
				return &b.prints[i]
			}
		}
	}
	return nil
}

// repacked ends what an upstream project calls its version: what follows, a
// distribution added.
var repacked = regexp.MustCompile(`(?:\+.*|[.~](?:dfsg|ds|debian|deb|git|repack|nmu)\d*.*)$`)

// upstream takes epoch, packaging revision and repacking marks off a package's
// version: "1:1.2.13.dfsg-1" is 1.2.13.
func upstream(v string) string {
	if _, really, ok := strings.Cut(v, "+really"); ok {
		v = really // an older release under a number that had to rise
	}
	if i := strings.IndexByte(v, ':'); i > 0 && allDigits([]byte(v[:i])) {
		v = v[i+1:]
	}
	if i := strings.LastIndexByte(v, '-'); i > 0 {
		v = v[:i]
	}
	return repacked.ReplaceAllString(v, "")
}

// lines calls line with each line of r. A line that is too long is an error.
func lines(r io.Reader, line func(string) bool) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 4<<10), maxLine)
	for s.Scan() {
		if !line(s.Text()) {
			return fmt.Errorf("more than %d packages; the rest was not read", maxListed)
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("reading the list: %w", err)
	}
	return nil
}

// parseStanzas reads dpkg's and opkg's status files (deb-control(5)).
func parseStanzas(r io.Reader, each func(installed) bool) error {
	var i installed
	var status string
	flush := func() bool {
		ok := true
		// Removed packages stay listed with another state; status.d has none.
		if f := strings.Fields(status); i.name != "" && i.version != "" && (len(f) == 0 || f[len(f)-1] == "installed") {
			ok = each(i)
		}
		i, status = installed{}, ""
		return ok
	}
	err := lines(r, func(l string) bool {
		if strings.TrimSpace(l) == "" {
			return flush()
		}
		k, v, ok := strings.Cut(l, ":")
		if !ok || l[0] == ' ' || l[0] == '\t' {
			return true
		}
		v = strings.TrimSpace(v)
		switch k {
		case "Package":
			i.name = v
		case "Version":
			i.version = v
		case "Architecture":
			i.arch = v
		case "Status":
			status = v
		}
		return true
	})
	if err == nil {
		flush()
	}
	return err
}

// parseAPK reads Alpine's list of installed packages (apk-v2: one letter, a
// colon, a value).
func parseAPK(r io.Reader, each func(installed) bool) error {
	var i installed
	flush := func() bool {
		ok := i.name == "" || i.version == "" || each(i)
		i = installed{}
		return ok
	}
	err := lines(r, func(l string) bool {
		if l == "" {
			return flush()
		}
		if len(l) < 2 || l[1] != ':' {
			return true
		}
		switch l[0] {
		case 'P':
			i.name = l[2:]
		case 'V':
			i.version = l[2:]
		case 'A':
			i.arch = l[2:]
		}
		return true
	})
	if err == nil {
		flush()
	}
	return err
}

// distribution returns the ID of a tree's os-release, or "".
func distribution(t *firmware.Tree) string {
	for _, p := range []string{"etc/os-release", "usr/lib/os-release"} {
		if _, ok := t.Resolve(p); !ok {
			continue
		}
		b, err := t.ReadFile(p, 64<<10)
		if err != nil {
			continue
		}
		for l := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(l), "ID="); ok {
				return strings.ToLower(strings.Trim(v, `"'`))
			}
		}
	}
	return ""
}

// executable reports whether anyone may run the file.
func executable(f firmware.File) bool { return f.Mode&fs.ModePerm&0o111 != 0 }
