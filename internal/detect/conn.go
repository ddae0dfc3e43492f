package detect

import "time"

// State of a connection.
const (
	connTried  uint8 = iota // opened, not answered
	connOpen                // answered
	connClosed              // ended or refused
	connMiddle              // first seen in its middle; who opened it is a guess
)

// Marks of a connection.
const (
	connBare     uint16 = 1 << iota // to an address that no name led to and nobody needs
	connLogin                       // to a login service
	connTelnet                      // to telnet
	connPassword                    // the last request carried a password
	connHostName                    // its requests name a host
	connHostAddr                    // its requests name a bare address
	connHeader                      // in the middle of a response's header
	connBody                        // the body of a response begins at next
	connFirstUp                     // the first bytes of the opener were seen
	connFirstDn                     // the first bytes of the other side were seen
	connAsked                       // a DNS question
	connVideo                       // a video stream was asked for
	connRTSP                        // speaks RTSP
	connAnswer                      // its answer was seen before its opening: both sequence numbers are known
)

// conn is one connection, or one flow of UDP.
type conn struct {
	endpoint    uint64 // tag of the endpoint it belongs to
	last, first int64
	num         uint64 // of its first packet
	side        uint32 // of the opener
	isn         uint32 // of the opener
	risn        uint32 // of the other side
	auth        uint32 // of the password in the last request, if its text can be compared
	next        uint32 // where the header goes on or the body begins
	up, down    uint32 // payload bytes
	src, dst    int32  // devices
	rate        uint32 // packets of the opener in this second
	answers     uint16 // packets of the other side in this second
	second      int32
	marks       uint16
	dport       uint16
	header      uint16 // bytes of the response's header so far
	proto       uint8
	state       uint8
	slot        uint8 // place among its host's contacts, from 1
	syns        uint8
	match       uint8 // of the blank line that ends a header
	prompts     uint8 // for a login name
	fails       uint8 // refusals that were read
	bodyLen     uint8
	body        [14]byte
	flooding    uint8
}

// begun reports whether it is known where either side's bytes begin.
func (c *conn) begun() bool { return c.state == connOpen || c.marks&connAnswer != 0 }

// conns is the table of connections.
type conns struct {
	tags  []uint64
	slots []conn
	mask  uint64
}

func (t *conns) init(n int) {
	t.tags = make([]uint64, pow2(n))
	t.slots = make([]conn, pow2(n))
	t.mask = uint64(len(t.slots)/ways - 1)
}

func (t *conns) find(tag uint64) *conn {
	if at, _ := find(t.tags, t.mask, tag); at >= 0 {
		return &t.slots[at]
	}
	return nil
}

// open returns a cleared connection for tag, in place of the one with that
// tag or of the least worth.
func (t *conns) open(tag uint64, now int64) *conn {
	at, free := find(t.tags, t.mask, tag)
	switch {
	case at >= 0:
		free = at
	case free < 0:
		b := int(tag>>8&t.mask) * ways
		least, oldest := 1<<30, int64(0)
		for i := b; i < b+ways; i++ {
			c := &t.slots[i]
			if w := c.worth(now); w < least || w == least && c.last < oldest {
				free, least, oldest = i, w, c.last
			}
		}
	}
	t.tags[free] = tag
	c := &t.slots[free]
	*c = conn{first: now, last: now, src: -1, dst: -1}
	return c
}

// worth ranks a connection for eviction: one that was answered is worth more
// than one that may be forged, one of a known device more than others.
func (c *conn) worth(now int64) int {
	w := 0
	idle := now - c.last
	if idle < -int64(time.Minute) {
		return 0 // from before the clock was set back
	}
	switch {
	case c.state == connOpen && idle < int64(2*time.Minute):
		w = 4
	case c.state == connMiddle && idle < int64(30*time.Second):
		w = 1
	case c.state == connTried && idle < int64(5*time.Second):
		w = 1
	}
	if c.src >= 0 && w > 0 {
		w += 2
	}
	return w
}

// forget makes the connections of devices that are gone nobody's.
func (t *conns) forget(gone map[int32]bool) {
	if len(gone) == 0 {
		return
	}
	for i := range t.slots {
		c := &t.slots[i]
		if gone[c.src] {
			c.src = -1
		}
		if gone[c.dst] {
			c.dst = -1
		}
	}
}
