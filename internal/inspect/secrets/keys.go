package secrets

import (
	"bytes"
	"crypto/dsa" //lint:ignore SA1019 old SSH host keys are of this kind, and are to be found
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"

	"golang.org/x/crypto/ssh"
)

// found is one private key inside a file.
type found struct {
	offset    int
	form      string // such as "PEM", "DER", "dropbear"
	kind      string // such as "RSA 2048"
	mark      string // SHA-256 of the public key (SPKI), "" when it could not be read
	encrypted bool
	bits      int // of RSA
}

// maxKeys bounds how many keys and certificates are read from one file.
const maxKeys = 64

// maxKeyText is the longest armoured key looked at.
const maxKeyText = 32 << 10

// pemKeys finds armoured private keys. A begin line alone, as every crypto
// library has it among its strings, is none: the armour must hold and what is
// in it must have the form of a key.
func pemKeys(data []byte) []found {
	var out []found
	begin := []byte("-----BEGIN ")
	for at := 0; len(out) < maxKeys; {
		i := bytes.Index(data[at:], begin)
		if i < 0 {
			return out
		}
		i += at
		at = i + len(begin)
		head := data[i:min(i+64, len(data))]
		if !bytes.Contains(head, []byte("PRIVATE KEY-----")) {
			continue
		}
		block := armour(data[i:min(i+maxKeyText, len(data))])
		if block == nil {
			continue
		}
		f := found{offset: i, form: "PEM"}
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			f.encrypted, f.kind = true, "encrypted"
		case block.Type == "OPENSSH PRIVATE KEY":
			key, err := ssh.ParseRawPrivateKey(pem.EncodeToMemory(block))
			if _, locked := err.(*ssh.PassphraseMissingError); locked {
				f.encrypted, f.kind = true, "OpenSSH, encrypted"
			} else if err != nil {
				continue
			} else {
				f.describe(key)
			}
		default:
			key := parseDER(block.Bytes)
			if key == nil {
				if !isSequence(block.Bytes) {
					continue
				}
				f.kind = strings.TrimSuffix(block.Type, " PRIVATE KEY")
			} else {
				f.describe(key)
			}
		}
		out = append(out, f)
	}
	return out
}

// armour decodes one PEM block that begins a piece of data. Programs keep them
// with line ends of any kind, or with the two characters \n.
func armour(b []byte) *pem.Block {
	end := bytes.Index(b, []byte("-----END "))
	if end < 0 {
		return nil
	}
	stop := bytes.Index(b[end+9:], []byte("-----"))
	if stop < 0 || stop > 64 {
		return nil
	}
	b = b[:end+9+stop+5]
	if bytes.IndexByte(b, 0) >= 0 {
		return nil
	}
	s := strings.NewReplacer(`\r`, "", `\n`, "\n", "\r\n", "\n", "\r", "\n", "\"\n\"", "\n").Replace(string(b))
	block, _ := pem.Decode([]byte(s + "\n"))
	if block == nil || len(block.Bytes) < 32 {
		return nil
	}
	return block
}

func isSequence(b []byte) bool {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(b, &v)
	return err == nil && len(rest) < 16 && v.Tag == asn1.TagSequence
}

func parseDER(b []byte) any {
	if k, err := x509.ParsePKCS1PrivateKey(b); err == nil {
		return k
	}
	if k, err := x509.ParsePKCS8PrivateKey(b); err == nil {
		return k
	}
	if k, err := x509.ParseECPrivateKey(b); err == nil {
		return k
	}
	if k := smallRSA(b); k != nil {
		return k
	}
	var d struct {
		Version       int
		P, Q, G, Y, X *big.Int
	}
	if rest, err := asn1.Unmarshal(b, &d); err == nil && len(rest) == 0 && d.Version == 0 && d.P != nil && d.P.BitLen() >= 512 {
		return &dsa.PrivateKey{PublicKey: dsa.PublicKey{Parameters: dsa.Parameters{P: d.P, Q: d.Q, G: d.G}, Y: d.Y}, X: d.X}
	}
	return nil
}

// smallRSA reads keys that the standard library is too strict for: those of
// less than 1024 bits, which are worth finding all the more.
func smallRSA(b []byte) any {
	var k struct {
		Version                   int
		N, E, D, P, Q, Dp, Dq, Qi *big.Int
	}
	if rest, err := asn1.Unmarshal(b, &k); err != nil || len(rest) > 0 || k.Version != 0 || k.E.BitLen() > 32 || k.N.BitLen() > 16384 {
		return nil
	}
	if k.N.Sign() <= 0 || k.P.Sign() <= 0 || k.Q.Sign() <= 0 || k.N.BitLen() < 256 || new(big.Int).Mul(k.P, k.Q).Cmp(k.N) != 0 {
		return nil
	}
	return &rsa.PublicKey{N: k.N, E: int(k.E.Int64())}
}

func (f *found) describe(key any) {
	var pub any
	switch k := key.(type) {
	case *rsa.PrivateKey:
		pub = &k.PublicKey
	case *rsa.PublicKey:
		pub = k
	case *ecdsa.PrivateKey:
		pub = &k.PublicKey
	case ed25519.PrivateKey:
		pub = k.Public()
	case *ed25519.PrivateKey:
		pub = k.Public()
	case *dsa.PrivateKey:
		f.kind = fmt.Sprintf("DSA %d", k.P.BitLen())
		sum := sha256.Sum256(append([]byte("dsa"), append(k.P.Bytes(), k.Y.Bytes()...)...))
		f.mark = hex.EncodeToString(sum[:])
		return
	}
	f.kind, f.bits = kindOf(pub)
	f.mark = Mark(pub)
}

func kindOf(pub any) (string, int) {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen()), k.N.BitLen()
	case *ecdsa.PublicKey:
		return "EC " + k.Curve.Params().Name, 0
	case ed25519.PublicKey:
		return "Ed25519", 0
	}
	return "key", 0
}

// Mark returns the mark of a public key: the SHA-256 of its
// SubjectPublicKeyInfo, in hexadecimal, "" when it has none.
func Mark(pub any) string {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

var (
	// pkcs1 is version 0 and the head of a modulus of 512 bits or more; pkcs8
	// is version 0 and the algorithms RSA or EC; sec1 version 1 and a 32-byte
	// scalar with what follows it for P-256.
	pkcs1 = [][]byte{{0x02, 0x01, 0x00, 0x02, 0x82}, {0x02, 0x01, 0x00, 0x02, 0x81}, {0x02, 0x01, 0x00, 0x02, 0x41}}
	pkcs8 = [][]byte{
		{0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01},
		{0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01},
	}
	sec1 = [][]byte{{0x02, 0x01, 0x01, 0x04, 0x20}, {0x02, 0x01, 0x01, 0x04, 0x30}}
)

// derKeys finds private keys in DER, alone in a file or inside a program. Only
// what parses as a key, with its own arithmetic holding, is one.
func derKeys(data []byte) []found {
	var out []found
	for _, marks := range [][][]byte{pkcs1, pkcs8, sec1} {
		for _, m := range marks {
			for at := 0; len(out) < maxKeys; {
				i := bytes.Index(data[at:], m)
				if i < 0 {
					break
				}
				i += at
				at = i + len(m)
				// The head of the sequence stands two to four bytes before.
				for _, n := range []int{4, 3, 2} {
					if i < n || data[i-n] != 0x30 {
						continue
					}
					var v asn1.RawValue
					if _, err := asn1.Unmarshal(data[i-n:min(i-n+8192, len(data))], &v); err != nil || len(v.FullBytes) < n+40 {
						continue
					}
					if key := parseDER(v.FullBytes); key != nil {
						f := found{offset: i - n, form: "DER"}
						f.describe(key)
						out = append(out, f)
						at = i - n + len(v.FullBytes)
						break
					}
				}
			}
		}
	}
	return out
}

// dropbearKey reads a host key file of Dropbear: the wire form of the public
// parts of RFC 4253 section 6.6, then the private ones.
func dropbearKey(data []byte) *found {
	r := wire{data}
	algo := string(r.next())
	f := &found{form: "dropbear"}
	switch {
	case algo == "ssh-rsa":
		e, n, d := r.int(), r.int(), r.int()
		if e == nil || n == nil || d == nil || e.BitLen() > 31 || n.BitLen() < 512 {
			return nil
		}
		f.describe(&rsa.PublicKey{N: n, E: int(e.Int64())})
	case algo == "ssh-dss":
		p, q, g, y, x := r.int(), r.int(), r.int(), r.int(), r.int()
		if x == nil || p.BitLen() < 512 {
			return nil
		}
		f.describe(&dsa.PrivateKey{PublicKey: dsa.PublicKey{Parameters: dsa.Parameters{P: p, Q: q, G: g}, Y: y}, X: x})
	case strings.HasPrefix(algo, "ecdsa-sha2-"):
		curve := map[string]elliptic.Curve{"nistp256": elliptic.P256(), "nistp384": elliptic.P384(), "nistp521": elliptic.P521()}[string(r.next())]
		point := r.next()
		if curve == nil || r.int() == nil {
			return nil
		}
		pub, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		if err != nil {
			return nil
		}
		f.kind, f.mark = "EC "+curve.Params().Name, Mark(pub)
	case algo == "ssh-ed25519":
		both := r.next()
		if len(both) != 64 {
			return nil
		}
		f.kind, f.mark = "Ed25519", Mark(ed25519.PublicKey(both[32:]))
	default:
		return nil
	}
	return f
}

// wire reads strings of the SSH wire form.
type wire struct{ b []byte }

func (w *wire) next() []byte {
	if len(w.b) < 4 {
		w.b = nil
		return nil
	}
	n := binary.BigEndian.Uint32(w.b)
	if n > 4096 || int(n) > len(w.b)-4 {
		w.b = nil
		return nil
	}
	v := w.b[4 : 4+n]
	w.b = w.b[4+n:]
	return v
}

func (w *wire) int() *big.Int {
	b := w.next()
	if len(b) == 0 {
		return nil
	}
	return new(big.Int).SetBytes(b)
}
