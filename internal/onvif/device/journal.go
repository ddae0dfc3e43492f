package device

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Bounds of the journal: the newest lines stay, as in a device's ring buffer.
const (
	journalLines = 256
	journalWidth = 160
)

// journal keeps what happened to a camera's accounts.
type journal struct {
	now func() time.Time

	mu    sync.Mutex
	lines []string // oldest first
}

func newJournal(now func() time.Time) *journal { return &journal{now: now} }

func (j *journal) note(format string, args ...any) {
	line := j.now().UTC().Format(time.RFC3339) + " " + fmt.Sprintf(format, args...)
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.lines) >= journalLines {
		j.lines = append(j.lines[:0], j.lines[1:]...)
	}
	j.lines = append(j.lines, line[:min(len(line), journalWidth)])
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n")
}
