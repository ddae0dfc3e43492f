package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/dnsguard"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/task"
)

// reportQueue is how many decisions wait for an agent that is away or slow;
// what comes on top is dropped and counted.
const reportQueue = 1024

// maxReport bounds a datagram with one decision.
const maxReport = 8 << 10

// report is what one of the agent's processes sends to it: one of the three.
type report struct {
	DNS    *api.DNSReport `json:"dns,omitempty"`
	Notice *api.Notice    `json:"notice,omitempty"` // of the inspector
	Flow   []byte         `json:"flow,omitempty"`   // of the inspector: a flow.Record
	// Lost are those dropped before this one, since the process began.
	Lost uint64 `json:"lost,omitempty"`
	// From names the process, so that Lost is that of one.
	From int `json:"from"`

	count uint64
}

// RunDNS is the DNS guard: the program of its own that answers names. It locks
// its file in the state directory, so there is one, and ends with ctx. With wait
// it takes the place of one that is about to end.
func RunDNS(ctx context.Context, c Config, wait bool) error {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if len(c.DNS) == 0 {
		return ringwall.Errorf(ringwall.Invalid, "no address to answer on is named")
	}
	conf := nft.Config{Bridge: c.Bridge, LAN: c.LAN, Uplink: c.Uplink, BindOnly: true, Host: c.Host, Now: c.Now}
	if c.Inspect && !c.Host {
		conf.Inspect = inspectPort // what names open through the inspector is bound in a set of its own
	}
	fw, err := nft.Open(conf)
	if err != nil {
		return err
	}
	defer fw.Close()
	lock, err := takePlace(ctx, c.path(dnsPID), c.DNS, wait)
	if err != nil {
		return err
	}
	defer lock.Close()
	out := &reporter{path: c.path(reportSocket), queue: make(chan report, reportQueue)}
	tasks := []task.Task{task.Func("reports", out.run)}
	answer := dnsguard.Config{
		PolicyFile: c.path(dnsPolicy), Names: c.namesFile(), Listen: c.DNS[0], Also: c.DNS[1:], Firewall: fw, Now: c.Now,
		Report: func(r api.DNSReport) { out.add(report{DNS: &r}, max(r.Count, 1)) },
	}
	if c.Host {
		answer.Dial = c.dial
	}
	g, err := dnsguard.New(answer)
	if err != nil {
		return err
	}
	tasks = append(tasks, g)
	return task.Run(ctx, func() { c.Log.Info("DNS guard answers", "at", c.DNS) }, tasks...)
}

func writeAll(f *os.File, b []byte) error {
	_, err := f.WriteAt(b, 0)
	return err
}

// reporter sends decisions to the agent, if one listens.
type reporter struct {
	path  string
	queue chan report
	lost  atomic.Uint64
}

// add takes a decision and never waits.
func (r *reporter) add(x report, count uint64) {
	x.count = count
	select {
	case r.queue <- x:
	default:
		r.lost.Add(count)
	}
}

func (r *reporter) run(ctx context.Context, ready func()) error {
	ready()
	var conn net.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case x := <-r.queue:
			x.Lost, x.From = r.lost.Load(), os.Getpid()
			b, err := json.Marshal(x)
			if err != nil || len(b) > maxReport {
				r.lost.Add(x.count)
				continue
			}
			if conn, err = r.send(conn, b); err != nil {
				r.lost.Add(x.count)
			}
		}
	}
}

// sendWait is how long a full socket is waited for.
const sendWait = 200 * time.Millisecond

// send sends a datagram; an agent that was started again has a new socket,
// hence the second attempt.
func (r *reporter) send(conn net.Conn, b []byte) (net.Conn, error) {
	err := error(net.ErrClosed)
	for range 2 {
		if conn == nil {
			if conn, err = net.Dial("unixgram", r.path); err != nil {
				return nil, err
			}
		}
		if err = conn.SetWriteDeadline(time.Now().Add(sendWait)); err == nil {
			if _, err = conn.Write(b); err == nil {
				return conn, nil
			}
		}
		conn.Close()
		conn = nil
	}
	return nil, err
}

// takeReports takes what our processes report.
func (a *Agent) takeReports(ctx context.Context, ready func()) error {
	path := a.cfg.path(reportSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("listening for the reports of our processes: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	ready()
	buf := make([]byte, maxReport)
	lost := map[int]uint64{}
	seen := newFirsts()
	for {
		n, err := conn.Read(buf)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("taking the reports of our processes: %w", err)
		}
		var r report
		if err := json.Unmarshal(buf[:n], &r); err != nil {
			a.log.Warn("report of one of our processes cannot be read", "err", err)
			continue
		}
		if r.Lost > lost[r.From] {
			a.log.Warn("reports of one of our processes were dropped", "process", r.From, "count", r.Lost-lost[r.From])
			a.books.unwritten.Add(r.Lost - lost[r.From])
		}
		if _, known := lost[r.From]; !known && len(lost) >= maxReporters {
			clear(lost)
		}
		lost[r.From] = r.Lost
		a.takeReport(r, seen)
	}
}

// maxReporters bounds the processes whose losses are followed.
const maxReporters = 16

func (a *Agent) takeReport(r report, firsts *firsts) {
	switch {
	case r.DNS != nil:
		a.lookups.count(*r.DNS)
		r.DNS.First = r.DNS.Verdict == "refused" && firsts.first(r.DNS.Device, r.DNS.Name, r.DNS.Reason, a.cfg.Now())
		a.books.note(api.RecordDNS, *r.DNS)
	case r.Notice != nil:
		a.books.note(api.RecordNotice, *r.Notice)
	case r.Flow != nil:
		var f flow.Record
		if err := f.UnmarshalBinary(r.Flow); err != nil {
			a.log.Warn("flow report of the inspector cannot be read", "err", err)
			return
		}
		if f.Verdict == flow.Refused && firsts.first(f.Device, f.Remote.String(), f.Reason, a.cfg.Now()) {
			f.First = true
			if b, err := f.MarshalBinary(); err == nil {
				r.Flow = b
			}
		}
		a.books.note(api.RecordFlow, r.Flow)
	}
}
