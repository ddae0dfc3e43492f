// Package netns makes Linux network namespaces, joins them with virtual cables
// and runs code inside them. The range and the kernel tests stand on it.
//
// Nothing here changes the namespace of the calling program: code runs in
// another namespace only on a locked thread of its own, which is thrown away
// if it cannot be brought back. It needs root; Available says whether it works.
package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// NS is one network namespace, alive as long as it is open or a process is in
// it. Its methods may be called concurrently.
type NS struct {
	Name string

	mu sync.Mutex
	fd int // -1 when closed
}

// Available reports whether namespaces can be made here, and if not, why.
func Available() error {
	ns, err := New("probe")
	if err != nil {
		return err
	}
	return ns.Close()
}

// New makes an empty namespace with its loopback up. It has no name in the
// file system: when the last holder ends, the kernel takes it away, so a
// killed run leaves nothing behind.
func New(name string) (*NS, error) {
	ns := &NS{Name: name, fd: -1}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making network namespace %q (it needs root): %w", name, err)
		}
		fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		ns.fd = fd
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return ns, nil
}

// Current returns the namespace of the calling program.
func Current() (*NS, error) {
	fd, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &NS{Name: "current", fd: fd}, nil
}

// OfPID returns the namespace of a process.
func OfPID(pid int) (*NS, error) {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening network namespace of process %d: %w", pid, err)
	}
	return &NS{Name: fmt.Sprintf("pid-%d", pid), fd: fd}, nil
}

// Close lets go of the namespace.
func (n *NS) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd < 0 {
		return nil
	}
	err := unix.Close(n.fd)
	n.fd = -1
	return err
}

// FD returns a file descriptor of the namespace, owned by n.
func (n *NS) FD() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fd
}

// Do runs f on a thread inside the namespace. Sockets that f opens stay in it
// for their whole life and may be used from anywhere; goroutines and processes
// that f starts: processes are born in the namespace, goroutines are not.
func (n *NS) Do(f func() error) error {
	return onThread(func() error {
		if err := vns.Set(vns.NsHandle(n.FD())); err != nil {
			return fmt.Errorf("entering network namespace %q: %w", n.Name, err)
		}
		return f()
	})
}

// onThread runs f on a locked thread that is thrown away afterwards, so that
// whatever f did to its namespaces is gone with it.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go Thread(func() { done <- f() })
	return <-done
}

// Thread runs f on a thread of its own, which ends with f whatever f did to
// its namespaces. It is for goroutines that do nothing else.
func Thread(f func()) {
	runtime.LockOSThread() // never unlocked: the runtime ends the thread with the goroutine
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	// But not the main thread, whose namespace is what /proc/self shows as the
	// program's: the runtime keeps that for ever. While it is locked here, f
	// gets another one.
	defer runtime.UnlockOSThread()
	done := make(chan struct{})
	go func() {
		defer close(done)
		Thread(f)
	}()
	<-done
}

// Start starts cmd inside the namespace.
func (n *NS) Start(cmd *exec.Cmd) error { return n.Do(cmd.Start) }

// Listen announces on an address inside the namespace.
func (n *NS) Listen(ctx context.Context, network, address string) (l net.Listener, err error) {
	err = n.Do(func() error {
		var lc net.ListenConfig
		l, err = lc.Listen(ctx, network, address)
		return err
	})
	return l, err
}

// ListenPacket announces on a datagram address inside the namespace.
func (n *NS) ListenPacket(ctx context.Context, network, address string) (c net.PacketConn, err error) {
	err = n.Do(func() error {
		var lc net.ListenConfig
		c, err = lc.ListenPacket(ctx, network, address)
		return err
	})
	return c, err
}

// DialContext connects from inside the namespace. Address must hold an IP
// address, not a name: names are looked up by goroutines outside.
func (n *NS) DialContext(ctx context.Context, network, address string) (c net.Conn, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) == nil {
		return nil, fmt.Errorf("dialing %q in network namespace %q: want an IP address", address, n.Name)
	}
	err = n.Do(func() error {
		// A negative FallbackDelay keeps the dial on this thread.
		d := net.Dialer{FallbackDelay: -1}
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Link returns a netlink handle that works inside the namespace. The caller
// closes it with Close.
func (n *NS) Link() (*netlink.Handle, error) {
	return netlink.NewHandleAt(vns.NsHandle(n.FD()))
}

// Cable joins two namespaces with a veth pair: name a in ns a, name b in ns b,
// both up, with these MACs (nil leaves the kernel's choice) and no addresses.
func Cable(a *NS, nameA string, macA net.HardwareAddr, b *NS, nameB string, macB net.HardwareAddr) error {
	return a.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = nameA
		attrs.HardwareAddr = macA
		v := &netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerHardwareAddr: macB, PeerNamespace: netlink.NsFd(b.FD())}
		if err := netlink.LinkAdd(v); err != nil {
			return fmt.Errorf("joining %q and %q by %s=%s: %w", a.Name, b.Name, nameA, nameB, err)
		}
		l, err := netlink.LinkByName(nameA)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
		h, err := b.Link()
		if err != nil {
			return err
		}
		defer h.Close()
		p, err := h.LinkByName(nameB)
		if err != nil {
			return err
		}
		return h.LinkSetUp(p)
	})
}

// Addr gives an interface an address in CIDR form, such as "10.0.0.2/24". An
// IPv6 address may be used at once: nobody else is asked whether it is theirs.
func (n *NS) Addr(iface, cidr string) error {
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if addr.IP.To4() == nil {
		addr.Flags |= unix.IFA_F_NODAD
	}
	h, err := n.Link()
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(iface)
	if err != nil {
		return fmt.Errorf("finding %q in %q: %w", iface, n.Name, err)
	}
	if err := h.AddrAdd(l, addr); err != nil {
		return fmt.Errorf("giving %s to %q in %q: %w", cidr, iface, n.Name, err)
	}
	return nil
}

// Route adds a route to dst ("default" or CIDR) by way of gateway via.
func (n *NS) Route(dst, via string) error {
	h, err := n.Link()
	if err != nil {
		return err
	}
	defer h.Close()
	r := &netlink.Route{Gw: net.ParseIP(via)}
	if dst != "default" {
		if _, r.Dst, err = net.ParseCIDR(dst); err != nil {
			return err
		}
	}
	if err := h.RouteAdd(r); err != nil {
		return fmt.Errorf("routing %s by %s in %q: %w", dst, via, n.Name, err)
	}
	return nil
}

// Sysctl writes a setting of the namespace below /proc/sys/net, such as
// "ipv4/ip_forward". The settings of other namespaces are untouched.
func (n *NS) Sysctl(key, value string) error {
	return n.Do(func() error {
		// The files under /proc/sys/net show the namespace of the thread that opens them.
		if err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0); err != nil {
			return fmt.Errorf("setting net/%s to %s in %q: %w", key, value, n.Name, err)
		}
		return nil
	})
}
