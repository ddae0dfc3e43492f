// Package ssh looks at how a device speaks SSH (CO-03): which key exchanges,
// ciphers, integrity checks and host keys it offers, how strong its host keys
// are, and how it lets people in.
//
// It never presents a password. The offer is read from the server's first packet,
// by hand, for no library still offers what has to be found out. Then one key
// exchange per kind of host key shows the keys, and one request for the method
// "none", which every client may make (RFC 4252 section 5.2), makes the server
// list its methods. A server that lets a made-up user in without a secret is
// open to everybody.
//
// The fingerprints of host keys are handed on, so that the fleet finds devices
// that share one. Reading is bounded: see maxBanner and maxPacket.
//
// Standards: RFC 4253 sections 4.2, 6 and 7.1, RFC 4252 section 5, RFC 8332, RFC
// 9142 section 4 (which key exchanges are to be used).
package ssh

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
)

// Probe is the SSH probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "ssh", Title: "SSH: algorithms, host keys and ways to log in",
		Sends:      "on each of at most 3 SSH ports one look at the offer, one key exchange per kind of host key (5 at most), and one login request without any secret",
		Indicators: []string{"CO-03"}, Needs: []string{"ssh"}, Intrusion: assess.Asks, Together: true,
	}
}

const (
	maxServices = 3
	answerIn    = 6 * time.Second // a small MIPS computes for seconds on a key exchange
	// minRSA is the least modulus called strong (NIST SP 800-131A).
	minRSA = 2048
	us     = "SSH-2.0-ringwall"
)

// service is what one SSH port showed.
type service struct {
	port    uint16
	banner  string
	offer   lists
	keys    []ssh.PublicKey
	methods []string // of logging in
	open    bool     // it let a made-up user in
	tried   bool     // the methods were asked for
}

// Run looks at the SSH services of the target.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	services := env.Named("ssh")
	for _, s := range services[:min(len(services), maxServices)] {
		v, err := visit(ctx, env.Net, t.AddrPort(s.Port), s.Port)
		if err != nil {
			env.Say("ssh: port %d: %v", s.Port, err)
			continue
		}
		a.Findings = append(a.Findings, judge(v))
		for _, k := range v.keys {
			a.Secrets = append(a.Secrets, api.SecretMark{Kind: "host-key", Mark: mark(k), Path: fmt.Sprintf("tcp/%d", s.Port)})
		}
		if c, ok := component(v.banner); ok {
			a.Components = append(a.Components, c)
		}
	}
	return a, nil
}

// mark is how a host key is known elsewhere, in a firmware image too: the SHA-256
// of its SubjectPublicKeyInfo, or of its own form for kinds that have none.
func mark(k ssh.PublicKey) string {
	b := k.Marshal()
	if c, ok := k.(ssh.CryptoPublicKey); ok {
		if der, err := x509.MarshalPKIXPublicKey(c.CryptoPublicKey()); err == nil {
			b = der
		}
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Keys returns the marks of the host keys that a service shows.
func Keys(ctx context.Context, n assess.Network, at netip.AddrPort) ([]string, error) {
	v, err := visit(ctx, n, at.String(), at.Port())
	var out []string
	for _, k := range v.keys {
		out = append(out, mark(k))
	}
	return out, err
}

// visit asks one service.
func visit(ctx context.Context, n assess.Network, address string, port uint16) (service, error) {
	v := service{port: port}
	c, done, err := dial(ctx, n, address)
	if err != nil {
		return v, err
	}
	err = v.look(c)
	done()
	if err != nil {
		return v, fmt.Errorf("reading its offer: %w", err)
	}
	kinds := [][]string{{ssh.KeyAlgoED25519}, {ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521}, {ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSA}, {"ssh-dss"}} // DSA is offered by what is old
	for _, kind := range kinds {
		kind = slices.DeleteFunc(kind, func(a string) bool { return !slices.Contains(v.offer.hostKeys, a) })
		if len(kind) > 0 && ctx.Err() == nil {
			v.exchange(ctx, n, address, kind)
		}
	}
	return v, ctx.Err()
}

// look reads the identification and the offer.
func (v *service) look(c net.Conn) error {
	if _, err := c.Write([]byte(us + "\r\n")); err != nil {
		return err
	}
	r := bufio.NewReaderSize(c, 4<<10)
	var err error
	if v.banner, err = readBanner(r); err != nil {
		return err
	}
	p, err := readPacket(r)
	if err != nil {
		return err
	}
	v.offer, err = parseKexinit(p)
	return err
}

var errSeen = errors.New("the host key was seen")

// exchange makes one key exchange with these kinds of host keys to see the key,
// and, the first time, asks how one may log in.
func (v *service) exchange(ctx context.Context, n assess.Network, address string, kinds []string) {
	c, done, err := dial(ctx, n, address)
	if err != nil {
		return
	}
	defer done()
	cfg := &ssh.ClientConfig{
		User: "rw-" + strings.ToLower(rand.Text()[:8]), ClientVersion: us, HostKeyAlgorithms: kinds, Timeout: answerIn,
		HostKeyCallback: func(_ string, _ net.Addr, k ssh.PublicKey) error {
			if !slices.ContainsFunc(v.keys, func(o ssh.PublicKey) bool { return string(o.Marshal()) == string(k.Marshal()) }) {
				v.keys = append(v.keys, k)
			}
			if v.tried {
				return errSeen
			}
			return nil
		},
	}
	all := ssh.SupportedAlgorithms()
	old := ssh.InsecureAlgorithms()
	cfg.KeyExchanges = append(slices.Clone(all.KeyExchanges), old.KeyExchanges...)
	cfg.Ciphers = append(slices.Clone(all.Ciphers), old.Ciphers...)
	cfg.MACs = append(slices.Clone(all.MACs), old.MACs...)
	// A method is asked for only when the server lists it, which its callback
	// notes; none of them has anything to give.
	note := func(method string) { v.methods = append(v.methods, method) }
	cfg.Auth = []ssh.AuthMethod{
		ssh.PublicKeysCallback(func() ([]ssh.Signer, error) { note("publickey"); return nil, nil }),
		ssh.PasswordCallback(func() (string, error) { note("password"); return "", errSeen }),
		ssh.KeyboardInteractive(func(string, string, []string, []bool) ([]string, error) {
			note("keyboard-interactive")
			return nil, errSeen
		}),
	}
	conn, chans, reqs, err := ssh.NewClientConn(c, address, cfg)
	if err == nil {
		v.open = true
		var wg sync.WaitGroup
		wg.Go(func() { ssh.DiscardRequests(reqs) })
		wg.Go(func() {
			for ch := range chans {
				_ = ch.Reject(ssh.Prohibited, "") // we are leaving
			}
		})
		_ = conn.Close()
		wg.Wait()
	}
	v.tried = v.tried || len(v.methods) > 0 || v.open
}

// dial connects, with a deadline over all that follows.
func dial(ctx context.Context, n assess.Network, address string) (net.Conn, func(), error) {
	dialCtx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	c, err := n.DialContext(dialCtx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	if err := c.SetDeadline(time.Now().Add(answerIn)); err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	return c, func() { stop(); _ = c.Close() }, nil
}

// judge answers CO-03 for one port.
func judge(v service) ringwall.Finding {
	f := ringwall.Finding{
		Indicator: "CO-03", Outcome: ringwall.Pass, Confidence: ringwall.Confirmed, Title: fmt.Sprintf("SSH on port %d offers current algorithms only", v.port),
		Facts: map[string]string{"port": fmt.Sprint(v.port)}, Evidence: []string{"it greets with " + printable(v.banner)},
	}
	worsen := func(o ringwall.Outcome, format string, args ...any) {
		if f.Outcome == ringwall.Pass || o == ringwall.Fail && f.Outcome == ringwall.Partial {
			f.Outcome, f.Title = o, fmt.Sprintf("SSH on port %d %s", v.port, fmt.Sprintf(format, args...))
		}
	}
	if v.open {
		worsen(ringwall.Fail, "lets anybody in without a secret")
		f.Evidence = append(f.Evidence, "a made-up user was let in by the method none")
	}
	if strings.HasPrefix(v.banner, "SSH-1.") {
		worsen(ringwall.Fail, "still speaks version 1")
	}
	for _, k := range []struct {
		kind string
		have [][]string
	}{
		{"kex", [][]string{v.offer.kex}},
		{"cipher", [][]string{v.offer.ciphersToServer, v.offer.ciphersToUs}},
		{"mac", [][]string{v.offer.macsToServer, v.offer.macsToUs}},
		{"host key", [][]string{v.offer.hostKeys}},
	} {
		word := map[string]string{"kex": "key exchange", "mac": "integrity check"}[k.kind]
		if word == "" {
			word = k.kind
		}
		if bad := weak(k.kind, wrong, k.have...); len(bad) > 0 {
			f.Evidence = append(f.Evidence, "broken "+word+": "+strings.Join(bad, ", "))
			worsen(ringwall.Fail, "offers a broken %s: %s", word, bad[0])
		}
		if bad := weak(k.kind, aged, k.have...); len(bad) > 0 {
			f.Evidence = append(f.Evidence, "old "+word+": "+strings.Join(bad, ", "))
			worsen(ringwall.Partial, "still offers an old %s: %s", word, bad[0])
		}
	}
	for _, k := range v.keys {
		f.Evidence = append(f.Evidence, fmt.Sprintf("host key %s, %s", ssh.FingerprintSHA256(k), k.Type()))
		if bits := rsaBits(k); bits > 0 && bits < minRSA {
			worsen(ringwall.Fail, "has a host key of only %d bits", bits)
		}
	}
	if slices.Contains(v.methods, "password") || slices.Contains(v.methods, "keyboard-interactive") {
		f.Evidence = append(f.Evidence, "it takes passwords")
		worsen(ringwall.Partial, "takes passwords, which can be guessed")
	}
	if len(v.methods) > 0 {
		f.Facts["methods"] = strings.Join(v.methods, ",")
		f.Evidence = append(f.Evidence, "ways to log in: "+strings.Join(v.methods, ", "))
	}
	return f
}

// component names the software in an identification string.
func component(banner string) (api.Component, bool) {
	software, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(banner, "SSH-2.0-"), "SSH-1.99-"), " ")
	for prefix, name := range map[string]string{"dropbear_": "dropbear", "OpenSSH_": "openssh", "libssh_": "libssh", "libssh-": "libssh"} {
		if v, ok := strings.CutPrefix(software, prefix); ok && v != "" && v[0] >= '0' && v[0] <= '9' {
			return api.Component{Name: name, Version: printable(v), Exposed: true, How: "SSH identification"}, true
		}
	}
	return api.Component{}, false
}

func rsaBits(k ssh.PublicKey) int {
	if c, ok := k.(ssh.CryptoPublicKey); ok {
		if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok {
			return r.N.BitLen()
		}
	}
	return 0
}
