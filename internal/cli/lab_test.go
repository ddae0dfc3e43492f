package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/cli"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
)

// labCommand runs one command line and returns its status and what it said.
func labCommand(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, talk bytes.Buffer
	env := cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &talk, Getenv: os.Getenv, Now: time.Now}
	status = cli.Main(ctx, env, args)
	return status, out.String(), talk.String()
}

func TestLab(t *testing.T) {
	netnstest.New(t, "may-we").Close()
	socket := filepath.Join(t.TempDir(), "s")
	status, _, talk := labCommand(t.Context(), "lab", "attack", lab.MiraiScan, "--socket", socket)
	if status != 1 || !strings.Contains(talk, "no range answers") || !strings.Contains(talk, "hint:") {
		t.Errorf("an attack without a range: %d, %q", status, talk)
	}
	// What a killed run left in the socket's place.
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	type result struct {
		status int
		talk   string
	}
	ended := make(chan result, 1)
	go func() {
		status, _, talk := labCommand(t.Context(), "lab", "up", "--socket", socket, "--seed", "5")
		ended <- result{status, talk}
	}()
	var state struct{ Seed uint64 }
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if status, out, talk := labCommand(t.Context(), "lab", "actors", "--json", "--socket", socket); status == 0 {
			if err := json.Unmarshal([]byte(out), &state); err != nil {
				t.Fatal(err)
			}
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the range does not come up: %s", talk)
		}
	}
	if state.Seed != 5 {
		t.Errorf("seed = %d, want 5", state.Seed)
	}
	if status, _, talk := labCommand(t.Context(), "lab", "up", "--socket", socket); status != 1 || !strings.Contains(talk, "up already") {
		t.Errorf("a second range at one socket: %d, %q", status, talk)
	}
	status, out, talk := labCommand(t.Context(), "lab", "attack", lab.MiraiScan, "--duration", "1s", "--seed", "9", "--json", "--socket", socket)
	var rep lab.Report
	if err := json.Unmarshal([]byte(out), &rep); status != 0 || err != nil || !rep.Did || rep.Seed != 9 || rep.Packets < 100 {
		t.Errorf("attack: %d, %v, %s%s", status, err, out, talk)
	}
	if status, out, _ := labCommand(t.Context(), "lab", "attack", lab.StrangerVideo, "--duration", "2s", "--socket", socket); status != 0 || !strings.Contains(out, "stranger-video on badcam") {
		t.Errorf("attack for people: %d, %q", status, out)
	}
	if status, _, talk := labCommand(t.Context(), "lab", "attack", "flood", "--socket", socket); status != 1 || !strings.Contains(talk, `no attack "flood"`) {
		t.Errorf("an unknown attack: %d, %q", status, talk)
	}
	if status, _, _ := labCommand(t.Context(), "lab", "attack", "--socket", socket); status != 2 {
		t.Errorf("an attack without a name: %d, want 2", status)
	}
	if status, _, talk := labCommand(t.Context(), "lab", "down", "--socket", socket); status != 0 {
		t.Errorf("down: %d, %q", status, talk)
	}
	select {
	case r := <-ended:
		if r.status != 0 || !strings.Contains(r.talk, "nothing is left") || !strings.Contains(r.talk, "seed 5") {
			t.Errorf("up ended with %d, %q", r.status, r.talk)
		}
	case <-time.After(30 * time.Second):
		t.Error("the range does not end")
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}
