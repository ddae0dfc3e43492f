package gtpprime

import (
	"encoding/binary"
	"net/netip"

	"github.com/cespare/xxhash/v2"

	"github.com/ringwall/ringwall/cdr/gtpp"
)

// window is how many packets of a peer are remembered: more than any sends without
// an answer.
const window = 4096

// peer is what is remembered of a peer.
type peer struct {
	done   map[uint16]uint64 // packets that were dealt with, and the digest of their records
	order  []uint16          // the same, the oldest first
	doing  map[uint16]bool   // packets that are being dealt with
	used   uint64            // when it spoke last, in messages
	solved map[uint16]bool   // held packets that were cancelled or released
}

// begin is the first thing that is done with a packet. It reports what is known of
// it: that it was dealt with, or is being.
func (s *Server) begin(from netip.Addr, seq uint16, sum uint64, question bool) (again, busy bool, p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p = s.peers[from]
	if p == nil {
		if len(s.peers) >= s.c.MaxPeers {
			s.forget()
		}
		p = &peer{done: map[uint16]uint64{}, doing: map[uint16]bool{}, solved: map[uint16]bool{}}
		s.peers[from] = p
	}
	p.used = s.packets.Load() + s.again.Load()
	if was, ok := p.done[seq]; ok && (was == sum || question) {
		return true, false, p
	}
	if p.doing[seq] {
		return false, true, p
	}
	p.doing[seq] = true
	return false, false, p
}

// forget drops the peer that has been silent for longest.
func (s *Server) forget() {
	var oldest netip.Addr
	least := ^uint64(0)
	for a, p := range s.peers {
		if p.used < least && len(p.doing) == 0 {
			oldest, least = a, p.used
		}
	}
	delete(s.peers, oldest)
}

// end is the last thing that is done with a packet: done says that it was dealt
// with.
func (s *Server) end(p *peer, seq uint16, sum uint64, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(p.doing, seq)
	if !done {
		return
	}
	if _, known := p.done[seq]; !known {
		p.order = append(p.order, seq)
	}
	p.done[seq] = sum
	if len(p.order) > window {
		delete(p.done, p.order[0])
		delete(p.solved, p.order[0])
		p.order = p.order[1:]
	}
}

func digest(m gtpp.Message) uint64 {
	h := xxhash.New()
	var n [2]byte
	add := func(b []byte) {
		binary.BigEndian.PutUint16(n[:], uint16(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	add([]byte{m.Command})
	if m.Packet != nil {
		for _, r := range m.Packet.Records {
			add(r)
		}
	}
	for _, list := range [][]uint16{m.Released, m.Cancelled} {
		for _, v := range list {
			binary.BigEndian.PutUint16(n[:], v)
			h.Write(n[:])
		}
		h.Write([]byte{0xff})
	}
	return h.Sum64()
}

// transfer deals with a Data Record Transfer Request and returns the cause of the
// answer; answer is false when the packet is being dealt with, and will be
// answered then.
func (s *Server) transfer(from netip.Addr, m gtpp.Message) (cause uint8, answer bool) {
	sum := digest(m)
	question := m.Command == gtpp.Send && m.Packet != nil && len(m.Packet.Records) == 0
	again, busy, p := s.begin(from, m.Sequence, sum, question)
	switch {
	case busy:
		s.again.Add(1)
		return 0, false
	case again:
		s.again.Add(1)
		if m.Command == gtpp.Cancel || m.Command == gtpp.Release {
			return gtpp.DuplicatesFulfilled, true
		}
		return gtpp.AlreadyFulfilled, true
	}
	switch m.Command {
	case gtpp.Send:
		cause = s.send(from, m)
	case gtpp.SendPossibleDuplicates:
		cause = s.hold(from, m)
	case gtpp.Cancel:
		cause = s.solve(from, p, m.Cancelled, false)
	case gtpp.Release:
		cause = s.solve(from, p, m.Released, true)
	case 0:
		cause = gtpp.MandatoryMissing
	default:
		cause = gtpp.MandatoryIncorrect
	}
	// A question whether a packet came is no packet: it may still come.
	s.end(p, m.Sequence, sum, cause == gtpp.Accepted && !question)
	if cause == gtpp.NoResources {
		s.refused.Add(1)
	}
	return cause, true
}

func (s *Server) send(from netip.Addr, m gtpp.Message) uint8 {
	if cause := check(m); cause != gtpp.Accepted || len(m.Packet.Records) == 0 {
		return cause
	}
	if err := s.c.Sink.AddRecords(from.String(), m.Packet.Records); err != nil {
		s.c.Log.Warn("a packet of charging records was refused", "peer", from, "error", err)
		return gtpp.NoResources
	}
	s.packets.Add(1)
	s.records.Add(uint64(len(m.Packet.Records)))
	return gtpp.Accepted
}

func check(m gtpp.Message) uint8 {
	switch {
	case m.Packet == nil:
		return gtpp.MandatoryMissing
	case len(m.Packet.Records) > 0 && m.Packet.Format != gtpp.BER:
		return gtpp.DecodingError
	}
	return gtpp.Accepted
}

func (s *Server) hold(from netip.Addr, m gtpp.Message) uint8 {
	if cause := check(m); cause != gtpp.Accepted {
		return cause
	}
	if err := s.held.add(from, m.Sequence, m.Packet.Records); err != nil {
		s.c.Log.Warn("a packet that may be a duplicate was refused", "peer", from, "error", err)
		return gtpp.NoResources
	}
	s.heldN.Add(1)
	return gtpp.Accepted
}

// solve cancels or releases packets that are held. One that was solved before
// counts as done; one that never came makes the list wrong, and nothing is done.
func (s *Server) solve(from netip.Addr, p *peer, list []uint16, release bool) uint8 {
	if len(list) == 0 {
		return gtpp.MandatoryMissing
	}
	known := 0
	s.mu.Lock()
	for _, seq := range list {
		if p.solved[seq] || s.held.has(from, seq) {
			known++
		}
	}
	s.mu.Unlock()
	if known < len(list) {
		return gtpp.SequenceListIncorrect
	}
	for _, seq := range list {
		records, ok := s.held.get(from, seq)
		if !ok {
			continue
		}
		if release && len(records) > 0 {
			if err := s.c.Sink.AddRecords(from.String(), records); err != nil {
				s.c.Log.Warn("a released packet was refused", "peer", from, "error", err)
				return gtpp.NoResources
			}
			s.packets.Add(1)
			s.records.Add(uint64(len(records)))
		}
		if err := s.held.remove(from, seq); err != nil {
			s.c.Log.Warn("a held packet cannot be let go", "peer", from, "error", err)
			return gtpp.NoResources
		}
		if release {
			s.released.Add(1)
		} else {
			s.cancelled.Add(1)
		}
		s.mu.Lock()
		p.solved[seq] = true
		s.mu.Unlock()
	}
	return gtpp.Accepted
}
