package lab

import (
	"io/fs"
	"testing"
)

func FuzzParseScript(f *testing.F) {
	b, err := fs.ReadFile(Recorded(), recordedScript)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"made":"2026-01-01T00:00:00Z","ended":"2026-01-01T00:01:00Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseScript(b)
		if err == nil && (s.Made.IsZero() || s.Ended.Sub(s.Made) > maxPlay || s.Ended.Before(s.Made)) {
			t.Fatalf("taken: %+v", s)
		}
	})
}
