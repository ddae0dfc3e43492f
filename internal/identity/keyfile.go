package identity

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ringwall/ringwall"
)

// maxFile bounds what is read of a key or certificate file.
const maxFile = 64 << 10

// createFile writes a file that must not exist, durably: the file and its
// directory are synced. A crash leaves either the whole file or none by that
// name, because the name is given last.
func createFile(path string, data []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	// A link fails where a rename would replace.
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readFile reads a file of ours that others must not be able to read.
func readFile(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, &ringwall.Error{
			Code: ringwall.Forbidden, Text: fmt.Sprintf("key file %q can be read by others", path), Hint: fmt.Sprintf("chmod 600 %s", path),
		}
	}
	if st.Size() > maxFile {
		return nil, ringwall.Errorf(ringwall.Invalid, "key file %q is over %d bytes", path, maxFile)
	}
	return os.ReadFile(path)
}

// loadKey reads the key in path; when there is none it makes one with create
// and keeps it there.
func loadKey[K crypto.Signer](path string, create func() (K, error)) (K, error) {
	var none K
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := create()
		if err != nil {
			return none, fmt.Errorf("making key %q: %w", path, err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return none, fmt.Errorf("encoding key %q: %w", path, err)
		}
		if err := createFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
			return none, fmt.Errorf("keeping key %q: %w", path, err)
		}
		return key, nil
	}
	if err != nil {
		return none, fmt.Errorf("reading key %q: %w", path, err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return none, ringwall.Errorf(ringwall.Invalid, "key file %q holds no PEM block PRIVATE KEY", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		// The cause is dropped on purpose: it may quote what stands in the file.
		return none, ringwall.Errorf(ringwall.Invalid, "key file %q holds no PKCS #8 key", path)
	}
	key, ok := parsed.(K)
	if !ok {
		return none, ringwall.Errorf(ringwall.Invalid, "key file %q holds a %T, want a %T", path, parsed, none)
	}
	return key, nil
}
