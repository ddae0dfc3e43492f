package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// rig is a platform's end, a gateway's end and a device on loopback.
type rig struct {
	hub    *Hub
	hubKey Key
	spoke  *Spoke
	key    Key
	device net.Listener

	gone chan struct{} // one for each connection that the device saw end

	mu      sync.Mutex
	reports []api.TunnelReport
	refuse  error
}

const (
	gateway = ringwall.GatewayID("gw_1")
	device1 = ringwall.DeviceID("dev_1")
)

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{gone: make(chan struct{}, 16)}
	var err error
	if r.hubKey, err = NewKey(); err != nil {
		t.Fatal(err)
	}
	if r.key, err = NewKey(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if r.hub, err = OpenHub(r.hubKey, 0, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.hub.Close() })
	if r.device, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.device.Close() })
	go func() { // the device: says its name, then echoes
		for {
			c, err := r.device.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprint(c, "camera\n")
				io.Copy(c, c)
				r.gone <- struct{}{}
			}()
		}
	}()
	r.spoke = NewSpoke(SpokeConfig{
		Gateway: gateway, Key: r.key, Now: time.Now, Log: log,
		Dial: func(ctx context.Context, d ringwall.DeviceID, port uint16) (net.Conn, error) {
			r.mu.Lock()
			refuse := r.refuse
			r.mu.Unlock()
			if refuse != nil {
				return nil, refuse
			}
			if d != device1 || port != 80 {
				return nil, fmt.Errorf("asked for %s port %d", d, port)
			}
			var nd net.Dialer
			return nd.DialContext(ctx, "tcp", r.device.Addr().String())
		},
		Report: func(tr api.TunnelReport) { r.mu.Lock(); r.reports = append(r.reports, tr); r.mu.Unlock() },
	})
	t.Cleanup(func() { r.spoke.Close() })
	return r
}

func (r *rig) tunnel(id ringwall.TunnelID, life time.Duration) api.Tunnel {
	return api.Tunnel{
		ID: id, Device: device1, Port: 80, PeerKey: r.hubKey.Public(),
		Endpoint: fmt.Sprintf("127.0.0.1:%d", r.hub.Port()), Expires: time.Now().Add(life),
	}
}

func (r *rig) said(state string) []api.TunnelReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []api.TunnelReport
	for _, tr := range r.reports {
		if tr.State == state {
			out = append(out, tr)
		}
	}
	return out
}

func dial(t testing.TB, h *Hub, id ringwall.TunnelID, within time.Duration) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return h.Dial(ctx, gateway, id)
}

func hello(t testing.TB, c net.Conn) error {
	t.Helper()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 7)
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != "camera\n" {
		return fmt.Errorf("device said %q", b)
	}
	return nil
}

func TestTunnel_reachesOnePortOfOneDevice(t *testing.T) {
	r := newRig(t)
	if err := r.hub.Allow(gateway, r.key.Public()); err != nil {
		t.Fatal(err)
	}
	r.spoke.Set([]api.Tunnel{r.tunnel("tun_a", time.Minute)})
	c, err := dial(t, r.hub, "tun_a", 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := hello(t, c); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("through and back ", 20_000)
	go func() { io.WriteString(c, text); c.(interface{ CloseWrite() error }).CloseWrite() }()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	got, err := io.ReadAll(c)
	if err != nil || string(got) != text {
		t.Fatalf("got %d bytes back of %d: %v", len(got), len(text), err)
	}
	// Another tunnel's port is not open: only what the document lists is.
	if c, err := dial(t, r.hub, "tun_b", time.Second); err == nil {
		c.Close()
		t.Error("a tunnel that the document does not list is open")
	}
	r.spoke.Set(nil)
	down := r.said("down")
	if len(down) != 1 || down[0].Opened != 1 || down[0].Down != uint64(len(text)) || down[0].Up != uint64(len(text)+7) {
		t.Errorf("the end was reported as %+v", down)
	}
}

func TestTunnel_endsWithItsConnections(t *testing.T) {
	for _, tt := range []struct {
		name string
		life time.Duration
		end  func(r *rig)
		why  string
	}{
		{"the document lists it no more", time.Minute, func(r *rig) { r.spoke.Set(nil) }, "closed by the platform"},
		{"its time is over", 1500 * time.Millisecond, func(*rig) {}, "its time is over"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			if err := r.hub.Allow(gateway, r.key.Public()); err != nil {
				t.Fatal(err)
			}
			r.spoke.Set([]api.Tunnel{r.tunnel("tun_a", tt.life)})
			c, err := dial(t, r.hub, "tun_a", 15*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if err := hello(t, c); err != nil {
				t.Fatal(err)
			}
			select {
			case <-r.gone:
				t.Fatal("the connection ended by itself")
			case <-time.After(50 * time.Millisecond):
			}
			tt.end(r)
			select {
			case <-r.gone: // whatever the platform's end does
			case <-time.After(10 * time.Second):
				t.Fatal("the device still has the connection")
			}
			var down []api.TunnelReport
			for end := time.Now().Add(5 * time.Second); len(down) == 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				down = r.said("down")
			}
			if len(down) != 1 || down[0].Reason != tt.why {
				t.Errorf("the end was reported as %+v", down)
			}
			if c, err := dial(t, r.hub, "tun_a", time.Second); err == nil {
				c.Close()
				t.Error("it opens again")
			}
		})
	}
}

func TestHub_answersOnlyWhomItAllows(t *testing.T) {
	r := newRig(t)
	if _, err := dial(t, r.hub, "tun_a", time.Second); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("dialling a gateway that was never allowed: %v", err)
	}
	stranger, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	// The gateway's place is given to another key: the gateway itself is a stranger.
	if err := r.hub.Allow(gateway, stranger.Public()); err != nil {
		t.Fatal(err)
	}
	r.spoke.Set([]api.Tunnel{r.tunnel("tun_a", time.Minute)})
	if c, err := dial(t, r.hub, "tun_a", 2*time.Second); err == nil {
		c.Close()
		t.Fatal("a gateway with another key came in")
	}
	// With the right key it does.
	if err := r.hub.Allow(gateway, r.key.Public()); err != nil {
		t.Fatal(err)
	}
	c, err := dial(t, r.hub, "tun_a", 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	r.hub.Forget(gateway)
	if c, err := dial(t, r.hub, "tun_a", time.Second); err == nil {
		c.Close()
		t.Error("a gateway that was forgotten is reached")
	}
	for _, bad := range [][]byte{nil, make([]byte, 31), []byte(strings.Repeat("x", 33))} {
		if err := r.hub.Allow(gateway, bad); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("a key of %d bytes: %v", len(bad), err)
		}
	}
}

func TestSpoke_asksForEveryConnection(t *testing.T) {
	r := newRig(t)
	if err := r.hub.Allow(gateway, r.key.Public()); err != nil {
		t.Fatal(err)
	}
	r.spoke.Set([]api.Tunnel{r.tunnel("tun_a", time.Minute)})
	c, err := dial(t, r.hub, "tun_a", 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := hello(t, c); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.refuse = errors.New("the device is cut off")
	r.mu.Unlock()
	c2, err := dial(t, r.hub, "tun_a", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c2.Close()
	if err := hello(t, c2); err == nil {
		t.Error("a device that was cut off since is reached")
	}
}

func TestSpoke_refusesWhatMakesNoSense(t *testing.T) {
	r := newRig(t)
	bad := r.tunnel("tun_key", time.Minute)
	bad.PeerKey = bad.PeerKey[:5]
	nowhere := r.tunnel("tun_end", time.Minute)
	nowhere.Endpoint = "127.0.0.1"
	r.spoke.Set([]api.Tunnel{bad, nowhere, r.tunnel("tun_old", -time.Second)})
	if got := r.said("refused"); len(got) != 2 {
		t.Errorf("refused: %+v, want two", got)
	}
	if got := r.said("up"); len(got) != 0 {
		t.Errorf("opened: %+v", got)
	}
}

func TestLoadKey_staysTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tunnel.key")
	a, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := LoadKey(path)
	if err != nil || string(a.Public()) != string(b.Public()) {
		t.Errorf("another key after a restart: %v", err)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", a, a, a, a); strings.Contains(s, a.hex()) || strings.Count(s, "not shown") != 4 {
		t.Errorf("a key prints as %q", s)
	}
}

// BenchmarkTunnel carries bytes through both ends and back, all in one process.
func BenchmarkTunnel(b *testing.B) {
	r := newRig(b)
	if err := r.hub.Allow(gateway, r.key.Public()); err != nil {
		b.Fatal(err)
	}
	r.spoke.Set([]api.Tunnel{r.tunnel("tun_a", time.Hour)})
	c, err := dial(b, r.hub, "tun_a", 15*time.Second)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := hello(b, c); err != nil {
		b.Fatal(err)
	}
	c.SetDeadline(time.Time{})
	chunk := make([]byte, 256<<10)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		go c.Write(chunk)
		if _, err := io.ReadFull(c, make([]byte, len(chunk))); err != nil {
			b.Fatal(err)
		}
	}
}
