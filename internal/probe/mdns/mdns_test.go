package mdns

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func answer(t testing.TB, id uint16, kind, instance string, txt ...string) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, Response: true, Authoritative: true})
	b.EnableCompression()
	name := func(s string) dnsmessage.Name {
		n, err := dnsmessage.NewName(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	service, whole := name(kind+".local."), name(instance+"."+kind+".local.")
	h := func(n dnsmessage.Name) dnsmessage.ResourceHeader {
		return dnsmessage.ResourceHeader{Name: n, Class: dnsmessage.ClassINET, TTL: 120}
	}
	for _, err := range []error{
		b.StartAnswers(), b.PTRResource(h(name(meta)), dnsmessage.PTRResource{PTR: service}), b.PTRResource(h(service), dnsmessage.PTRResource{PTR: whole}),
		b.StartAdditionals(), b.SRVResource(h(whole), dnsmessage.SRVResource{Port: 554, Target: name("cam.local.")}), b.TXTResource(h(whole), dnsmessage.TXTResource{TXT: txt}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBrowse(t *testing.T) {
	device, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := device.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) == 0 || m.Questions[0].Class>>15 != 1 {
				t.Errorf("a question that does not ask for a unicast answer")
			}
			_, _ = device.WriteTo([]byte("\x00\x01garbage"), from)
			_, _ = device.WriteTo(answer(t, 0, "_rtsp._tcp", "Front door", "Manufacturer=Refcam", "md=RC-1\x1b[2J", "x"), from)
		}
	}()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to := device.LocalAddr().(*net.UDPAddr).AddrPort()
	hosts, err := Browse(t.Context(), c, []netip.AddrPort{to}, 200*time.Millisecond, func(netip.Addr) bool { return true })
	if err != nil || len(hosts) != 1 {
		t.Fatalf("%+v, %v", hosts, err)
	}
	vendor, model, kind := hosts[0].Hint()
	if vendor != "Refcam" || model != "RC-1[2J" || kind != "camera" || !slices.Equal(hosts[0].Names, []string{"Front door"}) {
		t.Errorf("%q %q %q of %+v", vendor, model, kind, hosts[0])
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Browse(ctx, c, []netip.AddrPort{to}, time.Minute, func(netip.Addr) bool { return true }); err == nil {
		t.Error("a search whose time is over went on")
	}
}

func TestHint_types(t *testing.T) {
	for _, tt := range []struct {
		types []string
		text  map[string]string
		want  string
	}{
		{[]string{"_hap._tcp"}, map[string]string{"ci": "17"}, "camera"}, {[]string{"_hap._tcp"}, map[string]string{"ci": "6"}, "lock"},
		{[]string{"_http._tcp"}, nil, ""}, {[]string{"_ipp._tcp"}, nil, "printer"},
	} {
		if _, _, got := (Host{Types: tt.types, Text: tt.text}).Hint(); got != tt.want {
			t.Errorf("%v %v is %q, want %q", tt.types, tt.text, got, tt.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(answer(f, 7, "_rtsp._tcp", "Front door", "md=RC-1"))
	f.Add([]byte("\x00\x00\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00\xc0\x0c\x00\x0c\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Host
		_ = h.Read(b)
		if len(h.Types) > maxNames || len(h.Names) > maxNames || len(h.Text) > maxText {
			t.Fatal(h)
		}
		h.Hint()
	})
}
