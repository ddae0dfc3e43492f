package snmp

import (
	"encoding/asn1"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

// decoy is an SNMP agent.
type decoy struct {
	reads, writes func(community string) bool
	only          int  // version that it speaks; -1 = both
	lie           bool // answers with a wrong id
	anything      bool // says yes to every name
	v3            bool

	mu    sync.Mutex
	wrote map[string]string
}

func yes(string) bool { return true }
func no(string) bool  { return false }
func is(want string) func(string) bool {
	return func(s string) bool { return s == want }
}

// start serves it, and returns its address.
func (d *decoy) start(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	d.wrote = map[string]string{}
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if out := d.answer(buf[:n]); out != nil {
				_, _ = c.WriteTo(out, from)
			}
		}
	}()
	return c.LocalAddr().String()
}

func (d *decoy) answer(b []byte) []byte {
	var m message
	if _, err := asn1.Unmarshal(b, &m); err != nil {
		if d.v3 {
			sec, _ := asn1.Marshal(security3{Engine: []byte{0x80, 0, 0, 9, 3, 2, 0, 0, 0, 0, 9}})
			out, _ := asn1.Marshal(message3{Version: version3, Header: header3{21079, 65507, []byte{0}, 3}, Security: sec, Scoped: asn1.RawValue{FullBytes: []byte{0x30, 2, 0xa8, 0}}})
			return out
		}
		return nil
	}
	if d.only >= 0 && m.Version != d.only {
		return nil
	}
	var p pdu
	tag := "tag:0"
	if m.PDU.Tag == tagSet {
		tag = "tag:3"
	}
	if _, err := asn1.UnmarshalWithParams(m.PDU.FullBytes, &p, tag); err != nil || len(p.Bindings) != 1 {
		return nil
	}
	name := p.Bindings[0].Name.String()
	known := map[string]string{sysDescr().String(): "HIKVISION DS-2CD2032-I V5.4.5", sysObjectID().String(): "x", sysContact().String(): "who@where", sysName().String(): "cam"}
	switch {
	case m.PDU.Tag == tagSet && !d.writes(string(m.Community)), m.PDU.Tag != tagSet && !d.reads(string(m.Community)):
		if !d.reads(string(m.Community)) {
			return nil
		}
		p.Status = 16
	case known[name] == "" && !d.anything:
		p.Status = 2
	case m.PDU.Tag == tagSet:
		v, _ := text(p)
		d.mu.Lock()
		d.wrote[name] = v
		d.mu.Unlock()
	default:
		p.Bindings[0].Value = octets(known[name])
	}
	if d.lie {
		p.ID++
	}
	body, _ := asn1.MarshalWithParams(p, "tag:2")
	out, _ := asn1.Marshal(message{m.Version, m.Community, asn1.RawValue{FullBytes: body}})
	return out
}

func TestProbe_judge(t *testing.T) {
	closed, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, tt := range []struct {
		name, says string
		agent      *decoy
		o          ringwall.Outcome
		c          ringwall.Confidence
	}{
		{"public", `default community "public"`, &decoy{reads: is("public"), only: -1}, ringwall.Fail, ringwall.Confirmed},
		{"private in version 1 only", "in version 1", &decoy{reads: is("private"), only: version1}, ringwall.Fail, ringwall.Confirmed},
		{"anybody", "any community", &decoy{reads: yes, only: -1}, ringwall.Fail, ringwall.Confirmed},
		{"a secret one", "no default community", &decoy{reads: is("s3cret"), only: -1}, ringwall.Pass, ringwall.Observed},
		{"version 3 alone", "engine 800000090302", &decoy{reads: no, only: -1, v3: true}, ringwall.Pass, ringwall.Observed},
		{"answers of another question", "no default community", &decoy{reads: yes, only: -1, lie: true}, ringwall.Pass, ringwall.Observed},
		{"closed", "is closed", nil, ringwall.Pass, ringwall.Observed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address := closed.LocalAddr().String()
			if tt.agent != nil {
				tt.agent.writes = no
				address = tt.agent.start(t)
			}
			a := agent{probetest.Host{}, address}.judge(t.Context())
			probetest.Want(t, a.Findings, "CO-10", tt.o, tt.c)
			f := a.Findings[0]
			if story := f.Title + "\n" + strings.Join(f.Evidence, "\n"); !strings.Contains(story, tt.says) {
				t.Errorf("does not tell of %q: %s", tt.says, story)
			}
			if tt.name == "public" && (a.Known.Vendor != "Hikvision" || a.Known.Model != "DS-2CD2032-I") {
				t.Errorf("it is known as %+v", a.Known)
			}
		})
	}
}

func TestWriter_judge(t *testing.T) {
	for _, tt := range []struct {
		name string
		d    *decoy
		want ringwall.Outcome
		says bool
	}{
		{"private may write", &decoy{reads: func(s string) bool { return s == "public" || s == "private" }, writes: is("private"), only: -1}, ringwall.Fail, true},
		{"nobody may write", &decoy{reads: yes, writes: no, only: -1}, ringwall.Unknown, false},
		{"yes to everybody", &decoy{reads: yes, writes: yes, only: -1}, ringwall.Unknown, true},
		{"yes to every name", &decoy{reads: is("public"), writes: is("public"), anything: true, only: -1}, ringwall.Unknown, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, ok := agent{probetest.Host{}, tt.d.start(t)}.judgeWrite(t.Context())
			if ok != tt.says || ok && f.Outcome != tt.want {
				t.Errorf("%v, %v: %q", f.Outcome, ok, f.Title)
			}
			tt.d.mu.Lock()
			defer tt.d.mu.Unlock()
			if tt.want == ringwall.Fail && (f.Facts["write"] != "true" || len(tt.d.wrote) != 1 || tt.d.wrote[sysContact().String()] != "who@where") {
				t.Errorf("wrote %q, facts %v", tt.d.wrote, f.Facts)
			}
		})
	}
}

func TestProbe_deadSilenceIsNoPass(t *testing.T) {
	if a, err := (Probe{}).Run(t.Context(), probetest.Env(t), probetest.Target()); err != nil || len(a.Findings) != 0 {
		t.Errorf("findings %+v, %v of a device that never answered", a.Findings, err)
	}
	env := probetest.Env(t, api.Service{Proto: "tcp", Port: 161, Name: "snmp"})
	if a, err := (Writer{}).Run(t.Context(), env, probetest.Target()); err != nil || len(a.Findings) != 0 {
		t.Errorf("findings %+v, %v", a.Findings, err)
	}
}

func FuzzRead(f *testing.F) {
	b, err := write(version2c, "public", tagResponse, 7, binding{sysName(), octets("x")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(discovery())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := read(b, version2c, 7); ok && len(p.Bindings) != 1 {
			t.Fatal(p)
		}
		readEngine(b)
	})
}
