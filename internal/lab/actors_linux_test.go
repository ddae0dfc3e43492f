package lab_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/operatorport"
	"github.com/ringwall/ringwall/internal/rtsp"
)

// wait tries f until it says true or patience is over.
func wait(t *testing.T, what string, f func() bool) {
	t.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Errorf("waited in vain: %s", what)
}

func address(t *testing.T, actor string, port int) string {
	t.Helper()
	a, ok := lab.Addr(actor)
	if !ok {
		t.Fatalf("no actor %q", actor)
	}
	return netip.AddrPortFrom(a, uint16(port)).String()
}

func TestActors(t *testing.T) {
	t.Parallel()
	before := hostState(t)
	r := newRange(t, lab.Config{Pace: time.Second, Look: 2 * time.Second, UsagePeriod: time.Second})
	t.Run("bad camera", func(t *testing.T) { badCamera(t, r) })
	t.Run("good camera", func(t *testing.T) { goodCamera(t, r) })
	t.Run("phone", func(t *testing.T) { phone(t, r) })
	t.Run("names", func(t *testing.T) { names(t, r) })
	t.Run("habits", func(t *testing.T) { habits(t, r) })
	t.Run("SIM", func(t *testing.T) { sim(t, r) })
	t.Run("expose", func(t *testing.T) { expose(t, r) })
	t.Run("host is untouched", func(t *testing.T) {
		if after := hostState(t); after != before {
			t.Errorf("the host has changed:\n%s\nwas:\n%s", after, before)
		}
	})
}

// get asks for a page from the laptop and returns its status.
func get(t *testing.T, r *lab.Range, url, user, password string, conf *tls.Config) int {
	t.Helper()
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: r.Network(lab.Laptop).DialContext, DisableKeepAlives: true, TLSClientConfig: conf,
	}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Errorf("GET %s: %v", url, err)
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	return resp.StatusCode
}

func watch(t *testing.T, r *lab.Range, camera, user, password string) error {
	t.Helper()
	_, err := rtsp.Watch(t.Context(), r.Network(lab.Laptop).DialContext, address(t, camera, 554), "live/ch0", &rtsp.Credential{User: user, Password: password})
	return err
}

func information(t *testing.T, r *lab.Range, camera, user, password string) (onvif.DeviceInformation, error) {
	t.Helper()
	c := onvif.New(onvif.Config{
		Address: address(t, camera, 80), Dial: r.Network(lab.Laptop).DialContext, Username: user, Password: password, Now: time.Now,
	})
	defer c.Close()
	return c.Information(t.Context())
}

func badCamera(t *testing.T, r *lab.Range) {
	c, err := r.Credential(lab.BadCam)
	if err != nil {
		t.Fatal(err)
	}
	page := "http://" + address(t, lab.BadCam, 80) + "/"
	for _, x := range []struct {
		password string
		want     int
	}{{c.Password, 200}, {"wrong-" + c.Password, 401}} {
		if got := get(t, r, page, c.User, x.password, nil); got != x.want {
			t.Errorf("page with password %q = %d, want %d", x.password, got, x.want)
		}
	}
	if got := get(t, r, page, "", "", nil); got != 401 {
		t.Errorf("page without password = %d, want 401", got)
	}
	if err := watch(t, r, lab.BadCam, c.User, c.Password); err != nil {
		t.Errorf("watching with the factory password: %v", err)
	}
	if err := watch(t, r, lab.BadCam, c.User, "wrong"); err == nil {
		t.Error("a wrong password shows video")
	}
	info, err := information(t, r, lab.BadCam, c.User, c.Password)
	if err != nil || info.Model != "IPC-100" {
		t.Errorf("ONVIF says %+v, %v", info, err)
	}
	if _, err := information(t, r, lab.BadCam, c.User, "wrong"); err == nil {
		t.Error("ONVIF takes a wrong password")
	}
	conn, err := r.Network(lab.Laptop).DialContext(t.Context(), "tcp", address(t, lab.BadCam, 23))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var got []byte
	buf := make([]byte, 256)
	for !bytes.Contains(got, []byte("login: ")) {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("telnet says %q, then %v", got, err)
		}
		got = append(got, buf[:n]...)
	}
	discovered(t, r, lab.BadCam)
}

// discovered asks one camera for itself, directly.
func discovered(t *testing.T, r *lab.Range, camera string) {
	t.Helper()
	pc, err := r.Network(lab.Laptop).ListenPacket(t.Context(), "udp4", address(t, lab.Laptop, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	ms, err := onvif.Discover(t.Context(), pc, []netip.AddrPort{netip.MustParseAddrPort(address(t, camera, 3702))}, 2*time.Second)
	if err != nil || len(ms) != 1 {
		t.Errorf("WS-Discovery of %s = %v, %v, want one match", camera, ms, err)
	}
}

func goodCamera(t *testing.T, r *lab.Range) {
	c, err := r.Credential(lab.GoodCam)
	if err != nil {
		t.Fatal(err)
	}
	bad, _ := r.Credential(lab.BadCam)
	if err := watch(t, r, lab.GoodCam, c.User, c.Password); err != nil {
		t.Errorf("watching with its password: %v", err)
	}
	if err := watch(t, r, lab.GoodCam, bad.User, bad.Password); err == nil {
		t.Error("the good camera takes a factory password")
	}
	if _, err := information(t, r, lab.GoodCam, c.User, c.Password); err != nil {
		t.Errorf("ONVIF with its password: %v", err)
	}
	if _, err := information(t, r, lab.GoodCam, "", ""); err == nil {
		t.Error("ONVIF tells strangers")
	}
	page := "https://" + address(t, lab.GoodCam, 443) + "/"
	for pass, want := range map[string]int{c.Password: 200, "wrong": 401} {
		if got := get(t, r, page, c.User, pass, &tls.Config{InsecureSkipVerify: true}); got != want {
			t.Errorf("page over TLS = %d, want %d", got, want)
		}
	}
	conn, err := r.Network(lab.Laptop).DialContext(t.Context(), "tcp", address(t, lab.GoodCam, 322))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(t.Context()); err != nil {
		t.Errorf("RTSPS: %v", err)
	}
	if c, err := r.Network(lab.Laptop).DialContext(t.Context(), "tcp", address(t, lab.GoodCam, 23)); err == nil {
		c.Close()
		t.Error("the good camera has telnet")
	}
}

func phone(t *testing.T, r *lab.Range) {
	var s lab.PhoneStats
	wait(t, "the phone to see both cameras", func() (ok bool) {
		var err error
		if s, err = r.Phone(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(s.Views) == 2 && s.Views[0].Pictures > 20 && s.Views[1].Pictures > 10
	})
	for _, v := range s.Views {
		if v.Lost != 0 || v.Failed != 0 || v.Broken != 0 || v.Longest > time.Second {
			t.Errorf("the phone's view: %+v", v)
		}
	}
}

func names(t *testing.T, r *lab.Range) {
	ask := func(name string) *dns.Msg {
		conn, err := r.Network(lab.Laptop).DialContext(t.Context(), "udp", address(t, lab.DNS, 53))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		q := new(dns.Msg)
		q.SetQuestion(dns.Fqdn(name), dns.TypeA)
		in, _, err := new(dns.Client).ExchangeWithConn(q, &dns.Conn{Conn: conn})
		if err != nil {
			t.Fatalf("asking for %s: %v", name, err)
		}
		return in
	}
	seen := map[string]bool{}
	// Which two an answer has is drawn: a thousand answers miss one of 40 once in
	// some 10^22 runs.
	for range 1000 {
		in := ask(lab.CloudName)
		if len(in.Answer) != 2 {
			t.Fatalf("an answer has %d addresses, want 2", len(in.Answer))
		}
		for _, rr := range in.Answer {
			a, ok := rr.(*dns.A)
			if !ok || a.Hdr.Ttl > 10 {
				t.Fatalf("answer %v", rr)
			}
			seen[a.A.String()] = true
		}
	}
	if len(seen) != 40 {
		t.Errorf("%d addresses in 1,000 answers, want all 40", len(seen))
	}
	for a := range seen {
		conn, err := r.Network(lab.Laptop).DialContext(t.Context(), "tcp", a+":443")
		if err != nil {
			t.Errorf("the cloud does not answer at %s: %v", a, err)
			continue
		}
		conn.Close()
	}
	if in := ask("nobody.example"); in.Rcode != dns.RcodeNameError {
		t.Errorf("a name that does not exist gives %s", dns.RcodeToString[in.Rcode])
	}
}

func habits(t *testing.T, r *lab.Range) {
	wait(t, "reports at the cloud and questions at the clock", func() bool {
		reports, err := r.Count(t.Context(), lab.Cloud, "reports")
		if err != nil {
			t.Fatal(err)
		}
		served, err := r.Count(t.Context(), lab.NTP, "served")
		if err != nil {
			t.Fatal(err)
		}
		return reports > 12 && served >= 4
	})
	for _, c := range []string{lab.BadCam, lab.GoodCam} {
		if s, err := r.Camera(t.Context(), c); err != nil || s.Heartbeats == 0 || s.Failures != 0 || s.ClockAsked == 0 {
			t.Errorf("%s: %+v, %v", c, s, err)
		}
	}
	if s, err := r.Meter(t.Context()); err != nil || s.Modem.Sent == 0 || s.Modem.Failed != 0 || s.Habits.Failed != 0 {
		t.Errorf("meter: %+v, %v", s, err)
	}
}

func sim(t *testing.T, r *lab.Range) {
	base, token := r.Operator()
	c, err := operatorport.New(operatorport.Config{URL: base, Token: token, Plain: true, HTTP: &http.Client{
		Transport: &http.Transport{DialContext: r.Network(lab.Platform).DialContext, DisableKeepAlives: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	card := operatorport.Card{ICCID: r.SIM().ICCID, IMSI: r.SIM().IMSI}
	moves := func() bool {
		before, err := r.Meter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // past a connection that hangs
		after, err := r.Meter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return after.Modem.Sent > before.Modem.Sent
	}
	if !moves() {
		t.Error("the SIM carries nothing")
	}
	if _, err := c.Suspend(t.Context(), card, "test", "rsp_1"); err != nil {
		t.Fatal(err)
	}
	if moves() {
		t.Error("the suspended SIM still carries readings")
	}
	if _, err := c.Restore(t.Context(), card, "test", "rsp_2"); err != nil {
		t.Fatal(err)
	}
	if !moves() {
		t.Error("the restored SIM carries nothing")
	}
	f, err := os.Open(r.UsageFile())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rd, err := cdr.NewReader(f, cdr.Mapping{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		var rec cdr.Record
		err := rd.Read(&rec)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		if rec.IMSI != r.SIM().IMSI || rec.IMEI != r.SIM().IMEI || rec.Service != cdr.Data || rec.Peer != r.SIM().Peers[0] || rec.Up == 0 {
			t.Errorf("usage record %+v", rec)
		}
	}
	if n == 0 {
		t.Error("there are no usage records")
	}
}

func expose(t *testing.T, r *lab.Range) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.Copy(c, c)
			c.Close()
		}
	}()
	if err := r.Expose(t.Context(), "198.51.100.10:4222", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if err := r.Expose(t.Context(), "198.51.100.66:4222", l.Addr().String()); err == nil {
		t.Error("the platform could be put where the loader is")
	}
	c, err := r.NS(lab.Gateway).DialContext(t.Context(), "tcp", "198.51.100.10:4222")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "ping"); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != "ping" {
		t.Errorf("the relay gave back %q, %v", b, err)
	}
}

// hostState is what a range must not touch.
func hostState(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, f := range []string{
		"/etc/passwd", "/etc/shadow", "/etc/resolv.conf", "/proc/sys/net/ipv4/ip_forward",
		"/proc/sys/net/ipv4/conf/all/send_redirects", "/proc/sys/kernel/hostname",
	} {
		text, err := os.ReadFile(f)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s: %x\n", f, sha256.Sum256(text))
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(routes)) {
		if f := strings.Fields(line); len(f) > 7 {
			fmt.Fprintln(&b, f[0], f[1], f[2], f[7]) // the others count
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	ours := []string{"/", "/proc", "/tmp", "/run", "/var/log", "/var/tmp", "/root", "/dev/pts", "/dev/ptmx", "/etc/passwd", "/etc/shadow"}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && slices.Contains(ours, f[1]) { // others may mount what they like meanwhile
			b.WriteString(line)
		}
	}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		fmt.Fprintln(&b, l.Index, l.Name, l.HardwareAddr)
	}
	return b.String()
}

func TestAttack_refusesWhatItDoesNotKnow(t *testing.T) {
	r := newRange(t, lab.Config{Busybox: "-"})
	for _, x := range []struct {
		name, on string
		want     ringwall.Code
	}{{"flood", "", ringwall.NotFound}, {lab.Beacon, "cloud", ringwall.Invalid}, {lab.Beacon, "nobody", ringwall.Invalid}} {
		if _, err := r.Attack(t.Context(), x.name, lab.AttackOptions{On: x.on}); ringwall.CodeOf(err) != x.want {
			t.Errorf("attack %q on %q: %v, want code %s", x.name, x.on, err, x.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	if _, err := r.Attack(ctx, lab.Beacon, lab.AttackOptions{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 3*time.Second {
		t.Errorf("an attack given up after 1 s: %v after %s", err, time.Since(began))
	}
}
