package ports

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
)

const (
	httpGreeting = "GET / HTTP/1.0\r\nUser-Agent: ringwall-assess\r\n\r\n"
	rtspGreeting = "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: ringwall-assess\r\n\r\n"
)

// mailOrFiles stands for a greeting that several protocols share.
const mailOrFiles = "220"

// questions returns what is sent to find out whether a port speaks a protocol.
func questions(what string) []byte {
	switch what {
	case "rtsp":
		return []byte(rtspGreeting)
	case "mqtt":
		// CONNECT, protocol MQTT level 4, clean session, no credentials (MQTT
		// 3.1.1 section 3.1).
		id := "ringwall"
		b := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 10, 0, byte(len(id))}, id...)
		return b
	case "adb":
		// CNXN: version 1.0.0, at most 4 KiB, and who we are; each message ends
		// with its command's complement.
		return adbMessage("CNXN", 0x01000000, 4096, []byte("host::\x00"))
	case "modbus":
		// Read device identification (function 43, MEI 14): asks, changes nothing.
		return []byte{0x52, 0x57, 0, 0, 0, 5, 1, 0x2b, 0x0e, 1, 0}
	case "rtmp":
		// C0 and C1 of the handshake: version 3, time 0, zero, then filler.
		b := make([]byte, 1+1536)
		b[0] = 3
		for i := 9; i < len(b); i++ {
			b[i] = byte(i * 7)
		}
		return b
	}
	return nil
}

func adbMessage(command string, arg0, arg1 uint32, data []byte) []byte {
	var sum uint32
	for _, x := range data {
		sum += uint32(x)
	}
	b := append([]byte(nil), command...)
	for _, x := range []uint32{arg0, arg1, uint32(len(data)), sum, ^binary.LittleEndian.Uint32([]byte(command))} {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	return append(b, data...)
}

// recognise names an answer to a question that only one protocol understands.
// An answer that only repeats the question proves nothing.
func recognise(what string, question, b []byte) (name, info string) {
	if len(b) == 0 || bytes.HasPrefix(b, question) || bytes.HasPrefix(question, b) {
		return "", ""
	}
	switch what {
	case "mqtt":
		// CONNACK: flags of one bit, a code up to 5 (section 3.2).
		if len(b) == 4 && b[0] == 0x20 && b[1] == 2 && b[2] <= 1 && b[3] <= 5 {
			return "mqtt", ""
		}
	case "adb":
		if len(b) >= 24 && binary.LittleEndian.Uint32(b[20:]) == ^binary.LittleEndian.Uint32(b) {
			switch string(b[:4]) {
			case "CNXN":
				return "adb", "it lets in without a key: " + printable(b[24:])
			case "AUTH":
				return "adb-locked", "it asks for a key"
			}
		}
	case "modbus":
		if len(b) >= 9 && bytes.Equal(b[:4], question[:4]) && (b[7] == 0x2b || b[7] == 0xab) {
			return "modbus", ""
		}
	case "rtmp":
		if len(b) >= 1+1536 && b[0] == 3 && !bytes.Equal(b[9:1537], question[9:1537]) {
			return "rtmp", ""
		}
	}
	return "", ""
}

// servesPages reports whether an HTTP answer is one of a web server: a page, a
// redirect or a demand for a login.
func servesPages(b []byte) bool {
	_, rest, _ := bytes.Cut(b, []byte(" "))
	return len(rest) >= 3 && (rest[0] == '2' || rest[0] == '3' || bytes.HasPrefix(rest, []byte("401")))
}

// identify names what a service said.
func identify(b []byte) (name, info string) {
	line := firstLine(b)
	switch {
	case len(b) == 0:
		return "", ""
	case bytes.HasPrefix(b, []byte("RTSP/1.")) || bytes.HasPrefix(b, []byte("RTSP/2.")):
		return "rtsp", header(b, "server")
	case bytes.HasPrefix(b, []byte("HTTP/1.")):
		return "http", header(b, "server")
	case bytes.HasPrefix(b, []byte("SSH-")):
		return "ssh", line
	case telnet(b):
		return "telnet", printable(stripIAC(b))
	case strings.HasPrefix(line, "220") && contains(line, "smtp"):
		return "smtp", line
	case strings.HasPrefix(line, "220") && (contains(line, "ftp") || len(line) > 3 && line[3] == '-'):
		return "ftp", line
	case strings.HasPrefix(line, "220 "):
		return mailOrFiles, line
	case bytes.HasPrefix(b, []byte("RFB 00")):
		return "vnc", line
	case bytes.HasPrefix(b, []byte("+OK ")):
		return "pop3", line
	case bytes.HasPrefix(b, []byte("* OK ")):
		return "imap", line
	case bytes.HasPrefix(b, []byte("-ERR ")) || bytes.HasPrefix(b, []byte("-DENIED ")):
		return "redis", line
	case bytes.HasPrefix(b, []byte("SIP/2.0 ")):
		return "sip", header(b, "server")
	case bytes.HasPrefix(b, []byte("@RSYNCD:")):
		return "rsync", line
	case len(b) > 6 && b[3] == 0 && b[4] == 10 && int(b[0]) <= len(b) && b[1] == 0 && b[2] == 0:
		// MySQL's first packet: length, number 0, protocol 10, version.
		v, _, _ := bytes.Cut(b[5:], []byte{0})
		return "mysql", printable(v)
	}
	return "", ""
}

func contains(s, sub string) bool { return strings.Contains(strings.ToLower(s), sub) }

// telnet reports whether a greeting is telnet's: an option negotiation (RFC
// 854: IAC and WILL to DONT) at its beginning, a login prompt, or a shell's
// prompt without one.
func telnet(b []byte) bool {
	if len(b) >= 3 && b[0] == 255 && b[1] >= 251 && b[1] <= 254 {
		return true
	}
	if len(b) > 1024 || bytes.HasPrefix(b, []byte("HTTP/")) {
		return false
	}
	t := strings.ToLower(strings.TrimRight(string(b), " \r\n\x00"))
	if strings.HasSuffix(t, "login:") || strings.HasSuffix(t, "username:") || strings.HasSuffix(t, "password:") && len(t) < 200 {
		return true
	}
	return strings.Contains(t, "busybox") && (strings.HasSuffix(t, "#") || strings.HasSuffix(t, "$"))
}

// stripIAC drops telnet commands of three bytes.
func stripIAC(b []byte) []byte {
	var out []byte
	for i := 0; i < len(b); i++ {
		if b[i] == 255 {
			i += 2
			continue
		}
		out = append(out, b[i])
	}
	return out
}

func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return printable(line)
}

// printable makes a peer's bytes safe to show: one line of 80 characters.
func printable(b []byte) string {
	if len(b) > 200 {
		b = b[:200]
	}
	s := strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, string(b))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 80 {
		s = string(r[:80]) + "…"
	}
	return s
}

// header finds one header in an HTTP or RTSP answer's beginning.
func header(b []byte, name string) string {
	for line := range bytes.Lines(b) {
		k, v, ok := bytes.Cut(line, []byte(":"))
		if ok && strings.EqualFold(string(bytes.TrimSpace(k)), name) {
			return printable(v)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
	}
	return ""
}

// hexID is how a binary id is shown.
func hexID(b []byte) string { return fmt.Sprintf("%x", b[:min(len(b), 32)]) }
