//go:build !unix

package sdk

import "os"

// lockFileAt opens path; elsewhere than on Unix nothing keeps a second client
// out.
func lockFileAt(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
}
