package coap

import (
	"encoding/binary"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

// server answers GETs with what serve says: a code and a payload for a path. Long
// payloads go in blocks of 1024 bytes.
func server(t *testing.T, serve func(path string) (byte, string)) string {
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
			m, err := parse(buf[:n])
			if err != nil || m.code != 1 {
				if err != nil || m.code != 0 {
					t.Errorf("not a GET: % x", buf[:n])
				}
				continue
			}
			var parts []string
			block := 0
			for _, o := range m.options {
				switch o.number {
				case optPath:
					parts = append(parts, string(o.value))
				case optBlock2:
					block = int(binary.BigEndian.Uint32(append([]byte{0}, o.value...)) >> 4)
				}
			}
			code, payload := serve("/" + strings.Join(parts, "/"))
			out := append([]byte{0x60 | byte(len(m.token)), code}, buf[2:4]...)
			out = append(out, m.token...)
			if len(payload) > 1024 {
				more := byte(8)
				payload = payload[block*1024:]
				if len(payload) <= 1024 {
					more = 0
				}
				payload = payload[:min(len(payload), 1024)]
				out = appendOption(out, optBlock2, []byte{byte(block<<4) | more | 6})
			}
			if payload != "" {
				out = append(append(out, 0xff), payload...)
			}
			_, _ = c.WriteTo(out, from)
		}
	}()
	return c.LocalAddr().String()
}

func TestLook(t *testing.T) {
	long := `</.well-known/core>;ct=40,</light>;rt="on, off";if="x",</door>,</config/wifi>`
	for i := range 80 {
		long += `,</sensor` + strings.Repeat("x", 20) + string(rune('a'+i%26)) + `>;obs`
	}
	tree := func(open bool) func(string) (byte, string) {
		return func(p string) (byte, string) {
			switch {
			case p == "/.well-known/core":
				return codeContent, long
			case p == "/light" && open:
				return codeContent, "1"
			case p == "/light", p == "/door", p == "/config/wifi":
				return codeUnauthorised, ""
			}
			return 0x84, ""
		}
	}
	for _, tt := range []struct {
		name  string
		serve func(string) (byte, string)
		want  ringwall.Outcome
		says  string
	}{
		{"a lamp for everybody", tree(true), ringwall.Fail, "read /light"},
		{"closed", tree(false), ringwall.Partial, "3 of those tried refused"},
		{"serves anything", func(string) (byte, string) { return codeContent, "</a>,</b>" }, ringwall.Unknown, "does not exist was served"},
		{"has nothing", func(string) (byte, string) { return 0x84, "" }, ringwall.Unknown, "listed nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := look(t.Context(), probetest.Host{}, server(t, tt.serve))
			if err != nil {
				t.Fatal(err)
			}
			fs := judge(r)
			var story strings.Builder
			for _, f := range fs {
				story.WriteString(f.Title + "\n" + strings.Join(f.Evidence, "\n") + "\n")
			}
			if got := probetest.Find(fs, "CO-09").Outcome; got != tt.want || !strings.Contains(story.String(), tt.says) {
				t.Errorf("%v, want %v and %q: %s", got, tt.want, tt.says, story.String())
			}
		})
	}
}

func TestLook_echo(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(buf[:n], from)
		}
	}()
	if r, err := look(t.Context(), probetest.Host{}, c.LocalAddr().String()); err != nil || r.heard {
		t.Errorf("an echo is %+v, %v", r, err)
	}
}

func TestLinks(t *testing.T) {
	got := links(`</a>;title="x,<y>",</b/c>;ct=0, <http://elsewhere/>;x,</d`)
	if !slices.Equal(got, []string{"/a", "/b/c"}) {
		t.Errorf("links = %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(get("/.well-known/core", 7, []byte{1, 2, 3, 4}, 3))
	f.Add([]byte{0x60, 0x45, 0, 1, 0xd1, 0x0a, 0x28, 0xff, '<', '/', 'a', '>'})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		m.more()
		if got := links(string(m.payload)); len(got) > maxLinks || len(m.options) > maxOptions {
			t.Fatal(got)
		}
	})
}
