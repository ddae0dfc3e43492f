package farm

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/netns/netnstest"
)

func up(t *testing.T, models []Model) *Farm {
	t.Helper()
	netnstest.New(t, "may-we")
	f, err := Up(t.Context(), models)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Down(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// client speaks HTTP from the viewer's end, whatever the certificate.
func (f *Farm) client() *http.Client {
	return &http.Client{
		Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: f.Viewer().DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
}

func TestEveryDeviceStandsAsItsModelSays(t *testing.T) {
	f := up(t, Twenty())
	for _, b := range f.Boxes {
		open := map[uint16]bool{}
		for _, s := range b.Services {
			open[s.Port] = true
		}
		for _, port := range []uint16{22, 23, 80, 322, 443, 554, 8443, 65534} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			c, err := f.Viewer().DialContext(ctx, "tcp4", net.JoinHostPort(b.Addr.String(), strconv.Itoa(int(port))))
			cancel()
			if err == nil {
				c.Close()
			}
			if (err == nil) != open[port] {
				t.Errorf("%s, port %d: %v, want open %v", b.Name, port, err, open[port])
			}
			if b.Silent && (err == nil || strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "no route")) {
				t.Errorf("%s is not silent: %v", b.Name, err)
			}
			if b.Silent {
				break
			}
		}
	}
}

func TestWhatIsBadIsBad(t *testing.T) {
	f := up(t, Twenty())
	by := map[string]*Box{}
	for _, b := range f.Boxes {
		by[b.Name] = b
	}
	get := func(url, token string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := f.client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	for _, c := range []struct {
		box, path string
		token     func(*Box) string
		status    int
		holds     string
	}{
		{"cam-open-video", "http://%/snapshot.jpg", nil, 200, "\xff\xd8"},
		{"cam-plain-strong", "http://%/snapshot.jpg", nil, 401, ""},
		{"cloud-foreign-objects", "https://%/api/devices/1002", func(b *Box) string { return b.Token }, 200, "camera of b"},
		{"cloud-good", "https://%/api/devices/1002", func(b *Box) string { return b.Token }, 404, ""},
		{"cloud-good", "https://%/api/devices/1001", func(b *Box) string { return b.Token }, 200, "camera of a"},
		{"recorder-known-hole", "http://%/Security/users?auth=YWRtaW46MTEK", nil, 200, "UserList"},
		{"recorder-known-hole", "http://%/Security/users?auth=x", nil, 401, ""},
		{"cam-hardened", "https://%/", nil, 200, "csrf"},
	} {
		b, token := by[c.box], ""
		if c.token != nil {
			token = c.token(b)
		}
		if status, body := get(strings.ReplaceAll(c.path, "%", b.Addr.String()), token); status != c.status || !strings.Contains(body, c.holds) {
			t.Errorf("%s %s: %d %.80q, want %d with %q", c.box, c.path, status, body, c.status, c.holds)
		}
	}
}
