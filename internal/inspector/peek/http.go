package peek

import "bytes"

// Request is the head of one request of HTTP/1 or RTSP.
type Request struct {
	Method string
	// Host is the name that the request is for, in lower case; "" when it names
	// none, or an address, which is then Address.
	Host    string
	Address string
	// Path is of the target as it was sent, without the query.
	Path string
	// Head is how many bytes the head has.
	Head int
	// Length is how many bytes of body follow; -1 = chunks.
	Length int64
	// Upgrade says that the connection is to become a WebSocket (RFC 6455).
	Upgrade bool
	// Seq is the CSeq of an RTSP request.
	Seq string
	// Reply says that an RTSP message is an answer, which asks for nothing.
	Reply bool
	// Old says that it is HTTP/1.0.
	Old bool
}

// ParseHTTP reads the head of the request that begins b. It refuses what is
// known to be read in two ways (RFC 9112 sections 2.2, 3.2, 5, 6.3): lines
// without carriage return, folded fields, spaces before a colon, both or
// several lengths, codings other than chunked, several or no hosts, a target
// for another host than the field's, CONNECT, upgrades to what nobody here
// reads, RTSP in a tunnel.
func ParseHTTP(b []byte) (Request, error) {
	n, err := headEnd(b)
	if err != nil {
		return Request{}, err
	}
	i := bytes.IndexByte(b, '\n')
	if i < 1 || b[i-1] != '\r' {
		return Request{}, bad("a line ends without a carriage return")
	}
	method, target, version, err := requestLine(b[:i-1])
	if err != nil {
		return Request{}, err
	}
	r := Request{Head: n, Method: methodName(method)}
	switch string(version) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		r.Old = true
	default:
		return Request{}, bad("version %q", shorten(version))
	}
	var host, upgrade []byte
	hosts, lengths, upgradeAsked := 0, 0, false
	chunked := false
	err = fields(b[i+1:n], func(name, v []byte) error {
		switch len(name) { // most fields are none of these
		case 4:
			if is(name, "host") {
				hosts++
				host = v
			}
		case 7:
			if is(name, "upgrade") {
				if upgrade != nil {
					return bad("two upgrades")
				}
				upgrade = v
			}
		case 10:
			if is(name, "connection") {
				upgradeAsked = upgradeAsked || hasToken(v, "upgrade")
			}
		case 12:
			if is(name, "content-type") && hasToken(v, "application/x-rtsp-tunnelled") {
				return bad("RTSP in a tunnel of HTTP")
			}
		case 14:
			if is(name, "content-length") {
				if lengths++; lengths > 1 {
					return bad("two content lengths")
				}
				var err error
				r.Length, err = length(v)
				return err
			}
			if is(name, "http2-settings") {
				return bad("an upgrade to HTTP/2")
			}
		case 17:
			if is(name, "transfer-encoding") {
				if chunked || !is(v, "chunked") {
					return bad("transfer coding %q", shorten(v))
				}
				chunked = true
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return Request{}, err
	case chunked && (lengths > 0 || r.Old):
		return Request{}, bad("chunks and a content length, or in HTTP/1.0")
	case chunked:
		r.Length = -1
	}
	if hosts > 1 || hosts == 0 && !r.Old {
		return Request{}, bad("%d fields of name Host", hosts)
	}
	if hosts == 1 && len(host) > 0 {
		name, raw, err := authority(host)
		if err != nil {
			return Request{}, err
		}
		if r.Host = name; name == "" {
			r.Address = string(raw)
		}
	}
	if upgrade != nil || upgradeAsked {
		if !upgradeAsked || !is(upgrade, "websocket") || r.Method != "GET" || r.Old || r.Length != 0 {
			return Request{}, bad("an upgrade to %q", shorten(upgrade))
		}
		r.Upgrade = true
	}
	switch {
	case r.Method == "CONNECT":
		return Request{}, bad("CONNECT")
	case target[0] == '/':
		if len(target) > 1 && target[1] == '/' {
			return Request{}, bad("a target that some read as a host")
		}
	case string(target) == "*" && r.Method == "OPTIONS":
		r.Path = "*"
		return r, nil
	default:
		rest, ok := cutScheme(target, "http://")
		if !ok {
			return Request{}, bad("target %q", shorten(target))
		}
		auth := rest
		if j := bytes.IndexAny(rest, "/?#"); j >= 0 {
			auth, target = rest[:j], rest[j:]
		} else {
			target = nil
		}
		name, raw, err := authority(auth)
		if err != nil {
			return Request{}, err
		}
		if hosts == 1 && (name != r.Host || name == "" && string(raw) != r.Address) {
			return Request{}, bad("a target for another host than the field's")
		}
		if r.Host = name; name == "" {
			r.Address = string(raw)
		}
	}
	r.Path = pathOf(target)
	return r, nil
}

// cutScheme cuts a scheme in any case.
func cutScheme(b []byte, scheme string) ([]byte, bool) {
	if len(b) < len(scheme) || !is(b[:len(scheme)], scheme) {
		return nil, false
	}
	return b[len(scheme):], true
}

// methodName saves an allocation for what is common.
func methodName(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "HEAD":
		return "HEAD"
	case "DELETE":
		return "DELETE"
	case "OPTIONS":
		return "OPTIONS"
	case "DESCRIBE":
		return "DESCRIBE"
	case "SETUP":
		return "SETUP"
	case "PLAY":
		return "PLAY"
	case "GET_PARAMETER":
		return "GET_PARAMETER"
	}
	return string(b)
}

// Chunks skips a chunked body (RFC 9112 section 7.1). The zero value is at its
// beginning.
type Chunks struct {
	state chunkState
	left  int64 // of the chunk
	line  int   // bytes of the present line
	digit int
	total int // bytes of the trailer
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExt
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	chunkTrailer   // at the beginning of a line
	chunkTrailerIn // within one
	chunkTrailerLF
	chunkEndLF
	chunkDone
)

// maxChunkLine bounds a line with a size; extensions are rare and short.
const maxChunkLine = 256

// Skip returns how many bytes of p belong to the body, and whether it ends with
// them.
func (c *Chunks) Skip(p []byte) (n int, done bool, err error) {
	for n < len(p) {
		if c.state == chunkData {
			k := min(c.left, int64(len(p)-n))
			n += int(k)
			if c.left -= k; c.left == 0 {
				c.state = chunkDataCR
			}
			continue
		}
		o := p[n]
		n++
		if err := c.step(o); err != nil {
			return n, false, err
		}
		if c.state == chunkDone {
			return n, true, nil
		}
	}
	return n, false, nil
}

func (c *Chunks) step(o byte) error {
	if c.line++; c.line > maxChunkLine && c.state < chunkData {
		return bad("a chunk's first line of more than %d bytes", maxChunkLine)
	}
	switch c.state {
	case chunkSize:
		switch d := unhex(o); {
		case d >= 0:
			if c.digit++; c.digit > 15 {
				return bad("a chunk of too many digits")
			}
			c.left = c.left<<4 | int64(d)
			return nil
		case c.digit == 0:
			return bad("a chunk without a size")
		case o == ';':
			c.state = chunkExt
			return nil
		case o == '\r':
			c.state = chunkSizeLF
			return nil
		}
		return bad("octet %q in the size of a chunk", o)
	case chunkExt:
		switch {
		case o == '\r':
			c.state = chunkSizeLF
		case o < ' ' && o != '\t' || o == 0x7f:
			return bad("octet %q in the extension of a chunk", o)
		}
		return nil
	case chunkSizeLF:
		c.line, c.digit = 0, 0
		c.state = chunkData
		if c.left == 0 {
			c.state = chunkTrailer
		}
	case chunkDataCR:
		if o != '\r' {
			return bad("a chunk does not end where it says")
		}
		c.state = chunkDataLF
		return nil
	case chunkDataLF:
		c.line = 0
		c.state = chunkSize
	case chunkTrailer, chunkTrailerIn:
		if c.total++; c.total > MaxHead {
			return bad("a trailer of more than %d bytes", MaxHead)
		}
		switch {
		case o == '\r' && c.state == chunkTrailer:
			c.state = chunkEndLF
		case o == '\r':
			c.state = chunkTrailerLF
		case o < ' ' && o != '\t' || o == 0x7f:
			return bad("octet %q in a trailer", o)
		default:
			c.state = chunkTrailerIn
		}
		return nil
	case chunkTrailerLF:
		c.state = chunkTrailer
	case chunkEndLF:
		c.state = chunkDone
	}
	if o != '\n' {
		return bad("a carriage return alone in a chunked body")
	}
	return nil
}
