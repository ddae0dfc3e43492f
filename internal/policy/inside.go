package policy

import (
	"net/netip"
	"strings"

	"github.com/ringwall/ringwall/api"
)

// Seen is what somebody who looked into a flow saw: the inspector of a gateway,
// or an SDK on the device, which sees what stands inside TLS as well.
type Seen struct {
	// Proto is "tls", "http", "rtsp", "mqtt" or "coap": the innermost protocol that
	// could be read; "" = none that is understood.
	Proto string `json:"proto"`
	// Host is the name that the flow shows (SNI, Host header, host of the URI), without
	// port; "" = none. An address in its place is no name: see ShownName.
	Host string `json:"host,omitempty"`
	// Path is of HTTP, RTSP and CoAP in canonical form (see CanonicalPath), of MQTT the
	// topic, or the topic filter of a subscription.
	Path   string `json:"path,omitempty"`
	Method string `json:"method,omitempty"` // in capitals; of MQTT the name of the packet, such as "CONNECT"
	// TLS is the best version that the ClientHello offers (0x0303 is 1.2; of DTLS the
	// TLS version that it corresponds to); 0 = there is no TLS.
	TLS uint16 `json:"tls,omitempty"`
	// ECH says that the hello hides its true name (extension 0xfe0d).
	ECH bool `json:"ech,omitempty"`
	// Complete says that no more will be known of this hello, request or packet.
	// Without it terms about this protocol stay open.
	Complete bool `json:"complete"`
}

// Process is a program of the device itself.
type Process struct {
	UID    uint32 `json:"uid"`
	Cgroup string `json:"cgroup,omitempty"` // below /sys/fs/cgroup, without leading slash
}

// answer of a term to a flow.
type answer uint8

const (
	no    answer = iota
	maybe        // it depends on what stands inside
	yes
)

// look asks what a term says of the inside of a flow.
func look(t *api.Term, s *Seen) answer {
	in := t.Inside
	if in == nil {
		return yes
	}
	deny := t.Action == api.Deny
	switch {
	case s == nil, s.Proto == "" && !s.Complete:
		return maybe
	case s.Proto == "":
		return no
	case s.Proto == "tls" && in.Proto != "tls":
		// Whatever runs inside cannot be seen from here: it opens nothing and
		// cannot be ruled out.
		return is(deny)
	case in.Proto == "tls":
		if s.TLS == 0 && s.Proto != "tls" { // in clear
			return no
		}
	case s.Proto != in.Proto:
		return no
	}
	if !s.Complete {
		return maybe
	}
	if in.MinTLS == "1.2" && s.TLS < 0x0303 || in.MinTLS == "1.3" && s.TLS < 0x0304 {
		return is(deny)
	}
	return is(lookHost(t, s, deny) && lookRequest(in, s, deny))
}

func is(b bool) answer {
	if b {
		return yes
	}
	return no
}

// lookHost compares the name that is shown. A deny also matches what cannot be
// told: no name, or one that is hidden.
func lookHost(t *api.Term, s *Seen, deny bool) bool {
	in := t.Inside
	if in.Proto == "mqtt" || len(in.Hosts) == 0 && t.Domain == "" {
		return true
	}
	switch {
	case s.ECH:
		return deny
	case s.Host == "":
		return in.NameOptional != deny
	case len(in.Hosts) == 0:
		return MatchName(t.Domain, s.Host)
	}
	for _, h := range in.Hosts {
		if MatchName(h, s.Host) {
			return true
		}
	}
	return false
}

func lookRequest(in *api.Inside, s *Seen, deny bool) bool {
	if in.Proto == "tls" {
		return true
	}
	if in.Proto == "mqtt" && s.Method != "PUBLISH" && s.Method != "SUBSCRIBE" {
		// What only keeps the connection goes with any leave to use it, and is
		// denied by what denies all of it.
		return !deny || len(in.Methods) == 0 && len(in.Paths) == 0
	}
	if len(in.Methods) > 0 {
		ok := deny && s.Method == ""
		for _, m := range in.Methods {
			ok = ok || m == s.Method
		}
		if !ok {
			return false
		}
	}
	if len(in.Paths) == 0 {
		return true
	}
	if in.Proto == "mqtt" {
		return matchTopics(in.Paths, s.Path, s.Method == "SUBSCRIBE", deny)
	}
	if !canonical(s.Path) {
		return deny
	}
	for _, p := range in.Paths {
		if matchPath(p, s.Path) {
			return true
		}
	}
	return false
}

// matchPath compares a canonical path with "/a/b" or "/a/*", which is all below
// and "/a/" itself.
func matchPath(pattern, path string) bool {
	if dir, all := strings.CutSuffix(pattern, "*"); all {
		return strings.HasPrefix(path, dir)
	}
	return pattern == path
}

// MaxPath bounds the path of a request that is judged.
const MaxPath = 8192

// CanonicalPath returns the path of a request target without query, with
// escapes of unreserved characters undone (RFC 3986 section 6.2.2.2), others in
// capitals, dot segments taken out (section 5.2.4) and double slashes made
// one. ok is false when servers differ about what it means (an escaped slash,
// backslash or NUL, a parameter after ";", a byte that has no place in a path,
// no leading slash, more dots than segments): then it is returned as it is,
// opens nothing and is taken for whatever is denied.
func CanonicalPath(target string) (path string, ok bool) {
	raw := target
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		raw = raw[:i]
	}
	if raw == "*" { // RFC 9110 section 9.3.7, RFC 7826 section 13.1
		return raw, true
	}
	if raw == "" || raw[0] != '/' || len(raw) > MaxPath {
		return raw, false
	}
	if canonical(raw) {
		return raw, true
	}
	decoded := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '%' {
			if !pathByte(c) {
				return raw, false
			}
			decoded = append(decoded, c)
			continue
		}
		if i+2 >= len(raw) {
			return raw, false
		}
		hi, lo := unhex(raw[i+1]), unhex(raw[i+2])
		if hi < 0 || lo < 0 {
			return raw, false
		}
		v := byte(hi<<4 | lo)
		switch {
		case unreserved(v):
			decoded = append(decoded, v)
		case v == '/' || v == '\\' || v == ';' || v == '%' || v < 0x20 || v == 0x7f:
			return raw, false
		default:
			const digits = "0123456789ABCDEF"
			decoded = append(decoded, '%', digits[hi], digits[lo])
		}
		i += 2
	}
	var segments []string
	dir := false
	for part := range strings.SplitSeq(string(decoded[1:]), "/") {
		dir = part == "" || part == "." || part == ".."
		switch part {
		case "", ".":
		case "..":
			if len(segments) == 0 {
				return raw, false
			}
			segments = segments[:len(segments)-1]
		default:
			segments = append(segments, part)
		}
	}
	path = "/" + strings.Join(segments, "/")
	if dir && len(segments) > 0 {
		path += "/"
	}
	return path, true
}

// canonical reports whether CanonicalPath would leave the path as it is; it
// allocates nothing.
func canonical(p string) bool {
	if p == "*" {
		return true
	}
	if p == "" || p[0] != '/' || len(p) > MaxPath {
		return false
	}
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case c == '%':
			if i+2 >= len(p) || !upperHex(p[i+1]) || !upperHex(p[i+2]) {
				return false
			}
			v := byte(unhex(p[i+1])<<4 | unhex(p[i+2]))
			if unreserved(v) || v == '/' || v == '\\' || v == ';' || v == '%' || v < 0x20 || v == 0x7f {
				return false
			}
			i += 2
		case !pathByte(c):
			return false
		case c == '/':
			rest := p[i+1:]
			if strings.HasPrefix(rest, "/") || rest == "." || rest == ".." || strings.HasPrefix(rest, "./") || strings.HasPrefix(rest, "../") {
				return false
			}
		}
	}
	return true
}

func upperHex(c byte) bool { return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' }

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// pathByte reports whether c may stand in a path whose meaning is clear:
// pchar of RFC 3986 without ";", and the slash.
func pathByte(c byte) bool {
	return unreserved(c) || strings.IndexByte("/:@!$&'()*+,=", c) >= 0
}

// ShownName returns what a flow shows as the name of the host it wants, out of
// a Host header or the authority of a URI: without port, and "" when it is an
// address, which is no name, provided that it is the address that the flow
// goes to. Another address stays what it is and matches no pattern. Only ASCII
// letters count as equal in both cases.
func ShownName(authority string, remote netip.Addr) string {
	host := authority
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if strings.HasPrefix(host, "[") {
		if i := strings.IndexByte(host, ']'); i > 0 {
			host = host[1:i]
		}
	} else if i := strings.IndexByte(host, ':'); i >= 0 && strings.Count(host, ":") == 1 {
		host = host[:i]
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Unmap() == remote.Unmap() {
			return ""
		}
		return host
	}
	return strings.TrimSuffix(host, ".")
}
