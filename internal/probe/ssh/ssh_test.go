package ssh

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

func signer(t *testing.T, key crypto.Signer, err error) ssh.Signer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// server is a real SSH server; change makes it worse.
func server(t *testing.T, change func(*ssh.ServerConfig), keys ...ssh.Signer) string {
	t.Helper()
	cfg := &ssh.ServerConfig{
		ServerVersion:     "SSH-2.0-dropbear_2012.55",
		PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, io.EOF },
	}
	for _, k := range keys {
		cfg.AddHostKey(k)
	}
	change(cfg)
	return probetest.Serve(t, func(c net.Conn) {
		conn, chans, reqs, err := ssh.NewServerConn(c, cfg)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(reqs)
		for ch := range chans {
			_ = ch.Reject(ssh.Prohibited, "")
		}
		_ = conn.Close()
	})
}

func run(t *testing.T, addr string) assess.Answer {
	t.Helper()
	a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "ssh", addr)), probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestProbe(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	edKey := signer(t, ed, err)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ecKey := signer(t, ec, err)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	smallKey := signer(t, small, err)
	modern := ssh.Config{KeyExchanges: []string{"mlkem768x25519-sha256", "curve25519-sha256"}, Ciphers: []string{"aes128-gcm@openssh.com", "aes256-ctr"}, MACs: []string{"hmac-sha2-256-etm@openssh.com"}}
	password := func(c *ssh.ServerConfig) {
		c.PasswordCallback = func(_ ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
			t.Errorf("the password %q was tried", p)
			return nil, io.EOF
		}
	}
	for _, tt := range []struct {
		name, says string
		change     func(*ssh.ServerConfig)
		keys       []ssh.Signer
		want       ringwall.Outcome
	}{
		{"hardened", "current algorithms only", func(c *ssh.ServerConfig) { c.Config = modern }, []ssh.Signer{edKey, ecKey}, ringwall.Pass},
		{"passwords", "it takes passwords", func(c *ssh.ServerConfig) { c.Config = modern; password(c) }, []ssh.Signer{edKey}, ringwall.Partial},
		{"group 1", "broken key exchange", func(c *ssh.ServerConfig) {
			c.Config = modern
			c.KeyExchanges = []string{"curve25519-sha256", "diffie-hellman-group1-sha1"}
		}, []ssh.Signer{edKey}, ringwall.Fail},
		{"only what is old", "broken cipher: arcfour", func(c *ssh.ServerConfig) {
			c.KeyExchanges, c.Ciphers, c.MACs = []string{"diffie-hellman-group14-sha1"}, []string{"arcfour", "aes128-cbc"}, []string{"hmac-sha1"}
		}, []ssh.Signer{ecKey}, ringwall.Fail},
		{"a short host key", "host key of only 1024 bits", func(c *ssh.ServerConfig) { c.Config = modern }, []ssh.Signer{smallKey}, ringwall.Fail},
		{"open to everybody", "made-up user was let in", func(c *ssh.ServerConfig) { c.Config = modern; c.NoClientAuth = true }, []ssh.Signer{edKey}, ringwall.Fail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := run(t, server(t, tt.change, tt.keys...))
			probetest.Want(t, a.Findings, "CO-03", tt.want, ringwall.Confirmed)
			f := probetest.Find(a.Findings, "CO-03")
			if story := f.Title + "\n" + strings.Join(f.Evidence, "\n"); !strings.Contains(story, tt.says) {
				t.Errorf("does not tell of %q: %s", tt.says, story)
			}
			var want []string
			for _, k := range tt.keys {
				want = append(want, mark(k.PublicKey()))
				if !strings.Contains(strings.Join(f.Evidence, "\n"), ssh.FingerprintSHA256(k.PublicKey())) {
					t.Errorf("its fingerprint is not shown: %q", f.Evidence)
				}
			}
			var got []string
			for _, m := range a.Secrets {
				got = append(got, m.Mark)
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("host keys %v, want %v", got, want)
			}
			if len(a.Components) != 1 || a.Components[0].Name != "dropbear" || a.Components[0].Version != "2012.55" {
				t.Errorf("components are %+v", a.Components)
			}
		})
	}
}

func TestProbe_notSSH(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"silence":         func(c net.Conn) { _, _ = c.Read(make([]byte, 100)) },
		"a huge packet":   func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n\xff\xff\xff\xff\x04") },
		"endless banners": func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte("hello\r\n"), 1<<16)) },
		"an empty offer": func(c net.Conn) {
			_, _ = c.Write(append([]byte("SSH-2.0-x\r\n\x00\x00\x00\x2c\x04\x14"), make([]byte, 60)...))
		},
		"says it back": func(c net.Conn) { _, _ = io.Copy(c, c) },
	} {
		if a := run(t, probetest.Serve(t, serve)); len(a.Findings) != 0 {
			t.Errorf("%s: %+v", name, a.Findings)
		}
	}
}

func FuzzParseKexinit(f *testing.F) {
	b := append([]byte{20}, make([]byte, 16)...)
	for _, s := range []string{"curve25519-sha256", "ssh-ed25519", "aes128-ctr", "aes128-ctr", "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""} {
		b = append(append(b, 0, 0, 0, byte(len(s))), s...)
	}
	f.Add(append(b, 0, 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseKexinit(b)
		if err == nil && len(l.kex) > maxNames {
			t.Fatal(len(l.kex))
		}
		_, _ = readPacket(bytes.NewReader(b))
		if s, err := readBanner(bufio.NewReader(bytes.NewReader(b))); err == nil && !strings.HasPrefix(s, "SSH-") {
			t.Fatal(s)
		}
	})
}
