package sdk_test

import (
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/sdk"
)

// TestKill_reportsAreStoredOnce kills a client as it reports, again and again, and
// counts what the platform has.
func TestKill_reportsAreStoredOnce(t *testing.T) {
	if dir := os.Getenv("SDK_TEST_KILL"); dir != "" {
		killed(t, dir)
		return
	}
	l := echo(t)
	s := newSite(t, loopback)
	dir := t.TempDir()
	s.open(dir, nil).Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for round := range 4 {
		s.mu.Lock()
		s.refuses = round%2 == 0 // now the batches pile up, now they go out
		s.mu.Unlock()
		cmd := exec.Command(self, "-test.run=^TestKill_reportsAreStoredOnce$", "-test.count=1")
		cmd.Env = append(os.Environ(), "SDK_TEST_KILL="+dir, "SDK_TEST_TO="+l.Addr().String(), "SDK_TEST_ROUND="+strconv.Itoa(round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 0, 64)
		one := make([]byte, 1)
		for n := 0; n < 12; {
			if _, err := out.Read(one); err != nil {
				t.Fatalf("the client ended by itself: %v", err)
			}
			if one[0] != '\n' {
				line = append(line, one[0])
				continue
			}
			if name, ok := strings.CutPrefix(string(line), "durable "); ok {
				said[name] = true
				n++
			}
			line = line[:0]
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	s.mu.Lock()
	s.refuses = false
	s.mu.Unlock()
	c := s.open(dir, nil)
	s.sent(c)
	count := map[string]int{}
	for _, r := range s.flows() {
		if strings.HasPrefix(r.Name, "k") {
			count[r.Name]++
		}
	}
	for name := range said {
		if count[name] != 1 {
			t.Errorf("report %s is stored %d times", name, count[name])
		}
	}
	for name, n := range count {
		if n != 1 {
			t.Errorf("report %s is stored %d times", name, n)
		}
	}
	if len(said) < 48 {
		t.Errorf("only %d reports were made", len(said))
	}
}

// killed is the client that is killed: it makes refusals of names that tell them
// apart, and says which are on disk.
func killed(t *testing.T, dir string) {
	c, err := sdk.Open(t.Context(), sdk.Config{State: dir, Resolver: fixed{}, Address: netip.MustParseAddr("192.0.2.77")})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		name := "k" + os.Getenv("SDK_TEST_ROUND") + "-" + strconv.Itoa(i) + ".example"
		if _, err := c.Dialer().DialContext(t.Context(), "tcp", name+":1"); err == nil {
			t.Fatal("not refused")
		}
		if err := c.SyncReports(); err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString("durable " + name + "\n")
	}
}
