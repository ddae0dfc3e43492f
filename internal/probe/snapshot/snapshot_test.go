package snapshot

import (
	"bytes"
	"image"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

func TestProbe(t *testing.T) {
	var still, icon bytes.Buffer
	if jpeg.Encode(&still, image.NewGray(image.Rect(0, 0, 64, 48)), nil) != nil || jpeg.Encode(&icon, image.NewGray(image.Rect(0, 0, 16, 16)), nil) != nil {
		t.Fatal("no test picture")
	}
	at := func(path string, body []byte, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path && path != "*" {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "image/jpeg")
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}
	}
	for _, tt := range []struct {
		name string
		h    http.HandlerFunc
		want ringwall.Outcome
	}{
		{"open still", at("/tmpfs/auto.jpg", still.Bytes(), 200), ringwall.Fail},
		{"refused", at("*", still.Bytes(), 401), ringwall.Unknown},
		{"yes to everything with a page", at("*", []byte("<html>login</html>"), 200), ringwall.Unknown},
		{"a picture for every path", at("*", still.Bytes(), 200), ringwall.Unknown},
		{"an icon", at("*", icon.Bytes(), 200), ringwall.Unknown},
		{"a lie in the header only", at("*", []byte{0xff, 0xd8, 0xff, 0xe0, 0, 0}, 200), ringwall.Unknown},
	} {
		s := httptest.NewServer(tt.h)
		a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "http", s.Listener.Addr().String())), probetest.Target())
		s.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Log(tt.name)
		probetest.Want(t, a.Findings, "AP-04", tt.want, ringwall.Confirmed)
	}
}

func TestProbe_asksWhatTheDeviceNamed(t *testing.T) {
	var still bytes.Buffer
	if jpeg.Encode(&still, image.NewGray(image.Rect(0, 0, 64, 48)), nil) != nil {
		t.Fatal("no test picture")
	}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RequestURI() != "/its/own/place?ch=1" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(still.Bytes())
	}))
	t.Cleanup(s.Close)
	env := probetest.Env(t, probetest.Service(t, "https", s.Listener.Addr().String()))
	env.Stills = []string{"its/own/place?ch=1"}
	a, err := Probe{}.Run(t.Context(), env, probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	probetest.Want(t, a.Findings, "AP-04", ringwall.Fail, ringwall.Confirmed)
}
