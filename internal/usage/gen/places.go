package gen

import (
	"bufio"
	"fmt"
	"io"
	"strconv"

	"github.com/ringwall/ringwall/internal/usage/rules"
)

// Places says where the cells and areas are, as the network's planners have it,
// and which of them the operator holds for risky.
func (w *World) Places() []rules.AreaLine {
	var out []rules.AreaLine
	plmn := func(n int) string { return w.plan.nets[n].MCC + w.plan.nets[n].MNC }
	for _, n := range w.plan.nets {
		if n.Risk {
			out = append(out, rules.AreaLine{PLMN: n.MCC, Name: "abroad", Risk: "high"})
		}
	}
	// How far the cells of an area are from its middle.
	reach := make([]float64, len(w.plan.areas))
	for i := range w.plan.cells {
		k := &w.plan.cells[i]
		for _, a := range []int32{k.Area, k.Alt} {
			if a >= 0 {
				at := &w.plan.areas[a]
				reach[a] = max(reach[a], km(at.Lat, at.Lon, float64(k.Lat), float64(k.Lon))+w.reach(k))
			}
		}
	}
	for i, a := range w.plan.areas {
		risk := ""
		if a.Risk && !w.plan.nets[a.Net].Risk {
			risk = "risky"
		}
		out = append(out, rules.AreaLine{
			PLMN: plmn(a.Net), Area: strconv.Itoa(a.Code), Name: fmt.Sprintf("area %d", a.Code), Lat: a.Lat, Lon: a.Lon, Located: true, Km: min(reach[i], 1000), Risk: risk,
		})
	}
	for i := range w.plan.cells {
		k := &w.plan.cells[i]
		out = append(out, rules.AreaLine{
			PLMN: plmn(w.plan.netOf(int32(i))), Area: strconv.Itoa(w.plan.areas[k.Area].Code), Cell: strconv.FormatUint(uint64(k.ECI), 10),
			Lat: float64(k.Lat), Lon: float64(k.Lon), Located: true, Km: w.reach(k),
		})
	}
	return out
}

// reach is how far from a cell's mast its cards may be.
func (w *World) reach(k *cell) float64 {
	t := &w.plan.towns[k.Town]
	if i := w.cellIndex(k); t.first <= i && i < t.first+t.side*t.side {
		return max(1, 2*min(cellKM, townKM/float64(t.side)))
	}
	return roadKM
}

// cellIndex is the place of a cell in the plan.
func (w *World) cellIndex(k *cell) int32 {
	return int32(k.ECI>>8-4096)*3 + int32(k.ECI&255) - 1
}

// WritePlaces writes the places as rules.ReadAreas reads them.
func (w *World) WritePlaces(out io.Writer) error {
	b := bufio.NewWriter(out)
	fmt.Fprintln(b, "plmn,area,cell,name,lat,lon,km,risk")
	for _, l := range w.Places() {
		at := ","
		if l.Located {
			at = strconv.FormatFloat(l.Lat, 'f', 5, 64) + "," + strconv.FormatFloat(l.Lon, 'f', 5, 64)
		}
		reach := ""
		if l.Km > 0 {
			reach = strconv.FormatFloat(l.Km, 'f', 1, 64)
		}
		fmt.Fprintf(b, "%s,%s,%s,%s,%s,%s,%s\n", l.PLMN, l.Area, l.Cell, l.Name, at, reach, l.Risk)
	}
	return b.Flush()
}
