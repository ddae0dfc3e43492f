package components

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/ringwall/ringwall/api"
)

// TestCorpus measures recall and precision over distribution packages (.deb,
// deb(5)) in the folder that RINGWALL_DEBS names. The label of a package is
// its upstream version, as its file name has it. It fails below the bars of
// issue 3: nine of ten found, at most two of a hundred answers wrong.
//
//	RINGWALL_DEBS=DIR go test -run TestCorpus -v ./internal/inspect/components
func TestCorpus(t *testing.T) {
	dir := os.Getenv("RINGWALL_DEBS")
	if dir == "" {
		t.Skip("SKIPPED, NOT TESTED: no corpus; set RINGWALL_DEBS to a folder of Debian packages")
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) == 0 {
		t.Fatalf("no packages in %q (%v)", dir, err)
	}
	type row struct{ cases, right, wrong, missed int }
	rows := map[string]*row{}
	var answers, wrongVersion, foreign int
	book := Shipped()
	for _, deb := range debs {
		base := strings.TrimSuffix(filepath.Base(deb), ".deb")
		parts := strings.Split(strings.ReplaceAll(base, "%3a", ":"), "_")
		if len(parts) != 3 {
			t.Errorf("%s: not NAME_VERSION_ARCH", base)
			continue
		}
		print := book.packaged(parts[0])
		if print == nil {
			continue
		}
		want := upstream(parts[1])
		found, files := identifyDeb(t, deb)
		if files == 0 {
			continue // a metapackage
		}
		r := rows[print.Name]
		if r == nil {
			r = &row{}
			rows[print.Name] = r
		}
		r.cases++
		var got []string
		for _, c := range found {
			switch {
			case c.Name == print.Name && c.Version != "":
				got = append(got, c.Version)
				answers++
				if !sameRelease(c.Version, want) {
					wrongVersion++
					t.Logf("WRONG    %-42s %s %s, want %s: %v %s", base, c.Name, c.Version, want, c.Paths, c.How)
				}
			case c.Name != print.Name:
				answers++
				foreign++
				t.Logf("foreign  %-42s %s %s: %v %s", base, c.Name, c.Version, c.Paths, c.How)
			}
		}
		switch {
		case slices.ContainsFunc(got, func(v string) bool { return sameRelease(v, want) }):
			r.right++
		case len(got) > 0:
			r.wrong++
		default:
			r.missed++
			t.Logf("missed   %-42s %s %s", base, print.Name, want)
		}
	}
	var all row
	names := make([]string, 0, len(rows))
	for n := range rows {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		r := rows[n]
		all.cases, all.right, all.wrong, all.missed = all.cases+r.cases, all.right+r.right, all.wrong+r.wrong, all.missed+r.missed
		t.Logf("%-18s cases %3d  right %3d  wrong %2d  missed %2d", n, r.cases, r.right, r.wrong, r.missed)
	}
	t.Logf("%d fingerprints, %d packages: recall %.3f; %d answers, %d of the wrong version (%.1f %%), %d about another product (look at each: what is linked in is no error)",
		len(names), all.cases, float64(all.right)/float64(all.cases), answers, wrongVersion, 100*float64(wrongVersion)/float64(answers), foreign)
	if float64(all.right) < 0.9*float64(all.cases) {
		t.Errorf("recall %d/%d is below 0.9", all.right, all.cases)
	}
	if wrongVersion*50 > answers {
		t.Errorf("%d of %d answers name a wrong version: more than 2 %%", wrongVersion, answers)
	}
}

// sameRelease reports whether an answer names the release of the label, which
// may have a snapshot or pre-release mark added by the packager.
func sameRelease(got, label string) bool {
	strip := func(s string) string {
		s, _, _ = strings.Cut(s, "~")
		s, _, _ = strings.Cut(s, "+")
		return strings.TrimSuffix(s, "-stable")
	}
	g, l := strip(got), strip(label)
	return g == l || g+".0" == l ||
		strings.HasPrefix(l, g+".") || // the label adds a revision or a date
		strings.HasPrefix(g, l+".") // the binary knows its patch level, the label does not
}

// identifyDeb runs the scanner over the files of a Debian package.
func identifyDeb(t *testing.T, name string) ([]api.Component, int) {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := debData(bufio.NewReader(f))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	book := Shipped()
	m := merger{book: book, parts: map[key]*api.Component{}}
	s := newScanner(book)
	files := 0
	for r := tar.NewReader(data); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if h.Typeflag != tar.TypeReg || h.Size < smallest {
			continue
		}
		b := bufio.NewReader(r)
		if head, _ := b.Peek(4); !bytes.Equal(head, []byte("\x7fELF")) {
			continue
		}
		files++
		p := strings.TrimPrefix(path.Clean(h.Name), "/")
		var in io.Reader = b
		if os.Getenv("RINGWALL_DEBS_CONDENSED") != "" {
			in = condensed(b)
		}
		found, err := s.scan(context.Background(), p, in)
		if err != nil {
			t.Fatalf("%s: %s: %v", name, p, err)
		}
		m.add(p, found)
		if os.Getenv("RINGWALL_DEBS_NOTES") != "" {
			m.notes(p, s.notes)
		}
	}
	return m.result(), files
}

// debData returns the tar stream of a package's files: an ar archive whose
// member data.tar is compressed in one of several ways (deb(5)).
func debData(r io.Reader) (io.Reader, error) {
	magic := make([]byte, 8)
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != "!<arch>\n" {
		return nil, fmt.Errorf("not an ar archive (%v)", err)
	}
	for {
		h := make([]byte, 60)
		if _, err := io.ReadFull(r, h); err != nil {
			return nil, fmt.Errorf("reading a member's header: %w", err)
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
		if err != nil {
			return nil, err
		}
		member := strings.TrimRight(strings.TrimSpace(string(h[:16])), "/")
		body := io.LimitReader(r, size)
		switch member {
		case "data.tar":
			return body, nil
		case "data.tar.gz":
			return gzip.NewReader(body)
		case "data.tar.xz":
			return xz.NewReader(body)
		case "data.tar.zst":
			return zstd.NewReader(body)
		}
		if _, err := io.CopyN(io.Discard, r, size+size&1); err != nil {
			return nil, err
		}
	}
}

// condensed keeps of a binary what the program strings would print, behind an
// ELF magic: outside collections hold binaries in that form.
func condensed(r io.Reader) io.Reader {
	data, err := io.ReadAll(r)
	if err != nil {
		return bytes.NewReader(nil)
	}
	out := []byte("\x7fELF\n")
	for _, run := range bytes.FieldsFunc(data, func(c rune) bool { return c > 0x7e || c < 0x20 && c != '\t' }) {
		if len(run) >= 4 {
			out = append(append(out, run...), '\n')
		}
	}
	return bytes.NewReader(out)
}
