package snmp

import (
	"encoding/asn1"
	"net"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

// agent answers communities for which allow says yes, with a wrong id when
// lie is set.
func agent(t *testing.T, allow func(string) bool, lie bool) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			var m message
			var p pdu
			if _, err := asn1.Unmarshal(buf[:n], &m); err != nil {
				continue
			}
			if _, err := asn1.UnmarshalWithParams(m.PDU.FullBytes, &p, "tag:0"); err != nil || !allow(string(m.Community)) {
				continue
			}
			if lie {
				p.ID++
			}
			body, _ := asn1.MarshalWithParams(p, "tag:2")
			out, _ := asn1.Marshal(message{m.Version, m.Community, asn1.RawValue{FullBytes: body}})
			_, _ = c.WriteTo(out, from)
		}
	}()
	return c.LocalAddr().String()
}

func TestJudge(t *testing.T) {
	closed, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, tt := range []struct {
		name, address string
		o             ringwall.Outcome
		c             ringwall.Confidence
	}{
		{"public", agent(t, func(s string) bool { return s == "public" }, false), ringwall.Fail, ringwall.Confirmed},
		{"anybody", agent(t, func(string) bool { return true }, false), ringwall.Fail, ringwall.Confirmed},
		{"a secret one", agent(t, func(s string) bool { return s == "s3cret" }, false), ringwall.Pass, ringwall.Observed},
		{"answers of another question", agent(t, func(string) bool { return true }, true), ringwall.Pass, ringwall.Observed},
		{"closed", closed.LocalAddr().String(), ringwall.Pass, ringwall.Observed},
	} {
		f := judge(t.Context(), probetest.Host{}, tt.address)
		if f.Outcome != tt.o || f.Confidence != tt.c {
			t.Errorf("%s: %v (%v), want %v (%v): %q", tt.name, f.Outcome, f.Confidence, tt.o, tt.c, f.Title)
		}
	}
}

func TestProbe_deadSilenceIsNoPass(t *testing.T) {
	if a, err := (Probe{}).Run(t.Context(), probetest.Env(t), probetest.Target()); err != nil || len(a.Findings) != 0 {
		t.Errorf("findings %+v, %v of a device that never answered", a.Findings, err)
	}
}

func FuzzIsAnswer(f *testing.F) {
	b, err := get("public", 7)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) { isAnswer(b, 7) })
}
