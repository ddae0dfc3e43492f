package gatewaybench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/agent"
	"github.com/ringwall/ringwall/internal/broker"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/spine"
)

const (
	org       = ringwall.OrgID("org_bench")
	gatewayID = ringwall.GatewayID("gw_bench")
	spineAt   = Server + ":4222"
	// homes is how many devices the agent has, and nameTerms how many names each
	// may look up beside its addresses.
	homes, nameTerms = 1000, 5
)

// resident starts the real agent, gives it 1,000 devices by way of a platform's
// spine, sends from all of them until its rings and tables are full, and adds
// up what all of its processes hold.
func resident(ctx context.Context, o Options) (out []Figure, err error) {
	if len(o.Agent) == 0 {
		fmt.Fprintln(o.Log, "resident memory: NOT MEASURED: no ringwall-agent was named, nor is one beside this program")
		return nil, nil
	}
	r, err := newRig(ctx, homes)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	dir, err := os.MkdirTemp("", "ringwall-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	stop, err := platform(ctx, r, dir)
	if err != nil {
		return nil, err
	}
	defer stop()

	state := filepath.Join(dir, "gateway")
	var said lockedBuffer
	cmd := exec.Command(o.Agent[0], append(o.Agent[1:], "run", "-state", state, "-bridge", Bridge, "-ports", Port, "-uplink", Uplink, "-dns", gatewayLAN+":53", "-poll", "2s")...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=") // its own choice
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = write, write
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(&said, read); read.Close() })
	err = r.Gateway.Start(cmd)
	write.Close()
	if err != nil {
		return nil, fmt.Errorf("starting the agent: %w", err)
	}
	defer func() {
		_ = cmd.Process.Signal(unix.SIGTERM) // may have ended
		_ = cmd.Wait()
		for _, pid := range inside(r) { // guards outlive their agent on purpose
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
		wg.Wait()
	}()
	ask := func() (agent.Status, error) { return agent.ReadStatus(ctx, agent.Config{State: state}) }
	for until := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		s, err := ask()
		if err == nil && s.Running && s.Generation == 1 && s.Hash != "" && s.Devices == homes {
			break
		}
		if time.Now().After(until) {
			return nil, fmt.Errorf("the agent does not get the policy in force: %v\n%s", err, said.tail())
		}
	}
	b, err := newBlaster(r, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, frame := range []int{smallFrame, largeFrame, smallFrame} {
		b.resize(frame)
		for range 3 {
			if _, _, err := b.send(500*time.Millisecond, frame == smallFrame); err != nil {
				return nil, err
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	time.Sleep(2 * time.Second)
	s, err := ask()
	if err != nil {
		return nil, err
	}
	var sum float64
	var parts []string
	for _, pid := range inside(r) {
		n, name := rss(pid)
		sum += n
		parts = append(parts, fmt.Sprintf("%s %.1f", name, n))
	}
	if s.Packets < 20_000 || len(parts) < 2 {
		return nil, fmt.Errorf("the gateway is not busy: %d packets, processes %v\n%s", s.Packets, parts, said.tail())
	}
	return []Figure{{What: figResident, Value: sum, Unit: "MiB", Of: fmt.Sprintf("%s; %d packets seen, %d lost by the taps", strings.Join(parts, " + "), s.Packets, s.TapDrops)}}, nil
}

// platform serves a gateway's subjects from a spine in the world.
func platform(ctx context.Context, r *Rig, dir string) (stop func(), err error) {
	var undo []func()
	stop = func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	ca, err := identity.OpenAuthority(filepath.Join(dir, "keys"), time.Now)
	if err != nil {
		return nil, err
	}
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := enrol(filepath.Join(dir, "gateway"), ca, pub); err != nil {
		return nil, err
	}
	cert, err := ca.Server(nil)
	if err != nil {
		return nil, err
	}
	br, err := broker.Start(broker.Config{
		Dir: filepath.Join(dir, "spine"), Listen: "127.0.0.1:0",
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: ca.Pool()},
		Verify: func(c *x509.Certificate) (broker.Grant, error) {
			o, g, err := identity.GatewayOf(c)
			return broker.GatewayGrant(o, g), err
		},
	})
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() { br.Close() })
	conn, err := spine.Dial(ctx, spine.Config{InProcess: br.InProcess, Token: br.Token(), Name: "platform"})
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() { conn.Close() })
	d := r.Desired()
	d.Org, d.Gateway, d.Issued = org, gatewayID, time.Now().UTC()
	for i := range d.Devices {
		for k := range nameTerms {
			d.Devices[i].Terms = append(d.Devices[i].Terms, api.Term{ID: fmt.Sprint("n", k), Action: api.Allow, Direction: api.FromDevice, Domain: fmt.Sprintf("host%d.vendor%d.example", k, i), Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}}})
		}
	}
	signed, err := api.Sign(d, "k1", priv)
	if err != nil {
		return nil, err
	}
	answer, err := json.Marshal(api.DesiredAnswer{Signed: &signed})
	if err != nil {
		return nil, err
	}
	same, err := json.Marshal(api.DesiredAnswer{})
	if err != nil {
		return nil, err
	}
	if _, err := conn.Serve(api.DesiredSubject(org, gatewayID), func(_ context.Context, _ string, data []byte) []byte {
		var q api.DesiredRequest
		if json.Unmarshal(data, &q) == nil && q.Have == d.Generation {
			return same // as the platform does: who has it is not sent it again
		}
		return answer
	}); err != nil {
		return nil, err
	}
	_, err = conn.Serve(api.ReportSubject(org, gatewayID), func(_ context.Context, _ string, data []byte) []byte {
		ack := api.BatchAck{Error: "batch cannot be read"}
		if b, err := api.ReadBatch(data); err == nil && len(b.Records) > 0 {
			ack = api.BatchAck{Epoch: b.Epoch, Seq: b.Records[len(b.Records)-1].Seq}
		}
		out, _ := json.Marshal(ack) // a struct of strings and numbers
		return out
	})
	if err != nil {
		return nil, err
	}
	l, err := r.Outside.Listen(ctx, "tcp", spineAt)
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() { l.Close() })
	to := br.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go relay(c, to)
		}
	}()
	return stop, nil
}

func relay(c net.Conn, to string) {
	defer c.Close()
	d, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer d.Close()
	go func() {
		_, _ = io.Copy(d, c) // either side may hang up
		d.Close()
	}()
	_, _ = io.Copy(c, d)
}

// enrol writes the identity that enrolment would have written.
func enrol(state string, ca *identity.Authority, pub ed25519.PublicKey) error {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return err
	}
	cert, err := ca.SignGateway(org, gatewayID, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	id, err := json.Marshal(agent.Identity{Org: org, Gateway: gatewayID, Spine: []string{"tls://" + spineAt}, Enrolled: time.Now(), SigningKeys: map[string][]byte{"k1": pub}})
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"gateway.pem": append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), cert.PEM...),
		"ca.crt":      ca.Certificate(), "identity.json": id,
	} {
		if err := os.WriteFile(filepath.Join(state, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// inside lists the processes in the gateway's namespace.
func inside(r *Rig) (pids []int) {
	var home unix.Stat_t
	if unix.Fstat(r.Gateway.FD(), &home) != nil {
		return nil
	}
	list, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range list {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		var s unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &s) == nil && s.Ino == home.Ino && s.Dev == home.Dev {
			pids = append(pids, pid)
		}
	}
	return pids
}

// rss is the resident memory of a process in MiB, and what it is.
func rss(pid int) (mib float64, name string) {
	cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // one that has ended has none
	for arg := range bytes.SplitSeq(cmd, []byte{0}) {
		if s := string(arg); s == "run" || s == "dns" || s == "inspect" {
			name = s
			break
		}
	}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f", &kb); err == nil {
			mib = kb / 1024
		}
	}
	return mib, name
}

type lockedBuffer struct {
	mu sync.Mutex
	b  []byte
}

// tailBytes is how much of what the agent said is kept.
const tailBytes = 4096

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	if n := len(l.b) - tailBytes; n > 0 {
		l.b = l.b[n:]
	}
	return len(p), nil
}

func (l *lockedBuffer) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}
