// Package zeeklog reads the connections that Zeek has logged: conn.log in its
// own tab-separated form, as JSON lines, or as comma-separated values with the
// names of the fields in the first line.
//
// One record at a time is in memory; a line is at most MaxLine bytes. An error
// has code ringwall.Invalid and names the line. Fields that are unset ("-",
// "(empty)" or nothing) are zero; fields that are not known are passed over.
//
// A Reader belongs to one goroutine and starts none. The format is that of
// docs.zeek.org/en/master/logs/conn.html.
package zeeklog

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

// MaxLine bounds one line of a log.
const MaxLine = 64 << 10

// Conn is one logged connection.
type Conn struct {
	Line     uint64 // in the file, from 1
	Start    time.Time
	Duration time.Duration
	Orig     netip.AddrPort
	Resp     netip.AddrPort
	Proto    string // "tcp", "udp", "icmp"
	Service  string
	State    string // conn_state
	History  string
	OrigPkts uint64
	RespPkts uint64
	OrigLen  uint64 // payload bytes
	RespLen  uint64
	Label    string // of a labelled data set, if any
}

// field is what is read of a record.
type field int

const (
	fieldTS field = iota
	fieldOrigH
	fieldOrigP
	fieldRespH
	fieldRespP
	fieldProto
	fieldService
	fieldDuration
	fieldState
	fieldHistory
	fieldOrigPkts
	fieldRespPkts
	fieldOrigBytes
	fieldRespBytes
	fieldLabel
	fieldCount
)

var fieldNames = [fieldCount]string{
	"ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service", "duration", "conn_state", "history",
	"orig_pkts", "resp_pkts", "orig_bytes", "resp_bytes", "label",
}

// required is the number of fields, of the first ones, that must be there.
const required = fieldProto + 1

// Reader reads a log.
type Reader struct {
	in     *bufio.Reader
	line   uint64
	comma  bool
	sep    string
	json   bool
	column [fieldCount]int // -1 = absent
	err    error
}

// NewReader reads the head of a log.
func NewReader(r io.Reader) (*Reader, error) {
	z := &Reader{in: bufio.NewReaderSize(r, MaxLine), sep: "\t"}
	first, err := z.in.Peek(1)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, ringwall.Errorf(ringwall.Invalid, "zeeklog: the file is empty")
		}
		return nil, ringwall.Errorf(ringwall.Unavailable, "reading log: %w", err)
	}
	switch first[0] {
	case '{':
		z.json = true
		return z, nil
	case '#':
		return z, z.head()
	}
	line, err := z.next()
	if err != nil {
		return nil, err
	}
	z.comma = true
	return z, z.columns(strings.Split(string(line), ","))
}

// head reads the lines that begin with "#", up to the one that names fields.
func (z *Reader) head() error {
	for {
		line, err := z.next()
		if errors.Is(err, io.EOF) {
			return z.bad("the log ends before its fields are named")
		}
		if err != nil {
			return err
		}
		key, value, _ := bytes.Cut(line, []byte(" "))
		if string(key) == "#separator" {
			if s, err := strconv.Unquote(`"` + string(value) + `"`); err == nil && len(s) == 1 {
				z.sep = s
			}
			continue
		}
		if len(line) == 0 || line[0] != '#' {
			return z.bad("a record stands before the fields are named")
		}
		if names, ok := bytes.CutPrefix(line, []byte("#fields"+z.sep)); ok {
			return z.columns(strings.Split(string(names), z.sep))
		}
	}
}

func (z *Reader) columns(names []string) error {
	for f := range z.column {
		z.column[f] = -1
		for i, n := range names {
			if strings.TrimSpace(n) == fieldNames[f] {
				z.column[f] = i
			}
		}
		if z.column[f] < 0 && field(f) < required {
			return z.bad("not a log of connections: there is no field %q", fieldNames[f])
		}
	}
	return nil
}

// next returns the next line without its end.
func (z *Reader) next() ([]byte, error) {
	line, err := z.in.ReadSlice('\n')
	z.line++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, z.bad("the line is longer than %d bytes", MaxLine)
	case err != nil && !errors.Is(err, io.EOF):
		return nil, ringwall.Errorf(ringwall.Unavailable, "reading log: %w", err)
	case err != nil && len(line) == 0:
		return nil, io.EOF
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func (z *Reader) bad(format string, args ...any) error {
	return ringwall.Errorf(ringwall.Invalid, "zeeklog: line %d: "+format, append([]any{z.line}, args...)...)
}

// Next returns the next connection, io.EOF after the last. After an error it
// gives the same error for ever.
func (z *Reader) Next() (c Conn, err error) {
	if z.err != nil {
		return Conn{}, z.err
	}
	for {
		line, err := z.next()
		if err != nil {
			z.err = err
			return Conn{}, err
		}
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		values, err := z.split(line)
		if err == nil {
			c, err = z.conn(values)
		}
		if err != nil {
			z.err = err
			return Conn{}, err
		}
		return c, nil
	}
}

// split returns the values of one record.
func (z *Reader) split(line []byte) (v [fieldCount]string, err error) {
	if z.json {
		return z.splitJSON(line)
	}
	var parts []string
	if z.comma {
		r := csv.NewReader(bytes.NewReader(line))
		r.FieldsPerRecord, r.LazyQuotes = -1, true
		if parts, err = r.Read(); err != nil {
			return v, z.bad("the line is not comma-separated: %v", err)
		}
	} else {
		parts = strings.Split(string(line), z.sep)
	}
	for f, at := range z.column {
		if at < 0 {
			continue
		}
		if at >= len(parts) {
			if field(f) < required {
				return v, z.bad("field %q is missing", fieldNames[f])
			}
			continue
		}
		if s := parts[at]; s != "-" && s != "(empty)" {
			v[f] = s
		}
	}
	return v, nil
}

func (z *Reader) splitJSON(line []byte) (v [fieldCount]string, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return v, z.bad("the line is not a JSON object: %v", err)
	}
	for f, name := range fieldNames {
		switch x := m[name].(type) {
		case string:
			v[f] = x
		case json.Number:
			v[f] = x.String()
		}
	}
	return v, nil
}

func (z *Reader) conn(v [fieldCount]string) (c Conn, err error) {
	c = Conn{Line: z.line, Proto: v[fieldProto], Service: v[fieldService], State: v[fieldState], History: v[fieldHistory], Label: v[fieldLabel]}
	sec, err := seconds(v[fieldTS])
	if err != nil || v[fieldTS] == "" || sec < 0 {
		return c, z.bad("time %q is not in seconds since 1970", shorten(v[fieldTS]))
	}
	c.Start = time.Unix(0, 0).Add(sec).UTC()
	if c.Duration, err = seconds(v[fieldDuration]); err != nil {
		return c, z.bad("duration %q is not in seconds", shorten(v[fieldDuration]))
	}
	if c.Orig, err = z.end(v[fieldOrigH], v[fieldOrigP]); err != nil {
		return c, err
	}
	if c.Resp, err = z.end(v[fieldRespH], v[fieldRespP]); err != nil {
		return c, err
	}
	for f, n := range map[field]*uint64{fieldOrigPkts: &c.OrigPkts, fieldRespPkts: &c.RespPkts, fieldOrigBytes: &c.OrigLen, fieldRespBytes: &c.RespLen} {
		if v[f] == "" {
			continue
		}
		if *n, err = strconv.ParseUint(v[f], 10, 64); err != nil {
			return c, z.bad("%s %q is not a number", fieldNames[f], shorten(v[f]))
		}
	}
	return c, nil
}

// seconds reads a decimal number of seconds to the nanosecond, without the
// rounding of a floating-point number.
func seconds(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	whole, frac, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > math.MaxInt64/int64(time.Second)-1 || n < 0 {
		return 0, errors.New("out of range")
	}
	frac = (frac + "000000000")[:9]
	f, err := strconv.ParseUint(frac, 10, 32)
	if err != nil {
		return 0, err
	}
	return time.Duration(n)*time.Second + time.Duration(f), nil
}

func (z *Reader) end(host, port string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, z.bad("address %q cannot be read", shorten(host))
	}
	if port == "" {
		return netip.AddrPortFrom(a, 0), nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, z.bad("port %q is not a number up to 65535", shorten(port))
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}

func shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
