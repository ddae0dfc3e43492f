package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/capture"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/tap"
	"github.com/ringwall/ringwall/internal/zeeklog"
)

// newWatch makes "ringwall watch": the detectors over a capture, an interface
// or a log of connections, with no server.
func newWatch(env Env) *cobra.Command {
	w := &watch{env: env}
	c := &cobra.Command{
		Use:   "watch FILE | -i IFACE",
		Short: "Find attacks in a capture, on an interface or in a log of connections",
		Long: `Watch judges packets and tells one alert a line, with the numbers of the packets
it stands on (of a log of connections, the numbers of the lines).

FILE is a capture (pcap, pcapng), Zeek's conn.log (tab-separated, JSON, or as
comma-separated values), or "-" for standard input.

The status is 1 when an attack was found, 0 when none was.`,
		Example: "  ringwall watch night.pcapng\n  ringwall watch -i br-lan --json\n  ringwall watch --local 203.0.113.0/24 conn.log",
		RunE: func(c *cobra.Command, args []string) error {
			if (w.iface == "") == (len(args) != 1) || len(args) > 1 {
				return usagef("watch takes one file, or an interface by -i; see %q", "ringwall watch --help")
			}
			return w.run(c.Context(), args)
		},
	}
	f := c.Flags()
	f.StringVarP(&w.iface, "interface", "i", "", "watch this network interface (needs root)")
	f.BoolVar(&w.json, "json", false, "one JSON object a line")
	f.StringSliceVar(&w.local, "local", nil, "networks of our own, in CIDR form (default: the private ranges)")
	f.StringSliceVar(&w.off, "off", nil, "rules that are not to speak")
	return c
}

type watch struct {
	env   Env
	iface string
	json  bool
	local []string
	off   []string

	engine  *detect.Engine
	attacks int
	alerts  int
	err     error // of writing an alert
}

func (w *watch) run(ctx context.Context, args []string) error {
	c := detect.Config{Now: w.env.Now, Alert: w.tell, Limits: detect.Workstation(), Off: w.off}
	for _, s := range w.local {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return usagef("--local %q is not a network in CIDR form, such as 192.168.1.0/24", s)
		}
		c.Local = append(c.Local, p)
	}
	for _, name := range w.off {
		if !slices.ContainsFunc(detect.Rules(), func(r detect.RuleInfo) bool { return r.Name == name }) {
			return usagef("--off %q names no rule", name)
		}
	}
	if w.iface != "" {
		c.Limits = detect.Gateway()
	}
	w.engine = detect.New(c)
	var err error
	if w.iface != "" {
		err = w.live(ctx)
	} else {
		err = w.file(ctx, args[0])
	}
	s := w.engine.Stats()
	fmt.Fprintf(w.env.Stderr, "ringwall: %d judged, %d alerts, %d of them attacks\n", s.Packets, w.alerts, w.attacks)
	if s.Suppressed > 0 {
		fmt.Fprintf(w.env.Stderr, "ringwall: %d more alerts about addresses were held back\n", s.Suppressed)
	}
	switch {
	case err != nil:
		return err
	case w.err != nil:
		return ringwall.Errorf(ringwall.Unavailable, "writing an alert: %w", w.err)
	case w.attacks > 0:
		return errFound
	}
	return nil
}

// tell writes one alert.
func (w *watch) tell(a ringwall.Alert) {
	w.alerts++
	if a.Nature == ringwall.NatureAttack {
		w.attacks++
	}
	var line []byte
	if w.json {
		b, err := json.Marshal(a)
		if err != nil {
			w.err = err
			return
		}
		line = append(b, '\n')
	} else {
		line = fmt.Appendf(nil, "%s %-8s %-9s %-20s %s  %s%s\n", a.Time.Format("2006-01-02T15:04:05.000Z07:00"), a.Severity, a.Nature, a.Rule, a.Subject.ID, a.Title, basis(a))
	}
	if _, err := w.env.Stdout.Write(line); err != nil {
		w.err = err
	}
}

// basis says what an alert stands on.
func basis(a ringwall.Alert) string {
	var b strings.Builder
	b.WriteString(" (")
	if a.Peer.IsValid() {
		fmt.Fprintf(&b, "peer %s, ", a.Peer)
	}
	what, numbers := "packets", a.Evidence.Packets
	if len(a.Evidence.Records) > 0 {
		what, numbers = "lines", a.Evidence.Records
	}
	fmt.Fprintf(&b, "%s ", what)
	for i, n := range numbers {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d", n)
	}
	for _, k := range []string{"ports", "targets", "service", "kind", "period", "calls"} {
		if v := a.Evidence.Facts[k]; v != "" {
			fmt.Fprintf(&b, ", %s %s", k, v)
		}
	}
	b.WriteString(")")
	return b.String()
}

// file judges a file, whose first bytes say what it is.
func (w *watch) file(ctx context.Context, name string) error {
	in := io.Reader(w.env.Stdin)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			code := ringwall.Unavailable
			if errors.Is(err, os.ErrNotExist) {
				code = ringwall.NotFound
			}
			return ringwall.Errorf(code, "opening what to watch: %w", err)
		}
		defer f.Close() // it was only read
		if st, err := f.Stat(); err == nil && st.IsDir() {
			return usagef("%q is a folder; watch takes one file", name)
		}
		in = f
	}
	r := bufio.NewReaderSize(in, 64<<10)
	head, err := r.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return ringwall.Errorf(ringwall.Unavailable, "reading %q: %w", name, err)
	}
	if isLog(head) {
		return w.flows(ctx, r)
	}
	return w.packets(ctx, r)
}

// isLog reports whether a file begins as a text does.
func isLog(head []byte) bool {
	return len(head) == 4 && (head[0] == '#' || head[0] == '{' || bytes.HasPrefix(head, []byte("ts,")) || bytes.HasPrefix(head, []byte("uid")))
}

func (w *watch) packets(ctx context.Context, in io.Reader) error {
	r, err := capture.NewReader(in)
	if err != nil {
		return err
	}
	var p packet.Packet
	for ctx.Err() == nil {
		f, err := r.Next()
		if err != nil {
			w.engine.Tick(p.Time.Add(2 * time.Second)) // what has not been answered by the end
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		p.Time, p.Number, p.OrigLen = f.Time, f.Number, f.OrigLen
		_ = packet.Decode(f.Link, f.Data, &p) // what was decoded before an error counts
		w.engine.Packet(&p)
	}
	return ctx.Err()
}

// live judges what comes in on an interface, until it is told to stop.
func (w *watch) live(ctx context.Context) error {
	t, err := tap.Open(tap.Config{Interface: w.iface, Promiscuous: true})
	if err != nil {
		return err
	}
	fmt.Fprintf(w.env.Stderr, "ringwall: watching %s; end with Ctrl-C\n", w.iface)
	var mu sync.Mutex // guards the engine, which packets and time reach from two goroutines
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				mu.Lock()
				w.engine.Tick(w.env.Now())
				mu.Unlock()
			}
		}
	})
	var p packet.Packet
	err = t.Run(ctx, func(data []byte, ts time.Time, origLen int) {
		mu.Lock()
		defer mu.Unlock()
		p.Time, p.OrigLen = ts, origLen
		p.Number++
		_ = packet.Decode(t.Link(), data, &p) // what was decoded before an error counts
		w.engine.Packet(&p)
	})
	cancel()
	wg.Wait()
	if s := t.Stats(); s.Drops > 0 {
		fmt.Fprintf(w.env.Stderr, "ringwall: %d packets were lost, the machine was too slow for them\n", s.Drops)
	}
	return errors.Join(err, t.Close())
}

// reorder is how many records are held to put them in the order of their
// start: a log is written in the order in which connections end.
const reorder = 65536

func (w *watch) flows(ctx context.Context, in io.Reader) error {
	r, err := zeeklog.NewReader(in)
	if err != nil {
		return err
	}
	var held byStart
	last := time.Time{}
	judge := func() {
		f := heap.Pop(&held).(detect.Flow)
		last = f.Start
		w.engine.Flow(&f)
	}
	for ctx.Err() == nil {
		c, err := r.Next()
		if err != nil {
			for len(held) > 0 {
				judge()
			}
			if !last.IsZero() {
				w.engine.Tick(last.Add(2 * time.Second))
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if f, ok := flowOf(&c); ok {
			heap.Push(&held, f)
		}
		if len(held) > reorder {
			judge()
		}
	}
	return ctx.Err()
}

// flowOf reads a connection as the detectors want it; ok is false for one
// whose beginning was not seen.
func flowOf(c *zeeklog.Conn) (f detect.Flow, ok bool) {
	f = detect.Flow{
		Number: c.Line, Start: c.Start, Duration: c.Duration, Src: c.Orig, Dst: c.Resp, Openings: 1,
		BytesUp: c.OrigLen, BytesDn: c.RespLen, PktsUp: c.OrigPkts, PktsDn: c.RespPkts,
	}
	switch c.Proto {
	case "tcp":
		f.Proto = packet.ProtoTCP
	case "udp":
		f.Proto = packet.ProtoUDP
	case "icmp":
		f.Proto = packet.ProtoICMP
	default:
		return f, false
	}
	switch c.State {
	case "OTH": // seen from its middle
		return f, f.Proto != packet.ProtoTCP
	case "REJ", "RSTRH":
		f.Refused = true
	case "S0", "SH", "RSTOS0", "SHR":
		f.Openings = max(1, int(min(c.OrigPkts, 32)))
	default:
		f.Answered = c.RespPkts > 0 || c.State != ""
	}
	return f, true
}

// byStart is a heap of flows.
type byStart []detect.Flow

func (h byStart) Len() int { return len(h) }
func (h byStart) Less(i, j int) bool {
	return cmp.Or(h[i].Start.Compare(h[j].Start), cmp.Compare(h[i].Number, h[j].Number)) < 0
}
func (h byStart) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *byStart) Push(x any)   { *h = append(*h, x.(detect.Flow)) }
func (h *byStart) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
