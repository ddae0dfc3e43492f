package vuln

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	ordered := [][]string{
		{"1.0.0", "1.0.1", "1.0.1a", "1.0.1f", "1.0.1g", "1.0.2", "1.0.2k", "1.0.2z", "1.0.2za", "1.0.2zd", "1.1.0", "1.1.1-pre1", "1.1.1", "1.1.1a", "3.0.0-alpha1", "3.0.0-beta1", "3.0.0"},
		{"7.1", "7.1p1", "7.1p2", "7.2", "8.4p1", "8.5p1", "9.8p1", "10.0p2"},
		{"4.2.7p22", "4.2.7p26", "4.2.8-RC1", "4.2.8", "4.2.8p1", "4.2.8p4", "4.2.8p15"},
		{"2.6.32", "3.2.60", "3.10", "3.10.14", "3.10.104", "4.4", "4.9.118", "4.19", "5.10.102"},
		{"0.94.13", "0.94.14rc1", "0.94.14rc20", "0.94.14rc21", "0.94.14"},
		{"2.80test3", "2.80rc1", "2.80"},
		{"0.52", "2011.54", "2012.55", "2017.75", "2022.83"},
		{"2018.09.26", "2018.10.17", "2019.02.03", "2019.2.27"},
		{"5.2.0 build 140721", "V5.4.0 build 160401", "5.4.0 Build 160530", "V5.4.1", "V5.4.4 build 161125"},
		{"1.9.0", "1.9.5p1", "1.9.5p2", "1.9.13p3"},
		{"0.9.33", "0.9.33.2", "1.0.12", "1.0.31"},
		{"2.0.13-beta", "2.0.22-stable", "2.1.12-stable"},
		{"1.0~rc1", "1.0"},
		{"6b", "8d", "9", "9a"},
	}
	for _, row := range ordered {
		for i := range row {
			for j := range row {
				want := 0
				if i < j {
					want = -1
				} else if i > j {
					want = 1
				}
				if got := Compare(row[i], row[j]); got != want {
					t.Errorf("Compare(%q, %q) = %d, want %d", row[i], row[j], got, want)
				}
			}
		}
	}
	for _, same := range [][2]string{{"1.2", "1.2.0"}, {"v1.2.3", "1.2.3"}, {"2.1.12-stable", "2.1.12"}, {"1.02", "1.2"}, {"1.0.2k-fips", "1.0.2k"}, {"1.2.3+build5", "1.2.3"}, {"", "0"}} {
		if Compare(same[0], same[1]) != 0 || Compare(same[1], same[0]) != 0 {
			t.Errorf("%q and %q differ", same[0], same[1])
		}
	}
}

// Compare is a total preorder whatever the strings.
func TestCompare_isAnOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	parts := []string{"0", "1", "2", "10", "02", "a", "b", "k", "za", "p1", "rc1", "rc2", "-beta", "-pre", "~", ".", "-", "_", "+x", "999999999999999999999999", "build", "dev", "É"}
	random := func() string {
		var b strings.Builder
		for range r.IntN(7) {
			b.WriteString(parts[r.IntN(len(parts))])
			if r.IntN(2) == 0 {
				b.WriteByte('.')
			}
		}
		return b.String()
	}
	for range 200_000 {
		a, b, c := random(), random(), random()
		if Compare(a, a) != 0 {
			t.Fatalf("%q differs from itself", a)
		}
		if Compare(a, b) != -Compare(b, a) {
			t.Fatalf("Compare(%q, %q) = %d but the other way %d", a, b, Compare(a, b), Compare(b, a))
		}
		if Compare(a, b) <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
			t.Fatalf("%q <= %q <= %q, but not the first and last", a, b, c)
		}
	}
}

func TestCompareDebian(t *testing.T) {
	row := []string{"1.0~rc1-1", "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0.1e-2+deb7u4", "1.0.1e-2+deb7u5", "1.0.1e-2+deb7u10", "1.0.1g-1", "1:0.5-1"}
	for i := range row {
		for j := range row {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := CompareDebian(row[i], row[j]); got != want {
				t.Errorf("CompareDebian(%q, %q) = %d, want %d", row[i], row[j], got, want)
			}
		}
	}
}

func TestRange(t *testing.T) {
	heartbleed := Range{From: "1.0.1", Before: "1.0.1g"}
	for v, want := range map[string]bool{"1.0.1": true, "1.0.1f": true, "1.0.1g": false, "1.0.0t": false, "1.0.2": false, "1.0.2-beta1": false} {
		if got := heartbleed.Holds(v); got != want {
			t.Errorf("%v holds %q: %v, want %v", heartbleed, v, got, want)
		}
	}
	if s := heartbleed.String(); s != ">= 1.0.1, < 1.0.1g" {
		t.Errorf("String = %q", s)
	}
	gsoap := Range{From: "2.7.0", Before: "2.8.48"}
	for v, want := range map[string]bool{"2.8": true, "2.8.1": false, "2.7": false, "2": true} {
		if got := gsoap.vague(v); got != want {
			t.Errorf("%q is vague beside %v: %v, want %v", v, gsoap, got, want)
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add("1.0.2k", "1.0.2za", "V5.4.0 build 160530")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if Compare(a, b) != -Compare(b, a) || Compare(a, b) <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
			t.Fatalf("%q, %q and %q are in no order", a, b, c)
		}
		if CompareDebian(a, b) != -CompareDebian(b, a) {
			t.Fatalf("Debian: %q and %q are in no order", a, b)
		}
	})
}
