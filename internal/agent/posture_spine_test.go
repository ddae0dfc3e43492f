package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/broker"
	"github.com/ringwall/ringwall/internal/enrol"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/posture"
	"github.com/ringwall/ringwall/internal/spine"
)

// TestPosture_onceOverTheSpine: the agent on a device needs nothing but its
// enrolment and the spine, ends when the platform has its word, and takes no
// desired state.
func TestPosture_onceOverTheSpine(t *testing.T) {
	dir := t.TempDir()
	state, key, ca := enrolledBy(t, dir, "")
	cert, err := ca.Server(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Start(broker.Config{
		Dir: filepath.Join(dir, "spine"), Listen: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: ca.Pool()},
		Verify: func(c *x509.Certificate) (broker.Grant, error) {
			o, g, err := identity.GatewayOf(c)
			return broker.GatewayGrant(o, g), err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	platform, err := spine.Dial(t.Context(), spine.Config{InProcess: b.InProcess, Token: b.Token(), Name: "platform"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(platform.Close)
	var mu sync.Mutex
	var got []api.Record
	if _, err := platform.Serve(api.ReportSubject("org_a", "gw_a"), func(_ context.Context, _ string, data []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		batch, err := api.ReadBatch(data)
		if err != nil || len(batch.Records) == 0 {
			return []byte(`{"error":"no batch"}`)
		}
		got = append(got, batch.Records...)
		out, _ := json.Marshal(api.BatchAck{Epoch: batch.Epoch, Seq: batch.Records[len(batch.Records)-1].Seq})
		return out
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := platform.Serve(api.DesiredSubject("org_a", "gw_a"), func(context.Context, string, []byte) []byte {
		return []byte(`{"signed":{"document":"e30=","key":"k1","signature":"AA=="}}`)
	}); err != nil {
		t.Fatal(err)
	}
	address(t, state, "tls://"+b.Addr().String())

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := RunOnDevice(ctx, Config{State: state}, true, nil); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 1 || got[0].Kind != api.RecordPosture {
		t.Fatalf("the platform got %+v", got)
	}
	var s api.SignedPosture
	if err := json.Unmarshal(got[0].Data, &s); err != nil {
		t.Fatal(err)
	}
	p, err := posture.Verify(s, posture.Expect{Key: &key.PublicKey, MaxAge: time.Minute, Now: time.Now()})
	if err != nil || p.Kernel == "" {
		t.Errorf("of this machine: kernel %q, %v", p.Kernel, err)
	}
	files, err := os.ReadDir(state)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), enforceDir) || strings.HasPrefix(f.Name(), dnsPolicy) {
			t.Errorf("an agent on a device keeps %q", f.Name())
		}
	}
}

// A platform that is away leaves the word in the log.
func TestPosture_onceWithoutAPlatform(t *testing.T) {
	state, _, _ := enrolledBy(t, t.TempDir(), "tls://127.0.0.1:1")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := RunOnDevice(ctx, Config{State: state}, true, nil); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("without a platform: %v, want unavailable", err)
	}
	a, err := newOnDevice(Config{State: state})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	l := a.books.current()
	if rs, err := l.Read(l.First(), 10); err != nil || len(rs) != 1 || rs[0].Kind != api.RecordPosture {
		t.Errorf("the log holds %+v, %v", rs, err)
	}
}

// address has an enrolled agent find the spine elsewhere.
func address(t *testing.T, state, spine string) {
	t.Helper()
	c := Config{State: state}
	id, err := c.loadIdentity()
	if err != nil {
		t.Fatal(err)
	}
	id.Spine = []string{spine}
	data, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.path(identityFile), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// enrolledBy writes the identity that enrolment would have written; spine ""
// leads nowhere.
func enrolledBy(t *testing.T, dir, spine string) (state string, key *ecdsa.PrivateKey, ca *identity.Authority) {
	t.Helper()
	ca, err := identity.OpenAuthority(filepath.Join(dir, "keys"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	key, csr, err := enrol.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.SignGateway("org_a", "gw_a", []byte(csr))
	if err != nil {
		t.Fatal(err)
	}
	c := Config{State: filepath.Join(dir, "state")}.defaults()
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		t.Fatal(err)
	}
	if spine == "" {
		spine = "tls://127.0.0.1:1"
	}
	if _, err := c.adopt(api.EnrolAnswer{
		Org: "org_a", Gateway: "gw_a", Certificate: string(cert.PEM), CA: string(ca.Certificate()), Spine: []string{spine}, SigningKeys: map[string][]byte{"k1": make([]byte, 32)},
	}, key); err != nil {
		t.Fatal(err)
	}
	return c.State, key, ca
}
