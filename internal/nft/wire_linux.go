package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
)

// wire is a socket to the packet filter that carries elements of sets, and
// nothing else. The library does it too, at ten times the cost: a gateway of
// 10,000 devices has 200,000 of them.
type wire struct {
	fd  int
	seq uint32
	buf []byte // of what is received

	ended []ended // by the last commits, until they are taken
}

// ended is what a counting token had counted when it was taken away.
type ended struct {
	mark  uint32
	down  bool
	count Count
}

// Sizes of the socket's buffers. The kernel fills one message of a dump up to 32
// KiB when the reader has room for it, and walks a set from its beginning for
// each message: small reads make dumps quadratic.
const (
	wireSend = 64 << 20
	wireRecv = 8 << 20
	wireRead = 64 << 10
)

// wireWait bounds how long the kernel may take to answer.
const wireWait = 60 * time.Second

func dialWire(in func(func() error) error) (*wire, error) {
	w := &wire{buf: make([]byte, wireRead)}
	err := in(func() (err error) {
		w.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		return nil, err
	}
	// Best effort, as in dial.
	if unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, wireSend) != nil {
		_ = unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, wireSend)
	}
	if unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, wireRecv) != nil {
		_ = unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, wireRecv)
	}
	tv := unix.NsecToTimeval(wireWait.Nanoseconds())
	if err := errors.Join(
		unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.Bind(w.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
	); err != nil {
		unix.Close(w.fd)
		return nil, err
	}
	return w, nil
}

// close may be called again.
func (w *wire) close() error {
	if w.fd < 0 {
		return nil
	}
	fd := w.fd
	w.fd = -1
	return unix.Close(fd)
}

// drain throws away what a former request left unread.
func (w *wire) drain() {
	for {
		if _, _, err := unix.Recvfrom(w.fd, w.buf, unix.MSG_DONTWAIT); err != nil && err != unix.EINTR {
			return
		}
	}
}

func (w *wire) send(b []byte) error {
	for {
		err := unix.Sendto(w.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if err != unix.EINTR {
			return err
		}
	}
}

type msgHeader struct {
	typ, flags uint16
	seq        uint32
}

// receive calls do for each message of one read.
func (w *wire) receive(do func(h msgHeader, body []byte) error) error {
	n, _, err := unix.Recvfrom(w.fd, w.buf, 0)
	if err == unix.EINTR {
		return nil
	}
	if err != nil {
		return err
	}
	for b := w.buf[:n]; len(b) >= unix.SizeofNlMsghdr; {
		size := int(binaryutil.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return errors.New("the kernel sent a message that is cut off")
		}
		h := msgHeader{typ: binaryutil.NativeEndian.Uint16(b[4:]), flags: binaryutil.NativeEndian.Uint16(b[6:]), seq: binaryutil.NativeEndian.Uint32(b[8:])}
		if err := do(h, b[unix.SizeofNlMsghdr:size]); err != nil {
			return err
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return nil
}

// errnoOf reads the error of a message of type NLMSG_ERROR; 0 is an
// acknowledgement.
func errnoOf(body []byte) unix.Errno {
	if len(body) < 4 {
		return unix.EPROTO
	}
	return unix.Errno(-int32(binaryutil.NativeEndian.Uint32(body)))
}

// Writing of messages.

// header appends a header whose length end fills in.
func header(b []byte, typ, flags uint16, seq uint32, fam byte, resource uint16) []byte {
	b = append(b, 0, 0, 0, 0)
	b = append(b, binaryutil.NativeEndian.PutUint16(typ)...)
	b = append(b, binaryutil.NativeEndian.PutUint16(flags)...)
	b = append(b, num(seq)...)
	b = append(b, 0, 0, 0, 0, fam, unix.NFNETLINK_V0)
	return binary.BigEndian.AppendUint16(b, resource)
}

func finishMessage(b []byte, at int) []byte {
	copy(b[at:], num(uint32(len(b)-at)))
	return b
}

// attr appends an attribute; nest and unnest, one around what is between them.
func attr(b []byte, typ uint16, data []byte) []byte {
	b = append(b, binaryutil.NativeEndian.PutUint16(uint16(4+len(data)))...)
	b = append(b, binaryutil.NativeEndian.PutUint16(typ)...)
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func nest(b []byte, typ uint16) ([]byte, int) {
	at := len(b)
	return append(append(b, 0, 0), binaryutil.NativeEndian.PutUint16(typ|unix.NLA_F_NESTED)...), at
}

func unnest(b []byte, at int) { copy(b[at:], binaryutil.NativeEndian.PutUint16(uint16(len(b)-at))) }

// Attributes that package unix lacks (enum nft_set_elem_attributes).
const (
	elemKeyEnd = 10
)

// element is one element of a set on its way to the kernel.
type element struct {
	key, end []byte
	stop     bool
	val      []byte
	comment  string
	life     time.Duration
	expr     expr.Any // of its own, such as a limit
}

// appendElement appends an element in the form of a list of elements. Keys and
// values that are a whole number of words long need no padding.
func appendElement(b []byte, e *element) ([]byte, error) {
	b, at := nest(b, unix.NFTA_LIST_ELEM)
	put := func(typ uint16, data []byte) {
		var in int
		b, in = nest(b, typ)
		b = attr(b, unix.NFTA_DATA_VALUE, data)
		unnest(b, in)
	}
	put(unix.NFTA_SET_ELEM_KEY, e.key)
	if len(e.end) > 0 {
		put(elemKeyEnd, e.end)
	}
	if e.stop {
		b = attr(b, unix.NFTA_SET_ELEM_FLAGS, binary.BigEndian.AppendUint32(nil, unix.NFT_SET_ELEM_INTERVAL_END))
	}
	if len(e.val) > 0 {
		put(unix.NFTA_SET_ELEM_DATA, e.val)
	}
	if e.life > 0 {
		b = attr(b, unix.NFTA_SET_ELEM_TIMEOUT, binary.BigEndian.AppendUint64(nil, uint64(max(1, e.life.Milliseconds()))))
	}
	if e.comment != "" {
		b = attr(b, unix.NFTA_SET_ELEM_USERDATA, userdata.AppendString(nil, userdata.NFTNL_UDATA_SET_ELEM_COMMENT, e.comment))
	}
	if e.expr != nil {
		x, err := expr.Marshal(unix.NFPROTO_IPV4, e.expr)
		if err != nil {
			return b, err
		}
		b = attr(b, unix.NFTA_SET_ELEM_EXPR|unix.NLA_F_NESTED, x)
	}
	unnest(b, at)
	return b, nil
}

// partSize is how long the list of elements of one message may grow: the length
// of an attribute has 16 bits.
const partSize = 60 << 10

// batch is one transaction.
type batch struct {
	renew, del, add []part
	n               int // elements
}

// part is the messages about one set.
type part struct {
	set  *setDef
	full [][]byte // lists of elements
	open []byte
}

// queue puts an element among those of its set.
func (b *batch) queue(to *[]part, d *setDef, e *element) error {
	var p *part
	for i := len(*to) - 1; i >= 0; i-- {
		if (*to)[i].set == d {
			p = &(*to)[i]
			break
		}
	}
	if p == nil {
		*to = append(*to, part{set: d})
		p = &(*to)[len(*to)-1]
	}
	if len(p.open) > partSize {
		p.full, p.open = append(p.full, p.open), make([]byte, 0, partSize+1024)
	}
	b.n++
	var err error
	p.open, err = appendElement(p.open, e)
	return err
}

// refresh, delete and insert queue what is put there first, so that its deletion
// succeeds even where it just ran out, what is taken away, and what is put there.
func (b *batch) refresh(d *setDef, e *element) error {
	return b.queue(&b.renew, d, e)
}
func (b *batch) deleteKey(d *setDef, e *element) error {
	return b.queue(&b.del, d, &element{key: e.key, end: e.end, stop: e.stop})
}
func (b *batch) insert(d *setDef, e *element) error { return b.queue(&b.add, d, e) }

func (b *batch) empty() bool { return len(b.renew)+len(b.del)+len(b.add) == 0 }

// Message types, with their subsystem.
const (
	msgNewElem  = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWSETELEM
	msgGetElem  = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSETELEM
	msgDelElem  = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELSETELEM
	msgGetRule  = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE
	msgNewRule  = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWRULE
	msgGetChain = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETCHAIN
	msgNewChain = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWCHAIN
	msgGetGen   = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN
)

func appendList(b []byte, typ, flags uint16, seq uint32, d *setDef, list []byte) []byte {
	at := len(b)
	b = header(b, typ, flags, seq, d.family.number(), 0)
	b = attr(b, unix.NFTA_SET_ELEM_LIST_TABLE, []byte(TableName+"\x00"))
	b = attr(b, unix.NFTA_SET_ELEM_LIST_SET, []byte(d.name+"\x00"))
	if list != nil {
		b = attr(b, unix.NFTA_SET_ELEM_LIST_ELEMENTS|unix.NLA_F_NESTED, list)
	}
	return finishMessage(b, at)
}

// commit sends a transaction and waits for the kernel's word. Messages are of
// one kind and one set each; the last asks for an acknowledgement, and the first
// refusal undoes all.
func (w *wire) commit(b *batch) error {
	if b.empty() {
		return nil
	}
	w.drain()
	size := 4096
	for _, parts := range [][]part{b.renew, b.del, b.add} {
		for _, p := range parts {
			size += len(p.open) + 128
			for _, l := range p.full {
				size += len(l) + 128
			}
		}
	}
	out := make([]byte, 0, size)
	edge := func(typ uint16) {
		at := len(out)
		w.seq++
		out = finishMessage(header(out, typ, unix.NLM_F_REQUEST, w.seq, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES), at)
	}
	edge(unix.NFNL_MSG_BATCH_BEGIN)
	last := 0
	for i, parts := range [][]part{b.renew, b.del, b.add} {
		typ, flags := uint16(msgNewElem), uint16(unix.NLM_F_REQUEST|unix.NLM_F_CREATE)
		if i == 1 {
			typ, flags = msgDelElem, unix.NLM_F_REQUEST
		}
		for _, p := range parts {
			echo := uint16(0)
			if i == 1 && p.set.counts {
				echo = unix.NLM_F_ECHO // tell what they had counted to the very end
			}
			for _, l := range append(p.full, p.open) {
				w.seq++
				last = len(out)
				out = appendList(out, typ, flags|echo, w.seq, p.set, l)
			}
		}
	}
	flags := binaryutil.NativeEndian.Uint16(out[last+6:]) | unix.NLM_F_ACK
	copy(out[last+6:], binaryutil.NativeEndian.PutUint16(flags))
	want := w.seq
	edge(unix.NFNL_MSG_BATCH_END)
	if err := w.send(out); err != nil {
		return err
	}
	for done := false; !done; {
		err := w.receive(func(h msgHeader, body []byte) error {
			if h.typ == msgDelElem && len(body) >= 4 {
				return w.end(body[4:])
			}
			if h.typ != unix.NLMSG_ERROR {
				return nil
			}
			if no := errnoOf(body); no != 0 {
				return no
			}
			done = done || h.seq == want
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// end notes what elements had counted that were taken away.
func (w *wire) end(body []byte) error {
	down := false
	err := eachAttr(body, func(typ uint16, data []byte) error {
		if typ == unix.NFTA_SET_ELEM_LIST_SET {
			down = text(data) == setFastDown
		}
		return nil
	})
	if err != nil {
		return err
	}
	return eachElement(body, func(e *found) {
		if e.counter != nil && e.counter.Packets > 0 {
			w.ended = append(w.ended, ended{u32(string(e.key)) & markBits, down, *e.counter})
		}
	})
}

// Reading.

// found is one element that the kernel tells of; its fields are good until do
// returns.
type found struct {
	key, end, val, user []byte
	flags               uint32
	expires             time.Duration
	counter             *Count
	quota               *quotaState
	bound               string // as boundOf has it
}

// stop reports whether the element ends an interval.
func (e *found) stop() bool { return e.flags&unix.NFT_SET_ELEM_INTERVAL_END != 0 }

// boxEnd is the end of a box. Other sets are told with none or with their key.
func (e *found) boxEnd(d *setDef) []byte {
	if d.concatInterval() {
		return e.end
	}
	return nil
}

// quotaState is what a quota holds.
type quotaState struct{ bytes, consumed uint64 }

func (e *found) comment() string {
	s, _ := userdata.GetString(e.user, userdata.NFTNL_UDATA_SET_ELEM_COMMENT)
	return s
}

// dump calls do for every element of a set. whole is false when a transaction
// came in between, of whatever set and by whomever: then something may have
// been told twice or not at all.
func (w *wire) dump(d *setDef, do func(e *found)) (whole bool, err error) {
	whole, err = w.list(msgNewElem, func(seq uint32) []byte {
		return appendList(nil, msgGetElem, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, seq, d, nil)
	}, func(body []byte) error { return eachElement(body, do) })
	if err != nil {
		return false, fmt.Errorf("reading set %q: %w", d.name, err)
	}
	return whole, nil
}

// dumpTable calls do for every chain or rule of our table of a family.
func (w *wire) dumpTable(get, answer uint16, fam family, do func(body []byte) error) (whole bool, err error) {
	return w.list(answer, func(seq uint32) []byte {
		b := header(nil, get, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, seq, fam.number(), 0)
		return finishMessage(attr(b, 1, []byte(TableName+"\x00")), 0) // the table's name is attribute 1 of both
	}, do)
}

// list sends a request for a dump and calls do for each answer, without its
// header.
func (w *wire) list(answer uint16, request func(seq uint32) []byte, do func(body []byte) error) (whole bool, err error) {
	w.drain()
	w.seq++
	if err := w.send(request(w.seq)); err != nil {
		return false, err
	}
	whole = true
	for done := false; !done; {
		err := w.receive(func(h msgHeader, body []byte) error {
			if h.seq == w.seq && h.flags&unix.NLM_F_DUMP_INTR != 0 {
				whole = false
			}
			switch {
			case h.seq != w.seq:
			case h.typ == unix.NLMSG_DONE:
				done = true
			case h.typ == unix.NLMSG_ERROR:
				return errnoOf(body)
			case h.typ == answer && len(body) >= 4:
				return do(body[4:])
			}
			return nil
		})
		if err != nil {
			return false, err
		}
	}
	return whole, nil
}

// lookup asks for single elements by their keys, all of one set, and calls do
// for each that is there; the answer's key is as it was put there.
func (w *wire) lookup(d *setDef, keys []element, do func(e *found)) (missing int, err error) {
	w.drain()
	for i := range keys {
		list, err := appendElement(nil, &element{key: keys[i].key, end: keys[i].end, stop: keys[i].stop})
		if err != nil {
			return 0, err
		}
		w.seq++
		if err := w.send(appendList(nil, msgGetElem, unix.NLM_F_REQUEST, w.seq, d, list)); err != nil {
			return 0, err
		}
		for done := false; !done; {
			err := w.receive(func(h msgHeader, body []byte) error {
				switch {
				case h.seq != w.seq:
				case h.typ == unix.NLMSG_ERROR:
					done = true
					no := errnoOf(body)
					if no != unix.ENOENT && no != 0 {
						return no
					}
					missing++
				case h.typ == msgNewElem && len(body) >= 4:
					done = true
					return eachElement(body[4:], do)
				}
				return nil
			})
			if err != nil {
				return 0, fmt.Errorf("reading set %q: %w", d.name, err)
			}
		}
	}
	return missing, nil
}

// generation returns the number of the last transaction of the namespace,
// whoever made it. It tells that nothing has changed since.
func (w *wire) generation() (gen uint32, err error) {
	w.drain()
	w.seq++
	if err := w.send(finishMessage(header(nil, msgGetGen, unix.NLM_F_REQUEST, w.seq, unix.AF_UNSPEC, 0), 0)); err != nil {
		return 0, err
	}
	for done := false; !done; {
		err := w.receive(func(h msgHeader, body []byte) error {
			switch {
			case h.seq != w.seq:
			case h.typ == unix.NLMSG_ERROR:
				return errnoOf(body)
			case len(body) >= 4:
				done = true
				return eachAttr(body[4:], func(typ uint16, data []byte) error {
					if typ == unix.NFTA_GEN_ID && len(data) >= 4 {
						gen = binary.BigEndian.Uint32(data)
					}
					return nil
				})
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return gen, nil
}

// errAttr is of attributes that reach past their end.
var errAttr = ringwall.Errorf(ringwall.Internal, "the kernel sent an attribute that is cut off")

// eachAttr calls do for each attribute, its type without flags.
func eachAttr(b []byte, do func(typ uint16, data []byte) error) error {
	for len(b) >= 4 {
		n := int(binaryutil.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return errAttr
		}
		typ := binaryutil.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if err := do(typ, b[4:n]); err != nil {
			return err
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return nil
}

// eachElement reads the elements of one message, without its header.
func eachElement(b []byte, do func(e *found)) error {
	return eachAttr(b, func(typ uint16, data []byte) error {
		if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return nil
		}
		return eachAttr(data, func(_ uint16, data []byte) error {
			var e found
			if err := e.parse(data); err != nil {
				return err
			}
			do(&e)
			return nil
		})
	})
}

func (e *found) parse(b []byte) error {
	inner := func(data []byte, to *[]byte) error {
		return eachAttr(data, func(typ uint16, data []byte) error {
			if typ == unix.NFTA_DATA_VALUE {
				*to = data
			}
			return nil
		})
	}
	return eachAttr(b, func(typ uint16, data []byte) error {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			return inner(data, &e.key)
		case elemKeyEnd:
			return inner(data, &e.end)
		case unix.NFTA_SET_ELEM_DATA:
			return inner(data, &e.val)
		case unix.NFTA_SET_ELEM_FLAGS:
			if len(data) >= 4 {
				e.flags = binary.BigEndian.Uint32(data)
			}
		case unix.NFTA_SET_ELEM_EXPIRATION:
			if len(data) >= 8 {
				e.expires = time.Duration(min(binary.BigEndian.Uint64(data), 1<<40)) * time.Millisecond
			}
		case unix.NFTA_SET_ELEM_USERDATA:
			e.user = data
		case unix.NFTA_SET_ELEM_EXPR:
			return e.parseExpr(data)
		}
		return nil
	})
}

// parseExpr reads a counter or a bound.
func (e *found) parseExpr(b []byte) error {
	var name string
	return eachAttr(b, func(typ uint16, data []byte) error {
		switch typ {
		case unix.NFTA_EXPR_NAME:
			name = strings.TrimRight(string(data), "\x00")
		case unix.NFTA_EXPR_DATA:
			return e.parseBound(name, data)
		}
		return nil
	})
}

func (e *found) parseBound(name string, data []byte) error {
	var f [8]uint64 // the fields, by type
	err := eachAttr(data, func(typ uint16, data []byte) error {
		switch {
		case int(typ) >= len(f):
		case len(data) == 8:
			f[typ] = binary.BigEndian.Uint64(data)
		case len(data) == 4:
			f[typ] = uint64(binary.BigEndian.Uint32(data))
		}
		return nil
	})
	switch name {
	case "counter":
		e.counter = &Count{Packets: f[unix.NFTA_COUNTER_PACKETS], Bytes: f[unix.NFTA_COUNTER_BYTES]}
	case "quota":
		e.quota = &quotaState{bytes: f[unix.NFTA_QUOTA_BYTES], consumed: f[unix.NFTA_QUOTA_CONSUMED]}
		e.bound = boundOf(&expr.Quota{Bytes: e.quota.bytes})
	case "limit":
		e.bound = boundOf(&expr.Limit{Type: expr.LimitType(f[unix.NFTA_LIMIT_TYPE]), Rate: f[unix.NFTA_LIMIT_RATE],
			Unit: expr.LimitTime(f[unix.NFTA_LIMIT_UNIT]), Burst: uint32(f[unix.NFTA_LIMIT_BURST])})
	case "connlimit":
		e.bound = boundOf(&expr.Connlimit{Count: uint32(f[expr.NFTA_CONNLIMIT_COUNT])})
	}
	return err
}
