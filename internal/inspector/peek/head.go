package peek

import "bytes"

const (
	maxMethod  = 32
	maxHeaders = 100
)

// token says which octets may stand in a method or a field name (RFC 9110
// section 5.6.2).
func isToken(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}

// headEnd returns where the head that begins b ends, its empty line included.
// Lines end with CR LF; a line feed or carriage return alone is read by some
// servers as an end and by others not (RFC 9112 section 2.2).
func headEnd(b []byte) (int, error) {
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		if i+4 > MaxHead {
			return 0, bad("a head of more than %d bytes", MaxHead)
		}
		return i + 4, nil
	}
	if len(b) >= MaxHead {
		return 0, bad("a head of more than %d bytes", MaxHead)
	}
	// What is wrong already need not be waited for.
	if i := bytes.IndexByte(b, '\n'); i == 0 || i > 0 && b[i-1] != '\r' {
		return 0, bad("a line ends without a carriage return")
	}
	return 0, ErrShort
}

// requestLine takes the first line apart.
func requestLine(line []byte) (method, target, version []byte, err error) {
	i := bytes.IndexByte(line, ' ')
	j := bytes.LastIndexByte(line, ' ')
	if i <= 0 || i > maxMethod || j <= i+1 || j == len(line)-1 {
		return nil, nil, nil, bad("request line %q", shorten(line))
	}
	method, target, version = line[:i], line[i+1:j], line[j+1:]
	for _, c := range method {
		if !isToken(c) {
			return nil, nil, nil, bad("method %q", shorten(method))
		}
	}
	for _, c := range target {
		if c <= ' ' || c >= 0x7f {
			return nil, nil, nil, bad("octet %q in the target", c)
		}
	}
	return method, target, version, nil
}

// fields calls f for each field of a head whose first line is gone already: b
// ends with the empty line.
func fields(b []byte, f func(name, value []byte) error) error {
	for n := 0; ; n++ {
		i := bytes.IndexByte(b, '\n')
		if i < 1 || b[i-1] != '\r' {
			return bad("a line ends without a carriage return")
		}
		line := b[:i-1]
		b = b[i+1:]
		if len(line) == 0 {
			return nil
		}
		if n == maxHeaders {
			return bad("more than %d fields", maxHeaders)
		}
		c := bytes.IndexByte(line, ':')
		if c <= 0 {
			return bad("field %q", shorten(line))
		}
		for _, o := range line[:c] { // folded lines begin with a space, which is no token either
			if !isToken(o) {
				return bad("field %q", shorten(line))
			}
		}
		value := bytes.Trim(line[c+1:], " \t")
		for _, o := range value {
			if o < ' ' && o != '\t' || o == 0x7f {
				return bad("octet %q in field %q", o, shorten(line[:c]))
			}
		}
		if err := f(line[:c], value); err != nil {
			return err
		}
	}
}

// is compares without regard to case, want in lower case.
func is(b []byte, want string) bool {
	if len(b) != len(want) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != want[i] {
			return false
		}
	}
	return true
}

// length reads a Content-Length: digits only, no sign, no list.
func length(v []byte) (int64, error) {
	if len(v) == 0 || len(v) > 18 {
		return 0, bad("content length %q", shorten(v))
	}
	var n int64
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, bad("content length %q", shorten(v))
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// hasToken reports whether a comma-separated list holds a word.
func hasToken(list []byte, want string) bool {
	for len(list) > 0 {
		word := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			word, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		if is(bytes.Trim(word, " \t"), want) {
			return true
		}
	}
	return false
}

// pathOf cuts the query off a target; what its path means is for package policy
// to say (CanonicalPath).
func pathOf(target []byte) string {
	if i := bytes.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	if len(target) == 0 {
		return "/"
	}
	return string(target)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// authority splits "host", "host:port" and "[v6]:port" of a Host field or URI.
// An address is told apart from a name: name is "" then.
func authority(b []byte) (name string, host []byte, err error) {
	host = b
	if len(b) > 0 && b[0] == '[' {
		i := bytes.IndexByte(b, ']')
		if i < 0 || i+1 < len(b) && (b[i+1] != ':' || !isPort(b[i+2:])) {
			return "", nil, bad("host %q", shorten(b))
		}
		for _, c := range b[1:i] {
			if unhex(c) < 0 && c != ':' && c != '.' {
				return "", nil, bad("host %q", shorten(b))
			}
		}
		return "", b[1:i], nil
	}
	if i := bytes.IndexByte(b, ':'); i >= 0 {
		if !isPort(b[i+1:]) {
			return "", nil, bad("host %q", shorten(b))
		}
		host = b[:i]
	}
	if len(host) == 0 {
		return "", nil, bad("an empty host")
	}
	name, ok := Name(host)
	if !ok {
		for _, c := range host {
			if c != '.' && (c < '0' || c > '9') {
				return "", nil, bad("host %q", shorten(b))
			}
		}
	}
	return name, host, nil
}

// isPort takes the empty port too (RFC 3986 section 3.2.3).
func isPort(b []byte) bool {
	if len(b) > 5 {
		return false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
