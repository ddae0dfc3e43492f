package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
)

// An agent is replaced by another program in its own process: the rules stay in
// the kernel, the DNS guard and the inspector go on meanwhile and are replaced one
// after the other by the new agent, which finds that they run another program.

const (
	// upgradeWait is how long an upgrade may take.
	upgradeWait = time.Minute
	// tryProgram is how long a program may take to say its version.
	tryProgram = 10 * time.Second
)

// errUpgrade ends the tasks for another program to take over.
var errUpgrade = errors.New("another program takes over")

// runAgent runs gateways until ctx ends: at SIGHUP the program at exe takes this
// process over. If it cannot, this one goes on.
func runAgent(ctx context.Context, c Config, exe string) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		life, end := context.WithCancelCause(ctx)
		go func() {
			for {
				select {
				case <-life.Done():
					return
				case <-hup:
				}
				err := tryVersion(life, c.Self, exe)
				if err == nil {
					end(errUpgrade)
					return
				}
				c.Log.Error("program is not replaced: the new one does not run", "program", exe, "err", err)
			}
		}()
		err := Run(life, c, func() { c.Log.Info("gateway serves") })
		cause := context.Cause(life)
		end(nil)
		if !errors.Is(cause, errUpgrade) || ctx.Err() != nil {
			return err
		}
		c.Log.Info("another program takes over", "program", exe)
		err = syscall.Exec(exe, os.Args, os.Environ())
		c.Log.Error("program is not replaced; going on with the old one", "program", exe, "err", err)
	}
}

// tryVersion starts a program to see that it runs on this machine at all.
func tryVersion(ctx context.Context, self []string, exe string) error {
	ctx, cancel := context.WithTimeout(ctx, tryProgram)
	defer cancel()
	args := []string{"version"}
	if len(self) > 1 {
		args = append(append([]string(nil), self[1:]...), args...)
	}
	out, err := exec.CommandContext(ctx, exe, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("starting %q: %w: %.200s", exe, err, out)
	}
	return nil
}

// agentNote is what the agent writes into the file that it keeps locked.
type agentNote struct {
	PID     int    `json:"pid"`
	Version string `json:"version"`
	Build   string `json:"build"`
	Exe     string `json:"exe"` // where its program lies, or lay
}

// noteAgent writes who runs into the locked file.
func noteAgent(lock *os.File) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	b, err := json.Marshal(agentNote{PID: os.Getpid(), Version: Version, Build: buildOf(selfExe), Exe: exe})
	if err != nil {
		return err
	}
	return errors.Join(lock.Truncate(0), writeAll(lock, b))
}

func readAgentNote(path string) (n agentNote, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return n, err
	}
	return n, json.Unmarshal(b, &n)
}

// Upgrade has the agent that runs on a state directory replaced by the program
// that lies at its place now, and waits until that serves. Codes: NotFound when no
// agent runs, Conflict when the program is the one that runs already, Unavailable
// when the new one does not serve in time; the old one may go on then.
func Upgrade(ctx context.Context, c Config) error {
	before, err := ReadStatus(ctx, c)
	if err != nil {
		return err
	}
	path := c.path(agentLock)
	note, err := readAgentNote(path)
	if !before.Running || err != nil {
		return ringwall.Errorf(ringwall.NotFound, "no agent runs on %q", c.State)
	}
	if buildOf(note.Exe) == note.Build {
		return &ringwall.Error{Code: ringwall.Conflict, Text: "the agent runs this program already", Hint: fmt.Sprintf("put the new one in place of %q first, with mv", note.Exe)}
	}
	if err := unix.Kill(note.PID, unix.SIGHUP); err != nil {
		return fmt.Errorf("asking process %d to be replaced: %w", note.PID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, upgradeWait)
	defer cancel()
	for {
		now, err := readAgentNote(path)
		if err == nil && now.Build != note.Build && now.Build == buildOf(now.Exe) {
			if s, err := ReadStatus(ctx, c); err == nil && s.Running && s.Newest == before.Newest {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return &ringwall.Error{Code: ringwall.Unavailable, Text: "the new program does not serve", Hint: "the agent's log says why; the rules are in force all the same"}
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func mainUpgrade(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c Config
	fs := flags("upgrade", &c, stderr)
	if err := parse(fs, args); err != nil {
		return err
	}
	if err := Upgrade(ctx, c); err != nil {
		return err
	}
	s, err := ReadStatus(ctx, c)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, s.Version)
	return err
}
