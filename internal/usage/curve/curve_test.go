package curve

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func TestCurve_counts_each_record_at_its_own_time(t *testing.T) {
	var c Curve
	for _, u := range []Use{
		{At: now, Point: Point{Up: 10, Down: 5, Records: 1}, Area: "a1", Cell: "c1"},
		{At: now.Add(-3 * time.Hour), Point: Point{Calls: 1, Records: 1}, Area: "a2"}, // late
		{At: now.Add(time.Minute), Point: Point{Up: 1, Messages: 2, Records: 1}, Area: "a1", Cell: "c1"},
	} {
		if !c.Add(u, now) {
			t.Errorf("%v was not counted", u.At)
		}
	}
	if len(c.Hour) != 2 || c.Hour[0].Calls != 1 || c.Hour[1].Up != 11 || c.Hour[1].Messages != 2 {
		t.Errorf("hours %+v", c.Hour)
	}
	if len(c.Day) != 1 || c.Day[0].Records != 3 {
		t.Errorf("days %+v", c.Day)
	}
	// A late record does not make an old place the present one.
	if c.Area() != "a1" || len(c.Places) != 2 || c.Places[0].Count != 2 {
		t.Errorf("places %+v", c.Places)
	}
	if s := c.Since(now.Add(-time.Hour)); s.Up != 11 || s.Calls != 0 {
		t.Errorf("since an hour ago: %+v", s)
	}
}

func TestCurve_a_wrong_clock_pushes_nothing_out(t *testing.T) {
	var c Curve
	c.Add(Use{At: now, Point: Point{Records: 1}}, now)
	if c.Add(Use{At: now.AddDate(50, 0, 0), Point: Point{Records: 1}}, now) {
		t.Error("a record of the far future was counted")
	}
	if c.Add(Use{At: now.AddDate(-3, 0, 0), Point: Point{Records: 1}}, now) {
		t.Error("a record of three years ago was counted")
	}
	if len(c.Hour) != 1 || len(c.Day) != 1 {
		t.Errorf("%+v", c)
	}
}

// TestCurve_is_bounded: two years of use every hour, from ever new places with
// long names.
func TestCurve_is_bounded(t *testing.T) {
	var c Curve
	start := now.AddDate(-2, 0, 0)
	for h := range 2 * 365 * 24 {
		at := start.Add(time.Duration(h) * time.Hour)
		c.Add(Use{At: at, Point: Point{Up: 1 << 40, Down: 1 << 40, Calls: 9, Messages: 9, Records: 100}, Area: strings.Repeat("x", 100) + fmt.Sprint(h), Cell: fmt.Sprint(h)}, at)
	}
	if len(c.Hour) != Hours || len(c.Day) > Days || len(c.Places) != MaxPlaces {
		t.Errorf("%d hours, %d days, %d places", len(c.Hour), len(c.Day), len(c.Places))
	}
	if n := len(c.Encode()); n > 24<<10 {
		t.Errorf("encoded in %d bytes", n)
	}
}

func TestEncode_round(t *testing.T) {
	var c Curve
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		c.Add(Use{At: now.Add(-time.Duration(r.IntN(30*24)) * time.Hour), Point: Point{Up: r.Uint64N(1 << 30), Records: 1}, Area: fmt.Sprint(r.IntN(90))}, now)
	}
	b := c.Encode()
	got, err := Decode(b)
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Fatalf("decoded otherwise, %v", err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, err := Decode(bad); err == nil {
			t.Fatalf("byte %d changed, and it was taken", i)
		}
	}
	if z, err := Decode(nil); err != nil || len(z.Hour) != 0 {
		t.Errorf("nothing is %+v, %v", z, err)
	}
}

func FuzzDecode(f *testing.F) {
	var c Curve
	c.Add(Use{At: now, Point: Point{Up: 1, Records: 1}, Area: "a", Cell: "b", PLMN: "46000"}, now)
	f.Add(c.Encode())
	f.Add([]byte{1, 0, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(got.Encode())
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("what was taken does not go round: %v", err)
		}
	})
}
