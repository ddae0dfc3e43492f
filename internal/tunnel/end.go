package tunnel

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"

	"github.com/ringwall/ringwall"
)

// mtu fits into every way that carries IPv6 (RFC 8200 section 5) with WireGuard's
// 80 bytes taken off a common 1,500; smaller ways are found by TCP inside.
const mtu = 1280

// end is one end of the encrypted way: a WireGuard device over a network stack
// of its own.
type end struct {
	dev *device.Device
	net *netstack.Net
}

// openEnd brings an end up at an inner address. Port 0 lets the system choose.
func openEnd(key Key, addr netip.Addr, port uint16, log *slog.Logger) (*end, error) {
	tun, net, err := netstack.CreateNetTUN([]netip.Addr{addr}, nil, mtu)
	if err != nil {
		return nil, fmt.Errorf("making the inner network: %w", err)
	}
	dev := device.NewDevice(tun, conn.NewDefaultBind(), &device.Logger{
		Verbosef: func(format string, args ...any) { log.Debug("wireguard: " + fmt.Sprintf(format, args...)) },
		Errorf:   func(format string, args ...any) { log.Warn("wireguard: " + fmt.Sprintf(format, args...)) },
	})
	e := &end{dev, net}
	if err := e.set("private_key=" + key.hex() + fmt.Sprintf("\nlisten_port=%d", port)); err != nil {
		dev.Close()
		return nil, err
	}
	if err := dev.Up(); err != nil {
		dev.Close()
		return nil, &ringwall.Error{Code: ringwall.Unavailable, Text: fmt.Sprintf("the UDP port %d of tunnels cannot be opened", port), Err: err}
	}
	return e, nil
}

// set changes the device. Its error never holds what was set: that has keys.
func (e *end) set(conf string) error {
	if err := e.dev.IpcSet(conf + "\n"); err != nil {
		return ringwall.Errorf(ringwall.Internal, "the tunnel's end refuses its configuration")
	}
	return nil
}

// port returns the UDP port that the end listens on.
func (e *end) port() uint16 {
	conf, err := e.dev.IpcGet()
	if err != nil {
		return 0
	}
	for line := range strings.Lines(conf) {
		var p uint16
		if n, _ := fmt.Sscanf(line, "listen_port=%d", &p); n == 1 {
			return p
		}
	}
	return 0
}

func (e *end) close() {
	e.dev.Close() // closes the inner network too
}
