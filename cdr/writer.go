package cdr

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

// Writer writes records with our columns.
type Writer struct {
	w   *bufio.Writer
	buf []byte
}

// NewWriter writes the header. For a file that has one already use AppendLine.
func NewWriter(w io.Writer) (*Writer, error) {
	wr := &Writer{w: bufio.NewWriter(w)}
	if _, err := wr.w.WriteString(Header()); err != nil {
		return nil, err
	}
	return wr, nil
}

// Header returns the first line, with its line break.
func Header() string { return strings.Join(columns[:], ",") + "\n" }

// Write writes one record; it is buffered until Flush. The error has code
// Invalid when the record cannot be written so that it would be read again.
func (w *Writer) Write(r *Record) error {
	line, err := AppendLine(w.buf[:0], r)
	if err != nil {
		return err
	}
	w.buf = line
	_, err = w.w.Write(line)
	return err
}

// Flush writes what is buffered.
func (w *Writer) Flush() error { return w.w.Flush() }

// AppendLine appends the line of one record, with its line break, to b. It
// reveals the IMSI and IMEI: a usage record is nothing without them.
func AppendLine(b []byte, r *Record) ([]byte, error) {
	text := []string{r.ID, r.IMSI.Reveal(), r.IMEI.Reveal(), r.Peer, r.APN, r.Area, r.Cell, r.PLMN, r.Address}
	for _, s := range text {
		if len(s) > maxField || strings.ContainsAny(s, "\r\n") {
			return b, ringwall.Errorf(ringwall.Invalid, "cdr: field %q has a line break or more than %d bytes", short(s), maxField)
		}
	}
	b = quote(b, r.ID)
	b = append(b, ',')
	b = r.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, ',')
	b = append(b, r.IMSI.Reveal()...)
	b = append(b, ',')
	b = append(b, r.IMEI.Reveal()...)
	b = append(b, ',')
	b = append(b, r.Service.String()...)
	b = append(b, ',')
	b = append(b, r.Direction.String()...)
	b = append(b, ',')
	b = quote(b, r.Peer)
	b = append(b, ',')
	b = quote(b, r.APN)
	b = append(b, ',')
	b = strconv.AppendUint(b, r.Up, 10)
	b = append(b, ',')
	b = strconv.AppendUint(b, r.Down, 10)
	b = append(b, ',')
	b = quote(b, r.Area)
	b = append(b, ',')
	b = quote(b, r.Cell)
	b = append(b, ',')
	b = strconv.AppendFloat(b, r.Duration.Seconds(), 'f', -1, 64)
	b = append(b, ',')
	b = append(b, r.PLMN...)
	b = append(b, ',')
	if r.Estimated {
		b = append(b, flagEstimated...)
	}
	if r.Partial {
		if r.Estimated {
			b = append(b, ' ')
		}
		b = append(b, flagPartial...)
	}
	b = append(b, ',')
	b = quote(b, r.Address)
	return append(b, '\n'), nil
}

func quote(b []byte, s string) []byte {
	if !strings.ContainsAny(s, `",`) {
		return append(b, s...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(s, `"`, `""`)...)
	return append(b, '"')
}
