package httpone_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/httpone"
)

func TestDo(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			b, _ := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusCreated)
			w.Write(b)
		case "/big":
			io.WriteString(w, strings.Repeat("x", 2000))
		case "/moved":
			http.Redirect(w, r, "/echo", http.StatusFound)
		case "/hang":
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Second):
			}
		}
	}))
	defer s.Close()
	do := func(ctx context.Context, path, body string) (string, int, error) {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		b, status, err := httpone.Do(ctx, conn, req, 1000)
		return string(b), status, err
	}
	if b, status, err := do(t.Context(), "/echo", "hello"); b != "hello" || status != http.StatusCreated || err != nil {
		t.Errorf("echo: %q, %d, %v", b, status, err)
	}
	if _, _, err := do(t.Context(), "/big", ""); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a large answer: %v", err)
	}
	if _, status, err := do(t.Context(), "/moved", ""); status != http.StatusFound || err != nil {
		t.Errorf("a redirect: %d, %v", status, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := do(ctx, "/hang", ""); err != context.DeadlineExceeded {
		t.Errorf("a server that hangs: %v", err)
	}
}
