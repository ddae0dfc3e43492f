package ssh

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	// maxBanner bounds what stands before and in the identification string: RFC
	// 4253 section 4.2 allows 255 characters, and lines before it.
	maxBanner = 8 << 10
	// maxPacket is what every implementation must take (RFC 4253 section 6.1).
	maxPacket = 35000
	// maxNames bounds one list of algorithms.
	maxNames = 256
)

// lists are the algorithms that a server offers (RFC 4253 section 7.1).
type lists struct {
	kex, hostKeys                  []string
	ciphersToServer, ciphersToUs   []string
	macsToServer, macsToUs         []string
	compressToServer, compressToUs []string
}

var errNotSSH = errors.New("the answer is not SSH")

// readBanner reads up to the identification string.
func readBanner(r io.ByteReader) (string, error) {
	var line []byte
	for range maxBanner {
		c, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		if c != '\n' {
			line = append(line, c)
			continue
		}
		if bytes.HasPrefix(line, []byte("SSH-")) {
			return strings.TrimRight(string(line), "\r"), nil
		}
		line = line[:0]
	}
	return "", fmt.Errorf("no identification string in %d bytes: %w", maxBanner, errNotSSH)
}

// readPacket reads one packet that is not encrypted (RFC 4253 section 6).
func readPacket(r io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n, pad := binary.BigEndian.Uint32(head[:]), uint32(head[4])
	if n < 2 || n > maxPacket || pad >= n {
		return nil, fmt.Errorf("a packet of %d bytes: %w", n, errNotSSH)
	}
	body := make([]byte, n-1)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	return body[:n-1-pad], nil
}

// parseKexinit reads the server's offer.
func parseKexinit(b []byte) (l lists, err error) {
	const header = 1 + 16 // message number, cookie
	if len(b) < header || b[0] != 20 {
		return l, errNotSSH
	}
	b = b[header:]
	for _, to := range []*[]string{&l.kex, &l.hostKeys, &l.ciphersToServer, &l.ciphersToUs, &l.macsToServer, &l.macsToUs, &l.compressToServer, &l.compressToUs} {
		if len(b) < 4 {
			return l, errNotSSH
		}
		n := binary.BigEndian.Uint32(b)
		if uint64(n) > uint64(len(b)-4) {
			return l, errNotSSH
		}
		if n > 0 {
			*to = strings.SplitN(string(b[4:4+n]), ",", maxNames)
		}
		b = b[4+n:]
	}
	if len(l.kex) == 0 || len(l.hostKeys) == 0 {
		return l, fmt.Errorf("an offer without algorithms: %w", errNotSSH)
	}
	return l, nil
}

// weight is how bad an algorithm is.
type weight uint8

const (
	fine  weight = iota
	aged         // to be turned off: counts in part
	wrong        // can be broken today, or protects nothing
)

// judgeName weighs one algorithm. Names are those of RFC 4253 section 6, RFC
// 4344, RFC 9142 and OpenSSH's own.
func judgeName(kind, name string) weight {
	switch kind {
	case "kex":
		switch {
		case name == "diffie-hellman-group1-sha1", strings.HasPrefix(name, "rsa1024"), strings.HasPrefix(name, "gss-group1-sha1"):
			return wrong
		case strings.HasSuffix(name, "-sha1"):
			return aged
		}
	case "cipher":
		switch {
		case name == "none", name == "des-cbc", strings.HasPrefix(name, "arcfour"), strings.HasPrefix(name, "des-cbc@"):
			return wrong
		case strings.HasSuffix(name, "-cbc"), strings.Contains(name, "-cbc@"):
			return aged
		}
	case "mac":
		switch {
		case name == "none":
			return wrong
		case strings.Contains(name, "md5"), strings.Contains(name, "-96"), strings.Contains(name, "ripemd"):
			return aged
		}
	case "host key":
		switch {
		case name == "ssh-dss", strings.HasPrefix(name, "ssh-dss-"):
			return wrong
		case name == "ssh-rsa": // signed with SHA-1 (RFC 8332 section 1)
			return aged
		}
	}
	return fine
}

// printable makes a peer's words safe to show: one line of 120 characters.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if r := []rune(s); len(r) > 120 {
		s = string(r[:120]) + "…"
	}
	return s
}

// weak returns the names in a list that are at least so bad.
func weak(kind string, at weight, names ...[]string) []string {
	var out []string
	for _, list := range names {
		for _, n := range list {
			if judgeName(kind, n) == at && !slices.Contains(out, printable(n)) && len(out) < 16 {
				out = append(out, printable(n))
			}
		}
	}
	return out
}
