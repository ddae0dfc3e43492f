package agent

import (
	"encoding/binary"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/packet"
)

// A device may tell where its maker describes it: its MUD URL, by DHCP option
// 161 (RFC 8520 section 10.1) or in a TLV of LLDP (section 11). What it says is
// only reported: whether to believe it is for people to decide, and whoever
// fetches it does so far from here.

const (
	dhcpServer  = 67
	optionMUD   = 161
	optionPad   = 0
	optionEnd   = 255
	etherLLDP   = 0x88cc
	maxMUDURL   = 1024
	mudURLEvery = 24 * time.Hour
	maxMUDURLs  = 1024
	lldpPrivate = 127 // type of organizationally specific TLVs (IEEE 802.1AB section 8.6)
	mudSubtype  = 1
	dhcpFixed   = 236
	dhcpMagic   = 0x63825363
)

// mudTold is one device and what it told.
type mudTold struct {
	mac packet.MAC
	url string
}

// mud looks for a MUD URL in a packet that a device has sent. The caller holds
// mu of watch.
func (w *watch) mud(p *packet.Packet) {
	var told, by string
	switch {
	case p.Has(packet.UDP) && p.DstPort == dhcpServer && p.SrcPort == 68:
		told, by = dhcpMUD(p.Payload), "dhcp"
	case p.EtherType == etherLLDP:
		told, by = lldpMUD(p.Payload), "lldp"
	}
	if told == "" || !mudURL(told) || !w.muds.first(mudTold{p.SrcMAC, told}, w.agent.cfg.Now()) {
		return
	}
	n := api.Notice{Kind: api.NoticeMUD, MAC: p.SrcMAC.String(), Text: told, Time: p.Time.UTC(), Detail: map[string]string{"by": by}}
	if v := w.agent.view.Load(); v != nil {
		for i := range v.desired.Devices {
			if d := &v.desired.Devices[i]; d.Binding.MAC == n.MAC {
				n.Device = d.Device
			}
		}
	}
	w.agent.books.note(api.RecordNotice, n)
}

// mudURL reports whether s is a URL that may be reported: https, with a host and
// no user (RFC 8520 section 4).
func mudURL(s string) bool {
	if len(s) > maxMUDURL || !utf8.ValidString(s) {
		return false
	}
	for _, c := range s {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.Opaque == ""
}

// dhcpMUD returns option 161 of a DHCP message (RFC 2131 section 2), its parts
// put together (RFC 3396), or "".
func dhcpMUD(b []byte) string {
	if len(b) < dhcpFixed+4 || b[0] != 1 || binary.BigEndian.Uint32(b[dhcpFixed:]) != dhcpMagic {
		return ""
	}
	var out []byte
	for b = b[dhcpFixed+4:]; len(b) > 0; {
		switch b[0] {
		case optionPad:
			b = b[1:]
			continue
		case optionEnd:
			return string(out)
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return ""
		}
		if b[0] == optionMUD {
			out = append(out, b[2:2+int(b[1])]...)
		}
		b = b[2+int(b[1]):]
	}
	return string(out)
}

// lldpMUD returns the MUD URL of an LLDP data unit (IEEE 802.1AB section 8), or
// "".
func lldpMUD(b []byte) string {
	for len(b) >= 2 {
		head := binary.BigEndian.Uint16(b)
		kind, size := head>>9, int(head&0x1ff)
		if b = b[2:]; kind == 0 || size > len(b) {
			return ""
		}
		// The organisation is that of IANA, 00-00-5E.
		if v := b[:size]; kind == lldpPrivate && size > 4 && v[0] == 0 && v[1] == 0 && v[2] == 0x5e && v[3] == mudSubtype {
			return string(v[4:])
		}
		b = b[size:]
	}
	return ""
}
