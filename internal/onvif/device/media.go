package device

import (
	"encoding/xml"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/ringwall/ringwall/internal/onvif"
)

func (h *handler) snapshotURI(r *http.Request, m onvif.Message) (any, error) {
	var req onvif.SnapshotURIRequest
	if err := m.Decode(&req); err != nil {
		return nil, err
	}
	u, err := h.still(r, req.Profile)
	var a onvif.SnapshotURIResponse
	a.Media.URI = u
	return a, err
}

func (h *handler) still(r *http.Request, profile string) (string, error) {
	if strings.TrimSpace(profile) != profileToken || h.cfg.SnapshotPath == "" {
		return "", fmt.Errorf("there is no such profile")
	}
	return base(r) + h.cfg.SnapshotPath, nil
}

func (h *handler) profiles2(*http.Request, onvif.Message) (any, error) {
	return onvif.Profiles2Response{Profiles: []onvif.Profile2{{Token: profileToken, Name: "main"}}}, nil
}

// uri2 answers where the stream or the still of a profile is, as ONVIF 2 asks.
func (h *handler) uri2(r *http.Request, m onvif.Message) (any, error) {
	req := onvif.URI2Request{XMLName: m.Operation}
	if err := m.Decode(&req); err != nil {
		return nil, err
	}
	a := onvif.URI2Response{XMLName: xml.Name{Space: onvif.NSMedia2, Local: m.Operation.Local + "Response"}}
	if m.Operation.Local == "GetSnapshotUri" {
		u, err := h.still(r, req.Profile)
		a.URI = u
		return a, err
	}
	if strings.TrimSpace(req.Profile) != profileToken {
		return nil, fmt.Errorf("there is no such profile")
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	a.URI = fmt.Sprintf("rtsp://%s%s", net.JoinHostPort(host, fmt.Sprint(h.cfg.RTSPPort)), h.cfg.RTSPPath)
	return a, nil
}
