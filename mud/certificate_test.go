package mud

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"strings"
	"testing"
)

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestRoots(t *testing.T) {
	key := ecKey(t)
	root := signerOf(t, "root", key, x509.KeyUsageCertSign, nil, nil)
	signer := signerOf(t, "signer", ecKey(t), x509.KeyUsageDigitalSignature, root, key)
	other := signerOf(t, "other", ecKey(t), x509.KeyUsageKeyEncipherment, root, key)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	one := pemOf("CERTIFICATE", root.Raw)
	for _, c := range []struct {
		name string
		in   []byte
		n    int
		bad  string
	}{
		{"none", nil, 0, ""},
		{"an authority and a signer, with words between", bytes.Join([][]byte{one, []byte("# the signer\n"), pemOf("CERTIFICATE", signer.Raw)}, nil), 2, ""},
		{"a private key beside", append(append([]byte{}, one...), pemOf("PRIVATE KEY", private)...), 0, "not \"PRIVATE KEY\""},
		{"no PEM", []byte("hello"), 0, "none"},
		{"no certificate", pemOf("CERTIFICATE", []byte{1}), 0, "number 1"},
		{"one that may do neither", pemOf("CERTIFICATE", other.Raw), 0, "neither"},
		{"too many", bytes.Repeat(one, MaxRoots+1), 0, "more than"},
		{"too long", bytes.Repeat([]byte("x"), MaxRootFile+1), 0, "at most"},
	} {
		got, err := Roots(c.in)
		if c.bad == "" && (err != nil || len(got) != c.n) || c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad)) {
			t.Errorf("%s: %d, %v", c.name, len(got), err)
		}
	}
}

func TestCertified(t *testing.T) {
	signer := pkix.Name{CommonName: "mud signing", Organization: []string{"Lantern Cams"}, Country: []string{"CN"}}
	der, err := asn1.Marshal(signer.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	at, err := asn1.MarshalWithParams("https://mud.lantern-cams.example/lc2.json", "ia5")
	if err != nil {
		t.Fatal(err)
	}
	make1 := func(exts ...pkix.Extension) *x509.Certificate {
		return signerOf(t, "device", ecKey(t), x509.KeyUsageDigitalSignature, nil, nil, func(c *x509.Certificate) { c.ExtraExtensions = exts })
	}
	u, s := pkix.Extension{Id: idPeMUDURL(), Value: at}, pkix.Extension{Id: idPeMUDSigner(), Value: der}
	got, err := ReadCertificate(pemOf("CERTIFICATE", make1(u, s).Raw))
	if err != nil {
		t.Fatal(err)
	}
	where, who, err := Certified(got)
	if err != nil || where != "https://mud.lantern-cams.example/lc2.json" || who != signer.String() {
		t.Errorf("Certified = %q, %q, %v", where, who, err)
	}
	// What a certificate of that subject shows is the same text.
	key := ecKey(t)
	made := signerOf(t, "x", key, x509.KeyUsageDigitalSignature, nil, nil, func(c *x509.Certificate) { c.Subject = signer })
	if made.Subject.String() != who {
		t.Errorf("the signer's certificate reads %q, the device's names %q", made.Subject, who)
	}
	if where, who, err := Certified(make1()); where != "" || who != "" || err != nil {
		t.Errorf("of a certificate that says nothing: %q, %q, %v", where, who, err)
	}
	for name, e := range map[string]pkix.Extension{
		"no IA5": {Id: idPeMUDURL(), Value: der}, "more behind": {Id: idPeMUDURL(), Value: append(append([]byte{}, at...), 0)},
		"no name": {Id: idPeMUDSigner(), Value: at}, "empty name": {Id: idPeMUDSigner(), Value: []byte{0x30, 0}},
	} {
		if _, _, err := Certified(make1(e)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := ReadCertificate([]byte("x")); err == nil {
		t.Error("no certificate is taken for one")
	}
}

func FuzzCertified(f *testing.F) {
	f.Add([]byte{0x16, 1, 'x'}, []byte{0x30, 0})
	f.Fuzz(func(t *testing.T, url, signer []byte) {
		c := &x509.Certificate{Extensions: []pkix.Extension{{Id: idPeMUDURL(), Value: url}, {Id: idPeMUDSigner(), Value: signer}}}
		u, s, err := Certified(c)
		if err != nil && u+s != "" {
			t.Errorf("%q, %q with %v", u, s, err)
		}
	})
}
