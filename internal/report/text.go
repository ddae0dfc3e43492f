package report

import (
	_ "embed"
	"fmt"
	"strings"
	"unicode"

	"github.com/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

//go:embed font/cjk.ttf
var cjkTTF []byte

// families of fonts in a PDF.
const (
	latin = "latin"
	cjk   = "cjk"
	mono  = "mono"
)

// stand is shown for a character that no font has.
const stand = '□'

// glyphs knows which characters the fonts have.
type glyphs struct {
	latin, mono, cjk *sfnt.Font
	buf              sfnt.Buffer
}

func newGlyphs() (*glyphs, error) {
	g := &glyphs{}
	for _, f := range []struct {
		to  **sfnt.Font
		ttf []byte
	}{{&g.latin, goregular.TTF}, {&g.mono, gomono.TTF}, {&g.cjk, cjkTTF}} {
		font, err := sfnt.Parse(f.ttf)
		if err != nil {
			return nil, fmt.Errorf("reading a built-in font: %w", err)
		}
		*f.to = font
	}
	return g, nil
}

func (g *glyphs) has(f *sfnt.Font, r rune) bool {
	i, err := f.GlyphIndex(&g.buf, r)
	return err == nil && i != 0
}

// family picks the font for a character and the character that is drawn.
func (g *glyphs) family(r rune, want string) (string, rune) {
	first, font := latin, g.latin
	if want == mono {
		first, font = mono, g.mono
	}
	switch {
	case r == '\t' || unicode.IsSpace(r):
		return first, ' '
	case r > 0xffff || unicode.IsControl(r): // fpdf's fonts end at the basic plane
		return first, stand
	case g.has(font, r):
		return first, r
	case g.has(g.cjk, r):
		return cjk, r
	case g.has(g.latin, r):
		return latin, r
	}
	return first, stand
}

// run is a piece of text in one font.
type run struct {
	family, text string
	width        float64
}

// word is what is not broken: a Latin word, or one Chinese character.
type word struct {
	runs  []run
	width float64
	space bool // a space stood before it
	brk   bool // a line break stood before it
}

// closing may not begin a line (the usual rule of Chinese typesetting).
const closing = "，。、；：？！）】》〉”’％…—,.;:?!)]}%"

// opening may not end one.
const opening = "（【《〈“‘([{"

// setter measures and draws text on a page.
type setter struct {
	pdf  *fpdf.Fpdf
	g    *glyphs
	size float64 // points
	bold bool
	want string
}

func (s *setter) font(family string) {
	style := ""
	if s.bold && family == latin {
		style = "B"
	}
	s.pdf.SetFont(family, style, s.size)
}

// words splits text where lines may break.
func (s *setter) words(text string) []word {
	var out []word
	space, brk := false, false
	join := false // the next character belongs to the word before
	for _, r := range text {
		if r == '\n' {
			brk, join = true, false
			continue
		}
		if unicode.IsSpace(r) {
			space, join = true, false
			continue
		}
		if r == 0xad || r >= 0x200b && r <= 0x200f || r == 0xfeff { // shown as nothing
			continue
		}
		family, drawn := s.g.family(r, s.want)
		wide := family == cjk && !strings.ContainsRune(closing, r)
		s.font(family)
		w := s.pdf.GetStringWidth(string(drawn))
		// Closing punctuation never begins a line, opening never ends one, and
		// Latin letters stay together; between Chinese characters a line may break.
		attach := strings.ContainsRune(closing, r) || endsOpening(out) || join && !wide
		if attach && len(out) > 0 && !space && !brk {
			out[len(out)-1].add(family, drawn, w)
		} else {
			x := word{space: space, brk: brk}
			x.add(family, drawn, w)
			out = append(out, x)
		}
		space, brk, join = false, false, !wide
	}
	return out
}

func last(ws []word) string {
	if len(ws) == 0 || len(ws[len(ws)-1].runs) == 0 {
		return ""
	}
	rs := ws[len(ws)-1].runs
	return rs[len(rs)-1].text
}

func endsOpening(ws []word) bool {
	l := []rune(last(ws))
	return len(l) > 0 && strings.ContainsRune(opening, l[len(l)-1])
}

func (w *word) add(family string, r rune, width float64) {
	w.width += width
	if n := len(w.runs); n > 0 && w.runs[n-1].family == family {
		w.runs[n-1].text += string(r)
		w.runs[n-1].width += width
		return
	}
	w.runs = append(w.runs, run{family, string(r), width})
}

// lines fills lines of a width; a word that is longer than a line is cut.
func (s *setter) lines(text string, width float64) [][]word {
	var out [][]word
	var line []word
	at := 0.0
	s.font(s.want)
	gap := s.pdf.GetStringWidth(" ")
	for _, w := range s.words(text) {
		for _, part := range s.split(w, width) {
			need := part.width
			if part.space && len(line) > 0 {
				need += gap
			}
			if part.brk || len(line) > 0 && at+need > width {
				out = append(out, line)
				line, at, need = nil, 0, part.width
			}
			line = append(line, part)
			at += need
		}
	}
	if len(line) > 0 {
		out = append(out, line)
	}
	return out
}

// split cuts a word that is wider than a line into parts that are not.
func (s *setter) split(w word, width float64) []word {
	if w.width <= width {
		return []word{w}
	}
	var out []word
	x := word{space: w.space, brk: w.brk}
	for _, r := range w.runs {
		s.font(r.family)
		for _, c := range r.text {
			cw := s.pdf.GetStringWidth(string(c))
			if x.width+cw > width && x.width > 0 {
				out = append(out, x)
				x = word{}
			}
			x.add(r.family, c, cw)
		}
	}
	return append(out, x)
}

// basic replaces what lies outside the basic plane, which the document's own
// fields cannot hold.
func basic(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 0xffff {
			return stand
		}
		return r
	}, s)
}

// draw puts one line at a place, y being its base line. Bold Chinese is drawn
// with an outline: the font has one weight.
func (s *setter) draw(line []word, x, y float64) float64 {
	s.font(s.want)
	gap := s.pdf.GetStringWidth(" ")
	// One string for each stretch of one font, so that text is copied and
	// searched as it reads.
	family, text, at := "", "", x
	flush := func() {
		if text == "" {
			return
		}
		s.font(family)
		if s.bold && family == cjk {
			s.pdf.SetTextRenderingMode(2)
			s.pdf.SetLineWidth(s.size * 0.008)
		}
		s.pdf.Text(at, y, text)
		if s.bold && family == cjk {
			s.pdf.SetTextRenderingMode(0)
		}
		text = ""
	}
	for i, w := range line {
		if w.space && i > 0 {
			if family != s.want { // spaces are those of the wanted font
				flush()
				family, at = s.want, x
			}
			if text == "" {
				at = x
			}
			text += " "
			x += gap
		}
		for _, r := range w.runs {
			if r.family != family || text == "" {
				flush()
				family, at = r.family, x
			}
			text += r.text
			x += r.width
		}
	}
	flush()
	return x
}
