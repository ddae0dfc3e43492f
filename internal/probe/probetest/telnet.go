package probetest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"sync/atomic"
)

// Telnet is a telnet server with a login and a shell that knows echo.
type Telnet struct {
	User, Password string // "" user = no login
	Greeting       string
	Rude           bool // hangs up after a wrong password, without a new prompt
	LockAfter      int64
	Wrong          atomic.Int64 // wrong passwords seen
}

// Negotiation is what busybox telnetd sends first: DO ECHO, DO NAWS, WILL
// ECHO, WILL SGA.
func Negotiation() []byte { return []byte{255, 253, 1, 255, 253, 31, 255, 251, 1, 255, 251, 3} }

// Serve plays one connection.
func (s *Telnet) Serve(c net.Conn) {
	_, _ = c.Write(Negotiation())
	br := bufio.NewReader(c)
	line := func(echo bool) (string, bool) {
		var b []byte
		for {
			x, err := br.ReadByte()
			switch {
			case err != nil:
				return "", false
			case x == 255:
				_, _ = br.Discard(2)
			case x == '\n':
				if echo {
					_, _ = c.Write(append(bytes.Clone(b), '\r', '\n'))
				}
				return strings.TrimSpace(string(b)), true
			case x != '\r' && x != 0:
				b = append(b, x)
			}
		}
	}
	_, _ = io.WriteString(c, s.Greeting)
	for tries := 0; s.User != ""; tries++ {
		if s.LockAfter > 0 && s.Wrong.Load() >= s.LockAfter {
			_, _ = io.WriteString(c, "Account locked\r\n")
			return
		}
		if tries == 3 {
			return
		}
		_, _ = io.WriteString(c, "cam login: ")
		user, ok := line(true)
		if !ok {
			return
		}
		_, _ = io.WriteString(c, "Password: ")
		pass, ok := line(false)
		if !ok {
			return
		}
		if user == s.User && pass == s.Password {
			break
		}
		s.Wrong.Add(1)
		_, _ = io.WriteString(c, "\r\nLogin incorrect\r\n")
		if s.Rude {
			return
		}
	}
	for {
		_, _ = io.WriteString(c, "\r\n~ # ")
		cmd, ok := line(true)
		if !ok {
			return
		}
		if word, ok := strings.CutPrefix(cmd, "echo "); ok {
			_, _ = io.WriteString(c, strings.ReplaceAll(word, `"`, "")+"\r\n")
		}
	}
}
