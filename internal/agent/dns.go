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
	"github.com/ringwall/ringwall/internal/dnsguard"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/task"
)

// reportQueue is how many decisions wait for an agent that is away or slow;
// what comes on top is dropped and counted.
const reportQueue = 1024

// maxReport bounds a datagram with one decision.
const maxReport = 8 << 10

// dnsReport is what the guard sends to the agent.
type dnsReport struct {
	api.DNSReport
	Lost uint64 `json:"lost"` // decisions dropped before this one, since the guard began
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
	fw, err := nft.Open(nft.Config{Bridge: c.Bridge, LAN: c.LAN, Uplink: c.Uplink, BindOnly: true, Host: c.Host, Now: c.Now})
	if err != nil {
		return err
	}
	defer fw.Close()
	lock, err := takePlace(ctx, c.path(dnsPID), c.DNS, wait)
	if err != nil {
		return err
	}
	defer lock.Close()
	out := &reporter{path: c.path(reportSocket), queue: make(chan api.DNSReport, reportQueue)}
	tasks := []task.Task{task.Func("reports", out.run)}
	for _, addr := range c.DNS {
		conf := dnsguard.Config{PolicyFile: c.path(dnsPolicy), Listen: addr, Firewall: fw, Report: out.add, Now: c.Now}
		if c.Host {
			conf.Dial = c.dial
		}
		g, err := dnsguard.New(conf)
		if err != nil {
			return err
		}
		tasks = append(tasks, g)
	}
	return task.Run(ctx, func() { c.Log.Info("DNS guard answers", "at", c.DNS) }, tasks...)
}

func writeAll(f *os.File, b []byte) error {
	_, err := f.WriteAt(b, 0)
	return err
}

// reporter sends decisions to the agent, if one listens.
type reporter struct {
	path  string
	queue chan api.DNSReport
	lost  atomic.Uint64
}

// add takes a decision and never waits.
func (r *reporter) add(x api.DNSReport) {
	select {
	case r.queue <- x:
	default:
		r.lost.Add(max(x.Count, 1))
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
			b, err := json.Marshal(dnsReport{x, r.lost.Load()})
			if err != nil || len(b) > maxReport {
				r.lost.Add(max(x.Count, 1))
				continue
			}
			if conn, err = r.send(conn, b); err != nil {
				r.lost.Add(max(x.Count, 1))
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

// takeReports takes the decisions of the DNS guard.
func (a *Agent) takeReports(ctx context.Context, ready func()) error {
	path := a.cfg.path(reportSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("listening for the DNS guard's reports: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	ready()
	buf := make([]byte, maxReport)
	var lost uint64
	for {
		n, err := conn.Read(buf)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("taking the DNS guard's reports: %w", err)
		}
		var r dnsReport
		if err := json.Unmarshal(buf[:n], &r); err != nil {
			a.log.Warn("report of the DNS guard cannot be read", "err", err)
			continue
		}
		if r.Lost != lost {
			if r.Lost > lost {
				a.log.Warn("reports of the DNS guard were dropped", "count", r.Lost-lost)
				a.books.unwritten.Add(r.Lost - lost)
			}
			lost = r.Lost // less: another guard
		}
		a.lookups.count(r.DNSReport)
		a.books.note(api.RecordDNS, r.DNSReport)
	}
}
