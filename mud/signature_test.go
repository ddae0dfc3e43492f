package mud

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
)

var signedAt = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// signerOf makes a certificate below parent, or one that signs itself.
func signerOf(t testing.TB, name string, key crypto.Signer, usage x509.KeyUsage, parent *x509.Certificate, by crypto.Signer, more ...func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"Lantern Cams"}},
		NotBefore: signedAt.AddDate(0, -1, 0), NotAfter: signedAt.AddDate(1, 0, 0), KeyUsage: usage, BasicConstraintsValid: true, IsCA: parent == nil,
	}
	for _, f := range more {
		f(c)
	}
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, content []byte, cert *x509.Certificate, key crypto.PrivateKey, digest asn1.ObjectIdentifier) []byte {
	t.Helper()
	sd, err := pkcs7.NewSignedData(content)
	if err != nil {
		t.Fatal(err)
	}
	sd.SetDigestAlgorithm(digest)
	if err := sd.AddSigner(cert, key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	sd.Detach()
	out, err := sd.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCheckSignature(t *testing.T) {
	b := camera(t)
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	rootKey, key, other := ecKey(t), ecKey(t), ecKey(t)
	root := signerOf(t, "root", rootKey, x509.KeyUsageCertSign, nil, nil)
	leaf := signerOf(t, "signer", key, x509.KeyUsageDigitalSignature, root, rootKey)
	wrongUse := signerOf(t, "tls", key, x509.KeyUsageKeyEncipherment, root, rootKey)
	server := signerOf(t, "signer", key, x509.KeyUsageDigitalSignature, root, rootKey, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	both := signerOf(t, "signer", key, x509.KeyUsageDigitalSignature, root, rootKey, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageCodeSigning}
	})
	ended := signerOf(t, "signer", key, x509.KeyUsageDigitalSignature, root, rootKey, func(c *x509.Certificate) { c.NotAfter = signedAt.AddDate(0, 0, -1) })
	others, only := x509.NewCertPool(), x509.NewCertPool()
	others.AddCert(signerOf(t, "root", other, x509.KeyUsageCertSign, nil, nil)) // of the same name
	only.AddCert(leaf)
	stranger := signerOf(t, "stranger", other, x509.KeyUsageDigitalSignature, nil, nil)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := signerOf(t, "weak", small, x509.KeyUsageDigitalSignature, root, rootKey)
	roots := x509.NewCertPool()
	roots.AddCert(root)
	sha256 := pkcs7.OIDDigestAlgorithmSHA256
	good := sign(t, b, leaf, key, sha256)
	unsigned := *f
	unsigned.Signature = ""
	changed := append([]byte{}, b...)
	changed[len(changed)-3] ^= 1
	broken := append([]byte{}, good...)
	broken[len(broken)-5] ^= 1
	trust := Trust{Roots: roots, Now: signedAt}
	for _, c := range []struct {
		name   string
		f      *File
		b, cms []byte
		err    error
		trust  Trust
		want   SignatureState
		reason string
	}{
		{"good", f, b, good, nil, trust, SignatureValid, ""},
		{"good, and the device names this signer", f, b, good, nil, Trust{roots, leaf.Subject.String(), signedAt}, SignatureValid, ""},
		{"unsigned", &unsigned, b, nil, nil, trust, SignatureNone, ""},
		{"not got", f, b, nil, errors.New("404"), trust, SignatureUnproven, "404"},
		{"not at hand", f, b, nil, nil, trust, SignatureUnproven, "not at hand"},
		{"not a signature", f, b, []byte("<html>"), nil, trust, SignatureUnproven, "cannot be read"},
		{"too long", f, b, make([]byte, MaxSignature+1), nil, trust, SignatureUnproven, "more than"},
		{"the file was changed", f, changed, good, nil, trust, SignatureInvalid, "does not hold"},
		{"the signature was changed", f, b, broken, nil, trust, SignatureInvalid, "does not hold"},
		{"of another file", f, b, sign(t, []byte("{}"), leaf, key, sha256), nil, trust, SignatureInvalid, "does not hold"},
		{"by another key than the certificate's", f, b, sign(t, b, leaf, other, sha256), nil, trust, SignatureInvalid, "does not hold"},
		{"SHA-1", f, b, sign(t, b, leaf, key, pkcs7.OIDDigestAlgorithmSHA1), nil, trust, SignatureInvalid, "SHA-256"},
		{"weak key", f, b, sign(t, b, weak, small, sha256), nil, trust, SignatureInvalid, "1024 bits"},
		{"a certificate for something else", f, b, sign(t, b, wrongUse, key, sha256), nil, trust, SignatureInvalid, "not for signing"},
		{"another signer than the device names", f, b, good, nil, Trust{roots, root.Subject.String(), signedAt}, SignatureInvalid, "another signer"},
		{"a stranger", f, b, sign(t, b, stranger, other, sha256), nil, trust, SignatureUnknown, "no trusted root"},
		{"nobody is trusted", f, b, good, nil, Trust{Now: signedAt}, SignatureUnknown, "no trusted root"},
		{"expired", f, b, good, nil, Trust{roots, "", signedAt.AddDate(2, 0, 0)}, SignatureInvalid, "not in its time"},
		{"not yet", f, b, good, nil, Trust{roots, "", signedAt.AddDate(-2, 0, 0)}, SignatureInvalid, "not in its time"},
		{"expired alone, below a root that counts still", f, b, sign(t, b, ended, key, sha256), nil, trust, SignatureInvalid, "was not in its time"},
		{"expired, of another authority", f, b, good, nil, Trust{others, "", signedAt.AddDate(2, 0, 0)}, SignatureUnknown, "no trusted root"},
		{"another authority", f, b, good, nil, Trust{others, "", signedAt}, SignatureUnknown, "no trusted root"},
		{"a certificate of a server", f, b, sign(t, b, server, key, sha256), nil, trust, SignatureInvalid, "other protocols"},
		{"a certificate of a server that may sign code", f, b, sign(t, b, both, key, sha256), nil, trust, SignatureValid, ""},
		{"the signer itself is trusted", f, b, good, nil, Trust{Roots: only, Now: signedAt}, SignatureValid, ""},
	} {
		got := CheckSignature(c.f, c.b, c.cms, c.err, c.trust)
		if got.State != c.want || !strings.Contains(got.Reason, c.reason) {
			t.Errorf("%s: %+v, want %q with %q", c.name, got, c.want, c.reason)
		}
		if c.want == SignatureValid && (!strings.Contains(got.Signer, "CN=signer") || got.Root == "") || c.want != SignatureValid && got.Root != "" {
			t.Errorf("%s: signer %q below %q", c.name, got.Signer, got.Root)
		}
	}
}

// A signature made by the tool that RFC 8520 section 13.1 names is valid.
func TestCheckSignature_openssl(t *testing.T) {
	tool, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("SKIPPED, NOT TESTED: there is no openssl here")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		c := exec.Command(tool, args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "30", "-subj", "/O=Lantern Cams/CN=signer", "-addext", "keyUsage=digitalSignature,keyCertSign")
	b := camera(t)
	if err := os.WriteFile(filepath.Join(dir, "mud.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	run("cms", "-sign", "-signer", "cert.pem", "-inkey", "key.pem", "-in", "mud.json", "-binary", "-outform", "DER", "-out", "mud.p7s")
	cms, err := os.ReadFile(filepath.Join(dir, "mud.p7s"))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := CheckSignature(f, b, cms, nil, Trust{Roots: roots, Now: time.Now()}); got.State != SignatureValid {
		t.Errorf("%+v", got)
	}
}

func FuzzCheckSignature(f *testing.F) {
	b := camera(f)
	file, err := Parse(b)
	if err != nil {
		f.Fatal(err)
	}
	key := ecKey(f)
	cert := signerOf(f, "signer", key, x509.KeyUsageDigitalSignature, nil, nil)
	roots := x509.NewCertPool()
	f.Add(sign(f, b, cert, key, pkcs7.OIDDigestAlgorithmSHA256))
	f.Add([]byte{0x30, 0x80})
	f.Add([]byte("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"))
	f.Fuzz(func(t *testing.T, cms []byte) {
		// Nobody is trusted: nothing that comes in may be valid.
		if got := CheckSignature(file, b, cms, nil, Trust{Roots: roots, Now: signedAt}); got.State == SignatureValid || got.State == SignatureNone {
			t.Errorf("%+v", got)
		}
	})
}
