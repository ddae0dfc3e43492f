package ports

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

// udp serves one UDP port of loopback and returns it.
func udp(t *testing.T, answer func(b []byte) []byte) uint16 {
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
			if out := answer(bytes.Clone(buf[:n])); out != nil {
				_, _ = c.WriteTo(out, from)
			}
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// answers are what real services say to our questions.
func answers(name string, b []byte) []byte {
	switch name {
	case "dns", "netbios":
		return append([]byte{b[0], b[1], 0x81, 0x85}, b[4:]...)
	case "mdns":
		return append([]byte{0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0}, b[12:]...)
	case "rpcbind":
		return append(append(bytes.Clone(b[:4]), 0, 0, 0, 1), make([]byte, 16)...)
	case "ntp":
		return append([]byte{0x24, 2}, make([]byte, 46)...)
	case "snmp":
		return append(append([]byte{0x30, 0x60, 2, 1, 3}, b[5:]...), 0xa8, 0)
	case "ssdp":
		return []byte("HTTP/1.1 200 OK\r\nSERVER: Linux/3.4 UPnP/1.0 x/1\r\n\r\n")
	case "stun":
		return append([]byte{1, 1}, b[2:20]...)
	case "ws-discovery":
		return []byte("<s:Envelope><s:Body><d:ProbeMatches/></s:Body></s:Envelope>")
	case "sip":
		return []byte("SIP/2.0 200 OK\r\nServer: door/1\r\n\r\n")
	case "coap":
		return append([]byte{0x62, 0x45, b[2], b[3], b[4], b[5], 0xff}, "</a>"...)
	case "kasa":
		return kasa(`{"system":{"get_sysinfo":{"err_code":0,"sw_ver":"1.2.5 Build 171213","model":"HS110(EU)"}}}`)
	case "ubnt":
		return []byte{1, 0, 0, 4, 2, 0, 1, 9}
	case "memcached":
		return append(bytes.Clone(b[:8]), "VERSION 1.5.6\r\n"...)
	case "sadp":
		return []byte(`<?xml version="1.0"?><ProbeMatch><DeviceDescription>DS-2CD2143G0-I</DeviceDescription><SoftwareVersion>V5.5.82build 190220</SoftwareVersion></ProbeMatch>`)
	case "dhip":
		return dhip(`{"method":"client.notifyDevInfo","params":{"deviceInfo":{"DeviceType":"IPC-HFW1320S","Version":"2.400.0"}}}`)
	case "bacnet":
		return []byte{0x81, 0x0a, 0, 0x0c, 1, 0, 0x10, 0, 0xc4, 2, 0, 0}
	case "dtls":
		return []byte{22, 254, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0}
	case "tftp":
		return []byte{0, 5, 0, 1, 'n', 'o', 0}
	}
	return nil
}

func TestDatagrams(t *testing.T) {
	services := datagramServices()
	var want []api.Service
	info := map[string]string{
		"snmp": "version 3", "ssdp": "Linux/3.4 UPnP/1.0 x/1", "sip": "door/1", "kasa": "model=HS110(EU); firmware=1.2.5 Build 171213",
		"sadp": "model=DS-2CD2143G0-I; firmware=V5.5.82build 190220", "dhip": "model=IPC-HFW1320S; firmware=2.400.0",
	}
	for i := range services {
		s := &services[i]
		s.port = udp(t, func(b []byte) []byte { return answers(s.name, b) })
		want = append(want, api.Service{Proto: "udp", Port: s.port, Name: s.name, Info: info[s.name]})
	}
	got := askDatagrams(t.Context(), probetest.Host{}, netip.MustParseAddr("127.0.0.1"), services)
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%+v was not found", w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d services, want %d", len(got), len(want))
	}
}

// TestDatagrams_decoys lets ports say the question back, or garbage, or nothing:
// none of them has a name.
func TestDatagrams_decoys(t *testing.T) {
	for what, answer := range map[string]func([]byte) []byte{
		"echo":    func(b []byte) []byte { return b },
		"garbage": func([]byte) []byte { return bytes.Repeat([]byte{0x5a}, 64) },
		"yes":     func([]byte) []byte { return []byte("yes") },
	} {
		services := datagramServices()
		for i := range services {
			services[i].port = udp(t, answer)
		}
		got := askDatagrams(t.Context(), probetest.Host{}, netip.MustParseAddr("127.0.0.1"), services)
		for _, s := range got {
			if s.Name != "" {
				t.Errorf("%s is called %s", what, s.Name)
			}
		}
	}
}

func TestDatagrams_tftpFromAnotherPort(t *testing.T) {
	services := slices.DeleteFunc(datagramServices(), func(s datagramService) bool { return s.name != "tftp" })
	found := map[uint16]api.Service{}
	note(found, services, 40000, []byte{0, 5, 0, 1, 'x', 0})
	if found[69].Name != "tftp" {
		t.Errorf("%+v", found)
	}
	clear(found)
	note(found, services, 40000, []byte("noise"))
	if len(found) != 0 {
		t.Errorf("%+v", found)
	}
}

func FuzzDatagram(f *testing.F) {
	for _, s := range datagramServices() {
		f.Add(s.ask)
		f.Add(answers(s.name, s.ask))
	}
	services := datagramServices()
	f.Fuzz(func(t *testing.T, b []byte) {
		found := map[uint16]api.Service{}
		for _, s := range services {
			note(found, services, s.port, b)
		}
		for _, s := range found {
			if len([]rune(s.Info)) > 200 || bytes.ContainsAny([]byte(s.Info), "\x1b\n") {
				t.Fatalf("%+v", s)
			}
		}
	})
}
