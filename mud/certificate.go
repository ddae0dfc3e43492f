package mud

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"

	"github.com/ringwall/ringwall"
)

const (
	// MaxRoots is the most certificates that a file of trusted roots may hold, and
	// MaxRootFile its longest form in bytes.
	MaxRoots    = 500
	MaxRootFile = 1 << 20
)

// Roots reads the certificates (PEM) of those who may vouch for signers. A file
// with anything else in it is refused, a private key above all: what is read here
// is shown to others. A root may be an authority or a signer itself.
func Roots(b []byte) ([]*x509.Certificate, error) {
	if len(b) > MaxRootFile {
		return nil, ringwall.Errorf(ringwall.Invalid, "mud: a file of trusted roots has at most %d bytes", MaxRootFile)
	}
	var out []*x509.Certificate
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if len(bytes.TrimSpace(rest)) > 0 && len(out) == 0 {
				return nil, ringwall.Errorf(ringwall.Invalid, "mud: trusted roots come as certificates in PEM, and this is none")
			}
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, ringwall.Errorf(ringwall.Invalid, "mud: trusted roots are certificates, not %.40q", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "mud: trusted root number %d: %v", len(out)+1, err)
		}
		if !c.IsCA && c.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
			return nil, ringwall.Errorf(ringwall.Invalid, "mud: trusted root number %d (%.80s) is neither an authority nor a signer", len(out)+1, c.Subject)
		}
		if out = append(out, c); len(out) > MaxRoots {
			return nil, ringwall.Errorf(ringwall.Invalid, "mud: there are more than %d trusted roots", MaxRoots)
		}
	}
	return out, nil
}

// idPeMUDURL and idPeMUDSigner are the extensions of RFC 8520 section 11.
func idPeMUDURL() asn1.ObjectIdentifier    { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 25} }
func idPeMUDSigner() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 30} }

// Certified reads what a device's certificate, as its maker gave it, says of the
// device's description (RFC 8520 section 11): where it is, and who signs it, in the
// form of Trust.Signer. Either may be "". Whether the certificate is the device's
// is for the caller to know.
func Certified(cert *x509.Certificate) (url, signer string, err error) {
	for _, e := range cert.Extensions {
		switch {
		case e.Id.Equal(idPeMUDURL()):
			if rest, err := asn1.UnmarshalWithParams(e.Value, &url, "ia5"); err != nil || len(rest) > 0 || url == "" {
				return "", "", ringwall.Errorf(ringwall.Invalid, "mud: the certificate's extension id-pe-mud-url cannot be read")
			}
		case e.Id.Equal(idPeMUDSigner()):
			var rdns pkix.RDNSequence
			if rest, err := asn1.Unmarshal(e.Value, &rdns); err != nil || len(rest) > 0 || len(rdns) == 0 {
				return "", "", ringwall.Errorf(ringwall.Invalid, "mud: the certificate's extension id-pe-mudsigner cannot be read")
			}
			var name pkix.Name
			name.FillFromRDNSequence(&rdns)
			signer = name.String()
		}
	}
	return url, signer, nil
}

// ReadCertificate reads one certificate, in PEM or DER.
func ReadCertificate(b []byte) (*x509.Certificate, error) {
	if len(b) > MaxSignature {
		return nil, ringwall.Errorf(ringwall.Invalid, "mud: a certificate has at most %d bytes", MaxSignature)
	}
	if block, _ := pem.Decode(b); block != nil {
		if block.Type != "CERTIFICATE" {
			return nil, ringwall.Errorf(ringwall.Invalid, "mud: a certificate is wanted, not %.40q", block.Type)
		}
		b = block.Bytes
	}
	c, err := x509.ParseCertificate(b)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "mud: that is no certificate: %v", err)
	}
	return c, nil
}
