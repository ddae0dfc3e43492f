package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
	"github.com/ringwall/ringwall/internal/spine"
)

// benchPlatform is a whole platform ("ringwall up") in a process of its own,
// on loopback, so that what it costs is told from what the bench costs.
type benchPlatform struct {
	dir  string
	cmd  *exec.Cmd
	api  string // host:port
	c    *client.Client
	done chan error
}

// startPlatform starts one on dir and returns when it serves.
func startPlatform(ctx context.Context, env Env, dir, spineListen string) (*benchPlatform, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &benchPlatform{dir: dir, done: make(chan error, 1)}
	p.cmd = exec.CommandContext(ctx, self, "up", "--data", dir, "--listen", "127.0.0.1:0", "--enrol-listen", "127.0.0.1:0", "--spine-listen", spineListen, "--no-assess")
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = time.Minute
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan string, 1)
	go func() {
		var last []string
		s := bufio.NewScanner(stderr)
		for s.Scan() {
			line := s.Text()
			if _, at, ok := strings.Cut(line, "the console is at "); ok {
				ready <- strings.TrimPrefix(strings.TrimSpace(at), "http://")
			}
			if last = append(last, line); len(last) > 5 {
				last = last[1:]
			}
		}
		err := p.cmd.Wait()
		if err != nil {
			err = fmt.Errorf("the platform ended: %w: %s", err, strings.Join(last, " | "))
		}
		p.done <- err
	}()
	select {
	case p.api = <-ready:
		p.api = strings.TrimSuffix(p.api, "/")
	case err := <-p.done:
		return nil, err
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), <-p.done)
	}
	k := conn{env: env, server: p.api, data: dir}
	if p.c, err = k.open(); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// stop ends the platform and waits for it.
func (p *benchPlatform) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return <-p.done
}

// metric reads one of the platform's own figures.
func (p *benchPlatform) metrics(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.api+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	token, err := readSmall(filepath.Join(p.dir, "token"))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, ringwall.Errorf(ringwall.Unavailable, "the platform answers %s for its metrics", resp.Status)
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(b)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			out[name] = v
		}
	}
	return out, nil
}

// burden is what a process has used.
type burden struct {
	cpu time.Duration
	rss int64 // bytes, now
}

func usageOf(pid int) (u burden, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 22 {
		return u, ringwall.Errorf(ringwall.Internal, "/proc/%d/stat has %d fields", pid, len(f))
	}
	var n [3]int64 // utime, stime, rss: proc(5), less the two fields before
	for i, k := range []int{11, 12, 21} {
		if n[i], err = strconv.ParseInt(f[k], 10, 64); err != nil {
			return u, err
		}
	}
	const tick = time.Second / 100 // USER_HZ is 100 on every architecture of ours
	return burden{time.Duration(n[0]+n[1]) * tick, n[2] * int64(os.Getpagesize())}, nil
}

// raiseFiles lets this process, and those it starts, open n files.
func raiseFiles(n uint64) error {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		return err
	}
	if now.Cur >= n {
		return nil
	}
	want := unix.Rlimit{Cur: n, Max: max(n, now.Max)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
		return &ringwall.Error{Code: ringwall.Unavailable, Text: fmt.Sprintf("this process may open %d files and needs %d", now.Max, n), Hint: "run it as root, or raise the hard limit of open files", Err: err}
	}
	return nil
}

// fleetGateway is one simulated gateway: its identity and its connection.
type fleetGateway struct {
	org  ringwall.OrgID
	id   ringwall.GatewayID
	conf *tls.Config
	at   []string
	conn *spine.Conn
	// link is the connection's socket, of which a bench cuts the wire.
	link atomic.Pointer[net.Conn]
}

// cut ends the socket as a lost link does: the connection finds out.
func (g *fleetGateway) cut() {
	if c := g.link.Load(); c != nil {
		_ = (*c).Close() // it may have gone already
	}
}

// socket opens the connection's socket and keeps it at hand.
func (g *fleetGateway) socket(network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.Dial(network, address)
	if err == nil {
		g.link.Store(&c)
	}
	return c, err
}

// cutHost returns host and port of the first of some addresses "tls://host:port".
func cutHost(addrs []string) (host, port string, ok bool) {
	if len(addrs) == 0 {
		return "", "", false
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(addrs[0], "tls://"))
	return host, port, err == nil
}

// enrolmentsAtOnce stays below what the platform's throttle lets pass at once.
const enrolmentsAtOnce = 8

// enrol makes n gateways known to the platform, by its API, each with a key of
// its own.
func (p *benchPlatform) enrol(ctx context.Context, n int) ([]*fleetGateway, error) {
	out := make([]*fleetGateway, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(enrolmentsAtOnce)
	for i := range out {
		g.Go(func() (err error) {
			out[i], err = p.enrolOne(ctx, fmt.Sprintf("bench-%d", i))
			return err
		})
	}
	return out, g.Wait()
}

func (p *benchPlatform) enrolOne(ctx context.Context, name string) (*fleetGateway, error) {
	t, err := p.c.CreateEnrolToken(ctx)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	a, err := p.c.Enrol(ctx, api.EnrolRequest{Token: t.Token, Name: name, CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))})
	if err != nil {
		return nil, fmt.Errorf("enrolling %q: %w", name, err)
	}
	g := &fleetGateway{org: a.Org, id: a.Gateway, at: a.Spine}
	cert := tls.Certificate{PrivateKey: key}
	for rest := []byte(a.Certificate); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(a.CA)) {
		return nil, ringwall.Errorf(ringwall.Invalid, "the platform's answer holds no authority")
	}
	g.conf = &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, MinVersion: tls.VersionTLS13}
	return g, nil
}

// dial connects a gateway as the agent does.
func (g *fleetGateway) dial(ctx context.Context, changed func(bool)) (err error) {
	g.conn, err = spine.Dial(ctx, spine.Config{Servers: g.at, TLS: g.conf, Name: string(g.id), Inbox: spine.Inbox(string(g.id)), Dial: g.socket, Changed: changed})
	return err
}

// connect connects all gateways, some at once, and waits until each is up.
func connect(ctx context.Context, all []*fleetGateway) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for _, x := range all {
		g.Go(func() error {
			up := make(chan struct{})
			var once sync.Once
			if err := x.dial(ctx, func(there bool) {
				if there {
					once.Do(func() { close(up) })
				}
			}); err != nil {
				return err
			}
			select {
			case <-up:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
	return g.Wait()
}

// hangUpAll ends all connections.
func hangUpAll(all []*fleetGateway) {
	var wg sync.WaitGroup
	for _, x := range all {
		if x != nil && x.conn != nil {
			wg.Go(x.conn.Close)
		}
	}
	wg.Wait()
}
