package cve

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ringwall/ringwall/internal/assess"
)

const (
	maxBody    = 64 << 10
	askTimeout = 5 * time.Second
	// maxSilent is how many questions may go unanswered before no more are asked.
	maxSilent = 3
)

// asker asks one web server, without cookies and redirects.
type asker struct {
	base   string
	tr     *http.Transport
	http   *http.Client
	silent int
}

func newAsker(n assess.Network, address string, inTLS bool) *asker {
	tr := &http.Transport{
		DialContext: n.DialContext, MaxIdleConns: 1, DisableCompression: true, MaxResponseHeaderBytes: 32 << 10, ResponseHeaderTimeout: askTimeout,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}, // judged by the tls probe
	}
	w := &asker{base: "http://" + address, tr: tr}
	if inTLS {
		w.base = "https://" + address
	}
	w.http = &http.Client{Transport: tr, Timeout: askTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return w
}

func (w *asker) close() { w.tr.CloseIdleConnections() }

// reply is one answer; status is 0 when none came.
type reply struct {
	status int
	kind   string // content type
	body   string
}

// page reports whether the answer is a web page, which no flaw here gives.
func (r reply) page() bool {
	head := strings.ToLower(r.body[:min(len(r.body), 1024)])
	return strings.Contains(head, "<html") || strings.Contains(head, "<!doctype html")
}

func (w *asker) get(ctx context.Context, path string, header ...string) reply {
	return w.do(ctx, http.MethodGet, path, "", header...)
}

// do sends one request; header are names and values in turn.
func (w *asker) do(ctx context.Context, method, path, body string, header ...string) reply {
	req, err := http.NewRequestWithContext(ctx, method, w.base+path, strings.NewReader(body))
	if err != nil {
		return reply{}
	}
	req.Header.Set("User-Agent", "ringwall-assess")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.http.Do(req)
	if err != nil {
		w.silent++
		return reply{}
	}
	defer resp.Body.Close()
	w.silent = 0
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody)) // what came counts
	return reply{status: resp.StatusCode, kind: resp.Header.Get("Content-Type"), body: string(b)}
}

// random is a path element that no device has.
func random() string { return "rw" + strings.ToLower(rand.Text()[:12]) }

// steady reports whether the server answers one question, for a path that does
// not exist, alike three times: who does not proves nothing by any answer. An
// error means that nothing answers at all.
func (w *asker) steady(ctx context.Context) (bool, error) {
	path := "/" + random()
	first := w.get(ctx, path)
	if first.status == 0 {
		return false, io.ErrUnexpectedEOF
	}
	for range 2 {
		r := w.get(ctx, path)
		if r.status != first.status || r.page() != first.page() || (len(r.body) == 0) != (len(first.body) == 0) || shape(r.body) != shape(first.body) {
			return false, nil
		}
	}
	return true, nil
}

// shape is what sort of text a body begins as.
func shape(body string) byte {
	body = strings.TrimSpace(body)
	switch {
	case body == "":
		return 0
	case strings.IndexByte("<{[", body[0]) >= 0:
		return body[0]
	}
	return 't'
}
