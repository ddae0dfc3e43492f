package client

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
)

func kinds(t *testing.T, in string) (got []string, last error) {
	t.Helper()
	for e, err := range readEvents(strings.NewReader(in)) {
		if err != nil {
			return got, err
		}
		got = append(got, e.Kind)
	}
	return got, nil
}

func TestReadEvents(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		code           ringwall.Code
	}{
		{"two", "id: 1\ndata: {\"kind\":\"a\"}\n\ndata:{\"kind\":\"b\"}\n\n", "a b", ringwall.Unavailable},
		{"comments and other fields", ": open\n\nretry: 3\nevent: x\n\ndata: {\"kind\":\"a\"}\n\n", "a", ringwall.Unavailable},
		{"CR LF", "data: {\"kind\":\"a\"}\r\n\r\n", "a", ringwall.Unavailable},
		{"CR", "data: {\"kind\":\"a\"}\r\r", "a", ringwall.Unavailable},
		{"over lines", "data: {\"kind\":\ndata: \"a\"}\n\n", "a", ringwall.Unavailable},
		{"cut off", "data: {\"kind\":\"a\"}\n\ndata: {\"kind\":\"b\"}\n", "a", ringwall.Unavailable},
		{"not JSON", "data: hello\n\n", "", ringwall.Invalid},
		{"a giant line", "data: " + strings.Repeat("x", maxEvent+10) + "\n\n", "", ringwall.Invalid},
		{"a giant event", strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 2000) + "\n", "", ringwall.Invalid},
		{"nothing", "", "", ringwall.Unavailable},
	} {
		got, err := kinds(t, c.in)
		if strings.Join(got, " ") != c.want || ringwall.CodeOf(err) != c.code {
			t.Errorf("%s: %q, %v; want %q, %s", c.name, got, err, c.want, c.code)
		}
	}
}

func FuzzReadEvents(f *testing.F) {
	for _, s := range []string{"id: 1\ndata: {\"kind\":\"a\"}\n\n", ": open\r\n\r\ndata:{}\r\n\r\n", "data: [\n\n", "data\n\n", "\r\r\n\n", "data: {\"time\":\"x\"}\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		n, ended := 0, false
		for _, err := range readEvents(bytes.NewReader(in)) {
			if ended {
				t.Fatal("an event after the error")
			}
			ended = err != nil
			n++
		}
		if !ended {
			t.Error("the stream ended without an error")
		}
		if n > len(in)+1 {
			t.Errorf("%d events out of %d bytes", n, len(in))
		}
	})
}
