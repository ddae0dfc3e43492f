// Package snapshot asks a device's web server for still pictures without a
// login (AP-04): cameras whose video is protected often leave them open.
//
// What it confirms it has decoded: the picture's header parses as JPEG or PNG
// with a plausible size, and a path that does not exist gives none. Redirects are not followed and at most maxPicture
// bytes are read.
package snapshot

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"image"
	_ "image/jpeg" // registers the decoder of what cameras send
	_ "image/png"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
)

// Probe is the snapshot probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "snapshot", Title: "Still pictures without a login", Sends: fmt.Sprintf("GET of %d known snapshot paths, of those that the device has named, and of one that does not exist", len(paths)),
		Indicators: []string{"AP-04"}, Needs: []string{"http", "https"}, Intrusion: assess.Asks,
	}
}

// paths where cameras of many makers keep a still.
var paths = [...]string{
	"/snapshot.jpg", "/snap.jpg", "/image.jpg", "/tmpfs/auto.jpg", "/jpg/image.jpg", "/cgi-bin/snapshot.cgi", "/axis-cgi/jpg/image.cgi",
	"/ISAPI/Streaming/channels/101/picture", "/onvif/snapshot", "/onvifsnapshot/media_service/snapshot?channel=1&subtype=0",
	"/cgi-bin/api.cgi?cmd=Snap&channel=0", "/cgi-bin/viewer/video.jpg", "/webcapture.jpg?command=snap&channel=1", "/tmpfs/snap.jpg", "/image/jpeg.cgi",
	"/snapshot.cgi", "/cgi-bin/jpg/image.cgi", "/picture/1/current", "/GetSnapshot/1", "/shot.jpg", "/img/snapshot.cgi", "/oneshotimage1",
}

const (
	maxServices = 4
	maxNamed    = 16
	maxPicture  = 4 << 20
	askTimeout  = 5 * time.Second
	minSide     = 32 // smaller is an icon
)

// Run asks for the pictures.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	services := env.Named("http", "https")
	for _, s := range services[:min(len(services), maxServices)] {
		if f, ok := look(ctx, env, t, s); ok {
			a.Findings = append(a.Findings, f)
			a.Known.Type = "camera"
		}
	}
	return a, nil
}

func look(ctx context.Context, env *assess.Env, t assess.Target, s api.Service) (ringwall.Finding, bool) {
	tr := &http.Transport{
		DialContext: env.Net.DialContext, MaxIdleConns: 1, DisableCompression: true, MaxResponseHeaderBytes: 32 << 10,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}, // judged by the tls probe
	}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, Timeout: askTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	base := "http://"
	if s.Name == "https" {
		base = "https://"
	}
	base += t.AddrPort(s.Port)
	silent := 0
	var all []string
	for _, p := range env.Stills[:min(len(env.Stills), maxNamed)] {
		all = append(all, "/"+strings.TrimPrefix(p, "/"))
	}
	for _, p := range append(all, paths[:]...) {
		if ctx.Err() != nil || silent >= 2 {
			break // a server that twice did not answer is not asked nine times
		}
		width, height, kind, err := picture(ctx, c, base+p)
		if err != nil {
			silent++
			continue
		}
		if width >= minSide && height >= minSide {
			// The control: a server that has a picture for every path shows its logo.
			if w, _, _, err := picture(ctx, c, base+"/rw"+strings.ToLower(rand.Text()[:10])+".jpg"); err != nil || w != 0 {
				return ringwall.Finding{}, false
			}
			return ringwall.Finding{
				Indicator: "AP-04", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed,
				Title:    fmt.Sprintf("the web server on port %d shows a picture to anybody", s.Port),
				Evidence: []string{fmt.Sprintf("GET %s without a login: a %s picture of %d by %d", p, kind, width, height)},
			}, true
		}
	}
	return ringwall.Finding{}, false
}

// picture asks for one; sizes are zero when what came is none. An error means
// that no answer came.
func picture(ctx context.Context, c *http.Client, url string) (width, height int, kind string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, 0, "", err
	}
	req.Header.Set("User-Agent", "ringwall-assess")
	resp, err := c.Do(req)
	if err != nil {
		return 0, 0, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, 0, "", nil
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxPicture))
	if err != nil {
		return 0, 0, "", err
	}
	cfg, kind, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return 0, 0, "", nil // an answer, but no picture
	}
	return cfg.Width, cfg.Height, kind, nil
}
