package posture

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// domain stands in front of what is signed, so that no other signature of the
// same key can be taken for one of a posture.
const domain = "ringwall posture v1\x00"

// clockError is how far ahead a device's clock may be.
const clockError = 5 * time.Minute

// maxSigned bounds a posture as JSON; 256 entries of each list fit well.
const maxSigned = 1 << 20

// Algorithms of a signature.
const (
	Ed25519 = "ed25519"
	ECDSA   = "ecdsa-sha256"
	RSA     = "rsa-pss-sha256"
)

// Sign signs a posture with the device's key: Ed25519, ECDSA or RSA (2,048 bits
// or more), in software or in a TPM.
func Sign(signer crypto.Signer, p api.Posture) (api.SignedPosture, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return api.SignedPosture{}, fmt.Errorf("writing posture: %w", err)
	}
	key, err := KeyID(signer.Public())
	if err != nil {
		return api.SignedPosture{}, err
	}
	s := api.SignedPosture{Body: body, Key: key}
	msg := append([]byte(domain), body...)
	digest := sha256.Sum256(msg)
	input, opts := digest[:], crypto.SignerOpts(crypto.SHA256)
	switch k := signer.Public().(type) {
	case ed25519.PublicKey:
		s.Algorithm, input, opts = Ed25519, msg, crypto.Hash(0)
	case *ecdsa.PublicKey:
		s.Algorithm = ECDSA
	case *rsa.PublicKey:
		if k.Size() < 256 {
			return api.SignedPosture{}, ringwall.Errorf(ringwall.Invalid, "an RSA key of %d bits signs no posture", k.Size()*8)
		}
		s.Algorithm, opts = RSA, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	default:
		return api.SignedPosture{}, ringwall.Errorf(ringwall.Invalid, "a key of type %T signs no posture", k)
	}
	if s.Signature, err = signer.Sign(rand.Reader, input, opts); err != nil {
		return api.SignedPosture{}, fmt.Errorf("signing posture: %w", err)
	}
	return s, nil
}

// KeyID names a public key: SHA-256 of its SubjectPublicKeyInfo, in hex.
func KeyID(pub crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", ringwall.Errorf(ringwall.Invalid, "naming a public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// Expect is what a verifier asks of a posture.
type Expect struct {
	Key    crypto.PublicKey  // of the device
	Device ringwall.DeviceID // that it must name; "" = any
	Nonce  string            // that it must carry; "" = none was asked, MaxAge alone counts
	MaxAge time.Duration     // since it was made
	Now    time.Time
}

// Verify checks who signed a posture, for which question and when, and returns
// it. What does not hold has code Unverified.
func Verify(s api.SignedPosture, want Expect) (api.Posture, error) {
	bad := func(format string, args ...any) (api.Posture, error) {
		return api.Posture{}, ringwall.Errorf(ringwall.Unverified, "posture: "+format, args...)
	}
	if len(s.Body) > maxSigned {
		return bad("longer than %d bytes", maxSigned)
	}
	key, err := KeyID(want.Key)
	if err != nil {
		return api.Posture{}, err
	}
	if key != s.Key {
		return bad("signed with another key")
	}
	msg := append([]byte(domain), s.Body...)
	digest := sha256.Sum256(msg)
	ok := false
	switch k := want.Key.(type) {
	case ed25519.PublicKey:
		ok = s.Algorithm == Ed25519 && ed25519.Verify(k, msg, s.Signature)
	case *ecdsa.PublicKey:
		ok = s.Algorithm == ECDSA && ecdsa.VerifyASN1(k, digest[:], s.Signature)
	case *rsa.PublicKey:
		ok = s.Algorithm == RSA && k.Size() >= 256 &&
			rsa.VerifyPSS(k, crypto.SHA256, digest[:], s.Signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	if !ok {
		return bad("the signature does not hold")
	}
	var p api.Posture
	if err := json.Unmarshal(s.Body, &p); err != nil {
		return bad("the body is no posture")
	}
	switch {
	case want.Device != "" && p.Device != want.Device:
		return bad("it speaks of another device")
	case want.Nonce != "" && subtle.ConstantTimeCompare([]byte(p.Nonce), []byte(want.Nonce)) != 1:
		return bad("it answers another question")
	case p.Made.After(want.Now.Add(clockError)):
		return bad("it is dated %v ahead of us", p.Made.Sub(want.Now).Round(time.Second))
	case want.Now.Sub(p.Made) > want.MaxAge:
		return bad("it is %v old, more than %v", want.Now.Sub(p.Made).Round(time.Second), want.MaxAge)
	}
	for _, n := range []int{len(p.Listening), len(p.Accounts), len(p.Mounts), len(p.Versions), len(p.Unread)} {
		if n > maxList {
			return bad("a list has %d entries, more than %d", n, maxList)
		}
	}
	return p, nil
}
