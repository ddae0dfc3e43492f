package zones_test

import (
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/policy/zones"
)

// What a table says is what the database says, every hour for two years.
func TestFor_saysWhatTheDatabaseSays(t *testing.T) {
	now := time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC)
	names := []string{"Asia/Shanghai", "UTC", "Europe/Berlin", "", "America/St_Johns", "Africa/Casablanca", "Europe/Berlin", "Australia/Lord_Howe"}
	got, err := zones.For(now, names)
	if err != nil || len(got) != 5 {
		t.Fatalf("For = %d zones, %v", len(got), err)
	}
	for _, z := range got {
		loc, err := time.LoadLocation(z.Name)
		if err != nil {
			t.Fatal(err)
		}
		for at := now.Add(-24 * time.Hour); at.Before(now.AddDate(2, 0, 0)); at = at.Add(time.Hour) {
			said := 0
			for _, o := range z.Offsets {
				if !o.From.After(at) {
					said = o.Seconds
				}
			}
			if _, want := at.In(loc).Zone(); said != want {
				t.Fatalf("%s at %s: offset %d, want %d", z.Name, at, said, want)
			}
		}
	}
	if len(got[0].Offsets) != 1 || got[0].Offsets[0].Seconds != 8*3600 {
		t.Errorf("Shanghai: %+v", got[0])
	}
}

func TestFor_refusesWhatIsNone(t *testing.T) {
	for _, name := range []string{"Mars/Olympus", "Local", "/etc/localtime", "../etc/localtime", "Asia/../Asia/Shanghai"} {
		if _, err := zones.For(time.Now(), []string{name}); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("For(%q) = %v, want code invalid", name, err)
		}
	}
}
