package agent

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/posture"
)

const oneSocket = "  sl  local_address rem_address   st\n   0: 00000000:0017 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0\n"

func root(tcp string) fstest.MapFS {
	return fstest.MapFS{
		"proc/net/tcp":              {Data: []byte(tcp)},
		"proc/sys/kernel/osrelease": {Data: []byte("6.1.0\n")},
		"etc/passwd":                {Data: []byte("root:x:0:0:root:/root:/bin/sh\n")},
		"etc/shadow":                {Data: []byte("root:$6$salt$hashhashhash:19000:0:99999:7:::\n"), Mode: 0o600},
		"etc/os-release":            {Data: []byte("PRETTY_NAME=\"Test Linux\"\n")},
	}
}

// onDevice opens an agent that is on a device, with a root of its own.
func onDevice(t *testing.T, tcp string) (*Agent, *ecdsa.PrivateKey) {
	t.Helper()
	state, key, _ := enrolledBy(t, t.TempDir(), "")
	a, err := newOnDevice(Config{State: state, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	a.posture.root = root(tcp)
	return a, key
}

func TestPosture_isSignedByTheEnrolledKeyAndLogged(t *testing.T) {
	a, key := onDevice(t, oneSocket)
	if s := a.status(); s.Posture == nil || !s.Posture.Only || !s.Posture.Made.IsZero() {
		t.Errorf("before: %+v", s.Posture)
	}
	if err := a.posture.collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := a.books.current()
	rs, err := l.Read(l.First(), 10)
	if err != nil || len(rs) != 1 || rs[0].Kind != api.RecordPosture {
		t.Fatalf("the log holds %+v, %v", rs, err)
	}
	if strings.Contains(string(rs[0].Data), "hashhashhash") {
		t.Error("a password's hash left the device")
	}
	var s api.SignedPosture
	if err := json.Unmarshal(rs[0].Data, &s); err != nil {
		t.Fatal(err)
	}
	p, err := posture.Verify(s, posture.Expect{Key: &key.PublicKey, MaxAge: time.Minute, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Listening) != 1 || p.Listening[0].Addr.Port() != 23 || p.Facts["identity-key"] != "file" || p.Kernel != "6.1.0" {
		t.Errorf("it says %+v", p)
	}
	cert, err := x509.ParseCertificate(s.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if o, g, err := identity.GatewayOf(cert); err != nil || o != a.id.Org || g != a.id.Gateway || !key.PublicKey.Equal(cert.PublicKey) {
		t.Errorf("the certificate is of %q %q, %v", o, g, err)
	}
	// Sent is what the platform has acknowledged, of this log.
	for _, c := range []struct {
		ack  api.BatchAck
		sent bool
	}{
		{api.BatchAck{Epoch: l.Epoch(), Seq: rs[0].Seq - 1}, false}, {api.BatchAck{Epoch: l.Epoch() + 1, Seq: rs[0].Seq}, false}, {api.BatchAck{Epoch: l.Epoch(), Seq: rs[0].Seq}, true},
	} {
		a.up.acked.Store(&c.ack)
		if s := a.status(); !s.Posture.Made.Equal(p.Made) || s.Posture.Sent.IsZero() == c.sent || a.posture.arrived() != c.sent {
			t.Errorf("after %+v: %+v", c.ack, s.Posture)
		}
	}
	var text strings.Builder
	if err := a.status().Print(&text); err != nil || !strings.Contains(text.String(), "last sent "+p.Made.Format(time.RFC3339)) {
		t.Errorf("status reads %s, %v", text.String(), err)
	}
}

func TestPosture_ofAnAgentThatIsNotEnrolled(t *testing.T) {
	if _, err := newOnDevice(Config{State: t.TempDir()}); ringwall.CodeOf(err) != ringwall.NotFound {
		t.Errorf("not enrolled: %v", err)
	}
	a, _ := onDevice(t, "")
	if _, err := newOnDevice(a.cfg); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("two on one state: %v", err)
	}
	if err := os.WriteFile(a.cfg.path(pairFile), pem.EncodeToMemory(&pem.Block{Type: "NOTHING"}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.posture.collect(t.Context()); err == nil {
		t.Error("signed without a key")
	}
}

func TestPosture_fitsARecord(t *testing.T) {
	p := api.Posture{Made: time.Now(), Mounts: []api.Mount{{Path: "/"}}}
	for range 256 {
		p.Versions = append(p.Versions, api.Component{Name: strings.Repeat("n", 1000), Version: strings.Repeat("v", 1000)})
	}
	a, key := onDevice(t, "")
	s, err := a.signPosture(p)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := json.Marshal(s); err != nil || len(data) > 512<<10 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	got, err := posture.Verify(s, posture.Expect{Key: &key.PublicKey, MaxAge: time.Minute, Now: time.Now()})
	if err != nil || len(got.Versions) != 128 || len(got.Mounts) != 1 || !slices.ContainsFunc(got.Unread, func(u string) bool { return strings.Contains(u, "too long") }) {
		t.Errorf("%d versions, %v, %v", len(got.Versions), got.Unread, err)
	}
	p = api.Posture{OS: strings.Repeat("x", maxPosture+1)}
	if _, err := a.signPosture(p); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("one that cannot be cut: %v", err)
	}
}

func TestWatched_tellsWhatStays(t *testing.T) {
	for _, c := range []struct {
		name  string
		known string
		looks []string
		want  []bool
	}{
		{"nothing happens", "a b", []string{"a b", "a b"}, []bool{false, false}},
		{"a query's socket comes and goes", "a", []string{"a q", "a", "a r", "a"}, []bool{false, false, false, false}},
		{"a socket opens and stays", "a", []string{"a t", "a t"}, []bool{false, true}},
		{"it is told until it is settled", "a", []string{"a t", "a t", "a t"}, []bool{false, true, true}},
		{"a socket closes", "a b", []string{"a", "a"}, []bool{true, true}},
	} {
		w := watched{known: strings.Fields(c.known)}
		w.before = w.known
		for i, l := range c.looks {
			if got := w.look(strings.Fields(l)); got != c.want[i] {
				t.Errorf("%s: look %d answers %v", c.name, i, got)
			}
		}
	}
	w := watched{known: []string{"a"}, before: []string{"a"}}
	w.look([]string{"a", "t"})
	w.look([]string{"a", "t"})
	if w.settle(); w.look([]string{"a", "t"}) {
		t.Error("what was told is told again")
	}
}
