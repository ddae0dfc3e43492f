package tunnel

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/durable"
)

// Key is a private key of WireGuard: X25519 (RFC 7748). It never prints.
type Key struct{ k *ecdh.PrivateKey }

func (Key) String() string       { return "tunnel key (not shown)" }
func (Key) GoString() string     { return "tunnel key (not shown)" }
func (Key) LogValue() slog.Value { return slog.StringValue("tunnel key (not shown)") }

// NewKey draws a key.
func NewKey() (Key, error) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	return Key{k}, err
}

// Public returns the 32 bytes of the public key.
func (k Key) Public() []byte { return k.k.PublicKey().Bytes() }

func (k Key) hex() string { return hex.EncodeToString(k.k.Bytes()) }

// LoadKey reads the key in a file of the owner's, or draws one and writes it.
func LoadKey(path string) (Key, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, err := NewKey()
		if err != nil {
			return Key{}, err
		}
		if err := durable.WriteFile(path, k.k.Bytes(), 0o600); err != nil {
			return Key{}, fmt.Errorf("writing the tunnel key: %w", err)
		}
		return k, nil
	}
	if err != nil {
		return Key{}, fmt.Errorf("reading the tunnel key: %w", err)
	}
	k, err := ecdh.X25519().NewPrivateKey(b)
	if err != nil {
		return Key{}, ringwall.Errorf(ringwall.Invalid, "%q holds no tunnel key", path)
	}
	return Key{k}, nil
}

// publicHex checks a public key and returns it as the device's configuration
// writes it.
func publicHex(b []byte) (string, error) {
	if len(b) != 32 {
		return "", ringwall.Errorf(ringwall.Invalid, "a tunnel key has %d bytes, want 32", len(b))
	}
	if _, err := ecdh.X25519().NewPublicKey(b); err != nil {
		return "", ringwall.Errorf(ringwall.Invalid, "a tunnel key makes no sense: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// HubAddr is the address of the platform inside. Inner addresses are from one
// unique local prefix (RFC 4193) that never leaves the tunnel.
func HubAddr() netip.Addr {
	return netip.AddrFrom16([16]byte{0xfd, 0x72, 0x69, 0x6e, 0x67, 0x77, 15: 1})
}

// GatewayAddr is the address of a gateway inside: the same on both ends without
// asking.
func GatewayAddr(gw ringwall.GatewayID) netip.Addr {
	sum := sha256.Sum256([]byte("ringwall tunnel\x00" + string(gw)))
	a := HubAddr().As16()
	copy(a[6:], sum[:10])
	a[6] |= 0x80 // never the platform's
	return netip.AddrFrom16(a)
}

// Port is the TCP port of a tunnel at its gateway inside: from 1024 up.
func Port(id ringwall.TunnelID) uint16 {
	sum := sha256.Sum256([]byte(id))
	return 1024 + (uint16(sum[0])<<8|uint16(sum[1]))%(65535-1024)
}
