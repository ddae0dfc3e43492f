package mud

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/strict"
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
	Root   string         `json:"root,omitempty"`   // subject of the trusted root that vouches for it, when valid
	Reason string         `json:"reason,omitempty"` // why it is not valid
}

// MaxSignature is the longest signature file that is read, in bytes.
const MaxSignature = 256 << 10

// Trust is who may sign.
type Trust struct {
	Roots *x509.CertPool // nil = nobody is trusted
	// Signer is the subject that the device's own certificate names in its extension
	// id-pe-mudsigner (see Certified); "" = it names none. Then no other may sign.
	Signer string
	Now    time.Time // for the validity of certificates
}

// CheckSignature checks the detached CMS signature of a description's bytes, as
// they were fetched (RFC 8520 section 13.2): made over these bytes, with SHA-256
// or better, by a certificate whose key usage has digitalSignature and whose
// extended usages, where it has some, are not for other protocols alone, that
// leads to a trusted root and is in its time. One that led to a root and has
// ended is invalid, not of an unknown signer. cms is nil when the signature could not be got; fetchErr
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
		if _, ok := errors.AsType[*pkcs7.SigningTimeNotValidError](err); ok {
			return bad("it says that it was made when the certificate of its signer was not in its time")
		}
		return bad("it does not hold for this file")
	}
	if cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return bad("the certificate that made it is not for signing (key usage digitalSignature)")
	}
	if forOthers(cert) {
		return bad("the certificate that made it is for other protocols alone (extended key usage)")
	}
	if t.Signer != "" && t.Signer != cert.Subject.String() {
		return bad("the device's certificate names another signer: " + strict.Short(t.Signer))
	}
	root, err := vouches(p7, cert, t.Roots, t.Now)
	if err == nil {
		out.State, out.Root = SignatureValid, root
		return out
	}
	if at, ended := once(p7, cert, t); ended {
		return bad("a certificate of its chain is not in its time: it held on " + at.UTC().Format(time.DateOnly))
	}
	out.State, out.Reason = SignatureUnknown, fmt.Sprintf("no trusted root vouches for its signer: %v", err)
	return out
}

// forOthers reports whether all that a certificate may be used for are protocols
// that have nothing to do with files. A usage that is not known here is none of
// these: those for documents are many.
func forOthers(cert *x509.Certificate) bool {
	if len(cert.UnknownExtKeyUsage) > 0 || len(cert.ExtKeyUsage) == 0 {
		return false
	}
	others := []x509.ExtKeyUsage{
		x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageOCSPSigning, x509.ExtKeyUsageTimeStamping,
		x509.ExtKeyUsageIPSECEndSystem, x509.ExtKeyUsageIPSECTunnel, x509.ExtKeyUsageIPSECUser,
	}
	return !slices.ContainsFunc(cert.ExtKeyUsage, func(u x509.ExtKeyUsage) bool { return !slices.Contains(others, u) })
}

// vouches returns the subject of the root that a signer's certificate leads to.
func vouches(p7 *pkcs7.PKCS7, cert *x509.Certificate, roots *x509.CertPool, at time.Time) (string, error) {
	if roots == nil {
		roots = x509.NewCertPool()
	}
	between := x509.NewCertPool()
	for _, c := range p7.Certificates {
		between.AddCert(c)
	}
	chains, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return "", err
	}
	return chains[0][len(chains[0])-1].Subject.String(), nil
}

// maxMoments bounds the times at which a chain is tried that does not hold now.
const maxMoments = 16

// once looks for a time at which the chain held that does not now: then the
// signer is known, and its time is over or has not come.
func once(p7 *pkcs7.PKCS7, cert *x509.Certificate, t Trust) (time.Time, bool) {
	moments := []time.Time{cert.NotAfter, cert.NotBefore}
	for _, c := range p7.Certificates {
		moments = append(moments, c.NotAfter, c.NotBefore)
	}
	for _, at := range moments[:min(len(moments), maxMoments)] {
		if _, err := vouches(p7, cert, t.Roots, at); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}
