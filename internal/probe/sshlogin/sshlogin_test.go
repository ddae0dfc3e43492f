package sshlogin

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

// server is an SSH server with one account.
type server struct {
	user, password string
	check          func(user, password string) bool // instead of the account
	interactive    bool
	mute           bool // runs nothing
	echo           bool // repeats the command instead of running it
	old            bool // speaks only what is no longer safe
	keysOnly       bool
	dropAfter      int64
	wrong          atomic.Int64
}

func (s *server) right(user, password string) error {
	ok := user == s.user && password == s.password
	if s.check != nil {
		ok = s.check(user, password)
	}
	if ok {
		return nil
	}
	s.wrong.Add(1)
	return errors.New("no")
}

func (s *server) serve(t *testing.T, key ssh.Signer) func(net.Conn) {
	cfg := &ssh.ServerConfig{MaxAuthTries: 6}
	switch {
	case s.keysOnly:
		cfg.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, errors.New("no") }
	case s.interactive:
		cfg.KeyboardInteractiveCallback = func(c ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			a, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil || len(a) != 1 {
				return nil, errors.New("no")
			}
			return nil, s.right(c.User(), a[0])
		}
	default:
		cfg.PasswordCallback = func(c ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) { return nil, s.right(c.User(), string(p)) }
	}
	if s.old {
		cfg.KeyExchanges, cfg.Ciphers, cfg.MACs = []string{"diffie-hellman-group1-sha1"}, []string{"aes128-cbc"}, []string{"hmac-sha1"}
	}
	cfg.AddHostKey(key)
	return func(c net.Conn) {
		if s.dropAfter > 0 && s.wrong.Load() >= s.dropAfter {
			return
		}
		_, chans, reqs, err := ssh.NewServerConn(c, cfg)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(reqs)
		for n := range chans {
			ch, rs, err := n.Accept()
			if err != nil {
				return
			}
			go func() {
				for r := range rs {
					run := r.Type == "exec" && !s.mute
					_ = r.Reply(run, nil)
					if run && len(r.Payload) > 4 {
						cmd := string(r.Payload[4:])
						if word, ok := strings.CutPrefix(cmd, "echo "); ok && !s.echo {
							cmd = strings.ReplaceAll(word, `"`, "")
						}
						_, _ = io.WriteString(ch, cmd+"\n")
					}
					_ = ch.Close()
				}
			}()
		}
	}
}

func probeAt(t *testing.T, f func(net.Conn)) assess.Answer {
	t.Helper()
	a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "ssh", probetest.Serve(t, f))), probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestProbe(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	for _, tt := range []struct {
		name   string
		s      *server
		ap, fs ringwall.Outcome
	}{
		{"a default", &server{user: "root", password: "vizxv"}, ringwall.Fail, ringwall.Fail},
		{"a default by keyboard-interactive", &server{user: "root", password: "xc3511", interactive: true}, ringwall.Fail, ringwall.Fail},
		{"a default, old ciphers", &server{user: "root", password: "xc3511", old: true}, ringwall.Fail, ringwall.Fail},
		{"an owner's password", &server{user: "root", password: "correct horse"}, ringwall.Pass, 0},
		{"a default, but no command", &server{user: "root", password: "xc3511", mute: true}, 0, 0},
		{"it repeats commands", &server{user: "root", password: "xc3511", echo: true}, 0, 0},
		{"keys only", &server{keysOnly: true}, ringwall.Pass, 0},
		{"yes to everything", &server{check: func(string, string) bool { return true }}, 0, 0},
		{"any password for root", &server{check: func(u, _ string) bool { return u == "root" }}, 0, 0},
		{"the first try only", &server{check: func(string, string) bool { return n.Add(1) == 2 }}, 0, 0},
		{"hangs up after three tries", &server{user: "x", dropAfter: 3}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := probeAt(t, tt.s.serve(t, key))
			probetest.Want(t, a.Findings, "AP-01", tt.ap, map[ringwall.Outcome]ringwall.Confidence{ringwall.Fail: ringwall.Confirmed, ringwall.Pass: ringwall.Observed}[tt.ap])
			probetest.Want(t, a.Findings, "FS-01", tt.fs, ringwall.Confirmed)
			if w := tt.s.wrong.Load(); w > 4 {
				t.Errorf("%d wrong passwords: a server that locks after five is locked", w)
			}
			if s := fmt.Sprint(a.Findings); tt.s.password != "" && strings.Contains(s, tt.s.password) {
				t.Errorf("the password is shown: %s", s)
			}
		})
	}
}

func TestProbe_noServer(t *testing.T) {
	for name, f := range map[string]func(net.Conn){
		"garbage":   func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n\x00\x00\xff\xffgarbage") },
		"it ends":   func(net.Conn) {},
		"a web one": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"endless": func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		},
	} {
		for _, f := range probeAt(t, f).Findings {
			if f.Outcome != ringwall.Unknown {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}
