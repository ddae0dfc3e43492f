package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/cdrfile"
)

// usageFiles is a source of the records of several files, one after the other.
type usageFiles struct {
	names []string
	open  func(name string, from []byte) (*cdrfile.File, error)
	at    int // the file that is open, or the next
	from  []byte
	now   *cdrfile.File
}

// usagePosition is how far several files were read.
type usagePosition struct {
	File int    `json:"file"`
	Name string `json:"name"`
	At   []byte `json:"at,omitempty"`
}

// goOn begins at a position. The error has code Conflict when it is of other
// files.
func (u *usageFiles) goOn(position []byte) error {
	var p usagePosition
	if err := json.Unmarshal(position, &p); err != nil {
		return ringwall.Errorf(ringwall.Unverified, "the snapshot's position is none in files")
	}
	same := p.File == len(u.names) && p.Name == "" || p.File >= 0 && p.File < len(u.names) && u.names[p.File] == p.Name
	if !same {
		return ringwall.Errorf(ringwall.Conflict, "the snapshot was taken in %q, the %d. file: name the same files, new ones after them", p.Name, p.File+1)
	}
	u.at, u.from = p.File, p.At
	return nil
}

// Next implements cdr.Source.
func (u *usageFiles) Next(ctx context.Context, b *cdr.Batch) error {
	for u.at < len(u.names) {
		if u.now == nil {
			f, err := u.open(u.names[u.at], u.from)
			if err != nil {
				return err
			}
			u.now, u.from = f, nil
		}
		err := u.now.Next(ctx, b)
		if !errors.Is(err, io.EOF) {
			return err
		}
		if err := u.close(); err != nil {
			return ringwall.Errorf(ringwall.Unavailable, "closing %q: %w", u.names[u.at], err)
		}
		u.at++
	}
	return io.EOF
}

func (u *usageFiles) close() (err error) {
	if u.now != nil {
		err = u.now.Close()
		u.now = nil
	}
	return err
}

// Position implements cdr.Source.
func (u *usageFiles) Position() []byte {
	p := usagePosition{File: u.at, At: u.from}
	if u.at < len(u.names) {
		p.Name = u.names[u.at]
	}
	if u.now != nil {
		p.At = u.now.Position()
	}
	b, err := json.Marshal(p)
	if err != nil {
		panic("cli: a position is no JSON: " + err.Error()) // it is made of numbers and strings
	}
	return b
}

// Tag is the name of the file of the last batch.
func (u *usageFiles) Tag() any {
	if u.at < len(u.names) {
		return u.names[u.at]
	}
	return ""
}
