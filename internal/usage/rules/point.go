package rules

import "math"

// Point is a place on earth in 32 bits: the highest says that it is known, then
// 15 bits of latitude from the south pole and 16 of longitude from 180° west, in
// units of 180°/32768, which are 611 m on a meridian.
type Point uint32

const (
	pointKnown = 1 << 31
	unit       = 180.0 / (1 << 15)
	// unitKm10 is a unit on a meridian in tenths of a kilometre, rounded up.
	unitKm10 = 7
)

// PointAt is the point at degrees north and east. It is not known when these are
// none.
func PointAt(lat, lon float64) Point {
	if !(lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180) {
		return 0
	}
	y := min(int(math.Round((lat+90)/unit)), 1<<15-1)
	x := int(math.Round((lon+180)/unit)) & (1<<16 - 1)
	return Point(pointKnown | y<<16 | x)
}

// Valid reports whether the point is known.
func (p Point) Valid() bool { return p&pointKnown != 0 }

// Degrees are north and east.
func (p Point) Degrees() (lat, lon float64) {
	return float64(p>>16&(1<<15-1))*unit - 90, float64(p&(1<<16-1))*unit - 180
}

// within reports whether two points are certainly within km of each other, by
// way of their latitudes and longitudes alone: it is quick, and may say no where
// they are.
func (p Point) within(q Point, km uint32) bool {
	dy := int32(p>>16&(1<<15-1)) - int32(q>>16&(1<<15-1))
	dx := int32(int16(uint16(p) - uint16(q)))
	if dy < 0 {
		dy = -dy
	}
	if dx < 0 {
		dx = -dx
	}
	return uint32(dx+dy)*unitKm10 <= km*10
}

// Km is the distance on the sphere, in whole kilometres.
func (p Point) Km(q Point) uint32 {
	const radius, rad = 6371, math.Pi / 180
	la, lo := p.Degrees()
	lb, lp := q.Degrees()
	// The haversine. Conversions keep machines that could from fusing operations.
	a, b := math.Sin((lb-la)*rad/2), math.Sin((lp-lo)*rad/2)
	h := float64(a*a) + float64(float64(math.Cos(la*rad)*math.Cos(lb*rad))*float64(b*b))
	return uint32(math.Round(2 * radius * math.Asin(math.Sqrt(min(h, 1)))))
}

// reaches are the uncertainties of places that are told apart, in km.
var reaches = [8]uint8{1, 2, 5, 10, 20, 35, 70, 150}

func reachKm(r uint) int { return int(reaches[r&7]) }

// reachOf is the least reach that is no less than km.
func reachOf(km float64) uint {
	for i, r := range reaches {
		if km <= float64(r) {
			return uint(i)
		}
	}
	return uint(len(reaches) - 1)
}
