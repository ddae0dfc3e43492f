package identity_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/identity"
)

const (
	org = ringwall.OrgID("org_a")
	gw  = ringwall.GatewayID("gw_a")
)

func now() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

func authority(t *testing.T) *identity.Authority {
	t.Helper()
	a, err := identity.OpenAuthority(t.TempDir(), now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func csr(t *testing.T, key any, template *x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func ecKey(t *testing.T, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func leaf(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no certificate")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAuthority_NamesTheGatewayWhateverTheRequestSays(t *testing.T) {
	a := authority(t)
	evil, _ := url.Parse("spiffe://ringwall/org_b/gateway/gw_b")
	req := csr(t, ecKey(t, elliptic.P256()), &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "platform"}, DNSNames: []string{"spine.ringwall.internal"}, URIs: []*url.URL{evil},
	})
	g, err := a.SignGateway(org, gw, req)
	if err != nil {
		t.Fatal(err)
	}
	c := leaf(t, g.PEM)
	gotOrg, gotGW, err := identity.GatewayOf(c)
	if err != nil || gotOrg != org || gotGW != gw || len(c.DNSNames) != 0 || c.IsCA {
		t.Errorf("the certificate names %q %q, DNS %q, CA %v, %v", gotOrg, gotGW, c.DNSNames, c.IsCA, err)
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: a.Pool(), CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("it does not verify: %v", err)
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: a.Pool(), CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err == nil {
		t.Error("a gateway's certificate is good for a server")
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: a.Pool(), CurrentTime: now().Add(identity.GatewayLife + time.Hour), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
		t.Error("it is good past its time")
	}
}

func TestAuthority_RefusesWhatIsNoRequest(t *testing.T) {
	a := authority(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := csr(t, ecKey(t, elliptic.P256()), &x509.CertificateRequest{})
	block, _ := pem.Decode(good)
	forged := bytes.Clone(block.Bytes)
	forged[len(forged)-1] ^= 1
	for _, c := range []struct {
		name string
		in   []byte
		want ringwall.Code
	}{
		{"nothing", nil, ringwall.Invalid}, {"no PEM", []byte("hello"), ringwall.Invalid}, {"giant", bytes.Repeat([]byte("A"), 1<<20), ringwall.Invalid},
		{"a certificate", a.Certificate(), ringwall.Invalid}, {"RSA", csr(t, rsaKey, &x509.CertificateRequest{}), ringwall.Invalid},
		{"P-224", csr(t, ecKey(t, elliptic.P224()), &x509.CertificateRequest{}), ringwall.Invalid}, {"two requests", append(bytes.Clone(good), good...), ringwall.Invalid},
		{"forged", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: forged}), ringwall.Unverified}, {"good", good, ""},
	} {
		if _, err := a.SignGateway(org, gw, c.in); ringwall.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want code %q", c.name, err, c.want)
		}
	}
	for _, bad := range []ringwall.GatewayID{"", "gw_", "gw_a/../gw_b", "gw_a*", "dev_a"} {
		if _, err := a.SignGateway(org, bad, good); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("gateway %q: %v, want invalid", bad, err)
		}
	}
}

func TestGatewayOf_TakesOneFormAlone(t *testing.T) {
	for _, s := range []string{
		"", "spiffe://ringwall/org_a/gateway/", "spiffe://ringwall/org_a/device/gw_a", "spiffe://elsewhere/org_a/gateway/gw_a", "https://ringwall/org_a/gateway/gw_a",
		"spiffe://ringwall/org_a/gateway/gw_a/x", "spiffe://ringwall/org_a/gateway/gw_a?x=1", "spiffe://u@ringwall/org_a/gateway/gw_a", "spiffe://ringwall/org_a/gateway/gw_%61",
		"spiffe://ringwall//gateway/gw_a", "spiffe://ringwall/org_a/gateway/gw_*",
	} {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		if o, g, err := identity.GatewayOf(&x509.Certificate{URIs: []*url.URL{u}}); ringwall.CodeOf(err) != ringwall.Unverified {
			t.Errorf("%q names %q %q, %v", s, o, g, err)
		}
	}
	ok, _ := url.Parse("spiffe://ringwall/org_a/gateway/gw_a")
	if o, g, err := identity.GatewayOf(&x509.Certificate{URIs: []*url.URL{ok}}); err != nil || o != org || g != gw {
		t.Errorf("the one form: %q %q %v", o, g, err)
	}
	if _, _, err := identity.GatewayOf(&x509.Certificate{URIs: []*url.URL{ok, ok}}); err == nil {
		t.Error("a certificate with two names is taken")
	}
	if _, _, err := identity.GatewayOf(nil); err == nil {
		t.Error("no certificate is taken")
	}
}

func TestKeysStayAndAreGuarded(t *testing.T) {
	dir := t.TempDir()
	a, err := identity.OpenAuthority(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := identity.OpenSigner(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := identity.OpenAuthority(dir, now)
	if err != nil || again.Pin() != a.Pin() {
		t.Errorf("opened again, the authority is another (%v)", err)
	}
	s2, err := identity.OpenSigner(dir)
	if err != nil || fmt.Sprint(s2.Keys()) != fmt.Sprint(s.Keys()) {
		t.Errorf("opened again, the signing key is another (%v)", err)
	}
	for _, name := range []string{"ca.key", "desired.key"} {
		file := filepath.Join(dir, name)
		if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", name, st.Mode(), err)
		}
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := identity.OpenAuthority(dir, now); ringwall.CodeOf(err) != ringwall.Forbidden {
		t.Errorf("with a key that others can read: %v, want forbidden", err)
	}
	if err := os.Chmod(filepath.Join(dir, "ca.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.key"), text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.OpenAuthority(dir, now); ringwall.CodeOf(err) != ringwall.Invalid || strings.Contains(err.Error(), string(text[30:60])) {
		t.Errorf("with half a key: %v, want invalid and nothing of the key", err)
	}
	if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.OpenAuthority(dir, now); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("with a certificate whose key is gone: %v, want invalid: a new key must not pass for the old", err)
	}
}

func TestSigner_SignsWhatGatewaysVerify(t *testing.T) {
	s, err := identity.OpenSigner(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(api.Desired{Version: 1, Org: org, Gateway: gw, Generation: 3})
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]ed25519.PublicKey{}
	for id, k := range s.Keys() {
		keys[id] = k
	}
	if d, err := signed.Open(keys); err != nil || d.Generation != 3 {
		t.Errorf("Open = %+v, %v", d, err)
	}
	signed.Payload[10] ^= 1
	if _, err := signed.Open(keys); ringwall.CodeOf(err) != ringwall.Unverified {
		t.Errorf("changed on the way: %v, want unverified", err)
	}
}

func TestServerCertificateIsGoodForItsNames(t *testing.T) {
	a := authority(t)
	cert, err := a.Server([]string{"platform.example", "198.51.100.10"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"platform.example", "198.51.100.10", "127.0.0.1", "localhost", identity.SpineName} {
		if _, err := c.Verify(x509.VerifyOptions{Roots: a.Pool(), DNSName: name, CurrentTime: now()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.VerifyHostname("elsewhere.example"); err == nil {
		t.Error("it is good for any name")
	}
	var _ tls.Certificate = cert
}

func TestTokenIsProvenBySecretAndLife(t *testing.T) {
	secret, record := identity.NewToken(identity.EnrolToken, org, now())
	record.Expires = now().Add(time.Hour)
	claim, err := identity.ParseToken(identity.EnrolToken, secret.Reveal())
	if err != nil || claim.Org != org || claim.ID != record.ID {
		t.Fatalf("ParseToken = %+v, %v", claim, err)
	}
	other, otherRecord := identity.NewToken(identity.EnrolToken, org, now())
	otherRecord.ID, otherRecord.Expires = record.ID, record.Expires
	used := record
	used.Used = now()
	foreign := record
	foreign.Org = "org_b"
	for _, c := range []struct {
		name string
		r    identity.TokenRecord
		at   time.Time
		ok   bool
	}{
		{"as made", record, now(), true}, {"at its end", record, now().Add(time.Hour), false}, {"used", used, now(), false},
		{"another's hash", otherRecord, now(), false}, {"another organisation's", foreign, now(), false}, {"no record", identity.TokenRecord{}, now(), false},
	} {
		err := claim.Check(c.r, c.at)
		if (err == nil) != c.ok || err != nil && (ringwall.CodeOf(err) != ringwall.Unverified || err.Error() != "the token is not valid") {
			t.Errorf("%s: %v, want ok %v", c.name, err, c.ok)
		}
	}
	for _, bad := range []string{"", "rwe", other.Reveal()[1:], strings.ToUpper(secret.Reveal()), secret.Reveal() + "_x", strings.Repeat("_", 500), strings.Replace(secret.Reveal(), "rwe", "rwt", 1)} {
		if _, err := identity.ParseToken(identity.EnrolToken, bad); ringwall.CodeOf(err) != ringwall.Unverified {
			t.Errorf("ParseToken(%.20q…) = %v, want unverified", bad, err)
		}
	}
}

func TestASecretDoesNotSlipOut(t *testing.T) {
	secret, record := identity.NewToken(identity.APIToken, org, now())
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", secret, "v", struct{ S identity.Secret }{secret})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", secret)
	js, _ := json.Marshal(map[string]any{"s": secret})
	all := log.String() + string(js) + fmt.Sprintf("%v %s %+v %#v %q", secret, secret, secret, secret, secret) + fmt.Sprintf("%v %x", record, record.Hash)
	tail := secret.Reveal()[strings.LastIndexByte(secret.Reveal(), '_')+1:]
	if strings.Contains(all, tail) {
		t.Errorf("the secret shows in %s", all)
	}
}

func TestPasswords(t *testing.T) {
	p := identity.NewPasswords()
	kept, err := p.Hash(t.Context(), "correct horse battery")
	if err != nil || !strings.HasPrefix(kept, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("Hash = %q, %v", kept, err)
	}
	if again, _ := p.Hash(t.Context(), "correct horse battery"); again == kept {
		t.Error("the same password twice makes the same hash")
	}
	for _, c := range []struct {
		kept, password string
		want           bool
	}{
		{kept, "correct horse battery", true}, {kept, "correct horse batterz", false}, {kept, "", false}, {"", "correct horse battery", false},
		{kept, strings.Repeat("x", 1<<20), false}, {"$argon2id$v=19$m=4194304,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "x", false}, {"plain", "plain", false},
	} {
		if got, err := p.Check(t.Context(), c.kept, c.password); got != c.want || err != nil {
			t.Errorf("Check(%.30q, %.20q) = %v, %v; want %v", c.kept, c.password, got, err, c.want)
		}
	}
	for _, bad := range []string{"short", "", strings.Repeat("x", 2000)} {
		if _, err := p.Hash(t.Context(), bad); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("a password of %d bytes: %v, want invalid", len(bad), err)
		}
	}
	if a, b := identity.RandomPassword(), identity.RandomPassword(); a == b || len(a.Reveal()) < 24 {
		t.Errorf("random passwords %q and %q", a.Reveal(), b.Reveal())
	}
}

func FuzzParseToken(f *testing.F) {
	s, _ := identity.NewToken(identity.APIToken, org, now())
	f.Add(s.Reveal())
	f.Add("rwt___")
	f.Fuzz(func(t *testing.T, in string) {
		c, err := identity.ParseToken(identity.APIToken, in)
		if err != nil {
			if err.Error() != "the token is not valid" {
				t.Errorf("error %v", err)
			}
			return
		}
		if !ringwall.ValidID(ringwall.PrefixOrg, string(c.Org)) || !ringwall.ValidID(ringwall.PrefixToken, string(c.ID)) {
			t.Errorf("%q names %q and %q", in, c.Org, c.ID)
		}
	})
}

func FuzzSignGateway(f *testing.F) {
	a, err := identity.OpenAuthority(f.TempDir(), now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, err := a.SignGateway(org, gw, in); err != nil && ringwall.CodeOf(err) != ringwall.Invalid && ringwall.CodeOf(err) != ringwall.Unverified {
			t.Errorf("error %v", err)
		}
	})
}
