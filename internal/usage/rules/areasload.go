package rules

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

// AreaLine is one line of a table of places. It is about a cell when Cell is
// set, else an area when Area is, else a network or country.
type AreaLine struct {
	PLMN    string  `json:"plmn,omitempty"` // "46000", or a country "460"; "" = any network
	Area    string  `json:"area,omitempty"`
	Cell    string  `json:"cell,omitempty"`
	Name    string  `json:"name,omitempty"`
	Lat     float64 `json:"lat,omitempty"`
	Lon     float64 `json:"lon,omitempty"`
	Located bool    `json:"located,omitempty"` // Lat and Lon are told
	Km      float64 `json:"km,omitempty"`      // how far from there a card may be; 0 = 2 of a cell, 20 of an area
	Risk    string  `json:"risk,omitempty"`    // "", "watched", "risky", "high"
}

// Bounds of a table of places.
const (
	maxAreas    = 8 << 20
	maxAreaLine = 1 << 16
)

// NewAreas makes a table of places. The error has code Invalid and names the
// line, from 1.
func NewAreas(list []AreaLine, keys *cdr.Keys) (*Areas, error) {
	if len(list) > maxAreas {
		return nil, ringwall.Errorf(ringwall.Invalid, "table of places: %d lines are over the limit of %d", len(list), maxAreas)
	}
	a := &Areas{}
	cells, areas, networks := map[uint64]spot{}, map[uint64]spot{}, map[uint64]spot{}
	h := fnv.New64a()
	for i := range list {
		if err := a.add(&list[i], keys, cells, areas, networks); err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "table of places: line %d: %w", i+1, err)
		}
	}
	a.cells, a.networks = newTable(cells), newTable(networks)
	own, all := map[uint64]spot{}, map[uint64]spot{}
	for k, v := range areas {
		if k>>32 == 0 {
			all[k] = v
		} else {
			own[k] = v
		}
	}
	a.areas, a.anyAreas = newTable(own), newTable(all)
	slices.SortFunc(a.list, func(x, y Named) int {
		return cmp.Or(cmp.Compare(x.PLMN, y.PLMN), cmp.Compare(x.Area, y.Area))
	})
	var b [16]byte
	for _, m := range []map[uint64]spot{cells, areas, networks} {
		for _, k := range sortedKeys(m) {
			binary.LittleEndian.PutUint64(b[:], k)
			binary.LittleEndian.PutUint32(b[8:], uint32(m[k].point))
			binary.LittleEndian.PutUint32(b[12:], m[k].info)
			h.Write(b[:])
		}
	}
	for i, r := range a.countries {
		if r != 0 {
			h.Write([]byte{byte(i), byte(i >> 8), byte(r)})
		}
	}
	a.version = h.Sum64()
	return a, nil
}

func (a *Areas) add(l *AreaLine, keys *cdr.Keys, cells, areas, networks map[uint64]spot) error {
	var s spot
	risk := slices.Index(riskNames[:], l.Risk)
	if risk < 0 {
		return ringwall.Errorf(ringwall.Invalid, "risk %.20q is none of watched, risky, high", l.Risk)
	}
	if l.Located {
		if s.point = PointAt(l.Lat, l.Lon); !s.point.Valid() {
			return ringwall.Errorf(ringwall.Invalid, "%v, %v is no place on earth", l.Lat, l.Lon)
		}
	}
	km := l.Km
	switch {
	case km == 0 && l.Cell != "":
		km = 2
	case km == 0:
		km = 20
	case !(km > 0 && km <= 1000):
		return ringwall.Errorf(ringwall.Invalid, "reach of %v km, want up to 1000", km)
	}
	s.info = uint32(reachOf(km)) | uint32(risk)<<3
	plmn, ok := uint32(0), true
	if l.PLMN != "" {
		if plmn, ok = parseHome(l.PLMN); !ok {
			return ringwall.Errorf(ringwall.Invalid, `network %.20q is neither a country such as "460" nor a network such as "46000"`, l.PLMN)
		}
	}
	switch {
	case l.Cell != "":
		_, key := keys.PlaceKey(plmn, []byte(l.Area), []byte(l.Cell))
		cells[key] = s
		a.riskyCell = a.riskyCell || risk > 0
	case l.Area != "":
		key := keys.AreaKey([]byte(l.Area))
		areas[areaKey(plmn, key)] = s
		a.list = append(a.list, Named{PLMN: plmn, Area: key, Name: l.Name, Spot: Spot{Point: s.point, Reach: float64(reachKm(s.reach())), Risk: Risk(risk)}})
	case l.PLMN == "":
		return ringwall.Errorf(ringwall.Invalid, "it names no cell, area or network")
	case len(l.PLMN) == 3:
		a.countries[cdr.Country(plmn)] = Risk(risk)
	default:
		networks[uint64(plmn)] = s
	}
	return nil
}

var areaColumns = []string{"plmn", "area", "cell", "name", "lat", "lon", "km", "risk"}

// ReadAreas reads a table of places: CSV whose first line names the columns
// plmn, area, cell, name, lat, lon, km and risk in any order, or lines of JSON
// with these names. What is empty is not told. The error has code Invalid and
// names the line.
func ReadAreas(r io.Reader, keys *cdr.Keys) (*Areas, error) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 4096), maxAreaLine)
	var list []AreaLine
	var at []int
	n := 0
	bad := func(format string, args ...any) error {
		return ringwall.Errorf(ringwall.Invalid, "table of places: line %d: "+format, append([]any{n}, args...)...)
	}
	lines := []int{}
	for in.Scan() {
		n++
		text := strings.TrimSpace(strings.TrimPrefix(in.Text(), "\ufeff"))
		if text == "" {
			continue
		}
		var l AreaLine
		var err error
		switch {
		case text[0] == '{':
			l, err = areaJSON(text)
		case at == nil:
			if at, err = areaHeader(text); err != nil {
				return nil, bad("%w", err)
			}
			continue
		default:
			l, err = areaCSV(text, at)
		}
		if err != nil {
			return nil, bad("%w", err)
		}
		if len(list) == maxAreas {
			return nil, bad("more than %d places", maxAreas)
		}
		list, lines = append(list, l), append(lines, n)
	}
	if err := in.Err(); err != nil {
		n++
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, bad("longer than %d bytes", maxAreaLine)
		}
		return nil, ringwall.Errorf(ringwall.Unavailable, "reading the table of places: %w", err)
	}
	// Tell the line of the file, not the place in the list.
	for i := range list {
		var a Areas
		if err := a.add(&list[i], keys, map[uint64]spot{}, map[uint64]spot{}, map[uint64]spot{}); err != nil {
			n = lines[i]
			return nil, bad("%w", err)
		}
	}
	return NewAreas(list, keys)
}

func areaJSON(text string) (l AreaLine, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return l, ringwall.Errorf(ringwall.Invalid, "it is no place in JSON")
	}
	if strings.Contains(text, `"lat"`) && strings.Contains(text, `"lon"`) {
		l.Located = true
	}
	return l, nil
}

func areaHeader(text string) ([]int, error) {
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "its quotes are wrong")
	}
	at := make([]int, 0, len(fields))
	for _, f := range fields {
		c := slices.Index(areaColumns, strings.ToLower(strings.TrimSpace(f)))
		if c < 0 || slices.Contains(at, c) {
			return nil, ringwall.Errorf(ringwall.Invalid, "column %.40q is none of %s, or there twice", f, strings.Join(areaColumns, ", "))
		}
		at = append(at, c)
	}
	return at, nil
}

func areaCSV(text string, at []int) (l AreaLine, err error) {
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil || len(fields) != len(at) {
		return l, ringwall.Errorf(ringwall.Invalid, "its fields are not those of the header")
	}
	number := func(s string) float64 {
		v, perr := strconv.ParseFloat(s, 64)
		if perr != nil || math.IsNaN(v) {
			err = ringwall.Errorf(ringwall.Invalid, "%.20q is no number", s)
		}
		return v
	}
	told := 0
	for i, f := range fields {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		switch areaColumns[at[i]] {
		case "plmn":
			l.PLMN = f
		case "area":
			l.Area = f
		case "cell":
			l.Cell = f
		case "name":
			l.Name = f
		case "lat":
			l.Lat = number(f)
			told++
		case "lon":
			l.Lon = number(f)
			told++
		case "km":
			l.Km = number(f)
		case "risk":
			l.Risk = strings.ToLower(f)
		}
	}
	if l.Located = told == 2; told == 1 && err == nil {
		err = ringwall.Errorf(ringwall.Invalid, "it has a latitude or a longitude alone")
	}
	return l, err
}
