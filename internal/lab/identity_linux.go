package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/ringwall/ringwall"
)

// identities are the secrets and numbers of one range, made afresh for it.
type identities struct {
	ca, cert, key []byte // PEM: the vendor's authority, and one certificate for its hosts and cameras
	sim           SIM
	goodPassword  string
	operatorToken string
}

// Factory passwords of the bad camera: of the camera itself, and of the
// telnet door that its maker forgot.
const (
	badUser     = "admin"
	badPassword = "12345"
	badRoot     = "xc3511"
	goodUser    = "owner"
)

func newIdentities(now time.Time) (id identities, err error) {
	id.goodPassword, id.operatorToken = rand.Text(), rand.Text()
	// Numbers of the test networks: MCC 001, MNC 01 (3GPP TS 23.003 section 2.2).
	imsi, err := digits("00101", 15)
	if err != nil {
		return id, err
	}
	iccid, err := digits("8900101", 18)
	if err != nil {
		return id, err
	}
	imei, err := digits("35000000", 14)
	if err != nil {
		return id, err
	}
	id.sim = SIM{
		ICCID: ringwall.ICCID(iccid + luhn(iccid)), IMSI: ringwall.IMSI(imsi), IMEI: ringwall.IMEI(imei + luhn(imei)),
		Peers: []string{addrOf(Cloud).String()},
	}
	id.ca, id.cert, id.key, err = certificates(now)
	return id, err
}

// digits returns head with random digits up to n.
func digits(head string, n int) (string, error) {
	for len(head) < n {
		d, err := rand.Int(rand.Reader, big.NewInt(10))
		if err != nil {
			return "", err
		}
		head += d.String()
	}
	return head, nil
}

// luhn returns the check digit of a number (ISO/IEC 7812-1 annex B).
func luhn(s string) string {
	sum := 0
	for i := range len(s) {
		d := int(s[len(s)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return fmt.Sprint((10 - sum%10) % 10)
}

// certificates makes the vendor's authority and one certificate signed by it.
func certificates(now time.Time) (ca, cert, key []byte, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	from, to := now.Add(-time.Hour), now.Add(30*24*time.Hour)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Range Vendor Root"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Range Vendor"}, NotBefore: from, NotAfter: to,
		DNSNames: []string{CloudName, UpdateName}, IPAddresses: []net.IP{addrOf(GoodCam).AsSlice()},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, root, root, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, nil, nil, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, &leafKey.PublicKey, caKey)
	if err != nil {
		return nil, nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return nil, nil, nil, err
	}
	block := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	return block("CERTIFICATE", caDER), block("CERTIFICATE", leafDER), block("PRIVATE KEY", keyDER), nil
}
