package lab_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
)

// envVictim makes this test binary a program that has a range and waits.
const envVictim = "RINGWALL_LAB_TEST_VICTIM"

// victim makes a range with an agent that ignores its end, says so and waits
// to be killed.
func victim() int {
	r, err := lab.Up(context.Background(), lab.Config{Busybox: "-", Dir: os.Getenv(envVictim), Log: os.Stderr})
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	// Not a child of ours that the kernel would kill: a grandchild, as an agent
	// that forks would leave one.
	agent := exec.Command("sh", "-c", "trap '' TERM HUP; (while :; do sleep 0.1; done) & wait")
	if err := r.StartAgent(agent); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	os.Stdout.WriteString("up\n")
	select {}
}

// ours lists the processes that carry a range's mark of the program pid.
func ours(t *testing.T, pid string) (left []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(b), "RINGWALL_LAB_RUN="+pid+"-") {
			left = append(left, f)
		}
	}
	return left
}

func TestUp_afterAKilledRun_leavesNothing(t *testing.T) {
	netnstest.New(t, "may-we").Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envVictim+"="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "up\n" {
		t.Fatalf("the victim says %q, %v", line, err)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	wait(t, "the victim to have all its processes", func() bool { return len(ours(t, pid)) >= len(lab.Actors())+2 })
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	// The kernel takes the actors at once.
	wait(t, "the actors of a killed range to end", func() bool { return len(ours(t, pid)) <= 2 })

	newRange(t, lab.Config{Busybox: "-"})
	if left := ours(t, pid); len(left) != 0 {
		t.Errorf("left of the killed run: %v", left)
	}
}

func TestUp_leavesOtherRunsAlone(t *testing.T) {
	a := newRange(t, lab.Config{Busybox: "-"})
	newRange(t, lab.Config{Busybox: "-"})
	if _, err := a.Camera(t.Context(), lab.BadCam); err != nil {
		t.Errorf("the first range after a second: %v", err)
	}
}

func TestStartAgent(t *testing.T) {
	r := newRange(t, lab.Config{Busybox: "-"})
	file := filepath.Join(t.TempDir(), "links")
	if err := r.StartAgent(exec.Command("sh", "-c", "cat /proc/net/dev >"+file+"; sleep 60")); err != nil {
		t.Fatal(err)
	}
	wait(t, "the agent to look round", func() bool {
		b, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(b), lab.Bridge+":") && strings.Contains(string(b), lab.Port(lab.BadCam)+":")
	})
	if err := r.StartAgent(exec.Command("true")); err == nil {
		t.Error("the gateway took a second agent")
	}
	_, done := r.Agent()
	if err := r.StopAgent(true); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(time.Second):
		t.Error("the agent lives")
	}
	if err := r.StartAgent(exec.Command("sleep", "60")); err != nil {
		t.Errorf("a new agent after the old: %v", err)
	}
}
