package declared

import (
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/ports"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

func tcp(port uint16, name string) api.Service {
	return api.Service{Proto: "tcp", Port: port, Name: name}
}

func TestProbe(t *testing.T) {
	web, video := tcp(80, "http"), tcp(554, "rtsp")
	telnet, mdns := tcp(65534, "telnet"), api.Service{Proto: "udp", Port: 5353, Name: "mdns"}
	by := func(ss ...api.Service) assess.Target {
		tg := probetest.Target()
		tg.Examinations = []api.Examination{{Kind: api.ExamDeclaration, Source: "declaration/maker", Services: ss}, {Kind: api.ExamFirmware, Services: []api.Service{telnet}}}
		return tg
	}
	own := probetest.Target()
	own.Declared = []api.Service{}
	for _, tt := range []struct {
		name, says string
		t          assess.Target
		open       []api.Service
		ports      []uint16
		want       ringwall.Outcome
		c          ringwall.Confidence
	}{
		{"as declared, all ports looked at", "all 2 open ports are declared", by(web, video), []api.Service{web, video}, ports.All(), ringwall.Pass, ringwall.Observed},
		{"as declared, some looked at", "not all ports", by(web, video), []api.Service{web}, nil, ringwall.Pass, ringwall.Observed},
		{"declared and closed", "not open now: tcp/554", by(web, video), []api.Service{web}, nil, ringwall.Pass, ringwall.Observed},
		{"a port too many", "tcp/65534 (telnet)", by(web), []api.Service{web, telnet}, nil, ringwall.Fail, ringwall.Confirmed},
		{"a UDP port too many", "udp/5353 (mdns)", by(web, tcp(5353, "")), []api.Service{web, mdns}, nil, ringwall.Fail, ringwall.Confirmed},
		{"declared by name", "all 2", by(api.Service{Name: "MDNS"}, web), []api.Service{web, mdns}, nil, ringwall.Pass, ringwall.Observed},
		{"declared to have none", "1 open ports", own, []api.Service{web}, nil, ringwall.Fail, ringwall.Confirmed},
		{"no declaration", "hand in", probetest.Target(), []api.Service{web}, nil, ringwall.Unknown, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := probetest.Env(t, tt.open...)
			env.Alive, env.Ports = true, tt.ports
			a, err := Probe{}.Run(t.Context(), env, tt.t)
			if err != nil {
				t.Fatal(err)
			}
			probetest.Want(t, a.Findings, "CO-01", tt.want, tt.c)
			f := probetest.Find(a.Findings, "CO-01")
			if story := f.Title + "\n" + strings.Join(f.Evidence, "\n"); !strings.Contains(story, tt.says) {
				t.Errorf("does not tell of %q: %s", tt.says, story)
			}
		})
	}
	if a, err := (Probe{}).Run(t.Context(), probetest.Env(t), by()); err != nil || len(a.Findings) != 0 {
		t.Errorf("%+v, %v of a device that never answered", a.Findings, err)
	}
}
