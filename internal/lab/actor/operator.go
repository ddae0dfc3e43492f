package actor

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/packet"
)

// OperatorSettings make a telecom operator with one card.
type OperatorSettings struct {
	// The card's numbers; plain strings, because the types of the vocabulary
	// mask themselves.
	ICCID string     `json:"iccid"`
	IMSI  string     `json:"imsi"`
	IMEI  string     `json:"imei"` // of the equipment it sits in at first
	Addr  netip.Addr `json:"addr"` // that the card was given
	Radio string     `json:"radio"`
	APN   string     `json:"apn"`
	// Token is what callers of the port bear, Port where it listens.
	Token  string        `json:"token"`
	Port   string        `json:"port"`
	Period time.Duration `json:"period"` // of a usage record
}

// Attach moves the card to another equipment.
type Attach struct {
	IMEI string `json:"imei"`
}

// Service is one call or message of the card.
type Service struct {
	Service string `json:"service"` // "voice", "sms"
	Peer    string `json:"peer"`
}

// OperatorState is what the operator tells of itself to the range.
type OperatorState struct {
	State   string `json:"state"` // of the card
	Records uint64 `json:"records"`
	Packets uint64 `json:"packets"`
	Errors  uint64 `json:"errors"` // records that could not be written
}

// meterOf makes usage records of the packets that pass the radio.
type meterOf struct {
	s   OperatorSettings
	now func() time.Time
	out *os.File

	mu    sync.Mutex // guards what follows
	imei  string
	peers map[netip.Addr]*volume
	over  volume // peers past maxPeers
	state OperatorState
}

type volume struct {
	up, down    uint64
	first, last time.Time
}

// maxPeers is how many peers one period tells apart.
const maxPeers = 1000

// Where the home is, to the operator.
const (
	homeArea = "4f01"
	homeCell = "9b2"
)

// packet counts one packet of the radio.
func (m *meterOf) packet(data []byte, origLen int) {
	var p packet.Packet
	if err := packet.Decode(packet.LinkEthernet, data, &p); err != nil && !p.IP() {
		return
	}
	up := p.Src == m.s.Addr
	peer := p.Dst
	if !up {
		if peer = p.Src; p.Dst != m.s.Addr {
			return
		}
	}
	size := uint64(max(origLen-14, 0))
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Packets++
	v := m.peers[peer]
	if v == nil {
		if v = &m.over; len(m.peers) < maxPeers {
			v = &volume{}
			m.peers[peer] = v
		}
	}
	if v.first.IsZero() {
		v.first = now
	}
	v.last = now
	if up {
		v.up += size
	} else {
		v.down += size
	}
}

// close ends the period: one record a peer, each one write to the file, so
// that a reader sees whole lines.
func (m *meterOf) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, peer := range slices.SortedFunc(maps.Keys(m.peers), netip.Addr.Compare) {
		if err := m.write(cdr.Data, cdr.DirectionUnknown, peer.String(), *m.peers[peer]); err != nil {
			return err
		}
	}
	if m.over != (volume{}) {
		if err := m.write(cdr.Data, cdr.DirectionUnknown, "", m.over); err != nil {
			return err
		}
	}
	m.peers, m.over = map[netip.Addr]*volume{}, volume{}
	return nil
}

// write writes one record. Callers hold mu.
func (m *meterOf) write(service cdr.Service, dir cdr.Direction, peer string, v volume) error {
	m.state.Records++
	r := cdr.Record{
		ID: fmt.Sprintf("range-%d-%d", m.now().Unix(), m.state.Records), Time: cmp.Or(v.last, m.now()),
		IMSI: ringwall.IMSI(m.s.IMSI), IMEI: ringwall.IMEI(m.imei), Service: service, Direction: dir, Peer: peer,
		Up: v.up, Down: v.down, Area: homeArea, Cell: homeCell, Duration: v.last.Sub(v.first).Round(time.Millisecond),
	}
	if service == cdr.Data {
		r.APN = m.s.APN
	}
	line, err := cdr.AppendLine(nil, &r)
	if err == nil {
		_, err = m.out.Write(line)
	}
	if err != nil {
		m.state.Errors++
		return fmt.Errorf("writing a usage record: %w", err)
	}
	return nil
}

// attach moves the card; what was used before belongs to the old equipment.
func (m *meterOf) attach(imei string) error {
	if err := m.close(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.imei = imei
	return nil
}

// service records a call or message.
func (m *meterOf) service(o Service) error {
	s, err := cdr.ParseService(o.Service)
	if err != nil {
		return err
	}
	if s == cdr.Data {
		return fmt.Errorf("data is what passes the radio")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	return m.write(s, cdr.Originated, o.Peer, volume{first: now, last: now})
}
