package segment

import (
	"bytes"
	"encoding/gob"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/durable"
)

// markRow is a watermark: gateway and epoch are stored up to Seq, by Frame.
type markRow struct {
	Org   ringwall.OrgID
	GW    ringwall.GatewayID
	Epoch uint64
	Seq   uint64
	Frame uint64
}

type markKey struct {
	gatewayKey
	epoch uint64
}

// marks are the watermarks as of one frame.
type marks struct {
	rows map[markKey]markRow
	as   uint64 // of this frame and all before it
}

func (m *marks) put(row markRow) {
	k := markKey{gatewayKey{row.Org, row.GW}, row.Epoch}
	if old, ok := m.rows[k]; !ok || row.Seq > old.Seq {
		m.rows[k] = row
	}
}

// checkpoint holds the watermarks as of a frame, so that Open need not read
// the frames up to it. It is of one frame's form, whose checksum guards it, and
// is not synced: when it is lost or torn, Open reads the frames.
const checkpointFile = "marks.ckpt"

// maxCheckpoint bounds the file.
const maxCheckpoint = 1 << 30

type checkpoint struct {
	Tag   uint64
	As    uint64
	Marks []markRow
}

func saveCheckpoint(dir string, tag uint64, m *marks) error {
	c := checkpoint{Tag: tag, As: m.as}
	for _, row := range m.rows {
		c.Marks = append(c.Marks, row)
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(c); err != nil {
		return err
	}
	path := filepath.Join(dir, checkpointFile)
	if err := os.WriteFile(path+".tmp", durable.AppendFrame(nil, m.as, b.Bytes()), 0o600); err != nil {
		return errors.Join(err, os.Remove(path+".tmp"))
	}
	return os.Rename(path+".tmp", path)
}

// loadCheckpoint returns the zero checkpoint when there is none to be used.
func loadCheckpoint(dir string, tag uint64) (c checkpoint) {
	f, err := os.Open(filepath.Join(dir, checkpointFile))
	if err != nil {
		return c
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return c
	}
	as, payload, err := durable.NewFrameReader(io.Reader(f), 0, true, int(min(fi.Size(), maxCheckpoint))).Next()
	if err != nil || gob.NewDecoder(bytes.NewReader(payload)).Decode(&c) != nil || c.As != as || c.Tag != tag {
		return checkpoint{}
	}
	return c
}
