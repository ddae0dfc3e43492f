package disclosure

import (
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

func TestProbe(t *testing.T) {
	for info, want := range map[string]ringwall.Outcome{
		"":                             ringwall.Pass,
		"web server":                   ringwall.Pass,
		"GoAhead-Webs/2.5.0":           ringwall.Partial,
		"SSH-2.0-dropbear_2012.55":     ringwall.Partial,
		"SSH-2.0-Go":                   ringwall.Pass, // the protocol's version is no secret
		"IPC-100 serial: CH000177":     ringwall.Fail,
		"camera 02:00:0a:4d:00:0a 1.2": ringwall.Fail,
	} {
		a, err := Probe{}.Run(t.Context(), probetest.Env(t, api.Service{Proto: "tcp", Port: 80, Name: "http", Info: info}), probetest.Target())
		if err != nil {
			t.Fatal(err)
		}
		probetest.Want(t, a.Findings, "CO-09", want, ringwall.Observed)
	}
	if a, err := (Probe{}).Run(t.Context(), probetest.Env(t), probetest.Target()); err != nil || len(a.Findings) != 0 {
		t.Errorf("findings %+v, %v where nothing was read", a.Findings, err)
	}
}
