package mqttport

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// kept holds the connections of the benchmark's terminals.
var kept sync.Map

// writeIdentities makes n terminals and writes them down for another process.
func writeIdentities(b *testing.B, s *site, dir string, n int) {
	b.Helper()
	var out, names bytes.Buffer
	for range n {
		gw, conf := s.enrol()
		cert := conf.Certificates[0]
		der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range cert.Certificate {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c})
		}
		_ = pem.Encode(&out, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
		out.WriteByte(0)
		names.WriteString(string(gw) + "\n")
	}
	for name, data := range map[string][]byte{"pairs": out.Bytes(), "names": names.Bytes(), "ca": s.auth.Certificate(), "org": []byte(s.org)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

func readIdentities(b *testing.B, dir string) (pairs []tls.Certificate, pool *x509.CertPool, org string, gws []string) {
	b.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	for one := range bytes.SplitSeq(bytes.TrimSuffix(read("pairs"), []byte{0}), []byte{0}) {
		pair, err := tls.X509KeyPair(one, one)
		if err != nil {
			b.Fatal(err)
		}
		pairs = append(pairs, pair)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(read("ca"))
	return pairs, pool, string(read("org")), strings.Fields(string(read("names")))
}
