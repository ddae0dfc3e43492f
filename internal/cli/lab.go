package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/netns"
)

// labSocket is where a range in the foreground takes orders, unless told
// otherwise. It is root's, as the range is.
const labSocket = "/run/ringwall-lab.sock"

func newLab(env Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "lab",
		Short: "Run the range: a home, an internet and attacks of our own, in namespaces",
		Long: `The range is a home with a bad camera, a good camera, a meter with a SIM, a phone and a laptop behind a gateway, and
an internet with a vendor's cloud, names, time, a telecom operator, an attacker, a loader and a command server: each a
process in namespaces of its own. Attacks are bounded programs of ours, not malware. It needs root on Linux; the host's
routes, settings, passwords and firewall are not touched.`,
	}
	var socket string
	c.PersistentFlags().StringVar(&socket, "socket", labSocket, "where the range takes orders from other shells")
	c.AddCommand(newLabUp(env, &socket), newLabAttack(env, &socket), newLabDown(env, &socket), newLabActors(env, &socket),
		newLabRepair(env, &socket), newLabRecord(env))
	return c
}

func newLabUp(env Env, socket *string) *cobra.Command {
	var cfg lab.Config
	var agent string
	var verbose bool
	c := &cobra.Command{
		Use:   "up [-- AGENT-ARGS...]",
		Short: "Bring the range up and keep it until Ctrl-C",
		Example: `  ringwall lab up
  ringwall lab up --agent ./ringwall-agent -- run -state /var/lib/gw -bridge br-lan -uplink up0`,
		RunE: func(c *cobra.Command, args []string) error {
			if agent == "" && len(args) > 0 {
				return usagef("%q are arguments for an agent, and no --agent is given", args)
			}
			if agent != "" {
				cfg.Agent = func(*netns.NS) (*exec.Cmd, error) { return exec.Command(agent, args...), nil }
			}
			cfg.Now = env.Now
			if verbose {
				cfg.Log = env.Stderr
			}
			return runLab(c.Context(), env, cfg, *socket)
		},
	}
	f := c.Flags()
	f.StringVar(&agent, "agent", "", "program to run in the gateway; its arguments follow --")
	f.Uint64Var(&cfg.Seed, "seed", 0, "seed of all that is drawn; 0 draws one")
	f.DurationVar(&cfg.Pace, "pace", 0, "how often a device talks to its cloud (default 5s)")
	f.StringVar(&cfg.Dir, "dir", "", "where recordings and usage records go (default: a temporary directory)")
	f.BoolVarP(&verbose, "verbose", "v", false, "show what the actors and the agent say")
	return c
}

// runLab keeps a range up until ctx ends or somebody orders it down.
func runLab(ctx context.Context, env Env, cfg lab.Config, socket string) (err error) {
	l, err := labListen(ctx, socket)
	if err != nil {
		return err
	}
	defer l.Close()
	r, err := lab.Up(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if derr := r.Down(); derr != nil {
			err = errors.Join(err, derr)
			return
		}
		fmt.Fprintln(env.Stderr, "ringwall: the range is down; nothing is left of it")
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{Handler: labHandler(r, cancel), ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer srv.Close()

	fmt.Fprintf(env.Stderr, "ringwall: the range is up, seed %d\n", r.Seed())
	for _, s := range r.Replaced() {
		fmt.Fprintf(env.Stderr, "ringwall: replaced: %s\n", s)
	}
	fmt.Fprintf(env.Stderr, "ringwall: recordings and usage records: %s\n", r.Dir())
	fmt.Fprintf(env.Stderr, "ringwall: attack it from another shell with \"ringwall lab attack NAME\"; Ctrl-C ends it\n")
	var agent <-chan struct{}
	if cfg.Agent != nil {
		_, agent = r.Agent()
	}
	select {
	case <-ctx.Done():
		return nil
	case <-agent:
		return ringwall.Errorf(ringwall.Unavailable, "the gateway's agent has ended; --verbose shows what it said")
	case err := <-served:
		return err
	}
}

// labListen takes the control socket. What a killed run left is removed; a
// range that answers is not disturbed.
func labListen(ctx context.Context, socket string) (net.Listener, error) {
	var d net.Dialer
	if c, err := d.DialContext(ctx, "unix", socket); err == nil {
		c.Close()
		return nil, &ringwall.Error{Code: ringwall.Conflict, Text: "a range is up already at " + socket, Hint: `end it with "ringwall lab down", or name another --socket`}
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing the socket of a killed range: %w", err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Wire form of the control socket.
type labOrder struct {
	Name       string        `json:"name"`
	On         string        `json:"on,omitempty"`
	Seed       uint64        `json:"seed,omitempty"`
	Duration   time.Duration `json:"durationNs,omitempty"`
	MaxPackets int           `json:"maxPackets,omitempty"`
}

type labState struct {
	Seed     uint64           `json:"seed"`
	Dir      string           `json:"dir"`
	Actors   []labActor       `json:"actors"`
	Attacks  []lab.AttackInfo `json:"attacks"`
	Replaced []string         `json:"replaced"`
	Ended    []string         `json:"ended"` // actors that ended by themselves
	Phone    *lab.PhoneStats  `json:"phone,omitempty"`
	BadCam   *lab.CameraState `json:"badcam,omitempty"`
}

type labActor struct {
	Name string `json:"name"`
	Addr string `json:"addr"`
}

type labProblem struct {
	Code ringwall.Code `json:"code"`
	Text string        `json:"text"`
}

// labHandler takes orders for a range.
func labHandler(r *lab.Range, down func()) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /attack", labAnswer(func(ctx context.Context, o labOrder) (any, error) {
		return r.Attack(ctx, o.Name, lab.AttackOptions{On: o.On, Seed: o.Seed, Duration: o.Duration, MaxPackets: o.MaxPackets})
	}))
	mux.HandleFunc("POST /repair", labAnswer(func(ctx context.Context, o labOrder) (any, error) {
		return nil, r.Repair(ctx, o.On, o.Name)
	}))
	mux.HandleFunc("POST /down", labAnswer(func(context.Context, labOrder) (any, error) { down(); return nil, nil }))
	mux.HandleFunc("GET /state", labAnswer(func(ctx context.Context, _ labOrder) (any, error) {
		s := labState{Seed: r.Seed(), Dir: r.Dir(), Actors: labActors(), Attacks: lab.Attacks(), Replaced: r.Replaced(), Ended: r.Ended()}
		if p, err := r.Phone(ctx); err == nil {
			s.Phone = &p
		}
		if c, err := r.Camera(ctx, lab.BadCam); err == nil {
			s.BadCam = &c
		}
		return s, nil
	}))
	return mux
}

func labActors() (out []labActor) {
	for _, name := range lab.Actors() {
		a, _ := lab.Addr(name)
		out = append(out, labActor{name, a.String()})
	}
	return out
}

// labAnswer makes a handler of one order.
func labAnswer(f func(ctx context.Context, o labOrder) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		var o labOrder
		if req.Method == http.MethodPost {
			if err := json.NewDecoder(http.MaxBytesReader(w, req.Body, 64<<10)).Decode(&o); err != nil {
				http.Error(w, "the order cannot be read", http.StatusBadRequest)
				return
			}
		}
		v, err := f(req.Context(), o)
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			v = labProblem{ringwall.CodeOf(err), err.Error()}
		}
		// The asker is gone when this fails: nothing to tell it.
		_ = json.NewEncoder(w).Encode(v)
	}
}

// labCall gives an order to the range at socket.
func labCall(ctx context.Context, socket, method, path string, in, out any) error {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://range"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &ringwall.Error{Code: ringwall.Unavailable, Text: "no range answers at " + socket, Hint: `bring one up with "ringwall lab up" in another shell, as the same user`, Err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusOK {
		if out == nil {
			return nil
		}
		return json.Unmarshal(text, out)
	}
	var p labProblem
	if json.Unmarshal(text, &p) != nil || p.Text == "" {
		return fmt.Errorf("the range answered %s", resp.Status)
	}
	return ringwall.Errorf(p.Code, "%s", p.Text)
}

func newLabAttack(env Env, socket *string) *cobra.Command {
	var o labOrder
	var asJSON bool
	var list strings.Builder
	for _, a := range lab.Attacks() {
		fmt.Fprintf(&list, "  %-17s %s (on %s)\n", a.Name, a.Title, a.On)
	}
	c := &cobra.Command{
		Use:   "attack NAME",
		Short: "Run one attack in the range that is up",
		Long:  "Run one attack in the range that is up, record it, and tell what it did. The attacks:\n\n" + list.String(),
		Args:  exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.Name = args[0]
			var rep lab.Report
			if err := labCall(c.Context(), *socket, http.MethodPost, "/attack", o, &rep); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(env.Stdout).Encode(rep)
			}
			return printReport(env.Stdout, rep)
		},
	}
	f := c.Flags()
	f.StringVar(&o.On, "on", "", "device to attack (default: the attack's own)")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of what the attack draws; 0 draws one")
	f.DurationVar(&o.Duration, "duration", 0, "how long at most (default: the attack's own)")
	f.IntVar(&o.MaxPackets, "max-packets", 0, "how many packets a scan sends at most (default 5000)")
	f.BoolVar(&asJSON, "json", false, "print the report as JSON")
	return c
}

func printReport(w io.Writer, rep lab.Report) error {
	const clock = "15:04:05.000"
	did := "did what it is meant to"
	if !rep.Did {
		did = "was foiled"
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s on %s\t%s\tseed %d\n", rep.Name, rep.On, did, rep.Seed)
	if rep.First.IsZero() {
		fmt.Fprintf(t, "at the gateway\tno packet\n")
	} else {
		fmt.Fprintf(t, "at the gateway\t%d packets\t%s to %s\n", rep.Packets, rep.First.Format(clock), rep.Last.Format(clock))
	}
	for _, a := range rep.Arrived {
		fmt.Fprintf(t, "arrived at %s\t%d packets\n", a.Actor, a.Packets)
	}
	for _, s := range rep.Steps {
		fmt.Fprintf(t, "%s\t%s to %s\n", s.Name, s.Start.Format(clock), s.End.Format(clock))
	}
	if rep.Capture != "" {
		fmt.Fprintf(t, "recording\t%s\n", rep.Capture)
	}
	return t.Flush()
}

func newLabDown(_ Env, socket *string) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "End the range that is up", Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			return labCall(c.Context(), *socket, http.MethodPost, "/down", labOrder{}, nil)
		},
	}
}

func newLabRepair(_ Env, socket *string) *cobra.Command {
	var o labOrder
	c := &cobra.Command{
		Use:   "repair [DEVICE]",
		Short: "Do what the owner does after an incident: a new password, telnet off, a restart",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.On = lab.BadCam
			if len(args) == 1 {
				o.On = args[0]
			}
			return labCall(c.Context(), *socket, http.MethodPost, "/repair", o, nil)
		},
	}
	c.Flags().StringVar(&o.Name, "password", "a-better-one-77", "the new password, of the range's own camera")
	return c
}

func newLabActors(env Env, socket *string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "actors", Short: "List the actors of the range that is up, and what it had to replace", Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			var s labState
			if err := labCall(c.Context(), *socket, http.MethodGet, "/state", nil, &s); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(env.Stdout).Encode(s)
			}
			t := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
			for _, a := range s.Actors {
				fmt.Fprintf(t, "%s\t%s\n", a.Name, a.Addr)
			}
			for _, r := range s.Replaced {
				fmt.Fprintf(t, "replaced:\t%s\n", r)
			}
			for _, name := range s.Ended {
				fmt.Fprintf(t, "has ended:\t%s\n", name)
			}
			return t.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print all of the range's state as JSON")
	return c
}

func newLabRecord(env Env) *cobra.Command {
	return &cobra.Command{
		Use: "record DIR", Short: "Bring a range up, attack it, and record it all for where there can be none", Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			r, err := lab.Up(c.Context(), lab.RecordConfig())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.Down()) }()
			fmt.Fprintf(env.Stderr, "ringwall: recording with seed %d; this takes about two minutes\n", r.Seed())
			return r.Record(c.Context(), args[0])
		},
	}
}
