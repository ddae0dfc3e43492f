package firmware

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strings"
)

// Unknown is the format of a region without a known header.
const Unknown = "unknown"

const (
	gapBlock  = 4 << 10
	gapJoin   = 64 << 10 // padding that separates two regions of a flash: an erase block
	gapSmall  = 512      // shorter regions are checksums and trailers of what is before
	gapEnough = 16 << 20 // of which the entropy is taken, from the beginning
)

// gap describes what lies between two parts: regions of data with padding
// between them. Inside a decompressed payload only what is recognised counts:
// the rest is the code of the payload itself.
func (u *unpacker) gap(parts []Part, v view, from, to int64, s scope) []Part {
	for _, r := range regions(v, from, to) {
		parts = u.region(parts, v, r[0], r[1], s)
	}
	return parts
}

// regions returns the stretches between from and to that are not padding.
func regions(v view, from, to int64) [][2]int64 {
	var out [][2]int64
	buf := make([]byte, min(1<<20, max(0, to-from)))
	for base := from; base < to; {
		n, _ := v.ReadAt(buf[:min(int64(len(buf)), to-base)], base)
		if n <= 0 {
			break
		}
		for i := 0; i < n; i += gapBlock {
			b := buf[i:min(i+gapBlock, n)]
			if uniform(b) {
				continue
			}
			lo, hi := base+int64(i), base+int64(i+len(b))
			if k := len(out) - 1; k >= 0 && lo-out[k][1] < gapJoin {
				out[k][1] = hi
			} else {
				out = append(out, [2]int64{lo, hi})
			}
		}
		base += int64(n)
	}
	return out
}

// trimPadding cuts zeros and 0xff from both ends of a region.
func trimPadding(v view, r [2]int64) [2]int64 {
	pad := func(c byte) bool { return c == 0 || c == 0xff }
	for r[0] < r[1] {
		b := v.head(r[0], min(gapBlock, r[1]-r[0]))
		i := 0
		for i < len(b) && pad(b[i]) {
			i++
		}
		if i < len(b) || len(b) == 0 {
			r[0] += int64(i &^ 15) // what begins with a few such bytes keeps them
			break
		}
		r[0] += int64(i)
	}
	for r[0] < r[1] {
		n := min(gapBlock, r[1]-r[0])
		b := v.head(r[1]-n, n)
		i := len(b)
		for i > 0 && pad(b[i-1]) {
			i--
		}
		r[1] -= int64(len(b) - i)
		if i > 0 || len(b) == 0 {
			break
		}
	}
	return r
}

// uniform reports whether all bytes are the same zero or 0xff.
func uniform(b []byte) bool {
	return len(b) == 0 || (b[0] == 0 || b[0] == 0xff) && bytes.Count(b, b[:1]) == len(b)
}

// region names what it can in a stretch of data: environments of U-Boot, the
// boot loader itself, a bare kernel. Everything else is unknown, with its
// entropy.
func (u *unpacker) region(parts []Part, v view, from, to int64, s scope) []Part {
	rest := from
	for _, env := range u.environments(v, from, to) {
		parts = u.plainRegion(parts, v, rest, env.Offset, s)
		parts = append(parts, env)
		rest = env.Offset + env.Length
	}
	return u.plainRegion(parts, v, rest, to, s)
}

func (u *unpacker) plainRegion(parts []Part, v view, from, to int64, s scope) []Part {
	r := trimPadding(v, [2]int64{from, to})
	if from, to = r[0], r[1]; to-from < gapSmall {
		return parts
	}
	sub := v.sub(from, to-from)
	p := Part{Format: Unknown, Offset: from, Length: sub.size, Facts: map[string]string{}, data: sub.section()}
	u.banners(&p, sub)
	switch {
	case p.Facts[FactBootLoader] != "":
		p.Format = "uboot"
		p.Parts = u.builtIn(sub)
	case p.Facts[FactKernel] != "" && s.depth == 0:
		p.Format = "kernel"
	case s.depth > 0:
		return parts
	default:
		looks(&p, sub)
	}
	return append(parts, p)
}

// looks describes an unknown region by its entropy.
func looks(p *Part, v view) {
	var count [256]int64
	var blocks, dense, pad int
	total := int64(0)
	buf := make([]byte, gapBlock)
	for off := int64(0); off < min(v.size, gapEnough); off += gapBlock {
		n, _ := v.ReadAt(buf[:min(gapBlock, v.size-off)], off)
		if n <= 0 {
			break
		}
		var here [256]int64
		for _, b := range buf[:n] {
			here[b]++
		}
		for i, c := range here {
			count[i] += c
		}
		total += int64(n)
		blocks++
		if uniform(buf[:n]) {
			pad++
		} else if entropy(here[:], int64(n)) > 7.9 || n < gapBlock && entropy(here[:], int64(n)) > 7 {
			dense++
		}
	}
	e := entropy(count[:], total)
	p.Facts[FactEntropy] = fmt.Sprintf("%.3f", e)
	head := v.head(0, SniffLen)
	kind := Sniff(head)
	switch {
	case kind != KindUnknown && kind != KindText && kind != KindEmpty && !opensAsImage(kind):
		p.Facts[FactLooks] = string(kind)
		p.Err = fmt.Sprintf("no firmware: it begins as a file of the kind %s", kind)
	case blocks > 0 && (dense*10 >= (blocks-pad)*9 || e > 7.98):
		p.Facts[FactLooks] = LooksEncrypted
		p.Err = fmt.Sprintf("no known header, and %.2f bits of entropy per byte: it looks encrypted or compressed in an unknown way", e)
	case pad*2 > blocks:
		p.Facts[FactLooks] = LooksSparse
		p.Err = "no known header; most of it is padding"
	case isText(head):
		p.Facts[FactLooks] = LooksText
		p.Err = "no known header; it begins as text"
	default:
		p.Facts[FactLooks] = LooksCode
		p.Err = fmt.Sprintf("no known header; %.2f bits of entropy per byte: it looks like code or plain data", e)
	}
}

func entropy(count []int64, total int64) float64 {
	if total == 0 {
		return 0
	}
	e := 0.0
	for _, c := range count {
		if c > 0 {
			f := float64(c) / float64(total)
			e -= f * math.Log2(f)
		}
	}
	return e
}

// banners finds the lines by which a kernel and a boot loader name themselves.
func (u *unpacker) banners(p *Part, v view) {
	const chunk, tail = 1 << 20, 512
	kernel := regexp.MustCompile(`Linux version \d+\.\d+[^\x00-\x1f\x7f-\xff]{0,300}`)
	loader := regexp.MustCompile(`U-Boot (SPL )?(\d{4}\.\d{2}|1\.\d\.\d)[^\x00-\x1f\x7f-\xff]{0,120}`)
	buf := make([]byte, min(chunk+tail, v.size))
	for base := int64(0); base < v.size; base += chunk {
		if u.budget.Check() != nil {
			return
		}
		n, _ := v.ReadAt(buf[:min(int64(len(buf)), v.size-base)], base)
		b := buf[:max(0, n)]
		for _, m := range []struct {
			fact, word string
			form       *regexp.Regexp
		}{{FactKernel, "Linux version ", kernel}, {FactBootLoader, "U-Boot ", loader}} {
			if p.Facts[m.fact] != "" {
				continue
			}
			for i := 0; ; i++ {
				j := bytes.Index(b[i:], []byte(m.word))
				if j < 0 {
					break
				}
				i += j
				if got := m.form.Find(b[i:min(i+tail, len(b))]); got != nil && bytes.HasPrefix(b[i:], got) {
					p.Facts[m.fact] = strings.TrimSpace(string(got))
					break
				}
			}
		}
	}
}
