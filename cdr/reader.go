package cdr

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ringwall/ringwall"
)

// LineError is a line that is wrong. Reading goes on with the next.
type LineError struct {
	Line uint64 // from 1
	Err  error  // has code Invalid
}

func (e *LineError) Error() string { return fmt.Sprintf("cdr: line %d: %v", e.Line, e.Err) }
func (e *LineError) Unwrap() error { return e.Err }

// Reader reads records from a stream.
type Reader struct {
	r      *bufio.Reader
	layout *Layout
	line   uint64
}

// NewReader reads the header. The error is *LineError when it is wrong, io.EOF
// when the stream is empty.
func NewReader(r io.Reader, m Mapping) (*Reader, error) {
	rd := &Reader{r: bufio.NewReaderSize(r, MaxLine)}
	head, err := rd.readLine()
	if err != nil {
		return nil, err
	}
	if rd.layout, err = ParseHeader(head, m); err != nil {
		return nil, &LineError{Line: rd.line, Err: err}
	}
	return rd, nil
}

// Layout returns the layout that the header gave.
func (r *Reader) Layout() *Layout { return r.layout }

// Read reads the next record. It returns io.EOF at the end, a *LineError for a
// line that is wrong (call again for the next), else what the stream answered.
func (r *Reader) Read(rec *Record) error {
	for {
		line, err := r.readLine()
		if err != nil {
			return err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			continue // an empty line is no record
		}
		rec.Line = r.line
		if err := r.layout.Decode(line, rec); err != nil {
			return &LineError{Line: r.line, Err: err}
		}
		return nil
	}
}

// readLine returns the next line; a last one without a line break counts. One
// that is too long is skipped and is a *LineError.
func (r *Reader) readLine() ([]byte, error) {
	line, err := r.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		r.line++
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.r.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		return nil, &LineError{Line: r.line, Err: ringwall.Errorf(ringwall.Invalid, "longer than %d bytes", MaxLine)}
	case err == io.EOF && len(line) > 0:
	case err != nil:
		return nil, err
	}
	r.line++
	return line, nil
}
