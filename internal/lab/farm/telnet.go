package farm

import (
	"bufio"
	"io"
	"net"
	"strings"
)

// telnet is a telnet door (RFC 854): with a user it asks for a login, without
// it opens a shell at once. The shell is a toy that repeats what echo is told.
func telnet(user, password string) func(*Box, net.Listener) error {
	return func(b *Box, l net.Listener) error {
		word := password
		if word == "" {
			word = b.Password
		}
		return accept(l, func(c net.Conn) { (&terminal{c: c, in: bufio.NewReader(c), lock: b.Lock}).play(user, word) })
	}
}

type terminal struct {
	c    net.Conn
	in   *bufio.Reader
	lock *Lock
}

func (t *terminal) say(s string) { _, _ = io.WriteString(t.c, s) }

// line reads a line and skips the negotiation of options (three bytes each).
func (t *terminal) line(echo bool) (string, bool) {
	var b []byte
	for len(b) < 1024 {
		x, err := t.in.ReadByte()
		if err != nil {
			return "", false
		}
		switch {
		case x == 255:
			if _, err := t.in.Discard(2); err != nil {
				return "", false
			}
		case x == '\n':
			if echo {
				t.say(string(b) + "\r\n")
			}
			return strings.TrimSpace(string(b)), true
		case x != '\r' && x != 0:
			b = append(b, x)
		}
	}
	return "", false
}

func (t *terminal) play(user, password string) {
	// DO ECHO, DO NAWS, WILL ECHO, WILL SUPPRESS-GO-AHEAD, as small systems begin.
	t.say("\xff\xfd\x01\xff\xfd\x1f\xff\xfb\x01\xff\xfb\x03")
	for tries := 0; user != ""; tries++ {
		if tries == 3 {
			return
		}
		t.say("unit login: ")
		name, ok := t.line(true)
		if !ok {
			return
		}
		t.say("Password: ")
		word, ok := t.line(false)
		if !ok {
			return
		}
		if name == user && word == password && !t.lock.Shut("system "+name) {
			break
		}
		t.lock.Wrong("telnet " + name)
		t.say("\r\nLogin incorrect\r\n")
	}
	for {
		t.say("\r\n~ # ")
		cmd, ok := t.line(true)
		if !ok {
			return
		}
		if said, ok := strings.CutPrefix(cmd, "echo "); ok {
			t.say(strings.ReplaceAll(said, `"`, "") + "\r\n")
		}
	}
}
