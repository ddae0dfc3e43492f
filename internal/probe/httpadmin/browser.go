package httpadmin

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/digest"
)

const (
	maxPage      = 256 << 10
	maxRedirects = 4
	pageTimeout  = 8 * time.Second
)

// browser is one try: its cookies are forgotten with it.
type browser struct {
	base url.URL
	tr   *http.Transport
	http *http.Client
	set  []*http.Cookie // all that it was told to keep, the newest last
}

// maxCookies bounds the cookies that are noted.
const maxCookies = 32

func (b *browser) note(r *http.Response) {
	if r == nil {
		return
	}
	for _, c := range r.Cookies() {
		if len(b.set) < maxCookies {
			b.set = append(b.set, c)
		}
	}
}

func newBrowser(n assess.Network, address string, inTLS bool) *browser {
	b := &browser{base: url.URL{Scheme: "http", Host: address}}
	b.tr = &http.Transport{
		// Only ever the device, whatever a page says.
		DialContext: n.DialContext, MaxIdleConns: 1, DisableCompression: true, MaxResponseHeaderBytes: 32 << 10, ResponseHeaderTimeout: pageTimeout,
		// The certificate is judged by the tls probe; a device's is self-made.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10},
	}
	if inTLS {
		b.base.Scheme = "https"
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic("httpadmin: a cookie jar without options cannot fail: " + err.Error())
	}
	b.http = &http.Client{Transport: b.tr, Timeout: pageTimeout, Jar: jar, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		b.note(r.Response) // a login's cookie often comes with its redirect
		if len(via) > maxRedirects {
			return errors.New("too many redirects")
		}
		if r.URL.Scheme != b.base.Scheme || r.URL.Host != b.base.Host {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

func (b *browser) close() { b.tr.CloseIdleConnections() }

func (b *browser) get(ctx context.Context, path, authorization string) (page, error) {
	u, err := b.base.Parse(path)
	if err != nil {
		return page{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return page{}, err
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return b.do(req)
}

func (b *browser) post(ctx context.Context, target *url.URL, form url.Values) (page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return page{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", b.base.String())
	return b.do(req)
}

func (b *browser) do(req *http.Request) (page, error) {
	req.Header.Set("User-Agent", "ringwall-assess")
	resp, err := b.http.Do(req)
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	b.note(resp)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil && len(body) == 0 {
		return page{}, err
	}
	p := page{status: resp.StatusCode, size: len(body), retry: resp.Header.Get("Retry-After") != "", at: resp.Request.URL}
	// A challenge we cannot read is as good as none: nothing is presented.
	if cs, err := digest.ParseChallenges(resp.Header.Values("WWW-Authenticate")); err == nil {
		p.challenges = cs
	}
	if bytes.IndexByte(body, '<') >= 0 {
		p.read(body, resp.Request.URL, b.base)
		p.cookies = resp.Cookies()
	} else {
		p.text = strings.Join(strings.Fields(string(body)), " ")
	}
	return p, nil
}
