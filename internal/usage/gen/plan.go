package gen

import (
	"cmp"
	"math"
	"slices"
)

// A network is an operator's, with its country. The codes are those of ITU-T
// E.212; which of them are risky is this world's invention.
type network struct {
	MCC, MNC string
	Risk     bool
}

const home = 0 // the network whose cards these are

func networks() []network {
	return []network{
		{MCC: "460", MNC: "04"},
		{MCC: "452", MNC: "04"},
		{MCC: "457", MNC: "01"},
		{MCC: "414", MNC: "01", Risk: true},
	}
}

// An area is a tracking area.
type area struct {
	Net      int
	Code     int
	Lat, Lon float64
	Risk     bool
}

// A cell serves what is near it.
type cell struct {
	Lat, Lon float32
	Area     int32
	Alt      int32 // area after its town was planned anew; -1 = the same
	Town     int32
	ECI      uint32
	near     [6]int32 // neighbours; -1 = none
	mates    int8     // how many of them there are
}

// A town has cells in a grid and roads to others.
type town struct {
	Lat, Lon    float64
	Net         int
	weight      float64
	first, side int32 // its cells are side × side, from first
	roads       []link
	Risk        bool
	border      bool
	replan      int64 // when its areas get other codes; 0 = never
}

type link struct {
	to   int32
	road int32
	back bool // against the direction of the road's cells
}

type road struct {
	a, b         int32
	km           float64
	first, count int32
}

// plan is the cell plan of the home network and of the parts of others that
// its cards come to.
type plan struct {
	nets   []network
	areas  []area
	cells  []cell
	towns  []town
	roads  []road
	locals []int32   // home towns, by size
	cumul  []float64 // of their weights
}

const (
	cellKM    = 1.1 // between cells in a town, less in a large one
	townKM    = 40  // across a large town
	roadKM    = 7.0 // between cells along a road
	areaSide  = 5   // a tracking area of a town is this many cells square
	roadCells = 10  // of a tracking area along a road
	degreeKM  = 111.2
)

func km(lat1, lon1, lat2, lon2 float64) float64 {
	x := (lon2 - lon1) * math.Cos((lat1+lat2)/2*math.Pi/180)
	y := lat2 - lat1
	return math.Sqrt(x*x+y*y) * degreeKM
}

// newPlan makes a plan of about n cells.
func newPlan(c *chance, n int, start, days int64) *plan {
	p := &plan{nets: networks()}
	count := min(max(n/90, 6), 300)
	p.town(town{Lat: 24.0, Lon: 97.9, weight: 0.02, border: true})
	p.town(town{Lat: 22.1, Lon: 106.7, weight: 0.02, border: true})
	p.town(town{Lat: 21.6, Lon: 101.7, weight: 0.02, border: true})
	for i := 0; len(p.towns) < count+3 && i < 50*count; i++ {
		lat, lon := 23.5+18*unit(c.at(forCity, uint64(i), 1)), 102+20*unit(c.at(forCity, uint64(i), 2))
		if slices.ContainsFunc(p.towns, func(t town) bool { return km(t.Lat, t.Lon, lat, lon) < 55 }) {
			continue
		}
		p.town(town{Lat: lat, Lon: lon, weight: 1 / float64(len(p.towns)-2)})
	}
	for i := range p.towns {
		t := &p.towns[i]
		p.locals = append(p.locals, int32(i))
		// One town of the country is known for fraud, and people live there too.
		t.Risk = i == len(p.towns)-1
		if !t.border && hit(c.at(forReplan, uint64(i), 0), 0.1) && days > 4 {
			t.replan = start + 86400*(2+int64(within(c.at(forReplan, uint64(i), 1), int(days-3)))) + 3*3600
		}
	}
	homes := len(p.towns)
	for _, f := range []town{
		{Net: 1, Lat: 21.9, Lon: 106.75}, {Net: 1, Lat: 21.0, Lon: 105.8},
		{Net: 2, Lat: 21.1, Lon: 101.7}, {Net: 2, Lat: 19.9, Lon: 102.1},
		{Net: 3, Lat: 23.9, Lon: 97.85}, {Net: 3, Lat: 22.9, Lon: 97.7},
	} {
		f.weight, f.Risk = 0.02, p.nets[f.Net].Risk
		p.town(f)
	}
	total := 0.0
	for _, t := range p.towns {
		total += t.weight
	}
	for i := range p.towns {
		side := int32(max(3, math.Round(math.Sqrt(float64(n)*0.85*p.towns[i].weight/total))))
		p.fill(c, int32(i), side)
	}
	p.connect(homes)
	p.centre()
	sum := 0.0
	for _, i := range p.locals {
		sum += p.towns[i].weight
		p.cumul = append(p.cumul, sum)
	}
	return p
}

// centre puts each area where the middle of its cells is.
func (p *plan) centre() {
	n, lat, lon := make([]float64, len(p.areas)), make([]float64, len(p.areas)), make([]float64, len(p.areas))
	for _, k := range p.cells {
		for _, a := range []int32{k.Area, k.Alt} {
			if a >= 0 {
				n[a], lat[a], lon[a] = n[a]+1, lat[a]+float64(k.Lat), lon[a]+float64(k.Lon)
			}
		}
	}
	for i := range p.areas {
		p.areas[i].Lat, p.areas[i].Lon = lat[i]/n[i], lon[i]/n[i]
	}
}

func (p *plan) town(t town) { p.towns = append(p.towns, t) }

func (p *plan) area(net int, lat, lon float64, risk bool) int32 {
	p.areas = append(p.areas, area{Net: net, Code: 0x1000 + len(p.areas), Lat: lat, Lon: lon, Risk: risk})
	return int32(len(p.areas) - 1)
}

// fill gives a town its cells: a grid, staggered and not quite regular.
func (p *plan) fill(c *chance, i, side int32) {
	t := &p.towns[i]
	t.first, t.side = int32(len(p.cells)), side
	gap := min(cellKM, townKM/float64(side))
	blocks := (side + areaSide - 1) / areaSide
	areas, alts := make([]int32, blocks*blocks), make([]int32, blocks*blocks)
	for b := range areas {
		lat := t.Lat + (float64(int32(b)/blocks)*areaSide+areaSide/2-float64(side)/2)*gap/degreeKM
		lon := t.Lon + (float64(int32(b)%blocks)*areaSide+areaSide/2-float64(side)/2)*gap/degreeKM
		areas[b], alts[b] = p.area(t.Net, lat, lon, t.Risk), -1
		if t.replan != 0 {
			alts[b] = p.area(t.Net, lat, lon, t.Risk)
		}
	}
	for y := range side {
		for x := range side {
			h := c.at(forCell, uint64(i), uint64(y*side+x))
			b := y/areaSide*blocks + x/areaSide
			k := cell{
				Lat:  float32(t.Lat + (float64(y)-float64(side)/2+0.3*unit(h))*gap/degreeKM),
				Lon:  float32(t.Lon + (float64(x)-float64(side)/2+0.5*float64(y&1)+0.3*unit(mix(h)))*gap/degreeKM/math.Cos(t.Lat*math.Pi/180)),
				Area: areas[b], Alt: alts[b], Town: i, ECI: uint32(len(p.cells)/3+4096)<<8 | uint32(len(p.cells)%3+1),
			}
			for _, d := range [6][2]int32{{0, -1}, {0, 1}, {-1, 0}, {1, 0}, {-1, 1 - 2*(y&1)}, {1, 1 - 2*(y&1)}} {
				ny, nx := y+d[0], x+d[1]
				if ny >= 0 && ny < side && nx >= 0 && nx < side {
					k.near[k.mates] = t.first + ny*side + nx
					k.mates++
				}
			}
			p.cells = append(p.cells, k)
		}
	}
}

// connect lays roads: each home town to its three nearest, each foreign town to
// the nearest of its country, and over the border.
func (p *plan) connect(homes int) {
	for i := range p.towns {
		var order []int32
		for j := range p.towns {
			if i != j && (i < homes) == (j < homes) && p.towns[i].Net == p.towns[j].Net {
				order = append(order, int32(j))
			}
		}
		slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(p.apart(int32(i), a), p.apart(int32(i), b)) })
		for _, j := range order[:min(3, len(order))] {
			p.road(int32(i), j)
		}
	}
	for i := homes; i < len(p.towns); i += 2 {
		best := int32(0)
		for j := range int32(homes) {
			if p.towns[j].border && p.apart(int32(i), j) < p.apart(int32(i), best) {
				best = j
			}
		}
		p.road(best, int32(i))
	}
}

func (p *plan) apart(a, b int32) float64 {
	return km(p.towns[a].Lat, p.towns[a].Lon, p.towns[b].Lat, p.towns[b].Lon)
}

func (p *plan) road(a, b int32) {
	if slices.ContainsFunc(p.towns[a].roads, func(l link) bool { return l.to == b }) {
		return
	}
	// Roads bend: a quarter longer than the bird's way. Their cells stand on the
	// straight line all the same; only the time that it takes is the road's.
	d := p.apart(a, b)
	r := road{a: a, b: b, km: d * 1.25, first: int32(len(p.cells)), count: int32(max(2, d/roadKM))}
	area := int32(-1)
	was := -1
	for i := range r.count {
		f := (float64(i) + 0.5) / float64(r.count)
		lat := p.towns[a].Lat + f*(p.towns[b].Lat-p.towns[a].Lat)
		lon := p.towns[a].Lon + f*(p.towns[b].Lon-p.towns[a].Lon)
		t := a
		if f >= 0.5 {
			t = b
		}
		if i%roadCells == 0 || int(t) != was {
			area, was = p.area(p.towns[t].Net, lat, lon, p.towns[t].Net != home && p.towns[t].Risk), int(t)
		}
		k := cell{Lat: float32(lat), Lon: float32(lon), Area: area, Alt: -1, Town: t, ECI: uint32(len(p.cells)/3+4096)<<8 | uint32(len(p.cells)%3+1)}
		if i > 0 {
			k.near[k.mates], k.mates = r.first+i-1, k.mates+1
		}
		if i < r.count-1 {
			k.near[k.mates], k.mates = r.first+i+1, k.mates+1
		}
		p.cells = append(p.cells, k)
	}
	p.roads = append(p.roads, r)
	n := int32(len(p.roads) - 1)
	p.towns[a].roads = append(p.towns[a].roads, link{to: b, road: n})
	p.towns[b].roads = append(p.towns[b].roads, link{to: a, road: n, back: true})
}

// somewhere is a home town by size, of a draw from 0 to less than 1.
func (p *plan) somewhere(u float64) int32 {
	u *= p.cumul[len(p.cumul)-1]
	i, _ := slices.BinarySearch(p.cumul, u)
	return p.locals[min(i, len(p.locals)-1)]
}

// cellOf is a cell of a town, nearer to its middle more often.
func (p *plan) cellOf(t int32, h uint64) int32 {
	w := &p.towns[t]
	x := (unit(h) + unit(mix(h+1)) + unit(mix(h+2))) / 3
	y := (unit(mix(h+3)) + unit(mix(h+4)) + unit(mix(h+5))) / 3
	return w.first + min(int32(y*float64(w.side)), w.side-1)*w.side + min(int32(x*float64(w.side)), w.side-1)
}

// areaAt is the tracking area of a cell at a time.
func (p *plan) areaAt(k int32, at int64) int32 {
	c := &p.cells[k]
	if c.Alt >= 0 && at >= p.towns[c.Town].replan {
		return c.Alt
	}
	return c.Area
}

func (p *plan) netOf(k int32) int { return p.areas[p.cells[k].Area].Net }
