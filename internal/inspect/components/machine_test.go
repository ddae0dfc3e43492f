package components

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMachine runs the scanner over the programs of a Debian machine and
// compares each answer with what dpkg says of the file that it is about:
//
//	RINGWALL_DEBIAN_ROOT=/ go test -run TestMachine -v ./internal/inspect/components
//
// It fails when a version contradicts the package that the file is from. An
// answer about another product than the package is listed for a person to look
// at: it is right when that product is linked in.
func TestMachine(t *testing.T) {
	root := os.Getenv("RINGWALL_DEBIAN_ROOT")
	if root == "" {
		t.Skip("SKIPPED, NOT TESTED: set RINGWALL_DEBIAN_ROOT to the root of a Debian machine")
	}
	owner := map[string]string{} // path to package
	lists, err := filepath.Glob(filepath.Join(root, "var/lib/dpkg/info/*.list"))
	if err != nil || len(lists) == 0 {
		t.Fatalf("no dpkg lists below %q (%v)", root, err)
	}
	for _, l := range lists {
		b, err := os.ReadFile(l)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(l), ".list"), ":")
		for p := range strings.Lines(string(b)) {
			p = strings.TrimSpace(p)
			for _, merged := range []string{"/bin/", "/sbin/", "/lib/", "/lib64/"} {
				if strings.HasPrefix(p, merged) {
					owner["/usr"+p] = name
				}
			}
			owner[p] = name
		}
	}
	versions := map[string]string{}
	status, err := os.Open(filepath.Join(root, "var/lib/dpkg/status"))
	if err != nil {
		t.Fatal(err)
	}
	defer status.Close()
	if err := parseStanzas(status, func(i installed) bool { versions[i.name] = i.version; return true }); err != nil {
		t.Fatal(err)
	}

	book := Shipped()
	s := newScanner(book)
	var files, claims, right, foreign int
	for _, dir := range []string{"usr/bin", "usr/sbin", "usr/lib"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			f, err := os.Open(p)
			if err != nil {
				return nil
			}
			defer f.Close()
			magic := make([]byte, 4)
			if _, err := f.ReadAt(magic, 0); err != nil || string(magic) != "\x7fELF" {
				return nil
			}
			files++
			found, err := s.scan(context.Background(), p, f)
			if err != nil {
				t.Errorf("%s: %v", p, err)
			}
			for _, c := range found {
				claims++
				print := book.prints[c.fingerprint]
				pkg := owner["/"+strings.TrimPrefix(strings.TrimPrefix(p, root), "/")]
				of := book.packaged(pkg)
				switch {
				case of != nil && of.Name == print.Name && sameRelease(c.version, upstream(versions[pkg])):
					right++
				case of != nil && of.Name == print.Name && c.version != "":
					t.Errorf("%s: %s %s, but package %s is %s (%s)", p, print.Name, c.version, pkg, versions[pkg], c.how)
				default:
					foreign++
					t.Logf("look: %s of package %q %s: %s %q (%s)", p, pkg, versions[pkg], print.Name, c.version, c.how)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d programs and libraries, %d answers: %d as dpkg says, %d to look at", files, claims, right, foreign)
}
