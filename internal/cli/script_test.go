package cli_test

import (
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ringwall/ringwall/internal/capture"
	"github.com/ringwall/ringwall/internal/cli"
	"github.com/ringwall/ringwall/internal/packet"
)

// TestScript runs the scripts under testdata/script, which are the
// specification of the command line. In them, "exec ringwall" runs the program,
// "status N ARGS..." runs it in process and checks its exit status, and
// "capture KIND FILE" writes a capture of that kind.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) < 1 || neg {
					ts.Fatalf("usage: status N ARGS...")
				}
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				args = append([]string(nil), args[1:]...)
				for i, a := range args { // files of the script's own folder
					if _, err := os.Stat(ts.MkAbs(a)); err == nil && !strings.HasPrefix(a, "-") {
						args[i] = ts.MkAbs(a)
					}
				}
				env := cli.Env{Stdin: strings.NewReader(""), Stdout: ts.Stdout(), Stderr: ts.Stderr(), Getenv: ts.Getenv, Now: time.Now}
				if got := cli.Main(context.Background(), env, args); got != want {
					ts.Fatalf("ringwall %s ended with status %d, want %d", strings.Join(args, " "), got, want)
				}
			},
			"capture": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) != 2 || neg {
					ts.Fatalf("usage: capture KIND FILE")
				}
				ts.Check(writeCapture(args[0], ts.MkAbs(args[1])))
			},
		},
	})
}

// writeCapture writes a small capture: "scan" holds one packet of a scan as
// Mirai does it between honest ones, "honest" none, "cut" ends in the middle
// of a packet after that scan.
func writeCapture(kind, name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close() // what matters is written by then, or Sync tells
	w, err := capture.NewWriter(f, packet.LinkRaw)
	if err != nil {
		return err
	}
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	syn := func(dst string, seq uint32) error {
		b := make([]byte, 40)
		b[0], b[3], b[8], b[9] = 0x45, 40, 64, 6
		src, to := netip.MustParseAddr("192.168.1.10").As4(), netip.MustParseAddr(dst).As4()
		copy(b[12:], src[:])
		copy(b[16:], to[:])
		if seq == 0 {
			seq = binary.BigEndian.Uint32(to[:])
		}
		binary.BigEndian.PutUint16(b[20:], 40000)
		binary.BigEndian.PutUint16(b[22:], 23)
		binary.BigEndian.PutUint32(b[24:], seq)
		b[32], b[33] = 0x50, 2
		at = at.Add(time.Second)
		return w.Write(b, at, 0)
	}
	if err := syn("192.0.2.1", 7); err != nil {
		return err
	}
	if kind != "honest" {
		if err := syn("192.0.2.2", 0); err != nil {
			return err
		}
	}
	if err := syn("192.0.2.3", 9); err != nil {
		return err
	}
	if kind == "cut" {
		st, err := f.Stat()
		if err != nil {
			return err
		}
		if err := f.Truncate(st.Size() - 5); err != nil {
			return err
		}
	}
	return f.Sync()
}
