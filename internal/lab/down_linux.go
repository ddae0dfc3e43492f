package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/ringwall/ringwall/internal/netns"
)

// Down ends the range and proves that nothing is left of it: every process
// gone, every cable gone, no descriptor into any of its namespaces. The error
// names what is left.
func (r *Range) Down() error {
	r.mu.Lock()
	if r.down {
		r.mu.Unlock()
		return nil
	}
	r.down = true
	actors := r.actors
	r.mu.Unlock()

	err := r.StopAgent(false)
	r.cancel()
	// While somebody still owns them: what is left of a connection that the
	// gateway cut would keep its namespace for minutes.
	for _, n := range r.ns {
		endConnections(n)
	}
	for _, p := range actors {
		if p.client != nil {
			p.client.Close() // it ends by itself when its socket does
		}
	}
	for _, p := range actors {
		select {
		case <-p.done:
		case <-time.After(2 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	}
	// What the agent may have left behind, and actors that did not start.
	_, serr := sweep(func(mark string) bool { return mark == r.mark })
	err = errors.Join(err, serr)
	r.wg.Wait()
	r.spawn.close()
	if r.usage != nil {
		err = errors.Join(err, r.usage.Close())
	}
	err = errors.Join(err, takeDown(r.ns))
	if r.ownD {
		err = errors.Join(err, os.RemoveAll(r.cfg.Dir))
	}
	return err
}

// endConnections ends the TCP connections of a namespace. Where the kernel was
// built without the means, or a connection ends by itself meanwhile, that is
// for takeDown to wait for.
func endConnections(n *netns.NS) {
	_ = n.Do(func() error {
		socks, err := netlink.SocketDiagTCP(netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		for _, s := range socks {
			if s.State == netlink.TCP_LISTEN {
				continue
			}
			_ = netlink.SocketDestroy(
				&net.TCPAddr{IP: s.ID.Source, Port: int(s.ID.SourcePort)}, &net.TCPAddr{IP: s.ID.Destination, Port: int(s.ID.DestinationPort)})
		}
		return nil
	})
}

// goneWithin is how long the kernel may take to clear namespaces away, which
// it does in the background.
const goneWithin = 30 * time.Second

// takeDown closes the namespaces and waits until the kernel has cleared them
// away. A cable ends with either of its ends, and all run to the gateway, to
// the internet or between these two: when no cable is left in one of them, the
// namespaces at the other ends are gone.
func takeDown(ns map[string]*netns.NS) error {
	errs := []error{unheld(ns)}
	for name, n := range ns {
		if name != Gateway && name != Internet {
			errs = append(errs, n.Close())
		}
	}
	if gw := ns[Gateway]; gw != nil {
		errs = append(errs, cablesGone(gw, Uplink), gw.Close())
	}
	if in := ns[Internet]; in != nil {
		errs = append(errs, cablesGone(in), in.Close())
	}
	return errors.Join(errs...)
}

// cablesGone waits until a namespace has no virtual cable left but the ones
// named.
func cablesGone(n *netns.NS, but ...string) error {
	h, err := n.Link()
	if err != nil {
		return err
	}
	defer h.Close()
	var left []string
	for until := time.Now().Add(goneWithin); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		links, err := h.LinkList()
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			continue // they are going just now
		}
		if err != nil {
			return err
		}
		left = left[:0]
		for _, l := range links {
			if l.Type() == "veth" && !contains(but, l.Attrs().Name) {
				left = append(left, l.Attrs().Name)
			}
		}
		if len(left) == 0 {
			return nil
		}
	}
	return fmt.Errorf("cables that are left in %q: %s (somebody holds the namespaces at their other ends)", n.Name, strings.Join(left, " "))
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// unheld waits until no process is in one of the namespaces and none has one
// open, but for the descriptors of ours that are to be closed. It looks while
// those are open: afterwards the kernel gives the same numbers to the namespaces
// of others.
func unheld(ns map[string]*netns.NS) error {
	inodes, own := map[string]string{}, map[string]bool{}
	for name, n := range ns {
		if n.FD() < 0 {
			continue
		}
		file := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.FD())
		link, err := os.Readlink(file)
		if err != nil {
			return fmt.Errorf("looking who holds namespace %q: %w", name, err)
		}
		inodes[link], own[file] = name, true
	}
	for until := time.Now().Add(goneWithin); ; time.Sleep(20 * time.Millisecond) {
		held, err := holders(inodes, own)
		if err != nil || held == nil || time.Now().After(until) {
			return errors.Join(err, held)
		}
	}
}

// holders tells who holds one of the namespaces now, but for the files named.
func holders(inodes map[string]string, but map[string]bool) (held, err error) {
	var errs []error
	for _, pattern := range []string{"/proc/[0-9]*/task/*/ns/net", "/proc/[0-9]*/fd/*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			link, err := os.Readlink(f)
			if err != nil {
				continue // gone meanwhile
			}
			if name, ok := inodes[link]; ok && !but[f] {
				errs = append(errs, fmt.Errorf("namespace %q is still held by %s", name, f))
			}
		}
	}
	return errors.Join(errs...), nil
}
