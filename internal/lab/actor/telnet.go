package actor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// telnet is a camera's forgotten maintenance door (RFC 854) on port 23. What
// stands behind it depends on the machine: busybox's telnetd and login; our
// own server with busybox's login and shell on a terminal, where busybox was
// built without telnetd, as Debian's is; or a login and a shell of ours, where
// there is no busybox. TelnetKind tells which it is going to be.
type telnet struct {
	e    *Env
	kind string

	mu       sync.Mutex // guards what follows
	password string
	stop     context.CancelFunc // nil when off
	done     chan struct{}      // closed when the server has ended
	logins   uint64
}

// Kinds of telnet.
const (
	TelnetBusybox = "busybox telnetd"
	TelnetLogin   = "our telnet server with busybox login"
	TelnetOwn     = "our telnet server, login and shell"
)

// TelnetKind tells which telnet a machine with this busybox can have.
func TelnetKind(busybox string) string {
	if busybox == "" {
		return TelnetOwn
	}
	out, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return TelnetOwn
	}
	has := map[string]bool{}
	for _, a := range strings.Fields(string(out)) {
		has[a] = true
	}
	switch {
	case !has["login"] || !has["mkpasswd"] && !has["cryptpw"] || !has["wget"] || !has["sh"]:
		return TelnetOwn
	case has["telnetd"]:
		return TelnetBusybox
	}
	return TelnetLogin
}

func newTelnet(e *Env, password string) (*telnet, error) {
	t := &telnet{e: e, kind: TelnetKind(e.Busybox)}
	if t.kind == TelnetBusybox {
		if err := os.Symlink(e.Busybox, loginProgram); err != nil {
			return nil, err
		}
	}
	return t, t.setPassword(password)
}

// setPassword changes root's password.
func (t *telnet) setPassword(password string) error {
	if password == "" || len(password) > maxPassword || strings.ContainsAny(password, "\r\n\x00") {
		return fmt.Errorf("a password is one line of 1 to %d bytes", maxPassword)
	}
	if t.kind != TelnetOwn {
		hash, err := t.crypt(password)
		if err != nil {
			return err
		}
		if err := rewritePrivate("/etc/shadow", "root:"+hash+":19000:0:99999:7:::\n"); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.password = password
	return nil
}

// crypt hashes a password as login wants it; it goes in by a pipe.
func (t *telnet) crypt(password string) (string, error) {
	cmd := exec.Command(t.e.Busybox, "mkpasswd", "-m", "sha512", "-P", "0")
	cmd.Stdin = strings.NewReader(password + "\n")
	cmd.SysProcAttr = ownSession()
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("hashing the telnet password: %w", err)
	}
	hash := strings.TrimSpace(string(out))
	if !strings.HasPrefix(hash, "$") || strings.ContainsAny(hash, ":\n") {
		return "", errors.New("hashing the telnet password: busybox gave no hash")
	}
	return hash, nil
}

// turn switches the door. Off ends what came in by it.
func (t *telnet) turn(on bool) error {
	t.mu.Lock()
	stop, done := t.stop, t.done
	if on == (stop != nil) {
		t.mu.Unlock()
		return nil
	}
	if !on {
		t.stop, t.done = nil, nil
		t.mu.Unlock()
		stop()
		<-done
		return nil
	}
	defer t.mu.Unlock()
	ctx, cancel := context.WithCancel(t.e.ctx)
	end, err := t.start(ctx)
	if err != nil {
		cancel()
		return err
	}
	t.stop, t.done = cancel, end
	return nil
}

// isOn reports whether the door is open.
func (t *telnet) isOn() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stop != nil
}

func (t *telnet) start(ctx context.Context) (done chan struct{}, err error) {
	done = make(chan struct{})
	addr := net.JoinHostPort(t.e.Addr.String(), "23")
	if t.kind == TelnetBusybox {
		cmd := exec.Command(t.e.Busybox, "telnetd", "-F", "-b", t.e.Addr.String(), "-p", "23", "-l", loginProgram)
		cmd.SysProcAttr = ownSession()
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		t.e.Go("telnetd", func(context.Context) error {
			defer close(done)
			end := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill(); endSessions() })
			defer end()
			err := cmd.Wait()
			if ctx.Err() != nil {
				return nil
			}
			return err
		})
		return done, awaitPort(ctx, addr)
	}
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		return nil, err
	}
	t.e.Go("telnet", func(context.Context) error {
		defer close(done)
		return t.accept(ctx, l)
	})
	return done, nil
}

// maxTelnet is how many may be in at once; small devices have few terminals.
const maxTelnet = 16

// accept serves until ctx ends and every session has.
func (t *telnet) accept(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer endSessions() // what the sessions left running
	defer wg.Wait()
	room := make(chan struct{}, maxTelnet)
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case room <- struct{}{}:
		default:
			c.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-room }()
			ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
			defer cancel()
			end := context.AfterFunc(ctx, func() { c.Close() })
			defer end()
			defer c.Close()
			n := &nvt{conn: c}
			if _, err := c.Write(offer); err != nil {
				return
			}
			if t.kind == TelnetLogin {
				// A session that breaks is the visitor's loss, not the camera's.
				_ = onTerminal(ctx, n, t.e.Busybox, "login")
				return
			}
			_ = t.shell(ctx, n)
		})
	}
}

// Telnet commands and options (RFC 854, 857, 858).
const (
	iac     = 255
	dont    = 254
	do      = 253
	wont    = 252
	will    = 251
	sb      = 250
	se      = 240
	optEcho = 1
	optSGA  = 3
)

// offer is what the server says first: it echoes, and nobody waits his turn.
var offer = []byte{iac, will, optEcho, iac, will, optSGA}

// nvt is a network virtual terminal: bytes without the protocol around them.
type nvt struct {
	conn  net.Conn
	state byte // of the command being read
	cr    bool
}

// Read returns what the visitor typed, commands taken out and line ends made
// one carriage return.
func (n *nvt) Read(p []byte) (int, error) {
	for {
		m, err := n.conn.Read(p)
		out := p[:0]
		for _, b := range p[:m] {
			if n.take(&b) {
				out = append(out, b)
			}
		}
		if len(out) > 0 || err != nil {
			return len(out), err
		}
	}
}

// take steps the reader over one byte and reports whether it is data.
func (n *nvt) take(b *byte) bool {
	switch n.state {
	case 0:
		if *b == iac {
			n.state = iac
			return false
		}
		cr := n.cr
		n.cr = *b == '\r'
		return !cr || *b != '\n' && *b != 0
	case iac:
		switch *b {
		case iac:
			n.state = 0
			return true
		case do, dont, will, wont, sb:
			n.state = *b
		default:
			n.state = 0
		}
	case do, dont, will, wont:
		n.state = 0 // the offer stands, whatever he says
	case sb:
		if *b == iac {
			n.state = se
		}
	case se: // inside a subnegotiation, after its IAC
		n.state = sb
		if *b == se {
			n.state = 0
		}
	}
	return false
}

// Write sends bytes as data.
func (n *nvt) Write(p []byte) (int, error) {
	if _, err := n.conn.Write(bytes.ReplaceAll(p, []byte{iac}, []byte{iac, iac})); err != nil {
		return 0, err
	}
	return len(p), nil
}

var _ io.ReadWriter = (*nvt)(nil)
