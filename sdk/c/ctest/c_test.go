// Package ctest proves the C client: it is built with the sanitizers and run
// against the platform's real MQTT door, and its decisions are compared with
// those of package policy.
package ctest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

const golden = "../../../api/testdata/terminal/"

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ringwall-ctest-")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "harness")
	// The SDK itself is C99; the harness needs POSIX beside it.
	for _, f := range []string{"../policy.c", "../client.c"} {
		b, err := exec.Command("gcc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-fsanitize=address,undefined",
			"-fno-sanitize-recover=all", "-g", "-O1", "-c", f, "-o", filepath.Join(dir, filepath.Base(f)+".o")).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("compiling %s: %w\n%s", f, err, b)
		}
	}
	b, err := exec.Command("gcc", "-std=gnu99", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1",
		"-o", out, "testdata/harness.c", filepath.Join(dir, "policy.c.o"), filepath.Join(dir, "client.c.o")).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("linking: %w\n%s", err, b)
	}
	return out, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if out, err := build(); err == nil {
		os.RemoveAll(filepath.Dir(out))
	}
	os.Exit(code)
}

func harness(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: gcc is not here; the C client was neither compiled nor run")
	}
	out, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestGolden_bothWriteTheSame(t *testing.T) {
	if b, err := exec.Command(harness(t), "golden", golden+"batch.bin").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
}

func TestWild_garbageHarmsNobody(t *testing.T) {
	b, err := exec.Command(harness(t), "wild", golden+"policy.bin", golden+"answer.bin", "30000").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	t.Logf("%s", b)
}

// TestExample_withOpenSSL builds the example where OpenSSL is here, and runs it
// against the door: TLS and Ed25519 are those of OpenSSL.
func TestExample_withOpenSSL(t *testing.T) {
	harness(t)
	if b, err := exec.Command("sh", "-c", "echo '#include <openssl/evp.h>' | gcc -E - >/dev/null").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: the headers of OpenSSL are not here: %.100s", b)
	}
	out := filepath.Join(t.TempDir(), "terminal")
	b, err := exec.Command("gcc", "-std=gnu99", "-Wall", "-Wextra", "-Werror", "-o", out, "../example/terminal.c", "../policy.c", "../client.c", "-lssl", "-lcrypto").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	s := newSite(t)
	dir := t.TempDir()
	for name, data := range map[string][]byte{"client.pem": s.pem, "ca.crt": s.ca} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, port, _ := net.SplitHostPort(s.port.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, out, host, port, string(s.org), string(s.gw), filepath.Join(dir, "client.pem"), filepath.Join(dir, "ca.crt"),
		"k", hex.EncodeToString(s.key.Public().(ed25519.PublicKey)), filepath.Join(dir, "policy"))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(stdout)
	for _, want := range []string{"policy 1 is in force, restriction 0", "policy 2 is in force, restriction 1"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the example says %q, want %q; %s", lines.Text(), want, stderr.String())
		}
		s.change(func(d *api.Desired) {
			d.Holds = []api.Hold{{ID: "hld_1", Device: d.Devices[0].Device, Do: ringwall.Quarantine}}
		})
	}
}

var (
	addrs = []string{"203.0.113.5", "203.0.113.9", "203.0.114.1", "198.51.100.7", "10.0.0.9", "127.0.0.1", "2001:db8::1", "::ffff:203.0.113.5"}
	nets  = []string{"203.0.113.0/24", "203.0.113.9/32", "0.0.0.0/0", "198.51.100.0/25", "203.0.112.0/20", "10.0.0.0/8", "2001:db8::/32"}
	hosts = []string{"a.example", "b.a.example", "*.a.example", "c2.example", "*.example"}
	ports = [][]api.PortRange{nil, {{First: 443, Last: 443}}, {{First: 1, Last: 100}, {First: 8000, Last: 9000}}}
)

func pick[T any](r *mrand.Rand, from []T) T { return from[r.IntN(len(from))] }

func randomTerm(r *mrand.Rand, i int) api.Term {
	t := api.Term{ID: fmt.Sprint("t", i), Action: pick(r, []api.Action{api.Allow, api.Allow, api.Deny}), Direction: pick(r, []api.Direction{api.FromDevice, api.ToDevice}),
		Proto: pick(r, []string{"tcp", "udp", "icmp", "any"})}
	if t.Proto != "icmp" {
		t.Ports = pick(r, ports)
	}
	if r.IntN(2) == 0 {
		t.Direction, t.Domain = api.FromDevice, pick(r, hosts)
	} else {
		t.CIDR = netip.MustParsePrefix(pick(r, nets))
	}
	return t
}

// TestDecide_asPackagePolicy compares the decisions of the C client with those of
// the one function that all of Ringwall decides by.
func TestDecide_asPackagePolicy(t *testing.T) {
	bin := harness(t)
	r := mrand.New(mrand.NewPCG(1, 2))
	total, passed := 0, 0
	for round := range 60 {
		d := api.Desired{Version: api.Version, Org: "org_x", Gateway: "gw_x", Generation: 1, Issued: time.Unix(1_790_000_000, 0)}
		dev := api.DevicePolicy{Device: "dev_x", Mode: pick(r, []ringwall.Mode{ringwall.Learn, ringwall.Shadow, ringwall.Enforce, ringwall.Enforce}), Trust: pick(r, []ringwall.Trust{ringwall.T0, ringwall.T1, ringwall.T2, ringwall.T3, ringwall.T4})}
		for i := range r.IntN(6) {
			dev.Terms = append(dev.Terms, randomTerm(r, i))
		}
		for i := range r.IntN(4) {
			d.Remediation = append(d.Remediation, randomTerm(r, 100+i))
		}
		d.Devices = []api.DevicePolicy{dev}
		held := ringwall.Unrestricted
		if round%5 == 0 {
			held = pick(r, []ringwall.Restriction{ringwall.Quarantine, ringwall.Cutoff})
			d.Holds = []api.Hold{{ID: "hld_x", Device: "dev_x", Do: held}}
		}
		p, err := d.Terminal("dev_x", d.Issued)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "policy")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var in bytes.Buffer
		var want []string
		for range 200 {
			f := policy.Flow{Direction: pick(r, []api.Direction{api.FromDevice, api.ToDevice}), Proto: pick(r, []string{"tcp", "udp", "icmp"})}
			port := pick(r, []uint16{443, 80, 8080, 22})
			addr := netip.MustParseAddr(pick(r, addrs))
			dir, name := 0, "-"
			f.Remote, f.Local = netip.AddrPortFrom(addr, port), netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), 1)
			if f.Direction == api.ToDevice {
				dir = 1
				f.Remote, f.Local = netip.AddrPortFrom(addr, 1), netip.AddrPortFrom(f.Local.Addr(), port)
			}
			if r.IntN(3) > 0 {
				name = strings.ReplaceAll(pick(r, hosts), "*", "X")
				f.Names = []string{name}
			}
			proto := map[string]int{"tcp": 6, "udp": 17, "icmp": 1}[f.Proto]
			fmt.Fprintf(&in, "%d %d %s %d %s %d\n", dir, proto, addr, port, name, d.Issued.Unix())
			v := policy.Decide(dev, held, d.Remediation, f)
			bare := f
			bare.Names = nil
			w := policy.Decide(dev, held, d.Remediation, bare)
			inside := addr.Unmap().IsPrivate() || addr.Unmap().IsLoopback()
			if v.Pass && !v.Would && (v.Reason == policy.ReasonAllow || v.Reason == policy.ReasonRemediation) && inside && (!w.Pass || w.Would) {
				v = policy.Verdict{Reason: "rebinding"}
				if dev.Mode == ringwall.Shadow && w.Reason != policy.ReasonQuarantine {
					v.Pass, v.Would = true, true
				}
			}
			want = append(want, fmt.Sprintf("%d %d %s", bit(v.Pass), bit(v.Would), v.Reason))
			total++
			passed += bit(v.Pass)
		}
		questions := strings.Split(strings.TrimSpace(in.String()), "\n")
		cmd := exec.Command(bin, "decide", file)
		cmd.Stdin = &in
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		got := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(got) != len(want) {
			t.Fatalf("%d answers to %d questions: %.200s", len(got), len(want), out)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("round %d: %q: C says %q, Go %q\nmode %s, trust %s, held %s\nterms %+v\nremediation %+v", round, questions[i], got[i], want[i], dev.Mode, dev.Trust, held, dev.Terms, d.Remediation)
			}
		}
	}
	if passed == 0 || passed == total {
		t.Errorf("%d of %d flows pass: nothing was compared", passed, total)
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
