package telnet

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

func probeAt(t *testing.T, address string) assess.Answer {
	t.Helper()
	a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "telnet", address)), probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestProbe_devices(t *testing.T) {
	for _, tt := range []struct {
		name   string
		s      *probetest.Telnet
		ap, fs ringwall.Outcome
	}{
		{"a pair that worms try", &probetest.Telnet{User: "root", Password: "xc3511", Greeting: "\r\nHi3518 #1 login\r\n"}, ringwall.Fail, ringwall.Fail},
		{"an owner's password", &probetest.Telnet{User: "root", Password: "correct horse"}, ringwall.Pass, ringwall.Unknown},
		{"it hangs up on a wrong one", &probetest.Telnet{User: "root", Password: "vizxv", Rude: true}, ringwall.Fail, ringwall.Fail},
		{"no login at all", &probetest.Telnet{}, ringwall.Unknown, ringwall.Fail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := probeAt(t, probetest.Serve(t, tt.s.Serve))
			probetest.Want(t, a.Findings, "AP-01", tt.ap, map[ringwall.Outcome]ringwall.Confidence{ringwall.Fail: ringwall.Confirmed, ringwall.Pass: ringwall.Observed}[tt.ap])
			probetest.Want(t, a.Findings, "FS-01", tt.fs, ringwall.Confirmed)
			if s := fmt.Sprint(a.Findings); tt.s.Password != "" && strings.Contains(s, tt.s.Password) {
				t.Errorf("the password is shown: %s", s)
			}
			if n := tt.s.Wrong.Load(); n > 12 {
				t.Errorf("%d wrong passwords", n)
			}
		})
	}
}

func TestPrompts(t *testing.T) {
	for text, want := range map[string][2]bool{
		"cam login: ": {true, false}, "\r\nUsername:": {true, false}, "User Name : ": {true, false}, "login>": {true, false}, "用户名：": {true, false},
		"Password: ": {false, true}, "password for root:": {false, false}, "PASSWD:": {false, true}, "Enter your password?": {false, true}, "密码:": {false, true},
		"Last login: Mon": {false, false}, "# ": {false, false}, "": {false, false}, "login incorrect": {false, false}, "user@cam:~$ ": {false, false},
	} {
		if u, p := asksUser(text), asksPassword(text); u != want[0] || p != want[1] {
			t.Errorf("%q: asks for a user %v, for a password %v, want %v", text, u, p, want)
		}
	}
}

func TestProbe_lockIsRespected(t *testing.T) {
	s := &probetest.Telnet{User: "root", Password: "correct horse", LockAfter: 2}
	a := probeAt(t, probetest.Serve(t, s.Serve))
	probetest.Want(t, a.Findings, "AP-01", ringwall.Unknown, 0)
	probetest.Want(t, a.Findings, "AP-03", ringwall.Pass, ringwall.Observed)
	if n := s.Wrong.Load(); n > 2 {
		t.Errorf("%d wrong passwords after a lock at 2", n)
	}
}

func TestProbe_decoysGiveNoFinding(t *testing.T) {
	prompts := func(answer string) func(net.Conn) {
		return func(c net.Conn) {
			br := bufio.NewReader(c)
			for _, p := range []string{"login: ", "Password: "} {
				_, _ = io.WriteString(c, p)
				if _, err := br.ReadString('\n'); err != nil {
					return
				}
			}
			for {
				_, _ = io.WriteString(c, answer)
				line, err := br.ReadString('\n')
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, line) // everything comes back, as a terminal does
			}
		}
	}
	var connections, coin atomic.Int64
	rude := &probetest.Telnet{User: "root", Password: "correct horse"}
	for name, f := range map[string]func(net.Conn){
		"a prompt for everybody, echoing":     prompts("\r\n# "),
		"a menu":                              prompts("\r\n1) status\r\n2) reboot\r\n> "),
		"login for ever":                      prompts("\r\nlogin: "),
		"a shell prompt as greeting, echoing": func(c net.Conn) { _, _ = io.WriteString(c, "# "); _, _ = io.Copy(c, c) },
		"it lets in by chance": func(c net.Conn) {
			s := &probetest.Telnet{User: "root", Password: "correct horse"}
			if coin.Add(1)*2654435761%11 < 5 {
				s.User = ""
				_, _ = io.WriteString(c, "login: ")
				br := bufio.NewReader(c)
				_, _ = br.ReadString('\n')
				_, _ = io.WriteString(c, "Password: ")
				_, _ = br.ReadString('\n')
			}
			s.Serve(c)
		},
		"silence":             func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"it hangs up at once": func(net.Conn) {},
		"it stops listening after three tries": func(c net.Conn) {
			if connections.Add(1) <= 4 {
				rude.Serve(c)
			}
		},
		"option storm": func(c net.Conn) {
			for {
				if _, err := c.Write(bytes.Repeat([]byte{255, 251, 1, 255, 253, 31}, 500)); err != nil {
					return
				}
			}
		},
		"endless banner": func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("welcome # ", 400)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := probeAt(t, probetest.Serve(t, f))
			for _, id := range []string{"AP-01", "FS-01"} {
				if f := probetest.Find(a.Findings, id); f.Outcome == ringwall.Fail || f.Outcome == ringwall.Pass && name != "login for ever" {
					t.Errorf("%s is %v: %q %q", id, f.Outcome, f.Title, f.Evidence)
				}
			}
		})
	}
}

// TestLogin_busybox is the real thing: busybox telnetd and its login need
// accounts of this machine, so a login program of ours stands behind it.
func TestLogin_busyboxTelnetd(t *testing.T) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("SKIPPED, NOT TESTED: busybox is not installed")
	}
	applets, err := exec.Command(busybox, "--list").Output()
	if err != nil || !bytes.Contains(applets, []byte("\ntelnetd\n")) {
		t.Skip("SKIPPED, NOT TESTED: this busybox has no telnetd")
	}
	dir := t.TempDir()
	program := dir + "/login"
	script := "#!" + busybox + " sh\nwhile :; do printf 'login: '; read u; printf 'Password: '; read p\n" +
		"[ \"$u:$p\" = root:xc3511 ] && exec " + busybox + " sh -i\necho 'Login incorrect'; done\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd := exec.Command(busybox, "telnetd", "-F", "-l", program, "-b", fmt.Sprintf("127.0.0.1:%d", port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	time.Sleep(200 * time.Millisecond)
	a := probeAt(t, fmt.Sprintf("127.0.0.1:%d", port))
	probetest.Want(t, a.Findings, "AP-01", ringwall.Fail, ringwall.Confirmed)
}

func FuzzFilter(f *testing.F) {
	f.Add(append(bytes.Clone(probetest.Negotiation()), "login: "...))
	f.Add([]byte{255, 250, 24, 1, 255, 240, 'x', 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		var whole, pieces filter
		text, answer := whole.feed(b)
		var t2, a2 []byte
		for i := range b {
			x, y := pieces.feed(b[i : i+1])
			t2, a2 = append(t2, x...), append(a2, y...)
		}
		if !bytes.Equal(text, t2) || !bytes.Equal(answer, a2) {
			t.Fatalf("in pieces %q %v, whole %q %v", t2, a2, text, answer)
		}
		if len(answer) > 3*maxReplies || len(text) > len(b) {
			t.Fatalf("%d bytes of answer to %d bytes", len(answer), len(b))
		}
		asksUser(string(text))
		looksLikeShell(string(text))
	})
}
