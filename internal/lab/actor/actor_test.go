package actor

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestPattern_isWhatItSays(t *testing.T) {
	units := accessUnits(patternFile)
	if len(units) != 40 {
		t.Fatalf("%d pictures, want 40", len(units))
	}
	keys := 0
	for i, u := range units {
		slices := 0
		for _, n := range u {
			switch n[0] & 31 {
			case nalIDR:
				keys++
				slices++
				if i%20 != 0 {
					t.Errorf("picture %d is a key picture", i)
				}
			case 1:
				slices++
			}
		}
		if slices != 1 {
			t.Errorf("picture %d has %d slices, want 1", i, slices)
		}
	}
	sps, pps := parameterSets(units)
	if keys != 2 || sps == nil || pps == nil || len(patternFile) > 200_000 {
		t.Errorf("%d key pictures, sps %d bytes, pps %d bytes, %d bytes in all", keys, len(sps), len(pps), len(patternFile))
	}
}

func TestPattern_decodes(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("SKIPPED, NOT TESTED: decoding the pattern with another decoder needs ffmpeg")
	}
	file := filepath.Join(t.TempDir(), "pattern.h264")
	if err := os.WriteFile(file, patternFile, 0o600); err != nil {
		t.Fatal(err)
	}
	// Errors of the decoder end it; what it decodes comes out as raw pictures.
	out, err := exec.Command(ffmpeg, "-v", "error", "-xerror", "-i", file, "-f", "rawvideo", "-pix_fmt", "gray", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != 40*640*360 {
		t.Fatalf("%d bytes of pictures, want 40 of 640x360", len(out))
	}
	if bytes.Equal(out[:640*360], out[39*640*360:]) {
		t.Error("the first and the last picture are the same: nothing moves")
	}
}

func FuzzAccessUnits(f *testing.F) {
	f.Add(patternFile[:2000])
	f.Add([]byte{0, 0, 1, 9, 0, 0, 0, 1, 0x65, 1, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		for _, u := range accessUnits(b) {
			for _, n := range u {
				if len(n) == 0 {
					t.Fatal("an empty unit")
				}
				total += len(n)
			}
		}
		if total > len(b) {
			t.Fatalf("%d bytes of %d", total, len(b))
		}
	})
}

func TestControl(t *testing.T) {
	a, b := net.Pipe()
	ops := Ops{
		"double": op(func(_ context.Context, n int) (any, error) { return 2 * n, nil }),
		"fail":   op(func(context.Context, struct{}) (any, error) { return nil, errors.New("as ordered") }),
		"wait":   op(func(ctx context.Context, _ struct{}) (any, error) { <-ctx.Done(); return nil, ctx.Err() }),
	}
	ended := make(chan error, 1)
	go func() { ended <- serve(t.Context(), b, ops) }()
	c := NewClient(a)
	for n := range 100 {
		var got int
		if err := c.Call(t.Context(), "double", n, &got); err != nil || got != 2*n {
			t.Fatalf("double %d = %d, %v", n, got, err)
		}
	}
	if err := c.Call(t.Context(), "fail", nil, nil); err == nil || err.Error() != "as ordered" {
		t.Errorf("fail: %v", err)
	}
	if err := c.Call(t.Context(), "fly", nil, nil); err == nil || !strings.Contains(err.Error(), `"fly"`) {
		t.Errorf("an unknown order: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Call(ctx, "wait", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an order given up: %v", err)
	}
	b.Close() // the actor dies
	if err := c.Call(t.Context(), "double", 1, nil); err == nil {
		t.Error("a dead actor takes orders")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	<-ended
}

func FuzzServe(f *testing.F) {
	f.Add([]byte(`{"id":1,"op":"double","data":2}` + "\n" + `{"id":1,"cancel":true}`))
	f.Add([]byte(`{"id":-1}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		ops := Ops{"double": op(func(_ context.Context, n int) (any, error) { return 2 * n, nil })}
		var out bytes.Buffer
		// Whatever comes in ends with the input, and what goes out is messages.
		_ = serve(t.Context(), struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(in), &out}, ops)
		dec := json.NewDecoder(&out)
		for {
			var m message
			if err := dec.Decode(&m); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				return
			}
		}
	})
}

func TestNTPReply(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 500_000_000, time.UTC)
	req := make([]byte, 48)
	req[0] = 4<<3 | 3
	copy(req[40:], "question")
	got := ntpReply(req, now)
	if got == nil || got[0] != 4<<3|4 || string(got[24:32]) != "question" {
		t.Fatalf("answer % x", got)
	}
	sent := binary.BigEndian.Uint64(got[40:])
	if sec, frac := int64(sent>>32)-ntpEpoch, sent&0xffffffff; sec != now.Unix() || frac != 1<<31 {
		t.Errorf("the time is %d s and %#x, want %d and a half", sec, frac, now.Unix())
	}
	for name, bad := range map[string][]byte{"short": req[:47], "a server's": append([]byte{4<<3 | 4}, req[1:]...), "empty": nil} {
		if ntpReply(bad, now) != nil {
			t.Errorf("a packet that is %s was answered", name)
		}
	}
}

func FuzzNTPReply(f *testing.F) {
	f.Add(make([]byte, 48))
	f.Add(append([]byte{0x23}, make([]byte, 67)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		out := ntpReply(b, time.Unix(1, 0))
		if out != nil && (len(out) > len(b) || !bytes.Equal(out[24:32], b[40:48])) {
			t.Fatalf("%d bytes answered to %d", len(out), len(b))
		}
	})
}

// wired is a connection that gives what it holds.
type wired struct {
	net.Conn
	in io.Reader
}

func (w wired) Read(p []byte) (int, error) { return w.in.Read(p) }

func TestNVT_Read(t *testing.T) {
	for in, want := range map[string]string{
		"root\r\n":                           "root\r",
		"root\r\x00x\n":                      "root\rx\n",
		"\xff\xfd\x01\xff\xfb\x03a":          "a",
		"a\xff\xffb":                         "a\xffb",
		"\xff\xfa\x18\x00\xff\xffx\xff\xf0b": "b",
		"\xff\xf1a":                          "a",
	} {
		got, err := io.ReadAll(&nvt{conn: wired{in: strings.NewReader(in)}})
		if err != nil || string(got) != want {
			t.Errorf("%q reads as %q, %v, want %q", in, got, err, want)
		}
	}
}

func FuzzNVT_Read(f *testing.F) {
	f.Add([]byte("\xff\xfd\x01root\r\n"), 3)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		whole, err := io.ReadAll(&nvt{conn: wired{in: bytes.NewReader(in)}})
		if err != nil || len(whole) > len(in) {
			t.Fatalf("%d bytes of %d, %v", len(whole), len(in), err)
		}
		// However the bytes are cut into reads, they say the same.
		if cut < 0 || cut > len(in) {
			return
		}
		parts, err := io.ReadAll(&nvt{conn: wired{in: io.MultiReader(bytes.NewReader(in[:cut]), bytes.NewReader(in[cut:]))}})
		if err != nil || !bytes.Equal(parts, whole) {
			t.Fatalf("in one piece %q, in two %q", whole, parts)
		}
	})
}

func TestZone_answer(t *testing.T) {
	var addrs []netip.Addr
	for i := range byte(40) {
		addrs = append(addrs, netip.AddrFrom4([4]byte{198, 51, 100, i}))
	}
	z := &zone{rng: rand.New(rand.NewPCG(1, 1)), s: DNSSettings{
		Zones: []string{"vendor.example"}, Records: map[string]Record{"cloud.vendor.example": {Addrs: addrs, Show: 3, TTL: 10}},
	}}
	ask := func(name string, kind uint16) *dns.Msg {
		m := new(dns.Msg)
		z.answer(m, dns.Question{Name: name, Qtype: kind, Qclass: dns.ClassINET})
		return m
	}
	if m := ask("Cloud.Vendor.Example.", dns.TypeA); m.Rcode != 0 || len(m.Answer) != 3 || !m.Authoritative {
		t.Errorf("a name that is there: %v", m)
	}
	if m := ask("cloud.vendor.example.", dns.TypeAAAA); m.Rcode != 0 || len(m.Answer) != 0 {
		t.Errorf("a type that is not there: %v", m)
	}
	if m := ask("x.vendor.example.", dns.TypeA); m.Rcode != dns.RcodeNameError || !m.Authoritative {
		t.Errorf("a name that is not there: %v", m)
	}
}

func TestInert_cannotRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bot")
	if err := os.WriteFile(file, Inert(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(file).Run(); err == nil || !strings.Contains(err.Error(), "exec format error") {
		t.Errorf("running it: %v, want an exec format error", err)
	}
}
