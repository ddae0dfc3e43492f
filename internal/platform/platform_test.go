package platform

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/spine"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

func testConfig(dir string, terminal io.Writer) Config {
	return Config{DataDir: dir, Listen: "127.0.0.1:0", EnrolListen: "127.0.0.1:0", SpineListen: "127.0.0.1:0", TunnelListen: ":0", Terminal: terminal}
}

// running is a platform that runs.
type running struct {
	*testing.T
	*Platform
	stop func()
}

// start opens a platform on dir and runs it until the test ends or stop is
// called.
func start(t *testing.T, dir string) *running {
	t.Helper()
	p, err := New(t.Context(), testConfig(dir, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	return runPlatform(t, p)
}

func runPlatform(t *testing.T, p *Platform) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- p.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	var once sync.Once
	r := &running{T: t, Platform: p, stop: func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}}
	t.Cleanup(r.stop)
	return r
}

// owner returns the actor of the local command line.
func (r *running) owner() audit.Actor {
	r.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, TokenFile))
	if err != nil {
		r.Fatal(err)
	}
	a, err := r.Service().ActorOfToken(r.Context(), strings.TrimSpace(string(text)))
	if err != nil {
		r.Fatal(err)
	}
	return a
}

func (r *running) wait(what string, f func() bool) {
	r.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if f() {
			return
		}
	}
	r.Fatalf("no %s within a minute", what)
}

// box is a gateway as the platform sees it.
type box struct {
	key    *ecdsa.PrivateKey
	answer api.EnrolAnswer
	conn   *spine.Conn
	seq    uint64
}

func request(t *testing.T, token string) (api.EnrolRequest, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return api.EnrolRequest{Token: token, CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), Name: "box"}, key
}

func (r *running) enrol() *box {
	r.Helper()
	token, err := r.Service().CreateEnrolToken(r.Context(), r.owner())
	if err != nil {
		r.Fatal(err)
	}
	req, key := request(r.T, token.Token)
	answer, err := r.Service().Enrol(r.Context(), req)
	if err != nil {
		r.Fatal(err)
	}
	b := &box{key: key, answer: answer}
	r.connect(b)
	return b
}

// connect dials the spine of a platform that runs now.
func (r *running) connect(b *box) {
	r.Helper()
	b.conn = dialSpine(r.T, b, r.SpineAddr())
	r.wait("connection", b.conn.Connected)
}

// dialSpine dials as the gateway that was enrolled.
func dialSpine(t *testing.T, b *box, addr net.Addr) *spine.Conn {
	t.Helper()
	cert := tls.Certificate{PrivateKey: b.key}
	for rest := []byte(b.answer.Certificate); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(b.answer.CA)) {
		t.Fatal("the answer holds no authority")
	}
	conn, err := spine.Dial(t.Context(), spine.Config{
		Servers: []string{"tls://" + addr.String()}, Inbox: spine.Inbox(string(b.answer.Gateway)),
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func record(kind api.RecordKind, v any) api.Record {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return api.Record{Time: time.Now().UTC(), Kind: kind, Data: data}
}

// report sends records as one batch and returns the acknowledgement.
func (r *running) report(b *box, records ...api.Record) api.BatchAck {
	r.Helper()
	for i := range records {
		b.seq++
		records[i].Seq = b.seq
	}
	return r.send(b, api.Batch{Version: api.Version, Epoch: 7, Records: records})
}

func (r *running) send(b *box, batch api.Batch) (ack api.BatchAck) {
	r.Helper()
	data, err := json.Marshal(batch)
	if err != nil {
		r.Fatal(err)
	}
	out, err := b.conn.Request(r.Context(), api.ReportSubject(b.answer.Org, b.answer.Gateway), data)
	if err != nil {
		r.Fatal(err)
	}
	if err := json.Unmarshal(out, &ack); err != nil {
		r.Fatal(err)
	}
	return ack
}

func (r *running) desiredOf(b *box, have uint64) *api.Desired {
	r.Helper()
	out, err := b.conn.Request(r.Context(), api.DesiredSubject(b.answer.Org, b.answer.Gateway), fmt.Appendf(nil, `{"version":%d,"have":%d}`, api.Version, have))
	if err != nil {
		r.Fatal(err)
	}
	var a api.DesiredAnswer
	if err := json.Unmarshal(out, &a); err != nil || a.Error != "" {
		r.Fatal(err, a.Error)
	}
	if a.Signed == nil {
		return nil
	}
	keys := map[string]ed25519.PublicKey{}
	for id, k := range b.answer.SigningKeys {
		keys[id] = k
	}
	d, err := a.Signed.Open(keys)
	if err != nil {
		r.Fatal(err)
	}
	return &d
}

func sighting(n int) api.Sighting {
	now := time.Now().UTC()
	return api.Sighting{
		MAC: fmt.Sprintf("02:00:00:00:%02x:%02x", n/256, n%256), IP: netip.AddrFrom4([4]byte{10, 77, byte(n / 250), byte(1 + n%250)}),
		Port: "lan0", Hostname: fmt.Sprintf("cam-%d", n), First: now, Last: now, Presence: ringwall.Online, Packets: 1,
	}
}

func (r *running) devices() []api.Device {
	r.Helper()
	page, err := r.Service().Devices(r.Context(), r.owner(), httpapi.DeviceFilter{}, httpapi.Paging{Limit: 500})
	if err != nil {
		r.Fatal(err)
	}
	return page.Items
}

func TestFirstStartMakesAnAdministratorAndSaysSoOnce(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	p, err := New(t.Context(), testConfig(dir, &out))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`user "admin", password (\S+) `).FindStringSubmatch(out.String())
	if m == nil {
		t.Fatalf("the terminal shows %q, and no password", out.String())
	}
	k, err := p.Service().Login(t.Context(), "admin", m[1])
	if err != nil || k.User.Name != "admin" {
		t.Errorf("login with it: %v, %v", k.User, err)
	}
	if _, err := p.Service().ActorOfSession(t.Context(), k.Secret); err != nil {
		t.Errorf("the session proves nothing: %v", err)
	}
	for _, wrong := range [][2]string{{"admin", "wrong password"}, {"nobody", m[1]}, {"admin", ""}, {"admin@elsewhere", m[1]}} {
		if _, err := p.Service().Login(t.Context(), wrong[0], wrong[1]); ringwall.CodeOf(err) != ringwall.Unverified || strings.Contains(err.Error(), m[1]) {
			t.Errorf("login of %q: %v, want unverified", wrong[0], err)
		}
	}
	if _, err := p.Service().Login(t.Context(), "admin@Home", m[1]); err != nil {
		t.Errorf("login with the organisation's name: %v", err)
	}
	if _, err := New(t.Context(), testConfig(dir, io.Discard)); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("a second platform on the directory: %v, want conflict", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if p, err = New(t.Context(), testConfig(dir, &out)); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if out.Len() > 0 {
		t.Errorf("the second start shows %q", out.String())
	}
	if _, err := p.Service().ActorOfSession(t.Context(), k.Secret); err != nil {
		t.Errorf("the session does not outlive a restart: %v", err)
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		// JetStream makes its files readable; its directory is not.
		if rel, _ := filepath.Rel(dir, path); info.Mode().Perm()&0o077 != 0 && !strings.HasPrefix(rel, spineDir) {
			t.Errorf("%s has mode %v", rel, info.Mode())
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(m[1])) || bytes.Contains(text, []byte(k.Secret)) {
			t.Errorf("%s holds a secret in clear", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAGatewayEnrolsReportsAndIsTold(t *testing.T) {
	r := start(t, t.TempDir())
	b := r.enrol()
	first := r.desiredOf(b, 0)
	if first == nil || first.Gateway != b.answer.Gateway || len(first.Devices) != 0 {
		t.Fatalf("the first desired state is %+v", first)
	}
	if again := r.desiredOf(b, first.Generation); again != nil {
		t.Errorf("asked with the newest generation, it answers %d", again.Generation)
	}
	poked := make(chan string, 10)
	if _, err := b.conn.Subscribe(api.PokeSubject(b.answer.Org, b.answer.Gateway), func(d []byte) { poked <- string(d) }); err != nil {
		t.Fatal(err)
	}
	if err := b.conn.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	live, err := r.Service().Events(t.Context(), r.owner())
	if err != nil {
		t.Fatal(err)
	}
	if ack := r.report(b, record(api.RecordPresence, sighting(1)), record(api.RecordHealth, api.Health{Version: "t"})); ack.Error != "" || ack.Seq != 2 {
		t.Fatalf("ack = %+v", ack)
	}
	select {
	case <-poked:
	case <-time.After(10 * time.Second):
		t.Fatal("no poke after a device was seen")
	}
	d := r.desiredOf(b, first.Generation)
	if d == nil || len(d.Devices) != 1 || d.Devices[0].Mark == 0 || d.Devices[0].Binding.MAC != "02:00:00:00:00:01" || d.Devices[0].Mode != ringwall.Learn {
		t.Fatalf("after the sighting the desired state is %+v", d)
	}
	dev := r.devices()[0]
	if dev.Name != "cam-1" || dev.Type != "camera" || dev.Enrolled || dev.Trust != ringwall.T0 || dev.Presence != ringwall.Online {
		t.Errorf("the device is %+v", dev)
	}
	// The same batch again is acknowledged, and changes nothing.
	again := record(api.RecordPresence, sighting(1))
	again.Seq = 1
	if ack := r.send(b, api.Batch{Version: 1, Epoch: 7, Records: []api.Record{again}}); ack.Error != "" || ack.Seq != 2 {
		t.Errorf("the batch again: %+v", ack)
	}
	select {
	case e := <-live:
		if e.Org != b.answer.Org {
			t.Errorf("event of %q", e.Org)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing is told live")
	}
	// An act of the owner changes what is enforced.
	yes, mode := true, ringwall.Enforce
	if _, err := r.Service().PatchDevice(t.Context(), r.owner(), dev.ID, 0, api.DevicePatch{Enrolled: &yes, Mode: &mode}); err != nil {
		t.Fatal(err)
	}
	d = r.desiredOf(b, d.Generation)
	if d == nil || d.Devices[0].Mode != ringwall.Enforce || d.Devices[0].Trust < ringwall.T2 {
		t.Errorf("after enrolling and enforcing it is %+v", d)
	}
	line, err := r.Service().Timeline(t.Context(), r.owner(), ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(dev.ID)}, time.Time{}, 50)
	if err != nil || len(line) < 3 {
		t.Errorf("timeline = %+v, %v", line, err)
	}
}

func TestAGatewayRenewsItsCertificate(t *testing.T) {
	r := start(t, t.TempDir())
	b := r.enrol()
	ask := func(csr string) (a api.DesiredAnswer) {
		t.Helper()
		data, err := json.Marshal(api.DesiredRequest{Version: api.Version, CSR: csr})
		if err != nil {
			t.Fatal(err)
		}
		out, err := b.conn.Request(t.Context(), api.DesiredSubject(b.answer.Org, b.answer.Gateway), data)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := ask("nonsense"); a.Signed == nil || a.Renewed != nil {
		t.Errorf("a request that is none: %+v; want the document and no certificate", a)
	}
	req, key := request(t, "")
	a := ask(req.CSR)
	if a.Error != "" || a.Renewed == nil || len(a.Renewed.SigningKeys) != 1 {
		t.Fatalf("the answer is %+v", a)
	}
	// With the new key and certificate it is the same gateway.
	b.conn.Close()
	b.key, b.answer.Certificate = key, a.Renewed.Certificate
	r.connect(b)
	if ack := r.report(b, record(api.RecordPresence, sighting(1))); ack.Error != "" {
		t.Errorf("with the new certificate: %+v", ack)
	}
	g, err := r.Service().Gateway(t.Context(), r.owner(), b.answer.Gateway)
	if err != nil || g.CertExpiry.Before(time.Now().Add(29*24*time.Hour)) {
		t.Errorf("the gateway's certificate ends %v, %v", g.CertExpiry, err)
	}
}

func TestWhatAGatewaySaysWronglyIsRefusedAndHarmsNothing(t *testing.T) {
	r := start(t, t.TempDir())
	b := r.enrol()
	say := func(data []byte) (ack api.BatchAck) {
		t.Helper()
		out, err := b.conn.Request(t.Context(), api.ReportSubject(b.answer.Org, b.answer.Gateway), data)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &ack); err != nil {
			t.Fatal(err)
		}
		return ack
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "no JSON": []byte("{"), "endless nesting": bytes.Repeat([]byte("["), 100_000), "too large": make([]byte, api.MaxBatchBytes+1),
		"a future version": []byte(`{"version":99,"epoch":1,"records":[{"seq":1,"kind":"ack"}]}`),
		"a gap":            []byte(`{"version":1,"epoch":1,"records":[{"seq":5,"kind":"ack"}]}`),
	} {
		if ack := say(data); ack.Error == "" {
			t.Errorf("%s is acknowledged: %+v", name, ack)
		}
	}
	// Records that mean nothing are stored, and do not stop those behind them.
	bad := []api.Record{
		record(api.RecordPresence, map[string]any{"mac": 7}), record(api.RecordPresence, api.Sighting{MAC: "zz"}), record("unheard-of", 1),
		record(api.RecordAlert, ringwall.Alert{Subject: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: "dev_nobody"}}),
		record(api.RecordHold, api.HoldReport{Hold: api.Hold{ID: "hld_x", Device: "dev_nobody"}}), record(api.RecordAck, "no"), {Kind: api.RecordHealth, Time: time.Now()},
		record(api.RecordFeatures, api.Features{Device: "dev_nobody", PktsUp: 1}), record(api.RecordPresence, sighting(3)),
	}
	if ack := r.report(b, bad...); ack.Error != "" || ack.Seq != uint64(len(bad)) {
		t.Fatalf("ack = %+v", ack)
	}
	r.wait("the device behind the nonsense", func() bool { return len(r.devices()) == 1 })
}

func TestAnEnrolTokenMakesOneGatewayHoweverManyTry(t *testing.T) {
	r := start(t, t.TempDir())
	token, err := r.Service().CreateEnrolToken(t.Context(), r.owner())
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	codes := map[ringwall.Code]int{}
	var wg sync.WaitGroup
	for range 8 {
		req, _ := request(t, token.Token)
		wg.Go(func() {
			_, err := r.Service().Enrol(t.Context(), req)
			if err != nil && strings.Contains(err.Error(), token.Token) {
				t.Errorf("the error holds the token: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			codes[ringwall.CodeOf(err)]++
		})
	}
	wg.Wait()
	if codes[""] != 1 || codes[ringwall.Unverified] != 7 {
		t.Errorf("answers = %v, want one success and seven unverified", codes)
	}
	page, err := r.Service().Gateways(t.Context(), r.owner(), httpapi.Paging{})
	if err != nil || len(page.Items) != 1 {
		t.Errorf("%d gateways, %v; want 1", len(page.Items), err)
	}
	for _, bad := range []string{"", "rwe_", token.Token + "x", strings.Replace(token.Token, "rwe", "rwt", 1), strings.Repeat("a", 1<<16)} {
		req, _ := request(t, bad)
		if _, err := r.Service().Enrol(t.Context(), req); ringwall.CodeOf(err) != ringwall.Unverified {
			t.Errorf("enrolling with a token of %d bytes: %v, want unverified", len(bad), err)
		}
	}
}

// TestAnEventPublishedButNotNotedComesOnce kills the platform, as far as the
// disk can tell, between publishing an event and noting that it was.
func TestAnEventPublishedButNotNotedComesOnce(t *testing.T) {
	dir := t.TempDir()
	p, err := New(t.Context(), testConfig(dir, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	scope, err := p.auditor.Authorise(t.Context(), audit.System(audit.SysProject, p.org), audit.SystemProject, audit.Target{Kind: "test", Org: p.org})
	if err != nil {
		t.Fatal(err)
	}
	const n = 20
	err = p.store.Update(t.Context(), func(tx *sqlstore.Tx) error {
		for i := range n {
			subject := ringwall.Subject{Kind: ringwall.SubjectDevice, ID: fmt.Sprintf("dev_%d", i)}
			if err := tx.Emit(scope, event(ringwall.EventDeviceSeen, p.org, "test", "", subject, note{Key: "timeline.device.seen"}, time.Now())); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := p.store.Pending(t.Context(), p.pub.scope, 100)
	if err != nil || len(waiting) != n {
		t.Fatal(len(waiting), err)
	}
	for _, w := range waiting[:n/2] {
		if err := p.conn.PublishEvent(t.Context(), w.Event); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	r := start(t, dir)
	r.wait("empty outbox", func() bool {
		left, err := r.store.Pending(t.Context(), r.pub.scope, 100)
		return err == nil && len(left) == 0
	})
	seen := r.allEvents()
	for _, w := range waiting {
		if seen[w.Event.ID] != 1 {
			t.Errorf("event %s is %d times in the stream, want once", w.Event.ID, seen[w.Event.ID])
		}
	}
}

// allEvents counts the events in the stream, by id.
func (r *running) allEvents() map[ringwall.EventID]int {
	r.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	seen, last := map[ringwall.EventID]int{}, time.Now()
	var mu sync.Mutex
	done := make(chan error, 1)
	go func() {
		done <- r.conn.Consume(ctx, "test", "", func(e ringwall.Event) error {
			mu.Lock()
			defer mu.Unlock()
			seen[e.ID]++
			last = time.Now()
			return nil
		})
	}()
	r.wait("the end of the stream", func() bool { mu.Lock(); defer mu.Unlock(); return time.Since(last) > 500*time.Millisecond })
	cancel()
	if err := <-done; err != nil {
		r.Fatal(err)
	}
	return seen
}

func TestTheRecordOfActsHoldsTogether(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	r.enrol()
	r.stop()
	log, err := audit.Open(filepath.Join(dir, auditDir))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if n, err := log.Verify(); err != nil || n < 10 {
		t.Errorf("Verify() = %d, %v; want some entries and nil", n, err)
	}
}

// TestTheDoors asks over the network, as a gateway and a browser do.
func TestTheDoors(t *testing.T) {
	r := start(t, t.TempDir())
	token, err := r.Service().CreateEnrolToken(t.Context(), r.owner())
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(r.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	var pins []string
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, VerifyConnection: func(s tls.ConnectionState) error {
		for _, c := range s.PeerCertificates {
			sum := sha256.Sum256(c.Raw)
			pins = append(pins, hex.EncodeToString(sum[:]))
		}
		return nil
	}}}}
	defer client.CloseIdleConnections()
	req, _ := request(t, token.Token)
	body, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, url string, body []byte) (int, []byte) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/json")
		a, err := client.Do(q)
		if err != nil {
			t.Fatalf("%s %s: %v", method, url, err)
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, text
	}
	door := "https://" + r.EnrolAddr().String()
	status, text := ask("POST", door+"/v1/enrol", body)
	var answer api.EnrolAnswer
	if err := json.Unmarshal(text, &answer); status/100 != 2 || err != nil || answer.Gateway == "" || len(answer.Spine) == 0 {
		t.Errorf("enrolling: %d %s", status, text)
	}
	if !slices.Contains(pins, token.CAPin) {
		t.Errorf("the pin %s is none of what the server shows, %v", token.CAPin, pins)
	}
	if status, _ := ask("POST", door+"/v1/enrol", body); status != http.StatusUnauthorized && status != http.StatusForbidden && status != http.StatusUnprocessableEntity {
		t.Errorf("the token again: %d", status)
	}
	for _, path := range []string{"/", "/v1/devices", "/metrics", "/healthz"} {
		if status, _ := ask("GET", door+path, nil); status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s at the enrolment door: %d", path, status)
		}
	}
	front := "http://" + r.Addr().String()
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/v1/devices": 401, "/v1/openapi.yaml": 200} {
		if status, text := ask("GET", front+path, nil); status != want {
			t.Errorf("GET %s: %d %.200s, want %d", path, status, text, want)
		}
	}
}
