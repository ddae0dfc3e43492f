package mud

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/ringwall/ringwall"
)

// SignatureState is what is known of a description's signature. The states are
// kept apart because different things follow: a signature that does not hold
// is an attack or an accident, one that nobody could look at is neither.
type SignatureState string

// The states.
const (
	SignatureValid    SignatureState = "valid"          // it holds, and the signer is trusted
	SignatureInvalid  SignatureState = "invalid"        // it does not hold for this file, or may not sign
	SignatureUnknown  SignatureState = "unknown-signer" // it holds, by somebody of whom nothing is known
	SignatureNone     SignatureState = "unsigned"       // the file names none
	SignatureUnproven SignatureState = "unchecked"      // it could not be got or read
)

// Signature is the outcome of a check.
type Signature struct {
	State  SignatureState `json:"state"`
	Signer string         `json:"signer,omitempty"` // subject of the certificate that signed, as it says itself
	Reason string         `json:"reason,omitempty"` // why it is not valid
}

// MaxSignature is the longest signature file that is read, in bytes.
const MaxSignature = 256 << 10

// Trust is who may sign.
type Trust struct {
	Roots *x509.CertPool // nil = nobody is trusted
	// Signer is the subject that the device's own certificate names in its extension
	// id-pe-mudsigner (RFC 8520 section 11); nil = it names none. Then no other may sign.
	Signer *pkix.Name
	Now    time.Time // for the validity of certificates
}

// CheckSignature checks the detached CMS signature of a description's bytes, as
// they were fetched (RFC 8520 section 13.2): made over these bytes, with SHA-256
// or better, by a certificate whose key usage has digitalSignature, that leads
// to a trusted root. cms is nil when the signature could not be got; fetchErr
// then says why. f is the description that b was read as.
func CheckSignature(f *File, b, cms []byte, fetchErr error, t Trust) Signature {
	switch {
	case !f.Signed():
		return Signature{State: SignatureNone}
	case fetchErr != nil:
		return Signature{State: SignatureUnproven, Reason: fmt.Sprintf("the signature could not be got: %v", fetchErr)}
	case len(cms) == 0:
		return Signature{State: SignatureUnproven, Reason: "the signature is not at hand"}
	case len(cms) > MaxSignature:
		return Signature{State: SignatureUnproven, Reason: fmt.Sprintf("the signature has %d bytes, more than %d", len(cms), MaxSignature)}
	}
	p7, err := parseCMS(cms)
	if err != nil {
		return Signature{State: SignatureUnproven, Reason: fmt.Sprintf("the signature cannot be read: %v", err)}
	}
	return check(p7, b, t)
}

// parseCMS reads a signature. The library that does is given the bytes of
// strangers; should one bring it down, the signature cannot be read.
func parseCMS(b []byte) (p7 *pkcs7.PKCS7, err error) {
	defer func() {
		if v := recover(); v != nil {
			p7, err = nil, ringwall.Errorf(ringwall.Invalid, "it is malformed")
		}
	}()
	return pkcs7.Parse(b)
}

func check(p7 *pkcs7.PKCS7, b []byte, t Trust) (out Signature) {
	defer func() {
		if recover() != nil {
			out = Signature{State: SignatureInvalid, Signer: out.Signer, Reason: "it is malformed"}
		}
	}()
	if len(p7.Signers) != 1 {
		return Signature{State: SignatureInvalid, Reason: fmt.Sprintf("it has %d signers, not one", len(p7.Signers))}
	}
	cert := p7.GetOnlySigner()
	if cert == nil {
		return Signature{State: SignatureInvalid, Reason: "the certificate of its signer is not in it"}
	}
	out.Signer = cert.Subject.String()
	bad := func(reason string) Signature {
		return Signature{State: SignatureInvalid, Signer: out.Signer, Reason: reason}
	}
	if d := p7.Signers[0].DigestAlgorithm.Algorithm; !d.Equal(pkcs7.OIDDigestAlgorithmSHA256) && !d.Equal(pkcs7.OIDDigestAlgorithmSHA384) && !d.Equal(pkcs7.OIDDigestAlgorithmSHA512) {
		return bad("it uses a digest that is not SHA-256 or better")
	}
	if k, ok := cert.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < 2048 {
		return bad(fmt.Sprintf("its RSA key has %d bits", k.N.BitLen()))
	}
	p7.Content = b
	if err := p7.Verify(); err != nil {
		return bad("it does not hold for this file")
	}
	if cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return bad("the certificate that made it is not for signing (key usage digitalSignature)")
	}
	if t.Signer != nil && t.Signer.String() != cert.Subject.String() {
		return bad("the device's certificate names another signer")
	}
	roots := t.Roots
	if roots == nil {
		roots = x509.NewCertPool()
	}
	between := x509.NewCertPool()
	for _, c := range p7.Certificates {
		between.AddCert(c)
	}
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: t.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		out.State, out.Reason = SignatureUnknown, fmt.Sprintf("no trusted root vouches for its signer: %v", err)
		return out
	}
	out.State = SignatureValid
	return out
}
