package platform

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/sdk"
)

// TestSDK_onARealPlatform enrols an application, over MQTT and over the spine: it
// is a device, has a policy, reports, and is cut off from a click.
func TestSDK_onARealPlatform(t *testing.T) {
	cfg := testConfig(t.TempDir(), io.Discard)
	cfg.MQTTListen = "127.0.0.1:0"
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := runPlatform(t, p)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	for i, way := range []string{"mqtt", "spine"} {
		t.Run(way, func(t *testing.T) {
			token, err := p.Service().CreateEnrolToken(t.Context(), r.owner())
			if err != nil {
				t.Fatal(err)
			}
			conf := sdk.Config{
				State: t.TempDir(), Platform: "https://" + p.EnrolAddr().String(), Token: token.Token, Pin: token.CAPin, Name: "app " + way,
				Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(50 + i)}),
			}
			if way == "spine" {
				conf.Uplink = []string{"tls://" + p.SpineAddr().String()}
			}
			c, err := sdk.Open(t.Context(), conf)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			r.wait("policy", func() bool { return c.Status().Device != "" })
			dev := c.Status().Device
			// It is still being learned: what it does passes, and is reported.
			conn, err := c.Dialer().DialContext(t.Context(), "tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			conn.Close()
			if err := c.SyncReports(); err != nil {
				t.Fatal(err)
			}
			r.wait("flow", func() bool {
				rows, err := p.Service().Flows(t.Context(), r.owner(), dev, httpapi.FlowQuery{})
				return err == nil && len(rows) > 0 && rows[0].BytesUp == 5
			})
			d, err := p.Service().Device(t.Context(), r.owner(), dev)
			if err != nil || d.Gateway != c.Identity().Gateway || d.Binding.Port != "sdk" {
				t.Errorf("device %+v, %v", d, err)
			}
			// A click cuts what is open.
			if conn, err = c.Dialer().DialContext(t.Context(), "tcp", l.Addr().String()); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if _, err := p.Service().CreateResponse(t.Context(), r.owner(), api.ResponseCreate{
				Kind: string(incident.Quarantine), Target: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(dev)}, Reason: "test",
			}); err != nil {
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
			_, err = conn.Read(make([]byte, 1))
			if why, ok := sdk.AsRefusal(err); !ok || why.Reason != "quarantine" {
				t.Fatalf("in quarantine: %v", err)
			}
			t.Logf("%s: cut %s after the click", way, time.Since(start).Round(time.Millisecond))
			r.wait("hold in force", func() bool {
				d, err := p.Service().Device(t.Context(), r.owner(), dev)
				return err == nil && len(d.Holds) == 1
			})
		})
	}
}

// TestMQTT_constrainedTerminal_getsItsPolicy asks the desk as the door does.
func TestMQTT_constrainedTerminal_getsItsPolicy(t *testing.T) {
	cfg := testConfig(t.TempDir(), io.Discard)
	cfg.MQTTListen = "127.0.0.1:0"
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := runPlatform(t, p)
	b := r.enrol()
	desk := mqttDesk{p.desk}
	org, gw := b.answer.Org, b.answer.Gateway
	if len(b.answer.MQTT) != 1 || b.answer.MQTT[0] != "mqtts://"+p.MQTTAddr().String() {
		t.Errorf("the answer to enrolment names %v", b.answer.MQTT)
	}
	if s, err := desk.Terminal(t.Context(), org, gw, 0); err != nil || s != nil {
		t.Errorf("before it has said that it is there: %+v, %v", s, err)
	}
	data := []byte(`{"mac":"` + api.OwnMAC(gw) + `","ip":"192.0.2.60","port":"","first":"` + time.Now().UTC().Format(time.RFC3339) + `","last":"` + time.Now().UTC().Format(time.RFC3339) + `","presence":"online"}`)
	ack, err := desk.Report(t.Context(), org, gw, api.Batch{Version: api.Version, Epoch: 1, Records: []api.Record{{Seq: 1, Time: time.Now().UTC(), Kind: api.RecordPresence, Data: data}}})
	if err != nil || ack.Seq != 1 {
		t.Fatalf("report: %+v, %v", ack, err)
	}
	var signed *api.SignedTerminal
	r.wait("policy", func() bool {
		signed, err = desk.Terminal(t.Context(), org, gw, 0)
		return err == nil && signed != nil
	})
	var policy api.TerminalPolicy
	if err := policy.UnmarshalBinary(signed.Payload); err != nil || policy.Org != org || policy.Gateway != gw || policy.Mode != ringwall.Learn {
		t.Errorf("policy %+v, %v", policy, err)
	}
	if again, err := desk.Terminal(t.Context(), org, gw, policy.Generation); err != nil || again != nil {
		t.Errorf("to who has it: %+v, %v", again, err)
	}
	one, err := desk.Terminal(t.Context(), org, gw, 0)
	if err != nil || !bytes.Equal(one.Payload, signed.Payload) && policy.Generation == 0 {
		t.Errorf("the same generation twice: %v", err)
	}
	// Revoked, it is asked anew and refused.
	yes := true
	if _, err := p.Service().PatchGateway(t.Context(), r.owner(), gw, api.GatewayPatch{Revoked: &yes}); err != nil {
		t.Fatal(err)
	}
	if _, err := desk.Report(t.Context(), org, gw, api.Batch{Version: api.Version, Epoch: 1}); ringwall.CodeOf(err) != ringwall.Unverified {
		t.Errorf("a revoked terminal reports: %v", err)
	}
}
