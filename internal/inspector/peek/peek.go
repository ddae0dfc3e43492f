package peek

import (
	"errors"
	"fmt"

	"github.com/ringwall/ringwall/internal/policy"
)

// Bounds of what is looked at before anything is passed on.
const (
	// MaxHello bounds a ClientHello, records included. One of today with a
	// post-quantum key share and a session ticket has about 2,000 bytes.
	MaxHello = 16 << 10
	// MaxHead bounds the head of one request of HTTP or RTSP, and of one packet of
	// MQTT.
	MaxHead = 16 << 10
)

// ErrShort says that more bytes are needed to tell.
var ErrShort = errors.New("more bytes are needed")

// Malformed is what no two servers need read alike, or what is over the bounds.
type Malformed struct{ What string }

func (e *Malformed) Error() string { return "malformed: " + e.What }

func bad(format string, args ...any) error {
	return &Malformed{What: fmt.Sprintf(format, args...)}
}

// Kind is what the first bytes of a TCP connection look like.
type Kind uint8

const (
	Unknown Kind = iota
	TLS
	HTTP
	RTSP
	MQTT
	// H2 is HTTP/2 with prior knowledge (RFC 9113 section 3.3): nobody here reads it.
	H2
)

func (k Kind) String() string {
	return [...]string{"", "tls", "http", "rtsp", "mqtt", "h2c"}[k]
}

// Sniff tells what begins with b. It is ErrShort as long as b could become more
// than one of them; Unknown is certain.
func Sniff(b []byte) (Kind, error) {
	if len(b) == 0 {
		return Unknown, ErrShort
	}
	switch c := b[0]; {
	case c == recordHandshake:
		if len(b) == 1 {
			return Unknown, ErrShort
		}
		if b[1] == 3 {
			return TLS, nil
		}
		return Unknown, nil
	case c == mqttConnect<<4:
		// The name of the protocol follows the length: 0x00 0x04 "MQTT" or 0x00 0x06 "MQIsdp".
		for i := 1; i < 5; i++ {
			if i == len(b) {
				return Unknown, ErrShort
			}
			if b[i]&0x80 != 0 {
				continue
			}
			switch {
			case len(b) <= i+3:
				return Unknown, ErrShort
			case b[i+1] == 0 && b[i+2] != 0 && b[i+3] == 'M':
				return MQTT, nil
			}
			return Unknown, nil
		}
		return Unknown, nil
	case !isToken(c):
		return Unknown, nil
	}
	// A method, a space, a target, a space, a version. All of the first line is
	// needed to tell HTTP from RTSP.
	const preface = "PRI * HTTP/2.0\r\n"
	for i, c := range b {
		switch {
		case c == '\n':
			line := b[:i]
			if n := len(line); n > 0 && line[n-1] == '\r' {
				line = line[:n-1]
			}
			if string(b[:i+1]) == preface {
				return H2, nil
			}
			return versionOf(line), nil
		case c < ' ' && c != '\r' || c == 0x7f:
			return Unknown, nil
		}
		if i > MaxHead {
			return Unknown, nil
		}
	}
	// Tell early what cannot become a request line: the method is short.
	for i, c := range b {
		if c == ' ' {
			return Unknown, ErrShort
		}
		if !isToken(c) || i >= maxMethod {
			return Unknown, nil
		}
	}
	return Unknown, ErrShort
}

func versionOf(line []byte) Kind {
	const n = len("HTTP/1.1")
	if len(line) < n+1 || line[len(line)-n-1] != ' ' {
		return Unknown
	}
	switch v := line[len(line)-n:]; {
	case string(v[:7]) == "HTTP/1.":
		return HTTP
	case string(v[:5]) == "RTSP/":
		return RTSP
	}
	return Unknown
}

// Name reports whether b is a domain name that can be compared with others, and
// returns it in lower case without a final dot. Addresses are no names.
func Name(b []byte) (string, bool) {
	s := string(b)
	if policy.CheckName(s) != nil {
		return "", false
	}
	out := []byte(s)
	digits := true
	for i, c := range out {
		if 'A' <= c && c <= 'Z' {
			out[i] = c | 0x20
		}
		digits = digits && (c == '.' || '0' <= c && c <= '9')
	}
	if digits {
		return "", false
	}
	if out[len(out)-1] == '.' {
		out = out[:len(out)-1]
	}
	return string(out), true
}
