package platform

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/ringwall/ringwall"
)

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
