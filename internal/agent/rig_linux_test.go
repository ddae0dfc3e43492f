package agent_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/agent"
	"github.com/ringwall/ringwall/internal/agent/full"
	"github.com/ringwall/ringwall/internal/broker"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
	"github.com/ringwall/ringwall/internal/segment"
	"github.com/ringwall/ringwall/internal/spine"
)

const (
	org = ringwall.OrgID("org_a")
	gw  = ringwall.GatewayID("gw_a")

	cam   = ringwall.DeviceID("dev_cam")
	phone = ringwall.DeviceID("dev_phone")
)

// TestMain runs this program as the agent, or as one of its processes, when it is
// started with their commands.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"run", "dns", "inspect", "close", "version"}, os.Args[1]) {
		base := agent.Config{}
		if file := os.Getenv(clockEnv); file != "" {
			start := time.Now()
			base.Now = func() time.Time { wall, _ := offsets(file); return time.Now().Add(wall) }
			base.Mono = func() time.Duration { _, mono := offsets(file); return time.Since(start) + mono }
		}
		parts := agent.Parts{}
		if os.Getenv(fullEnv) != "" {
			parts = full.Parts()
		}
		os.Exit(agent.MainWith(context.Background(), base, parts, os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// clockEnv names the file that says by how much the clocks of a started agent are
// off: that of the wall and the one that never jumps.
const clockEnv = "RINGWALL_TEST_CLOCK"

// fullEnv has an agent be the full one.
const fullEnv = "RINGWALL_TEST_FULL"

func offsets(file string) (wall, mono time.Duration) {
	b, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	w, m, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	if wall, err = time.ParseDuration(w); err == nil {
		mono, err = time.ParseDuration(m)
	}
	if err != nil {
		panic(err)
	}
	return wall, mono
}

// clocks sets the clocks of the agents that are started from now on, and of those
// that run.
func (r *rig) clocks(wall, mono time.Duration) {
	r.Helper()
	r.clockFile = filepath.Join(r.dir, "clock")
	tmp := r.clockFile + ".new"
	must(r, os.WriteFile(tmp, fmt.Appendf(nil, "%s %s", wall, mono), 0o600))
	must(r, os.Rename(tmp, r.clockFile))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is a home behind a gateway, an internet, and a platform.
type rig struct {
	testing.TB
	gw, cam, phone, inet *netns.NS
	state                string
	program              string // the agent
	key                  ed25519.PrivateKey

	ca       *identity.Authority
	store    *segment.Store
	broker   *broker.Broker
	platform *spine.Conn
	dir      string
	clock    atomic.Int64 // by how much the authority's clock is ahead
	relay    net.Listener

	site      *netns.NS // where the platform stands
	spine     string    // and its address
	clockFile string
	full      bool          // the agent has all parts
	mute      atomic.Bool   // the platform answers nothing
	muteAt    atomic.Uint64 // from when it has handed out this generation on
	vouch     atomic.Bool   // its answers bear its time
	older     atomic.Bool   // it speaks the protocol before ours
	binary    atomic.Int64  // batches that it took in binary form
	json      atomic.Int64  // and as JSON
	acked     atomic.Uint64 // the last record that it has

	mu         sync.Mutex
	signed     *api.Signed // what the platform answers
	generation uint64
}

// newRig makes the namespaces and the platform:
//
//	cam 10.77.0.10, phone 10.77.0.30 - br-lan 10.77.0.1 gateway 198.51.100.1 - internet 198.51.100.10 (platform), .20, .66
func newRig(t testing.TB, change ...func(*rig)) *rig {
	t.Helper()
	r := &rig{spine: "198.51.100.10:4222", TB: t, gw: netnstest.New(t, "gateway"), cam: netnstest.New(t, "cam"), phone: netnstest.New(t, "phone"), inet: netnstest.New(t, "internet")}
	mac := func(last byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, last} }
	must(t, netns.Cable(r.cam, "eth0", mac(10), r.gw, "p-cam", nil))
	must(t, netns.Cable(r.phone, "eth0", mac(30), r.gw, "p-phone", nil))
	must(t, netns.Cable(r.inet, "eth0", mac(99), r.gw, "up0", nil))
	must(t, r.gw.Addr("up0", "198.51.100.1/24"))
	must(t, r.cam.Addr("eth0", "10.77.0.10/24"))
	must(t, r.phone.Addr("eth0", "10.77.0.30/24"))
	for _, a := range []string{"198.51.100.10/24", "198.51.100.20/24", "198.51.100.66/24"} {
		must(t, r.inet.Addr("eth0", a))
	}
	must(t, r.cam.Route("default", "10.77.0.1"))
	must(t, r.phone.Route("default", "10.77.0.1"))
	must(t, r.inet.Route("default", "198.51.100.1"))
	must(t, r.gw.Sysctl("ipv4/ip_forward", "1"))
	// The bridge is there as an installer would have made it.
	must(t, r.gw.Do(func() error { return makeBridge("br-lan", "10.77.0.1/24") }))

	r.site = r.inet
	for _, c := range change {
		c(r)
	}
	r.dir = t.TempDir()
	r.state, r.program = filepath.Join(r.dir, "gateway"), os.Args[0]
	var err error
	r.key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	r.ca, err = identity.OpenAuthority(filepath.Join(r.dir, "keys"), func() time.Time { return time.Now().Add(time.Duration(r.clock.Load())) })
	must(t, err)
	r.store, err = segment.Open(filepath.Join(r.dir, "segments"), segment.Config{})
	must(t, err)
	t.Cleanup(func() { r.store.Close() })
	r.enrol()
	r.startPlatform()
	t.Cleanup(r.stopPlatform)
	t.Cleanup(func() {
		agent.Main(context.Background(), []string{"dns", "-stop", "-state", r.state}, io.Discard, io.Discard)
		agent.Main(context.Background(), []string{"inspect", "-stop", "-state", r.state}, io.Discard, io.Discard)
	})
	return r
}

// enrol writes the identity that enrolment would have written.
func (r *rig) enrol() {
	r.Helper()
	must(r, os.MkdirAll(r.state, 0o700))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(r, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	must(r, err)
	cert, err := r.ca.SignGateway(org, gw, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	must(r, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(r, err)
	id, err := json.Marshal(agent.Identity{
		Org: org, Gateway: gw, Spine: []string{"tls://" + r.spine}, Enrolled: time.Now(),
		SigningKeys: map[string][]byte{"k1": r.key.Public().(ed25519.PublicKey)},
	})
	must(r, err)
	for name, data := range map[string][]byte{
		"gateway.pem": append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), cert.PEM...),
		"ca.crt":      r.ca.Certificate(), "identity.json": id,
	} {
		must(r, os.WriteFile(filepath.Join(r.state, name), data, 0o600))
	}
}

// startPlatform starts a broker, serves the gateway's subjects, and relays to
// it from an address of the internet.
func (r *rig) startPlatform() {
	r.Helper()
	cert, err := r.ca.Server(nil)
	must(r, err)
	r.broker, err = broker.Start(broker.Config{
		Dir: filepath.Join(r.dir, "spine"), Listen: "127.0.0.1:0",
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: r.ca.Pool()},
		Verify: func(c *x509.Certificate) (broker.Grant, error) {
			o, g, err := identity.GatewayOf(c)
			return broker.GatewayGrant(o, g), err
		},
	})
	must(r, err)
	r.platform, err = spine.Dial(context.Background(), spine.Config{InProcess: r.broker.InProcess, Token: r.broker.Token(), Name: "platform"})
	must(r, err)
	_, err = r.platform.Serve(api.ReportSubject(org, gw), func(ctx context.Context, _ string, data []byte) []byte {
		ack := r.take(ctx, data)
		if r.mute.Load() {
			return nil
		}
		if r.vouch.Load() {
			ack.Time = time.Now()
		}
		out, _ := json.Marshal(ack)
		return out
	})
	must(r, err)
	_, err = r.platform.Serve(api.DesiredSubject(org, gw), func(_ context.Context, _ string, data []byte) []byte {
		r.mu.Lock()
		defer r.mu.Unlock()
		var in api.DesiredRequest
		if r.mute.Load() {
			return nil
		}
		err := json.Unmarshal(data, &in)
		if r.older.Load() && (err != nil || in.Version > api.Version-1) {
			out, _ := json.Marshal(api.DesiredAnswer{Error: "protocol version 2 is not spoken here, want 1 to 1"}) // as it said in its time
			return out
		}
		answer := api.DesiredAnswer{Signed: r.signed}
		if err == nil && in.CSR != "" {
			if cert, err := r.ca.SignGateway(org, gw, []byte(in.CSR)); err == nil {
				answer.Renewed = &api.EnrolAnswer{
					Org: org, Gateway: gw, Certificate: string(cert.PEM), CA: string(r.ca.Certificate()),
					Spine: []string{"tls://" + r.spine}, SigningKeys: map[string][]byte{"k1": r.key.Public().(ed25519.PublicKey)},
				}
			}
		}
		if r.vouch.Load() {
			answer.Time = time.Now()
		}
		if at := r.muteAt.Load(); at > 0 && r.generation == at {
			r.mute.Store(true) // this is its last word
		}
		out, _ := json.Marshal(answer)
		return out
	})
	must(r, err)
	l, err := r.site.Listen(context.Background(), "tcp", r.spine)
	must(r, err)
	r.relay = l
	to := r.broker.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go pipe(c, to)
		}
	}()
}

// take stores a batch as the platform does, or as one of the protocol before did.
func (r *rig) take(ctx context.Context, data []byte) (ack api.BatchAck) {
	if r.older.Load() {
		var b api.Batch
		if err := json.Unmarshal(data, &b); err != nil {
			return api.BatchAck{Error: "reading a batch"}
		}
		if b.Version > api.Version-1 {
			return api.BatchAck{Epoch: b.Epoch, Error: "batch has protocol version 2"}
		}
	}
	b, err := api.ReadBatch(data)
	if err != nil {
		return api.BatchAck{Error: "batch cannot be read"}
	}
	if api.IsBinaryBatch(data) {
		r.binary.Add(1)
	} else {
		r.json.Add(1)
	}
	ack, _ = r.store.Ingest(ctx, org, gw, b)
	r.acked.Store(ack.Seq)
	return ack
}

func pipe(c net.Conn, to string) {
	defer c.Close()
	d, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer d.Close()
	go func() {
		io.Copy(d, c)
		d.Close()
	}()
	io.Copy(c, d)
}

func (r *rig) stopPlatform() {
	if r.broker != nil {
		r.relay.Close()
		r.platform.Close()
		r.broker.Close()
		r.broker = nil
	}
}

// desired is a document with the camera and the phone: the camera may talk to
// 198.51.100.20 port 9000, the phone to everything.
func desired(gen uint64, mode ringwall.Mode, change ...func(*api.Desired)) api.Desired {
	anywhere := api.Term{ID: "any", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "any"}
	cloud := api.Term{
		ID: "cloud", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.20/32"), Proto: "udp",
		Ports: []api.PortRange{{First: 9000, Last: 9000}},
	}
	d := api.Desired{
		Version: api.Version, Org: org, Gateway: gw, Generation: gen, Issued: time.Now().UTC(), Arrival: ringwall.Enforce,
		Resolver: netip.MustParseAddrPort("198.51.100.20:53"), LocalNets: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")},
		Devices: []api.DevicePolicy{
			{Device: cam, Mark: 1, Mode: mode, Trust: ringwall.T3, Binding: api.Binding{Port: "p-cam", MAC: "02:00:00:00:00:0a", IP: netip.MustParseAddr("10.77.0.10")}, Terms: []api.Term{cloud}},
			{Device: phone, Mark: 2, Mode: ringwall.Enforce, Trust: ringwall.T3, Binding: api.Binding{Port: "p-phone", MAC: "02:00:00:00:00:1e", IP: netip.MustParseAddr("10.77.0.30")}, Terms: []api.Term{anywhere}},
		},
		Reflexes: []api.Reflex{{Rule: "mirai-scan", Severity: ringwall.High, Do: ringwall.Quarantine, Limit: 5}},
	}
	for _, c := range change {
		c(&d)
	}
	return d
}

// publish makes a document the newest, and pokes.
func (r *rig) publish(d api.Desired) {
	r.Helper()
	s, err := api.Sign(d, "k1", r.key)
	must(r, err)
	r.publishSigned(s)
}

func (r *rig) publishSigned(s api.Signed) {
	r.Helper()
	r.mu.Lock()
	r.signed = &s
	var d api.Desired
	if json.Unmarshal(s.Payload, &d) == nil {
		r.generation = d.Generation
	}
	r.mu.Unlock()
	must(r, r.platform.Publish(api.PokeSubject(org, gw), []byte("1")))
}

// start starts the agent in the gateway's namespace.
func (r *rig) start(extra ...string) *process {
	r.Helper()
	return r.startAs(append([]string{
		"run", "-state", r.state, "-bridge", "br-lan", "-ports", "p-cam,p-phone", "-uplink", "up0", "-drift", "500ms", "-poll", "2s",
	}, extra...)...)
}

// startAs starts the agent with these arguments.
func (r *rig) startAs(args ...string) *process {
	r.Helper()
	p := &process{rig: r}
	p.cmd = exec.Command(r.program, args...)
	p.cmd.Env = os.Environ()
	if r.clockFile != "" {
		p.cmd.Env = append(p.cmd.Env, clockEnv+"="+r.clockFile)
	}
	if r.full {
		p.cmd.Env = append(p.cmd.Env, fullEnv+"=1")
	}
	// A pipe of our own: the DNS guard keeps it open after the agent has ended,
	// and Wait must not wait for that.
	out, in, err := os.Pipe()
	must(r, err)
	p.cmd.Stdout, p.cmd.Stderr = in, in
	go func() {
		io.Copy(&p.out, out)
		out.Close()
	}()
	err = r.gw.Start(p.cmd)
	in.Close()
	must(r, err)
	p.done = make(chan error, 1)
	go func() { p.done <- p.cmd.Wait() }()
	r.Cleanup(func() { p.kill(unix.SIGKILL) })
	return p
}

type process struct {
	rig  *rig
	cmd  *exec.Cmd
	out  syncBuffer
	done chan error
	once sync.Once
	err  error
}

func (p *process) kill(sig unix.Signal) error {
	p.once.Do(func() {
		p.cmd.Process.Signal(sig)
		select {
		case p.err = <-p.done:
		case <-time.After(10 * time.Second):
			p.cmd.Process.Kill()
			p.err = errors.New("the agent did not end in ten seconds")
		}
	})
	return p.err
}

// wait waits for the agent to end by itself.
func (p *process) wait() error {
	p.once.Do(func() {
		select {
		case p.err = <-p.done:
		case <-time.After(10 * time.Second):
			p.cmd.Process.Kill()
			<-p.done
		}
	})
	return p.err
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// status asks the running agent.
func (r *rig) status() (agent.Status, error) {
	return agent.ReadStatus(context.Background(), agent.Config{State: r.state})
}

// eventually waits until ok says so.
func eventually(t testing.TB, p *process, what string, within time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			out := ""
			if p != nil {
				out = p.out.String()
			}
			t.Fatalf("not within %s: %s\n%s", within, what, out)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// serving waits until a generation is in force.
func (r *rig) serving(p *process, generation uint64) agent.Status {
	r.Helper()
	var s agent.Status
	eventually(r, p, fmt.Sprintf("generation %d in force", generation), time.Minute, func() bool {
		var err error
		s, err = r.status()
		return err == nil && s.Running && s.Generation == generation && s.Hash != ""
	})
	return s
}

// counter counts datagrams that arrive at an address of the internet.
type counter struct {
	n    atomic.Uint64
	last atomic.Int64
}

func (r *rig) count(addr string) *counter {
	r.Helper()
	pc, err := r.inet.ListenPacket(context.Background(), "udp4", addr)
	must(r, err)
	r.Cleanup(func() { pc.Close() })
	c := &counter{}
	go func() {
		buf := make([]byte, 2048)
		for {
			if _, _, err := pc.ReadFrom(buf); err != nil {
				return
			}
			c.n.Add(1)
			c.last.Store(time.Now().UnixNano())
		}
	}()
	return c
}

// stream sends a datagram every so often until the test ends or stop.
func (r *rig) stream(from *netns.NS, to string, every time.Duration) (sent *atomic.Uint64, stop func()) {
	r.Helper()
	pc, err := from.ListenPacket(context.Background(), "udp4", "0.0.0.0:0")
	must(r, err)
	sent = &atomic.Uint64{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	addr := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))
	wg.Go(func() {
		defer pc.Close()
		for ctx.Err() == nil {
			if _, err := pc.WriteTo([]byte("stream"), addr); err == nil {
				sent.Add(1)
			}
			time.Sleep(every)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	r.Cleanup(stop)
	return sent, stop
}

// scan sends n SYNs as Mirai does: the sequence number is the destination.
func (r *rig) scan(from *netns.NS, n int, every time.Duration, seed byte) {
	r.Helper()
	must(r, from.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for i := range n {
			dst := [4]byte{198, 18, seed, byte(i + 1)}
			port := uint16(23)
			if i%10 == 9 {
				port = 2323
			}
			seg := syn([4]byte{10, 77, 0, 10}, dst, 40000+uint16(i), port, binary.BigEndian.Uint32(dst[:]))
			// Before the gateway is up there is nobody to send to.
			_ = unix.Sendto(fd, seg, 0, &unix.SockaddrInet4{Addr: dst})
			time.Sleep(every)
		}
		return nil
	}))
}

func syn(src, dst [4]byte, sport, dport uint16, seq uint32) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b[0:], sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint32(b[4:], seq)
	b[12], b[13] = 5<<4, 2
	binary.BigEndian.PutUint16(b[14:], 5840)
	sum := uint32(6 + len(b))
	for _, part := range [][]byte{src[:], dst[:], b} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(part[i])<<8 | uint32(part[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[16:], ^uint16(sum))
	return b
}

// stored returns the records that the platform has, in order, checking that
// none is missing and none is there twice.
func (r *rig) stored() []api.Record {
	r.Helper()
	var out []api.Record
	_, err := r.store.Scan(context.Background(), segment.Cursor{}, func(_ ringwall.GatewayID, _ ringwall.OrgID, rec api.Record) error {
		if rec.Seq != uint64(len(out)+1) || rec.Kind == api.RecordLost {
			return fmt.Errorf("record %d of kind %s follows %d", rec.Seq, rec.Kind, len(out))
		}
		rec.Data, rec.Bin = bytes.Clone(rec.Data), bytes.Clone(rec.Bin)
		out = append(out, rec)
		return nil
	})
	must(r, err)
	return out
}

// find returns the records of a kind, decoded.
func find[T any](r *rig, kind api.RecordKind) (out []T) {
	r.Helper()
	for _, rec := range r.stored() {
		if rec.Kind == kind {
			var v T
			must(r, json.Unmarshal(rec.Data, &v))
			out = append(out, v)
		}
	}
	return out
}
