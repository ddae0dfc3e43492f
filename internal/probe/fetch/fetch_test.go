package fetch

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/probe/probetest"
)

func TestGet_isBounded(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "http://127.0.0.2/", http.StatusFound)
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}
	}))
	defer s.Close()
	r, err := Get(t.Context(), probetest.Host{}, s.URL+"/redirect")
	if err != nil || r.Status != http.StatusFound {
		t.Errorf("a redirect is %d, %v", r.Status, err)
	}
	r, err = Get(t.Context(), probetest.Host{}, s.URL+"/endless")
	if err != nil || len(r.Body) != Max {
		t.Errorf("an endless page gives %d bytes, %v", len(r.Body), err)
	}
	for _, bad := range []string{"http://camera.example/", "ftp://127.0.0.1/", "http://[::1", ""} {
		if _, err := Get(t.Context(), probetest.Host{}, bad); err == nil {
			t.Errorf("Get(%q) went through", bad)
		}
	}
}

func TestGet_tarpit(t *testing.T) {
	addr := probetest.Serve(t, func(c net.Conn) {
		for {
			if _, err := c.Write([]byte("H")); err != nil {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	})
	began := time.Now()
	if _, err := Get(t.Context(), probetest.Host{}, "http://"+addr+"/"); err == nil {
		t.Error("a tarpit answered")
	}
	if took := time.Since(began); took > 3*Timeout {
		t.Errorf("held for %v", took)
	}
}

func TestClean(t *testing.T) {
	if got := Clean(" a\x00b\r\n\x1b[31mc\u202ed "+strings.Repeat("x", 99), 12); got != "ab [31mcd xx" {
		t.Errorf("Clean = %q", got)
	}
}
