package sqlstore

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ringwall/ringwall"
)

// sealer keeps numbers unreadable: AES-256-GCM (NIST SP 800-38D) with a random
// nonce, bound to the place where it is kept, and HMAC-SHA-256 for lookups.
// Both keys are derived from the one in the key file (HKDF, RFC 5869).
type sealer struct {
	aead cipher.AEAD
	mac  []byte
}

// openSealer reads the key file, or makes it when the database has never had
// one. A database whose key is gone is refused, not silently given a new one.
func openSealer(ctx context.Context, file string, db *sql.DB) (*sealer, error) {
	var check string
	err := db.QueryRowContext(ctx, `SELECT value FROM settings WHERE org = '' AND name = 'data-key'`).Scan(&check)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("asking the database for its key's mark: %w", err)
	}
	key, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && check != "":
		return nil, &ringwall.Error{
			Code: ringwall.Unavailable, Text: fmt.Sprintf("data key %q is missing, and the database is sealed with it", file),
			Hint: "restore the key file beside the database",
		}
	case errors.Is(err, fs.ErrNotExist):
		key = make([]byte, 32)
		if _, err := rand.Read(key); err != nil {
			panic("sqlstore: the system's random source failed: " + err.Error())
		}
		if err := keep(file, key); err != nil {
			return nil, fmt.Errorf("keeping data key %q: %w", file, err)
		}
	case err != nil:
		return nil, fmt.Errorf("reading data key %q: %w", file, err)
	case len(key) != 32:
		return nil, ringwall.Errorf(ringwall.Invalid, "data key %q has %d bytes, want 32", file, len(key))
	}
	s, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	mark := hex.EncodeToString(s.find("check", ""))
	if check == "" {
		if _, err := db.ExecContext(ctx, `INSERT INTO settings (org, name, value) VALUES ('', 'data-key', $1)`, mark); err != nil {
			return nil, fmt.Errorf("marking the database with its key: %w", err)
		}
	} else if subtle.ConstantTimeCompare([]byte(mark), []byte(check)) != 1 {
		return nil, ringwall.Errorf(ringwall.Unverified, "data key %q is not the one that the database is sealed with", file)
	}
	return s, nil
}

// keep writes the key durably, before anything is sealed with it.
func keep(file string, key []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func newSealer(key []byte) (*sealer, error) {
	enc, err := hkdf.Key(sha256.New, key, nil, "ringwall seal v1", 32)
	if err != nil {
		return nil, fmt.Errorf("deriving the sealing key: %w", err)
	}
	mac, err := hkdf.Key(sha256.New, key, nil, "ringwall find v1", 32)
	if err != nil {
		return nil, fmt.Errorf("deriving the lookup key: %w", err)
	}
	block, err := aes.NewCipher(enc)
	if err != nil {
		return nil, fmt.Errorf("making the cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("making the cipher: %w", err)
	}
	return &sealer{aead: aead, mac: mac}, nil
}

// seal returns text unreadable; place is where it will stand ("sims/imsi/org/id")
// and must be said again to open it. Empty text stays empty.
func (s *sealer) seal(place, text string) []byte {
	if text == "" {
		return nil
	}
	nonce := make([]byte, s.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		panic("sqlstore: the system's random source failed: " + err.Error())
	}
	return s.aead.Seal(nonce, nonce, []byte(text), []byte(place))
}

func (s *sealer) open(place string, sealed []byte) (string, error) {
	if len(sealed) == 0 {
		return "", nil
	}
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return "", ringwall.Errorf(ringwall.Unverified, "a sealed value is cut short")
	}
	text, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(place))
	if err != nil {
		return "", ringwall.Errorf(ringwall.Unverified, "a sealed value does not open")
	}
	return string(text), nil
}

// find returns what a value is looked up by. Place holds the organisation, so
// that the same card in two of them cannot be told to be the same.
func (s *sealer) find(place, text string) []byte {
	m := hmac.New(sha256.New, s.mac)
	fmt.Fprintf(m, "%d:%s:%s", len(place), place, text)
	return m.Sum(nil)
}
