package trial_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
	"github.com/ringwall/ringwall/internal/trial"
)

// TestTunnel_personReachesOnePortForAWhile asks for a way to the camera's web
// page, uses it before and after it is approved, and after it is closed.
func TestTunnel_personReachesOnePortForAWhile(t *testing.T) {
	full := filepath.Join(t.TempDir(), "ringwall-agent")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-tags", "full", "-o", full, "github.com/ringwall/ringwall/cmd/ringwall-agent")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the full agent: %v\n%s", err, text)
	}
	tr := start(t, trial.Config{Agent: []string{full}})
	ctx, c := t.Context(), tr.Client
	cam := device(t, tr, "badcam")
	ask, err := c.AskTunnel(ctx, cam.ID, api.TunnelAsk{Port: 80, Minutes: 5, Reason: "look at its page"})
	if err != nil {
		t.Fatal(err)
	}
	// Asked for is not approved.
	if conn, err := c.ConnectTunnel(ctx, ask.ID); ringwall.CodeOf(err) != ringwall.Conflict {
		if err == nil {
			conn.Close()
		}
		t.Fatalf("connecting before it is approved: %v", err)
	}
	if _, err := c.DecideTunnel(ctx, ask.ID, "approve"); err != nil {
		t.Fatal(err)
	}
	status, err := page(ctx, c, ask.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(status, "HTTP/1.") {
		t.Errorf("the camera's page answers %q", status)
	}
	// A connection that is open when the tunnel is closed ends with it.
	open, err := c.ConnectTunnel(ctx, ask.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	closed, err := c.DecideTunnel(ctx, ask.ID, "close")
	if err != nil {
		t.Fatal(err)
	}
	open.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := open.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on after the tunnel was closed")
	} else if ne, ok := err.(interface{ Timeout() bool }); ok && ne.Timeout() {
		t.Error("the connection is still open 10 s after the tunnel was closed")
	}
	if conn, err := c.ConnectTunnel(ctx, ask.ID); err == nil {
		conn.Close()
		t.Error("a closed tunnel connects")
	}
	// What went through is recorded, and only that.
	if len(closed.Recordings) != 1 || closed.Recordings[0].SHA256 == "" || closed.Connections != 2 {
		t.Fatalf("recordings: %+v, %d connections", closed.Recordings, closed.Connections)
	}
	frames, err := c.TunnelRecording(ctx, ask.ID, closed.Recordings[0].Name, client.Paging{})
	if err != nil {
		t.Fatal(err)
	}
	var sent, received strings.Builder
	for _, f := range frames.Items {
		switch f.What {
		case ">":
			sent.Write(f.Data)
		case "<":
			received.Write(f.Data)
		}
	}
	if sent.String() != request || !strings.HasPrefix(received.String(), status) {
		t.Errorf("recorded %q and %.60q", sent.String(), received.String())
	}
	// The gateway has said that it opened and closed it.
	until(t, tr, 30*time.Second, "the gateway's word", func() (bool, error) {
		got, err := c.Tunnel(ctx, ask.ID)
		return got.Reported == "down", err
	})
}

const request = "GET / HTTP/1.0\r\nHost: camera\r\n\r\n"

// page asks for a page through the tunnel and answers its status line.
func page(ctx context.Context, c *client.Client, id ringwall.TunnelID) (string, error) {
	conn, err := c.ConnectTunnel(ctx, id)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(15 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return fmt.Sprintf("%s %s", resp.Proto, resp.Status), err
}
