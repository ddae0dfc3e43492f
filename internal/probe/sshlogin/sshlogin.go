// Package sshlogin tries known default credentials over SSH (AP-01, FS-01),
// within the ledger and with its controls (package credential).
//
// What it confirms is a shell's work: a session ran echo on two halves of a
// random word, and answered it joined. A session that runs no command proves
// nothing. Nothing else is run. Which keys and ciphers a server offers is the ssh probe's answer.
//
// Old devices speak only what is no longer safe, so old key exchanges, ciphers
// and keys are taken here: this is a look, not trust, and the password is one
// that everybody knows. Standards: RFC 4252 section 8 (password), RFC 4256
// (keyboard-interactive), RFC 4254 section 6.5 (exec).
package sshlogin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/credential"
)

const (
	// loginTimeout bounds one connection: dropbear on a 400 MHz MIPS takes four
	// seconds for a key exchange with a group of 4096 bits.
	loginTimeout = 12 * time.Second
	maxServices  = 2
	maxOutput    = 4 << 10
)

// Probe is the probe of SSH logins.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "sshlogin", Title: "SSH: a known default credential",
		Sends:      "a few known credentials within the budget; one echo when let in",
		Indicators: []string{"AP-01", "AP-02", "AP-03", "FS-01"}, Needs: []string{"ssh"}, Intrusion: assess.LogsIn,
		Tries: 4, Within: 75 * time.Second,
	}
}

// Run probes the SSH services of the target.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	services := env.Named("ssh")
	for _, s := range services[:min(len(services), maxServices)] {
		a.Findings = append(a.Findings, probe(ctx, env, t, s)...)
	}
	return a, nil
}

func probe(ctx context.Context, env *assess.Env, t assess.Target, s api.Service) []ringwall.Finding {
	name, address := fmt.Sprintf("SSH on port %d", s.Port), t.AddrPort(s.Port)
	unasked := false // it refuses without having asked for a password
	r := credential.Check(ctx, env, credential.Service{Name: name, Key: assess.ServiceKey("ssh", s.Port), Realm: assess.SystemAccounts},
		func(ctx context.Context, user, password string) (credential.Outcome, string) {
			o, proof, asked := login(ctx, env.Net, address, user, password)
			unasked = unasked || o == credential.Unclear && !asked
			return o, proof
		})
	if unasked && r.Hit == nil && r.Tried == 0 {
		return []ringwall.Finding{{
			Indicator: "AP-01", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: name + " takes no password",
			Evidence: []string{"it refused a login without asking for a password"},
		}}
	}
	out := r.Findings()
	if r.Hit != nil {
		out = append(out, ringwall.Finding{
			Indicator: "FS-01", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: "its system has an account with a known password",
			Evidence: []string{fmt.Sprintf("%s lets in %v", name, *r.Hit)},
		})
	}
	return out
}

// config takes what old devices speak.
func config(user string, auth ...ssh.AuthMethod) *ssh.ClientConfig {
	known, old := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	c := &ssh.ClientConfig{
		User: user, Auth: auth, Timeout: loginTimeout, ClientVersion: "SSH-2.0-ringwall-assess",
		HostKeyCallback:   ssh.InsecureIgnoreHostKey(), // judged by the ssh probe; nothing secret is told
		HostKeyAlgorithms: append(known.HostKeys, old.HostKeys...),
	}
	c.KeyExchanges = append(known.KeyExchanges, old.KeyExchanges...)
	c.Ciphers = append(known.Ciphers, old.Ciphers...)
	c.MACs = append(known.MACs, old.MACs...)
	return c
}

// open connects and shakes hands.
func open(ctx context.Context, n assess.Network, address string, c *ssh.ClientConfig) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	raw, err := n.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(loginTimeout)); err != nil {
		stop()
		_ = raw.Close()
		return nil, err
	}
	conn, chans, reqs, err := ssh.NewClientConn(raw, address, c)
	stop()
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return ssh.NewClient(conn, chans, reqs), nil
}

// login presents one credential over a fresh connection, once: a server that
// asks again by keyboard-interactive is given the same answer to one question,
// and none to more. asked reports whether it wanted a password.
func login(ctx context.Context, n assess.Network, address, user, password string) (o credential.Outcome, proof string, asked bool) {
	tried := 0
	once := func() (string, error) {
		if tried++; tried > 1 {
			return "", errors.New("one try only")
		}
		return password, nil
	}
	c, err := open(ctx, n, address, config(user, ssh.PasswordCallback(once), ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
		if len(questions) != 1 {
			return make([]string, len(questions)), nil
		}
		p, err := once()
		return []string{p}, err
	})))
	if err != nil {
		return failed(err, tried), "", tried > 0 || !strings.Contains(err.Error(), "unable to authenticate")
	}
	defer func() { _ = c.Close() }()
	if shell(c) {
		return credential.Accepted, "a session ran echo on the halves of a random word and answered it joined", true
	}
	return credential.Hollow, "", true
}

// shell runs one echo. The word is joined by the shell only: a server that
// repeats the command shows the quotes in it.
func shell(c *ssh.Client) bool {
	s, err := c.NewSession()
	if err != nil {
		return false
	}
	defer func() { _ = s.Close() }()
	out, err := s.StdoutPipe()
	if err != nil {
		return false
	}
	a, b := strings.ToLower(rand.Text()[:8]), strings.ToLower(rand.Text()[:8])
	if s.Start(`echo `+a+`""`+b) != nil {
		return false
	}
	text, _ := io.ReadAll(io.LimitReader(out, maxOutput)) // the connection's deadline ends it
	return strings.Contains(string(text), a+b)
}

// failed says what a broken login means.
func failed(err error, tried int) credential.Outcome {
	text := strings.ToLower(err.Error())
	var ne net.Error
	switch {
	case strings.Contains(text, "unable to authenticate"), strings.Contains(text, "one try only"):
		if tried == 0 {
			return credential.Unclear // it never asked for the password
		}
		return credential.Refused
	case strings.Contains(text, "too many"), strings.Contains(text, "locked"):
		return credential.Locked
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, net.ErrClosed), strings.Contains(text, "eof"):
		return credential.Dropped
	case errors.As(err, &ne) && ne.Timeout():
		return credential.Dropped
	}
	return credential.Unclear
}
