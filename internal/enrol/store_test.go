package enrol_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/enrol"
	"github.com/ringwall/ringwall/internal/identity"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestStore: what was adopted is there and its files are nobody else's; the clock
// that certificates are judged by does not go below what is known; what certifies
// another key, or comes without an authority, changes nothing.
func TestStore(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	s := enrol.Store{Dir: t.TempDir(), Identity: "identity.json", Pair: "pair.pem", Authority: "ca.crt", Site: "test/identity", Now: func() time.Time { return time.Unix(0, 0) }}
	ca, err := identity.OpenAuthority(filepath.Join(t.TempDir(), "keys"), func() time.Time { return now })
	must(t, err)
	key, csr, err := enrol.NewKey()
	must(t, err)
	cert, err := ca.SignGateway("org_a", "gw_a", []byte(csr))
	must(t, err)
	answer := api.EnrolAnswer{Org: "org_a", Gateway: "gw_a", Certificate: string(cert.PEM), CA: string(ca.Certificate())}
	other, _, err := enrol.NewKey()
	must(t, err)
	if err := s.Adopt(answer, other, "x"); ringwall.CodeOf(err) != ringwall.Unverified {
		t.Errorf("a certificate of another key: %v", err)
	}
	bare := answer
	bare.CA = ""
	if err := s.Adopt(bare, key, "x"); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("no authority: %v", err)
	}
	if list, err := os.ReadDir(s.Dir); err != nil || len(list) != 0 {
		t.Errorf("what was refused is on disk: %v, %v", list, err)
	}
	if _, err := s.TLS(tls.VersionTLS13, func() time.Time { return now }); err == nil {
		t.Error("TLS without an identity")
	}
	must(t, s.Adopt(answer, key, map[string]string{"org": "org_a"}))
	list, err := os.ReadDir(s.Dir)
	must(t, err)
	for _, f := range list {
		if fi, err := f.Info(); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), fi.Mode(), err)
		}
	}
	conf, err := s.TLS(tls.VersionTLS13, func() time.Time { return now })
	must(t, err)
	if got := conf.Time(); !got.Equal(now) {
		t.Errorf("with a clock of 1970 certificates are judged at %s, want %s", got, now)
	}
	if shown, err := conf.GetClientCertificate(nil); err != nil || len(shown.Certificate) == 0 {
		t.Errorf("shown is %v, %v", shown, err)
	}
}

func TestDue(t *testing.T) {
	from := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	cert := &x509.Certificate{NotBefore: from, NotAfter: from.Add(90 * 24 * time.Hour)}
	for days, want := range map[int]bool{0: false, 59: false, 61: true, 100: true} {
		if got := enrol.Due(cert, from.Add(time.Duration(days)*24*time.Hour)); got != want {
			t.Errorf("after %d days of 90: due %t", days, got)
		}
	}
}
