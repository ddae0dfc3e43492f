package report

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"

	"github.com/go-pdf/fpdf"
)

var stream = regexp.MustCompile(`(?s)stream\n(.*?)\nendstream`)

// pdfText returns what a PDF's content streams show, a line for each stretch.
// Characters stand there as UTF-16, escaped as in PDF strings.
func pdfText(t *testing.T, pdf []byte) string {
	t.Helper()
	var out strings.Builder
	for _, m := range stream.FindAllSubmatch(pdf, -1) {
		r, err := zlib.NewReader(bytes.NewReader(m[1]))
		if err != nil {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(r, 8<<20))
		if err != nil || !bytes.Contains(content, []byte(") Tj")) {
			continue
		}
		for i := 0; i < len(content); i++ {
			if content[i] != '(' {
				continue
			}
			var raw []byte
			for i++; i < len(content) && content[i] != ')'; i++ {
				if content[i] == '\\' {
					i++
					switch content[i] {
					case 'r':
						raw = append(raw, '\r')
						continue
					}
				}
				raw = append(raw, content[i])
			}
			var u []uint16
			for j := 0; j+1 < len(raw); j += 2 {
				u = append(u, uint16(raw[j])<<8|uint16(raw[j+1]))
			}
			out.WriteString(string(utf16.Decode(u)) + "\n")
		}
	}
	return out.String()
}

func TestPDF(t *testing.T) {
	for tag, want := range map[string][]string{
		"en":    {"Security assessment", "high risk", "61 / 100", "Why this grade", "A known default credential opens the video", "decides the grade alone", "CVE-2016-7406", "What is not known", "Page 1 of 5", "How to grade again"},
		"zh-CN": {"安全评级报告", "高风险", "评级理由", "不接受默认或已知口令", "单独即决定等级", "大门口摄像机", "未知项", "标准符合情况", "如何重新评级"},
	} {
		b := write(t, PDF, sample(t, tag))
		text := pdfText(t, b)
		flat := strings.Join(strings.Fields(text), "")
		for _, w := range want {
			if !strings.Contains(flat, strings.Join(strings.Fields(w), "")) {
				t.Errorf("%s: the document lacks %q", tag, w)
			}
		}
		if !bytes.HasPrefix(b, []byte("%PDF-")) || !bytes.Contains(b, []byte("/FontFile2")) || bytes.Count(b, []byte("/Type /Page\n")) < 4 {
			t.Errorf("%s: no pages or no embedded fonts", tag)
		}
		if bytes.Contains(b, []byte("/JavaScript")) || bytes.Contains(b, []byte("/URI")) || bytes.Contains(b, []byte("/Launch")) {
			t.Errorf("%s: the document acts", tag)
		}
		if len(b) > 400<<10 {
			t.Errorf("%s: %d bytes: are the fonts subset?", tag, len(b))
		}
		if strings.Contains(text, "⟦") {
			t.Errorf("%s: a message is missing", tag)
		}
		if strings.Contains(text, "\u202e") || strings.ContainsRune(text, '😀') || !strings.ContainsRune(text, stand) {
			t.Errorf("%s: a character without a glyph was drawn", tag)
		}
	}
}

// TestFont holds the committed font to what its README says.
func TestFont(t *testing.T) {
	sum := sha256.Sum256(cjkTTF)
	const want = "153f7ba7eb800729f7cd6a4109d7cecde976114b5b14b948c98665c65bb64da8"
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("cjk.ttf has hash %s, want %s", got, want)
	}
	g, err := newGlyphs()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../i18n/messages/*/*.json")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d message files, %v", len(files), err)
	}
	more, err := filepath.Glob("../declare/data/*.json")
	if err != nil || len(more) == 0 {
		t.Fatal("no data of declarations")
	}
	missing := map[rune]string{}
	for _, name := range append(files, more...) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var any any
		if err := json.Unmarshal(b, &any); err != nil {
			t.Fatal(err)
		}
		for _, r := range string(b) {
			if unicode.IsSpace(r) {
				continue
			}
			if _, drawn := g.family(r, latin); drawn != r {
				missing[r] = name
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("no glyph for %q", missing)
	}
}

func setterFor(t testing.TB) *setter {
	t.Helper()
	pdf := fpdf.New("P", "mm", "A4", "")
	addFonts(pdf)
	pdf.AddPage()
	g, err := newGlyphs()
	if err != nil {
		t.Fatal(err)
	}
	return &setter{pdf: pdf, g: g, size: 10, want: latin}
}

func lineText(line []word) string {
	var b strings.Builder
	for i, w := range line {
		if w.space && i > 0 {
			b.WriteByte(' ')
		}
		for _, r := range w.runs {
			b.WriteString(r.text)
		}
	}
	return b.String()
}

func TestLines(t *testing.T) {
	s := setterFor(t)
	for _, c := range []struct {
		text  string
		width float64
		want  string
	}{
		{"one two three", 100, "one two three"},
		{"one two three", 15, "one two|three"},
		{"a\nb\n\nc", 100, "a|b|c"},
		{"终端已登记，属于“自己”。", 24, "终端已登记，|属于“自己”。"}, // no line begins with punctuation
		{"端口 tcp/23 开放", 100, "端口 tcp/23 开放"},
		{strings.Repeat("x", 30), 20, "xxxxxxxxxxx|xxxxxxxxxxx|xxxxxxxx"},
		{"", 10, ""},
		{"\u202e\u0000😀", 100, "□□□"},
		{"soft\u00adhyphen zero\u200bwidth", 100, "softhyphen zerowidth"},
	} {
		var got []string
		for _, l := range s.lines(c.text, c.width) {
			got = append(got, lineText(l))
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%q in %v mm: %q, want %q", c.text, c.width, strings.Join(got, "|"), c.want)
		}
	}
}

// FuzzLines: no text makes a line wider than its column or loses a letter.
func FuzzLines(f *testing.F) {
	f.Add(hostile, 30.0)
	f.Add("终端 a（b）c。", 8.0)
	s := setterFor(f)
	f.Fuzz(func(t *testing.T, text string, width float64) {
		if len(text) > 400 || !(width > 6) || width > 500 {
			return
		}
		n := 0
		for _, l := range s.lines(text, width) {
			if w := lineWidth(s, l); w > width+0.01 {
				t.Fatalf("line %q is %v mm wide, the column %v", lineText(l), w, width)
			}
			for _, w := range l {
				for _, r := range w.runs {
					n += len([]rune(r.text))
				}
			}
		}
		want := 0
		for _, r := range text {
			if !unicode.IsSpace(r) && r != 0xad && (r < 0x200b || r > 0x200f) && r != 0xfeff {
				want++
			}
		}
		if n != want {
			t.Fatalf("%q: %d characters set of %d", text, n, want)
		}
	})
}

// FuzzCell: nothing in a table is computed by a spreadsheet.
func FuzzCell(f *testing.F) {
	f.Add("=1+1")
	f.Add("\t-x")
	f.Add("＝x")
	f.Fuzz(func(t *testing.T, s string) {
		c := cell(s)
		if trimmed := strings.TrimLeft(c, " \t\r\n\u00a0\ufeff"); trimmed != "" && strings.ContainsRune("=+-@|%＝＋－＠", []rune(trimmed)[0]) {
			t.Fatalf("%q became %q", s, c)
		}
	})
}
