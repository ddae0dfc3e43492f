package components

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// noteBegins begins the note that distributions lay into the binaries they
// build (".note.package", FDO package metadata for executable files): JSON with
// the type, name and version of the package.
const noteBegins = `{"type":"`

const maxNotes = 4 // of one file; there should be one

// packagerNote is such a note.
type packagerNote struct {
	Type         string `json:"type"`
	OS           string `json:"os"`
	Name         string `json:"name"`
	Version      string `json:"version"`
	Architecture string `json:"architecture"`
}

var plausible = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+:~_-]{0,79}$`)

// packager reads a note out of the text around its beginning.
func (s *scanner) packager(around []byte) {
	from := bytes.Index(around, []byte(noteBegins))
	if from < 0 || len(s.notes) == maxNotes {
		return
	}
	to := bytes.IndexByte(around[from:], '}')
	if to < 0 {
		return
	}
	var n packagerNote
	if json.Unmarshal(around[from:from+to+1], &n) != nil || !plausible.MatchString(n.Name) || !plausible.MatchString(n.Version) {
		return
	}
	switch n.Type {
	case "deb", "rpm", "apk", "opkg", "alpm":
		s.notes = append(s.notes, n)
	}
}

// notes adds what the notes of a file say.
func (m *merger) notes(p string, all []packagerNote) {
	for _, n := range all {
		i := installed{name: n.Name, version: n.Version}
		if plausible.MatchString(n.Architecture) {
			i.arch = n.Architecture
		}
		os := strings.ToLower(n.OS)
		if !plausible.MatchString(os) {
			os = ""
		}
		m.installed(p, n.Type, os, i, "packager's note in the binary")
	}
}
