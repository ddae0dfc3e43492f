package detect

import (
	"encoding/binary"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

// video reports whether a port serves video on cameras.
func video(port uint16) bool { return port == 554 || port == 8554 || port == 10554 }

// videoTry notes that somebody who has no business there tries the video port
// of a known device, whether or not it is let in.
func (e *Engine) videoTry(a *attempt) {
	if a.dst.dev < 0 || a.proto != packet.ProtoTCP || !video(a.dport) || a.src.local || e.expects(a.dst.dev, true, &a.src, a.proto, a.dport) {
		return
	}
	if !e.fresh(ruleVideo, &a.dst, mix(a.src.key, 1<<33), hour, a.now) {
		return
	}
	e.tell(statement{
		rule: ruleVideo, nature: ringwall.NatureAttack, severity: ringwall.Medium, stage: ringwall.Infection, role: roleTarget,
		title: "A stranger tries the video port of the device", subject: a.dst, peer: a.src.addr,
		at: a.now, first: a.now, count: 1, packets: []uint64{a.num},
		facts: map[string]string{"peer": a.src.addr.String(), "port": itoa(a.dport), "stream": "not yet"},
	}, "try"+a.src.addr.String(), hour)
}

// videoOpened notes that a stream of video began, is asked to begin, or is
// under way: a stream may be older than the detectors, or its beginning lost.
func (e *Engine) videoOpened(p *packet.Packet, c *conn, viewer, camera party, how string, now int64) {
	if camera.dev < 0 && !camera.local || c.marks&connVideo != 0 {
		return
	}
	c.marks |= connVideo
	if camera.dev >= 0 {
		if e.expects(camera.dev, true, &viewer, c.proto, c.dport) || viewer.local && !e.devices[camera.dev].measured() {
			return
		}
	} else if viewer.local {
		return // who may watch is not known of a camera that nobody has named
	}
	if !e.fresh(ruleVideo, &camera, viewer.key, hour, now) {
		return
	}
	s := statement{
		rule: ruleVideo, nature: ringwall.NatureAttack, severity: ringwall.High, stage: ringwall.Action, role: roleTarget,
		title: "A stranger on the Internet watches the video of the device", subject: camera, peer: viewer.addr,
		at: now, first: c.first, count: 1, packets: []uint64{c.num, p.Number},
		facts: map[string]string{"peer": viewer.addr.String(), "port": itoa(c.dport), "stream": how},
	}
	if viewer.local {
		// Perhaps a new phone in the house: worth asking, no proof.
		s.nature, s.severity, s.title = ringwall.NatureDeviation, ringwall.Medium, "A host that never did so before watches the video of the device"
	}
	e.tell(s, viewer.addr.String(), hour)
}

// interleaved reports whether b begins with a frame of RTP between the
// messages of RTSP (RFC 2326 section 10.12; RTP version 2, RFC 3550).
func interleaved(b []byte) bool {
	return len(b) >= 16 && b[0] == '$' && b[1] < 16 && binary.BigEndian.Uint16(b[2:]) >= 12 && b[4]>>6 == 2
}
