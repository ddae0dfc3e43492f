package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ringwall/ringwall/api"
)

// Signer signs desired states with the platform's Ed25519 key (RFC 8032).
type Signer struct {
	key ed25519.PrivateKey
	id  string
}

// OpenSigner reads desired.key in dir, or makes it.
func OpenSigner(dir string) (*Signer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of keys: %w", err)
	}
	key, err := loadKey(filepath.Join(dir, "desired.key"), func() (ed25519.PrivateKey, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(key.Public().(ed25519.PublicKey))
	return &Signer{key: key, id: "key_" + hex.EncodeToString(sum[:8])}, nil
}

// Sign signs d.
func (s *Signer) Sign(d api.Desired) (api.Signed, error) { return api.Sign(d, s.id, s.key) }

// SignTerminal signs the policy of a constrained terminal, with the same key in
// another context.
func (s *Signer) SignTerminal(t api.TerminalPolicy) (api.SignedTerminal, error) {
	return api.SignTerminal(t, s.id, s.key)
}

// Keys returns the public keys that gateways trust, by id.
func (s *Signer) Keys() map[string][]byte {
	return map[string][]byte{s.id: s.key.Public().(ed25519.PublicKey)}
}

// EvidenceKey reads evidence.key in dir, or makes it: the key with which the
// platform seals what grades follow from. It is not the one that gateways
// trust, so that nothing sealed for people can ever command a gateway.
func EvidenceKey(dir string) (ed25519.PrivateKey, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of keys: %w", err)
	}
	return loadKey(filepath.Join(dir, "evidence.key"), func() (ed25519.PrivateKey, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	})
}
