package agent_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/agent"
	"github.com/ringwall/ringwall/internal/identity"
)

const secretToken = "rwe_org_a_SECRETSECRET"

// enrolment is a platform that enrols.
type enrolment struct {
	ca     *identity.Authority
	url    string
	caFile string
	pin    string
	serial string // that was sent last
	answer func(w http.ResponseWriter, in api.EnrolRequest, out api.EnrolAnswer)
}

func newEnrolment(t *testing.T) *enrolment {
	t.Helper()
	e := &enrolment{}
	var err error
	e.ca, err = identity.OpenAuthority(filepath.Join(t.TempDir(), "keys"), time.Now)
	must(t, err)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var in api.EnrolRequest
		if req.URL.Path != "/v1/enrol" || req.Method != http.MethodPost || json.NewDecoder(req.Body).Decode(&in) != nil || in.Token != secretToken {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"title":"Forbidden","detail":"the token is not valid any more"}`)
			return
		}
		e.serial = in.Serial
		cert, err := e.ca.SignGateway(org, gw, []byte(in.CSR))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out := api.EnrolAnswer{
			Org: org, Gateway: gw, Certificate: string(cert.PEM), CA: string(e.ca.Certificate()),
			Spine: []string{"tls://198.51.100.10:4222"}, SigningKeys: map[string][]byte{"k1": make([]byte, 32)},
		}
		if e.answer != nil {
			e.answer(w, in, out)
			return
		}
		json.NewEncoder(w).Encode(out)
	}))
	cert, err := e.ca.Server(nil)
	must(t, err)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	t.Cleanup(srv.Close)
	e.url = srv.URL
	e.caFile = filepath.Join(t.TempDir(), "ca.crt")
	must(t, os.WriteFile(e.caFile, e.ca.Certificate(), 0o600))
	block, _ := pem.Decode(e.ca.Certificate())
	sum := sha256.Sum256(block.Bytes)
	e.pin = hex.EncodeToString(sum[:])
	return e
}

func (e *enrolment) config(t *testing.T) agent.EnrolConfig {
	return agent.EnrolConfig{Config: agent.Config{State: filepath.Join(t.TempDir(), "state")}, Platform: e.url, Token: secretToken, CA: e.caFile}
}

func TestEnrol(t *testing.T) {
	for _, how := range []string{"by CA", "by pin"} {
		e := newEnrolment(t)
		c := e.config(t)
		if how == "by pin" {
			c.CA, c.Pin = "", "sha256:"+e.pin
			c.Serial = "SN-0042"
		}
		id, err := agent.Enrol(t.Context(), c)
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if e.serial != c.Serial && c.Serial != "" {
			t.Errorf("%s: serial %q is sent, want %q", how, e.serial, c.Serial)
		}
		if id.Org != org || id.Gateway != gw {
			t.Errorf("%s: identity = %+v", how, id)
		}
		if _, err := tls.LoadX509KeyPair(filepath.Join(c.State, "gateway.pem"), filepath.Join(c.State, "gateway.pem")); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		entries, err := os.ReadDir(c.State)
		must(t, err)
		for _, f := range entries {
			if fi, _ := f.Info(); fi.Mode().Perm() != 0o600 {
				t.Errorf("%s: %s has mode %v", how, f.Name(), fi.Mode())
			}
			b, err := os.ReadFile(filepath.Join(c.State, f.Name()))
			must(t, err)
			if strings.Contains(string(b), secretToken) {
				t.Errorf("%s: the token is in %s", how, f.Name())
			}
		}
		if _, err := agent.Enrol(t.Context(), c); ringwall.CodeOf(err) != ringwall.Conflict {
			t.Errorf("%s: enrolling twice = %v, want Conflict", how, err)
		}
		c.Again = true
		if _, err := agent.Enrol(t.Context(), c); err != nil {
			t.Errorf("%s: enrolling again = %v", how, err)
		}
	}
}

func TestEnrol_refuses(t *testing.T) {
	stranger, err := identity.OpenAuthority(filepath.Join(t.TempDir(), "keys"), time.Now)
	must(t, err)
	strangerFile := filepath.Join(t.TempDir(), "ca.crt")
	must(t, os.WriteFile(strangerFile, stranger.Certificate(), 0o600))
	otherKey := func(w http.ResponseWriter, in api.EnrolRequest, out api.EnrolAnswer) {
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		csr, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		cert, _ := stranger.SignGateway(org, gw, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
		out.Certificate = string(cert.PEM)
		json.NewEncoder(w).Encode(out)
	}
	edit := func(f func(*api.EnrolAnswer)) func(http.ResponseWriter, api.EnrolRequest, api.EnrolAnswer) {
		return func(w http.ResponseWriter, _ api.EnrolRequest, out api.EnrolAnswer) {
			f(&out)
			json.NewEncoder(w).Encode(out)
		}
	}
	for _, c := range []struct {
		name   string
		change func(*agent.EnrolConfig)
		answer func(http.ResponseWriter, api.EnrolRequest, api.EnrolAnswer)
		code   ringwall.Code
	}{
		{"no way to know the platform", func(c *agent.EnrolConfig) { c.CA = "" }, nil, ringwall.Invalid},
		{"two ways", func(c *agent.EnrolConfig) { c.Pin = strings.Repeat("a", 64) }, nil, ringwall.Invalid},
		{"another authority", func(c *agent.EnrolConfig) { c.CA = strangerFile }, nil, ringwall.Unverified},
		{"another pin", func(c *agent.EnrolConfig) { c.CA, c.Pin = "", strings.Repeat("ab", 32) }, nil, ringwall.Unverified},
		{"no pin", func(c *agent.EnrolConfig) { c.CA, c.Pin = "", "abcd" }, nil, ringwall.Invalid},
		{"plain HTTP", func(c *agent.EnrolConfig) { c.Platform = strings.Replace(c.Platform, "https", "http", 1) }, nil, ringwall.Invalid},
		{"password in the address", func(c *agent.EnrolConfig) { c.Platform = strings.Replace(c.Platform, "https://", "https://u:p@", 1) }, nil, ringwall.Invalid},
		{"endless serial", func(c *agent.EnrolConfig) { c.Serial = strings.Repeat("9", 129) }, nil, ringwall.Invalid},
		{"used token", func(c *agent.EnrolConfig) { c.Token = "rwe_used" }, nil, ringwall.Forbidden},
		{"nobody there", func(c *agent.EnrolConfig) { c.Platform = "https://127.0.0.1:1" }, nil, ringwall.Unavailable},
		{"redirect", nil, func(w http.ResponseWriter, _ api.EnrolRequest, _ api.EnrolAnswer) {
			w.Header().Set("Location", "https://127.0.0.1:1/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, ringwall.Unavailable},
		{"certificate of another key", nil, otherKey, ringwall.Unverified},
		{"giant answer", nil, func(w http.ResponseWriter, _ api.EnrolRequest, _ api.EnrolAnswer) { w.Write(make([]byte, 2<<20)) }, ringwall.Invalid},
		{"garbage", nil, func(w http.ResponseWriter, _ api.EnrolRequest, _ api.EnrolAnswer) { io.WriteString(w, "<html>") }, ringwall.Invalid},
		{"no id", nil, edit(func(a *api.EnrolAnswer) { a.Gateway = "../../etc" }), ringwall.Invalid},
		{"no spine", nil, edit(func(a *api.EnrolAnswer) { a.Spine = nil }), ringwall.Invalid},
		{"short key", nil, edit(func(a *api.EnrolAnswer) { a.SigningKeys["k1"] = []byte{1} }), ringwall.Invalid},
		{"no authority", nil, edit(func(a *api.EnrolAnswer) { a.CA = "" }), ringwall.Invalid},
	} {
		e := newEnrolment(t)
		e.answer = c.answer
		conf := e.config(t)
		if c.change != nil {
			c.change(&conf)
		}
		_, err := agent.Enrol(t.Context(), conf)
		if ringwall.CodeOf(err) != c.code {
			t.Errorf("%s: Enrol = %v, want code %q", c.name, err, c.code)
		}
		if err != nil && strings.Contains(err.Error(), secretToken) {
			t.Errorf("%s: the token is in the error: %v", c.name, err)
		}
		if _, err := os.Stat(filepath.Join(conf.State, "identity.json")); err == nil {
			t.Errorf("%s: an identity was written", c.name)
		}
	}
}

func TestMain_usage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want int
		says string
	}{
		{nil, 2, "enrol"},
		{[]string{"frobnicate"}, 2, `no command "frobnicate"`},
		{[]string{"run", "-frobnicate"}, 2, "frobnicate"},
		{[]string{"status", "extra"}, 2, `"extra" is too much`},
		{[]string{"run", "-h"}, 0, "-bridge"},
		{[]string{"help"}, 0, ""},
		{[]string{"status", "-state", "/nonexistent"}, 1, `hint: enrol it with "ringwall-agent enrol"`},
		{[]string{"run", "-state", "/nonexistent"}, 1, "no interface towards devices"},
		{[]string{"enrol", "-token", "/nonexistent"}, 1, "token"},
		{[]string{"dns", "-state", "/nonexistent"}, 1, "no address"},
		{[]string{"dns", "-stop", "-state", "/nonexistent"}, 0, ""},
	} {
		var out, talk strings.Builder
		if got := agent.Main(context.Background(), c.args, &out, &talk); got != c.want || !strings.Contains(talk.String(), c.says) {
			t.Errorf("%q: status %d, says %q; want %d, %q", c.args, got, talk.String(), c.want, c.says)
		}
	}
}
