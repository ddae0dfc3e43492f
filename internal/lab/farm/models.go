package farm

import (
	"fmt"
)

// Twenty returns the models of internal/assess/testdata/fleet20.json, by the
// names and in the order that stand there.
func Twenty() []Model {
	telnetLogin := Service{Port: 23, Name: "telnet", Serve: telnet("root", "")}
	locked := func(port uint16) Service { // a digest camera's video, with the box's own password
		return Service{Port: port, Name: "rtsp", Serve: video{user: "owner", path: "live"}.serve}
	}
	return []Model{
		{Name: "cam-hardened", Services: hardened()},
		{Name: "cam-hardened-network-only", Services: hardened()},
		{Name: "cam-plain-strong", Services: []Service{{Port: 80, Name: "http", Serve: camera{rtsp: 554}.serve}, locked(554)}},
		{Name: "lock-good", Services: []Service{{Port: 443, Name: "https", TLS: true, Serve: bearer}}},
		{Name: "meter-good"},
		{Name: "gateway-good", Services: []Service{
			{Port: 22, Name: "ssh", Serve: sshd}, {Port: 443, Name: "https", TLS: true, Serve: form("admin", "", true)},
		}},
		{Name: "controller-good"},
		{Name: "cloud-good", Services: []Service{{Port: 443, Name: "https", TLS: true, Serve: cloud(false)}}},
		{Name: "oven-paper-only", Silent: true},
		{Name: "oven-unsigned-update", Services: []Service{{Port: 443, Name: "https", TLS: true, Serve: bearer}}},
		{Name: "cam-default", Services: []Service{
			{Port: 23, Name: "telnet", Serve: telnet("root", "xc3511")},
			{Port: 80, Name: "http", Serve: camera{user: "admin", password: "admin", rtsp: 554}.serve},
			{Port: 554, Name: "rtsp", Serve: video{user: "admin", password: "admin", path: "live"}.serve},
		}},
		{Name: "cam-open-video", Services: []Service{
			{Port: 80, Name: "http", Serve: camera{noONVIF: true, snapshot: true}.serve},
			{Port: 554, Name: "rtsp", Serve: video{open: true, path: "live"}.serve},
		}},
		{Name: "cam-open-onvif-telnet", Services: []Service{
			telnetLogin, {Port: 80, Name: "http", Serve: camera{preAuthOpen: true, rtsp: 554}.serve}, locked(554),
		}},
		{Name: "recorder-known-hole", Services: []Service{{Port: 80, Name: "http", Serve: camera{noONVIF: true, hole: true}.serve}, locked(554)}},
		{Name: "router-hidden-shell", Services: []Service{
			{Port: 80, Name: "http", Serve: form("admin", "", false)}, {Port: 65534, Name: "telnet", Serve: telnet("", "")},
		}},
		{Name: "meter-web-default", Services: []Service{{Port: 80, Name: "http", Serve: form("admin", "12345", false)}}},
		{Name: "cam-image-password", Services: hardened()},
		{Name: "lock-false-paper", Hides: 23, Services: []Service{telnetLogin, {Port: 443, Name: "https", TLS: true, Serve: bearer}}},
		{Name: "cloud-foreign-objects", Services: []Service{{Port: 443, Name: "https", TLS: true, Serve: cloud(true)}}},
		{Name: "vehicle-unit-good"},
	}
}

// hardened is what a camera serves that is as it should be.
func hardened() []Service {
	return []Service{
		{Port: 322, Name: "rtsps", TLS: true, Serve: video{user: "owner", secure: true, path: "live"}.serve},
		{Port: 443, Name: "https", TLS: true, Serve: form("owner", "", true)},
		{Port: 8443, Name: "https", TLS: true, Serve: camera{secure: true, rtsp: 322}.serve},
	}
}

// Forty returns forty models that answer: the twenty twice, without the silent
// one, and two more of the plainest camera.
func Forty() (out []Model) {
	for len(out) < 40 {
		for _, m := range Twenty() {
			if m.Silent {
				m = Twenty()[2]
			}
			if len(out) < 40 {
				m.Name = fmt.Sprintf("%s-%d", m.Name, len(out)/20+1)
				out = append(out, m)
			}
		}
	}
	return out
}
