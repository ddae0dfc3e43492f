package rulefile

import (
	"bytes"
	"encoding/json"

	"github.com/ringwall/ringwall"
)

// JSON returns a policy as a file for Replace.
func JSON(path string, policy any) (File, error) {
	data, err := json.Marshal(policy)
	return File{Path: path, Data: data}, err
}

// Put replaces one policy file and runs apply, which puts the same policy into the
// kernel, both under the exclusive lock beside the file; see Replace. Who has several
// replaces all at once.
func Put(path string, policy any, apply func() error) error {
	f, err := JSON(path, policy)
	if err != nil {
		return err
	}
	return Replace(LockOf(path), apply, f)
}

// Parse reads a policy, of which what names the kind in errors. What it does not know
// and what is of another version is refused: less than the whole of a policy may mean
// more than it. Codes: Invalid.
func Parse[T any](data []byte, what string, want int, version func(*T) int) (*T, error) {
	p := new(T)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(p); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading %s: %w", what, err)
	}
	if got := version(p); got != want {
		return nil, ringwall.Errorf(ringwall.Invalid, "%s has version %d, want %d", what, got, want)
	}
	return p, nil
}
