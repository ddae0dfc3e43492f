package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// EnvName is the environment variable that turns a start of the program into
// an actor; its value is the actor's name. EnvRun marks every process of one
// run of the range, so that leftovers can be told from anything else.
const (
	EnvName = "RINGWALL_LAB_ACTOR"
	EnvRun  = "RINGWALL_LAB_RUN"
)

// controlFD is the control socket, extraFD the first file a Spec may name.
const (
	controlFD = 3
	extraFD   = 4
)

// Spec is what the range tells an actor when it starts.
type Spec struct {
	Name    string `json:"name"`
	Program string `json:"program"`
	Seed    uint64 `json:"seed"`
	// Epoch is the range's clock less the kernel's: actors have no other idea
	// of when it is.
	Epoch time.Duration `json:"epoch,omitempty"`

	Addr      netip.Addr       `json:"addr"`
	Resolvers []netip.AddrPort `json:"resolvers,omitempty"`
	// Pace is how often a device talks to its cloud; the other habits follow it.
	Pace time.Duration `json:"pace,omitempty"`
	// Busybox is the path of a busybox, "" when there is none.
	Busybox string `json:"busybox,omitempty"`
	// VendorCA, VendorCert and VendorKey are PEM. Devices get the first, the
	// hosts of the vendor all three.
	VendorCA   []byte `json:"vendorCA,omitempty"`
	VendorCert []byte `json:"vendorCert,omitempty"`
	VendorKey  []byte `json:"vendorKey,omitempty"`
	// Files are the private contents of files of the host, by absolute path.
	Files map[string]string `json:"files,omitempty"`
	// Settings are the program's own.
	Settings json.RawMessage `json:"settings,omitempty"`
}

// Env is the world an actor's program lives in.
type Env struct {
	Spec
	Log *slog.Logger

	ctx  context.Context
	fail context.CancelCauseFunc
	wg   sync.WaitGroup
}

// Go runs a part of the actor until ctx ends; if it fails, the actor ends.
func (e *Env) Go(what string, f func(ctx context.Context) error) {
	e.wg.Go(func() {
		if err := f(e.ctx); err != nil && e.ctx.Err() == nil {
			e.fail(fmt.Errorf("%s: %w", what, err))
		}
	})
}

// Now tells the range's time.
func (e *Env) Now() time.Time { return time.Now().Add(e.Epoch) }

// settings reads the program's own settings.
func settings[T any](e *Env) (s T, err error) {
	if len(e.Settings) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(e.Settings, &s); err != nil {
		return s, fmt.Errorf("reading settings of actor %q: %w", e.Name, err)
	}
	return s, nil
}

// program starts an actor's parts and returns, once it serves, the orders it takes.
type program func(e *Env) (Ops, error)

func programs() map[string]program {
	return map[string]program{
		"camera":   camera,
		"meter":    meter,
		"phone":    phone,
		"laptop":   laptop,
		"cloud":    cloud,
		"dns":      nameServer,
		"ntp":      timeServer,
		"loader":   loader,
		"command":  command,
		"update":   update,
		"operator": operator,
		"attacker": attacker,
	}
}

// Main plays the actor that the range asks for, and returns the exit status.
func Main() int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("actor", os.Getenv(EnvName))
	if err := run(log); err != nil {
		log.Error("actor failed", "err", err)
		return 1
	}
	return 0
}

func run(log *slog.Logger) error {
	f := os.NewFile(controlFD, "control")
	conn, err := net.FileConn(f)
	if err != nil {
		return fmt.Errorf("an actor is started by the range only: %w", err)
	}
	_ = f.Close() // FileConn has its own
	defer conn.Close()

	// One message, read byte by byte so that nothing after it is swallowed.
	var spec Spec
	if err := readLine(conn, &spec); err != nil {
		return fmt.Errorf("reading what to play: %w", err)
	}
	play, ok := programs()[spec.Program]
	if !ok {
		return fmt.Errorf("there is no program %q", spec.Program)
	}
	if err := isolate(spec); err != nil {
		return fmt.Errorf("isolating actor %q: %w", spec.Name, err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, fail := context.WithCancelCause(ctx)
	e := &Env{Spec: spec, Log: log, ctx: ctx, fail: fail}
	defer e.wg.Wait()
	defer fail(nil)
	reap(ctx, e)

	ops, err := play(e)
	if err != nil {
		return err
	}
	// The answer to message 0 says that the actor serves.
	if err := json.NewEncoder(conn).Encode(message{ID: 0}); err != nil {
		return err
	}
	go func() { // ends with conn, which ends with this function
		<-ctx.Done()
		conn.Close()
	}()
	err = serve(ctx, conn, ops)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// maxLine bounds the first message.
const maxLine = 1 << 20

func readLine(conn net.Conn, v any) error {
	var line []byte
	b := make([]byte, 1)
	for len(line) < maxLine {
		if _, err := conn.Read(b); err != nil {
			return err
		}
		if b[0] == '\n' {
			return json.Unmarshal(line, v)
		}
		line = append(line, b[0])
	}
	return errors.New("the first message is too long")
}

// Start sends the spec to a fresh actor over conn and waits until it serves.
// On success the returned Client owns conn.
func Start(ctx context.Context, conn net.Conn, spec Spec) (*Client, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := json.NewEncoder(conn).Encode(spec); err != nil {
		return nil, err
	}
	var ready message
	if err := readLine(conn, &ready); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("waiting for actor %q to serve: %w", spec.Name, context.Cause(ctx))
		}
		return nil, fmt.Errorf("actor %q ended before it served", spec.Name)
	}
	return NewClient(conn), nil
}
