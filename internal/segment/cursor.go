package segment

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall"
)

// Cursor is a place between two records, in the order of ingest. The zero
// value is before the first. Cursors are ordered as their texts are not:
// compare with Less.
type Cursor struct {
	Frame  uint64 // the frame of the next record; 0 is the first there is
	Record int    // its number in the frame
}

// String returns "frame.record".
func (c Cursor) String() string { return fmt.Sprintf("%d.%d", c.Frame, c.Record) }

// MarshalText returns the form of String.
func (c Cursor) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the form of String; "" is the zero value.
func (c *Cursor) UnmarshalText(b []byte) (err error) {
	*c, err = ParseCursor(string(b))
	return err
}

// ParseCursor reads the form of String; "" is the zero value.
func ParseCursor(s string) (c Cursor, err error) {
	if s == "" {
		return c, nil
	}
	frame, record, ok := strings.Cut(s, ".")
	if ok {
		c.Frame, err = strconv.ParseUint(frame, 10, 64)
		if err == nil {
			c.Record, err = strconv.Atoi(record)
		}
	}
	if !ok || err != nil || c.Record < 0 || c.String() != s {
		return Cursor{}, ringwall.Errorf(ringwall.Invalid, "cursor %.40q is not of the form frame.record", s)
	}
	return c, nil
}

// Less reports whether c is before d.
func (c Cursor) Less(d Cursor) bool {
	return c.Frame < d.Frame || c.Frame == d.Frame && c.Record < d.Record
}
