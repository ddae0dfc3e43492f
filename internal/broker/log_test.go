package broker_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/broker"
	"github.com/ringwall/ringwall/internal/identity"
)

// said is what a server writes into its log.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

// TestStart_warns_of_nothing: a start as it should be has nothing that we coped
// with. That clients have to begin with TLS, which the server warns of, is our
// setting; it is still there for who looks closely.
func TestStart_warns_of_nothing(t *testing.T) {
	dir, log := t.TempDir(), &said{}
	ca, err := identity.OpenAuthority(filepath.Join(dir, "keys"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Server(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Start(broker.Config{
		Dir: filepath.Join(dir, "spine"), Listen: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: ca.Pool()},
		Verify: func(*x509.Certificate) (broker.Grant, error) { return broker.Grant{}, nil },
		Log:    slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	log.mu.Lock()
	defer log.mu.Unlock()
	seen := false
	for line := range strings.Lines(log.b.String()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			t.Errorf("a start says %s", line)
		}
		seen = seen || strings.Contains(line, "Handshake First") && strings.Contains(line, "level=DEBUG")
	}
	if !seen {
		t.Errorf("the server does not say that clients begin with TLS, and this test shows nothing: %s", log.b.String())
	}
}
