package tunnel

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/ringwall/ringwall"
)

// A recording is a sequence of frames, encrypted as one age file
// (age-encryption.org/v1) to the platform's own recipient: what goes through a
// tunnel may hold passwords, and stands nowhere in clear. A frame is
//
//	8 bytes  time, microseconds since 1970, big endian
//	4 bytes  number of the connection within the tunnel
//	1 byte   what: '>' to the device, '<' from it, '+' opened, '-' closed
//	3 bytes  length of what follows
//	n bytes  what went through; of '+', who opened it; of '-', why it ended

// Frame is one piece of a recording.
type Frame struct {
	Time time.Time `json:"time"`
	Conn uint32    `json:"conn"`
	What Event     `json:"what"`
	Data []byte    `json:"data,omitempty"`
}

// Event says what a frame is.
type Event byte

const (
	Sent     Event = '>' // to the device
	Received Event = '<' // from it
	Opened   Event = '+'
	Closed   Event = '-'
)

func (e Event) String() string { return string(rune(e)) }

// MarshalText writes the sign of the event.
func (e Event) MarshalText() ([]byte, error) { return []byte{byte(e)}, nil }

// UnmarshalText reads the sign of an event.
func (e *Event) UnmarshalText(b []byte) error {
	if len(b) != 1 || !Event(b[0]).valid() {
		return ringwall.Errorf(ringwall.Invalid, "%.8q is no event of a recording", b)
	}
	*e = Event(b[0])
	return nil
}

func (e Event) valid() bool { return e == Sent || e == Received || e == Opened || e == Closed }

const (
	frameHead = 16
	maxFrame  = 1 << 20
)

// Recorder writes a recording. It may be used concurrently.
type Recorder struct {
	mu    sync.Mutex
	w     io.WriteCloser
	limit int64 // bytes that may still come
	now   func() time.Time
	err   error
}

// ErrFull says that a recording has reached its limit: what cannot be recorded
// must not go through.
var ErrFull = errors.New("the recording of the tunnel is full")

// NewRecorder begins a recording of at most limit bytes on w.
func NewRecorder(w io.Writer, to age.Recipient, limit int64, now func() time.Time) (*Recorder, error) {
	enc, err := age.Encrypt(w, to)
	if err != nil {
		return nil, fmt.Errorf("beginning a recording: %w", err)
	}
	return &Recorder{w: enc, limit: limit, now: now}, nil
}

// Write adds a frame; longer data become several.
func (r *Recorder) Write(conn uint32, what Event, data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for first := true; first || len(data) > 0; first = false {
		part := data[:min(len(data), maxFrame)]
		data = data[len(part):]
		if err := r.frame(conn, what, part); err != nil {
			return err
		}
	}
	return nil
}

func (r *Recorder) frame(conn uint32, what Event, data []byte) error {
	if r.err != nil {
		return r.err
	}
	r.limit -= frameHead + int64(len(data))
	if r.limit < 0 && what != Closed {
		r.err = ErrFull
		return r.err
	}
	var head [frameHead]byte
	binary.BigEndian.PutUint64(head[:], uint64(r.now().UnixMicro()))
	binary.BigEndian.PutUint32(head[8:], conn)
	binary.BigEndian.PutUint32(head[12:], uint32(len(data)))
	head[12] = byte(what)
	if _, r.err = r.w.Write(append(head[:], data...)); r.err != nil {
		r.err = fmt.Errorf("writing the recording: %w", r.err)
	}
	return r.err
}

// Close ends the recording; what was written before is whole from then on.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.w.Close()
	if r.err == nil {
		r.err = ringwall.Errorf(ringwall.Conflict, "the recording is closed")
	}
	return err
}

// ReadRecording calls each with the frames of a recording. One whose program was
// killed ends early: then what could be read has been given, and the error has
// code Invalid.
func ReadRecording(from io.Reader, with age.Identity, each func(Frame) error) error {
	dec, err := age.Decrypt(from, with)
	if err != nil {
		return ringwall.Errorf(ringwall.Unverified, "the recording cannot be opened with this key: %w", err)
	}
	return readFrames(dec, each)
}

func readFrames(from io.Reader, each func(Frame) error) error {
	r := bufio.NewReader(from)
	for {
		var head [frameHead]byte
		switch _, err := io.ReadFull(r, head[:]); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return ringwall.Errorf(ringwall.Invalid, "the recording ends in the middle: %w", err)
		}
		f := Frame{
			Time: time.UnixMicro(int64(binary.BigEndian.Uint64(head[:]))).UTC(), Conn: binary.BigEndian.Uint32(head[8:]), What: Event(head[12]),
		}
		n := binary.BigEndian.Uint32(head[12:]) & (1<<24 - 1)
		if n > maxFrame || !f.What.valid() {
			return ringwall.Errorf(ringwall.Invalid, "the recording holds what is no frame")
		}
		f.Data = make([]byte, n)
		if _, err := io.ReadFull(r, f.Data); err != nil {
			return ringwall.Errorf(ringwall.Invalid, "the recording ends in the middle: %w", err)
		}
		if err := each(f); err != nil {
			return err
		}
	}
}
