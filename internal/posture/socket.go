package posture

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/api"
)

// inetTables are the kernel's tables of sockets, in /proc/net.
var inetTables = [...]string{"tcp", "tcp6", "udp", "udp6"}

// maxWatched bounds what Listening names.
const maxWatched = 4096

// process is who holds a socket.
type process struct {
	name string
	uid  int
}

// sockets lists what waits for others: TCP in state listen, UDP that is not
// connected, unix sockets that accept.
func (c *collector) sockets() {
	var found []owned
	there := false
	for _, proto := range inetTables {
		text, ok := c.read("proc/net/"+proto, maxFile)
		there = there || ok
		for l := range strings.Lines(text) {
			if o, ok := inetSocket(l, strings.TrimSuffix(proto, "6")); ok {
				found = append(found, o)
			}
		}
	}
	text, _ := c.read("proc/net/unix", maxFile)
	for l := range strings.Lines(text) {
		if o, ok := unixSocket(l); ok {
			found = append(found, o)
		}
	}
	if !there {
		c.note("proc/net/tcp: not there")
		return
	}
	holders := c.holders(found)
	for _, o := range found {
		if p, ok := holders[o.inode]; ok {
			o.l.Program, o.l.UID = p.name, p.uid
		}
		if !list(c, &c.p.Listening, "listening sockets", o.l) {
			break
		}
	}
	slices.SortFunc(c.p.Listening, func(a, b api.Listener) int {
		return cmp.Or(cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Addr.Port(), b.Addr.Port()), a.Addr.Addr().Compare(b.Addr.Addr()), cmp.Compare(a.Path, b.Path))
	})
	c.p.Listening = slices.Compact(c.p.Listening)
}

type owned struct {
	l     api.Listener
	inode uint64
}

// inetSocket reads one line of /proc/net/tcp and the like.
func inetSocket(line, proto string) (owned, bool) {
	f := strings.Fields(line)
	if len(f) < 10 {
		return owned{}, false
	}
	const listen, unconnected = "0A", "07"
	if proto == "tcp" && f[3] != listen || proto == "udp" && f[3] != unconnected {
		return owned{}, false
	}
	addr, ok := procAddr(f[1])
	uid, err := strconv.Atoi(f[7])
	inode, err2 := strconv.ParseUint(f[9], 10, 64)
	if !ok || err != nil || err2 != nil {
		return owned{}, false
	}
	return owned{api.Listener{Proto: proto, Addr: addr, UID: uid}, inode}, true
}

// procAddr reads an address as the kernel prints it: 32-bit words in hex, each
// in the machine's byte order. All machines that we build for are little-endian.
func procAddr(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	b, err2 := hex.DecodeString(host)
	if !ok || err != nil || err2 != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}

// unixSocket reads one line of /proc/net/unix; only those that accept and have
// a path count. Flag 0x10000 is SO_ACCEPTCON.
func unixSocket(line string) (owned, bool) {
	f := strings.Fields(line)
	if len(f) < 8 {
		return owned{}, false
	}
	flags, err := strconv.ParseUint(f[3], 16, 32)
	inode, err2 := strconv.ParseUint(f[6], 10, 64)
	if err != nil || err2 != nil || flags&0x10000 == 0 {
		return owned{}, false
	}
	return owned{api.Listener{Proto: "unix", Path: clean(f[7], 108), UID: -1}, inode}, true
}

// holders finds the processes that hold the sockets, through /proc/PID/fd.
func (c *collector) holders(found []owned) map[uint64]process {
	wanted := map[string]uint64{}
	for _, o := range found {
		wanted["socket:["+strconv.FormatUint(o.inode, 10)+"]"] = o.inode
	}
	out := map[uint64]process{}
	denied := 0
	c.processes(func(dir string) bool {
		fds, err := fs.ReadDir(c.root, dir+"/fd")
		if err != nil {
			if errors.Is(err, fs.ErrPermission) {
				denied++
			}
			return true // or it has ended meanwhile
		}
		for _, fd := range fds[:min(len(fds), maxFDs)] {
			target, err := fs.ReadLink(c.root, dir+"/fd/"+fd.Name())
			if err != nil {
				continue
			}
			inode, ok := wanted[target]
			if _, known := out[inode]; !ok || known {
				continue
			}
			out[inode] = c.process(dir)
		}
		return len(out) < len(wanted)
	})
	if missing := len(wanted) - len(out); missing > 0 {
		text := "proc/PID/fd: the programs behind " + strconv.Itoa(missing) + " sockets are not known"
		if denied > 0 {
			text += "; not permitted for " + strconv.Itoa(denied) + " processes"
		}
		c.note(text)
	}
	return out
}

// processes calls do with the folder of each process until it answers false.
func (c *collector) processes(do func(dir string) bool) {
	n := 0
	for _, e := range c.entries("proc") {
		if _, err := strconv.ParseUint(e.Name(), 10, 32); err != nil {
			continue
		}
		if n++; n > maxProcesses {
			c.note("proc: more than " + strconv.Itoa(maxProcesses) + " processes, the rest was left out")
			return
		}
		if c.ctx.Err() != nil || !do("proc/"+e.Name()) {
			return
		}
	}
}

// process reads a program's name and effective user.
func (c *collector) process(dir string) process {
	p := process{uid: -1}
	status, _ := c.read(dir+"/status", 8192)
	for l := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(l, "Name:"); ok {
			p.name = clean(v, 64)
		} else if v, ok := strings.CutPrefix(l, "Uid:"); ok {
			if f := strings.Fields(v); len(f) >= 2 {
				if uid, err := strconv.Atoi(f[1]); err == nil {
					p.uid = uid
				}
			}
		}
	}
	return p
}

// Listening names the inet sockets that wait for others, one "proto address
// user" each, sorted: what changes when a program opens or closes one. It reads
// four files of /proc and looks at no process, so that it may be asked often.
// root nil is the real one.
func Listening(root fs.FS) []string {
	if root == nil {
		root = os.DirFS("/")
	}
	c := &collector{ctx: context.Background(), root: root}
	out := []string{}
	for _, proto := range inetTables {
		text, _ := c.read("proc/net/"+proto, maxFile)
		for l := range strings.Lines(text) {
			if o, ok := inetSocket(l, strings.TrimSuffix(proto, "6")); ok && len(out) < maxWatched {
				out = append(out, o.l.Proto+" "+o.l.Addr.String()+" "+strconv.Itoa(o.l.UID))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
