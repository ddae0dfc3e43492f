package actor

import (
	"bufio"
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A visitor's session ends with him, or when the door is shut, whatever he has
// left running on its terminal.
func TestOnTerminal_leavesWhoKeepsTheTerminal(t *testing.T) {
	for _, end := range []string{"the door is shut", "the visitor hangs up"} {
		t.Run(end, func(t *testing.T) {
			if _, err := os.Stat("/dev/ptmx"); err != nil {
				t.Skipf("SKIPPED, NOT TESTED: no terminals here: %v", err)
			}
			visitor, conn := net.Pipe()
			defer visitor.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			context.AfterFunc(ctx, func() { conn.Close() }) // as the server does
			done := make(chan error, 1)
			go func() {
				// What is left running does not mind that its terminal goes.
				done <- onTerminal(ctx, &nvt{conn: conn}, "/bin/sh", "-c", "trap '' HUP; sleep 300 & echo left $!; wait")
			}()
			line, err := bufio.NewReader(visitor).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			left, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "left "))
			if err != nil {
				t.Fatalf("the session says %q", line)
			}
			defer func() { _ = syscall.Kill(left, syscall.SIGKILL) }()
			if end == "the door is shut" {
				cancel()
			} else {
				visitor.Close()
			}
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				t.Error("the session waits for what was left running")
			}
		})
	}
}
