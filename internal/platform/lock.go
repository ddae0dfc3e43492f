package platform

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/ringwall/ringwall"
)

// keysPresent refuses a data directory with state and without its keys: keys
// made anew would sign documents that no gateway takes, under an authority that
// none knows, and nobody would be told why.
func keysPresent(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, stateDir, "ringwall.db")); err != nil {
		return nil // a first start
	}
	for _, name := range []string{"ca.key", "ca.crt", "desired.key"} {
		if _, err := os.Stat(filepath.Join(dir, keysDir, name)); err != nil {
			return &ringwall.Error{
				Code: ringwall.Unavailable, Text: fmt.Sprintf("the data directory has state, but not %s", filepath.Join(keysDir, name)),
				Hint: "restore the keys together with the state", Err: err,
			}
		}
	}
	return nil
}

// lockDir takes the data directory for this process. Codes: Conflict when
// another holds it.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the data directory: %w", err)
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, &ringwall.Error{Code: ringwall.Conflict, Text: fmt.Sprintf("another platform runs on %q", filepath.Dir(path)), Hint: "stop it, or give another --data", Err: err}
	}
	return f, nil
}
