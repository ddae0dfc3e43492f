package probe

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
	"github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/onvif/device"
	"github.com/ringwall/ringwall/internal/probe/ports"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

// BenchmarkFarm discovers and assesses a /24 with 40 devices that answer, on the
// default list of ports and on all of them: a web page behind a login with ONVIF
// beside it, the same in TLS, and on every fourth telnet on port 65534.
func BenchmarkFarm(b *testing.B) {
	const devices = 40
	scanner, farm := netnstest.New(b, "scanner"), netnstest.New(b, "farm")
	if err := netns.Cable(scanner, "eth0", nil, farm, "eth0", nil); err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(scanner.Addr("eth0", "10.9.0.1/24")); err != nil {
		b.Fatal(err)
	}
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	certificates := cert.TLS.Certificates
	cert.Close()
	listen := func(address string) net.Listener {
		l, err := farm.Listen(b.Context(), "tcp4", address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = l.Close() })
		return l
	}
	for i := range devices {
		ip := fmt.Sprintf("10.9.0.%d", 10+i*5)
		if err := farm.Addr("eth0", ip+"/24"); err != nil {
			b.Fatal(err)
		}
		users := device.NewUsers(onvif.User{Username: "admin", Password: "a long and unique one"})
		h := page(users, device.New(device.Config{Users: users, Vendor: "Refcam", Model: "RC-1", Firmware: "1.0.3", Serial: "SN1", Now: time.Now}))
		for _, l := range []net.Listener{listen(ip + ":80"), tls.NewListener(listen(ip+":443"), &tls.Config{Certificates: certificates})} {
			s := &http.Server{Handler: h}
			go func() { _ = s.Serve(l) }()
			b.Cleanup(func() { _ = s.Close() })
		}
		if i%4 == 0 {
			l := listen(ip + ":65534")
			door := &probetest.Telnet{User: "root", Password: "a long and unique one"}
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() { door.Serve(c); _ = c.Close() }()
				}
			}()
		}
	}
	for name, list := range map[string][]uint16{"usual ports": nil, "all ports": ports.All()} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r := &assess.Runner{Network: scanner, Probes: All(), Finders: Finders(), Now: time.Now, Ports: list, PerDevice: 5 * time.Minute}
				began := time.Now()
				targets, err := r.Discover(b.Context(), []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24")})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(time.Since(began).Seconds(), "s-discovery")
				as, err := r.Run(b.Context(), targets)
				if err != nil {
					b.Fatal(err)
				}
				telnets := 0
				for _, a := range as {
					for _, s := range a.Services {
						if s.Port == 65534 && s.Name == "telnet" {
							telnets++
						}
					}
				}
				if len(as) < devices || telnets != devices/4 {
					b.Fatalf("%d devices, %d of them with telnet", len(as), telnets)
				}
			}
		})
	}
}
