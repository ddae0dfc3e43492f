package portmap

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// walk reads the little XML that routers write and calls f with each element that
// holds nothing but text: its name without prefix, and the text. It follows no
// entity but the five of XML and numbers, so that a document costs no more than
// its length; what is wrong it passes over. The standard library's reader would
// weigh 400 KiB in a program that has 12 MiB.
func walk(b []byte, f func(name, text string)) {
	var open string // the last start tag, when nothing but text has followed
	var text []byte
	for len(b) > 0 {
		i := bytes.IndexByte(b, '<')
		if i < 0 {
			return
		}
		text = append(text, b[:i]...)
		b = b[i:]
		switch {
		case bytes.HasPrefix(b, []byte("<!--")):
			b = after(b, "-->")
			continue
		case bytes.HasPrefix(b, []byte("<![CDATA[")):
			rest := after(b, "]]>")
			if rest != nil {
				text = append(text, strings.ReplaceAll(string(b[9:len(b)-len(rest)-3]), "&", "&amp;")...)
			}
			b = rest
			continue
		case bytes.HasPrefix(b, []byte("<!")), bytes.HasPrefix(b, []byte("<?")):
			b = after(b, ">")
			continue
		}
		rest := after(b, ">")
		if rest == nil {
			return
		}
		tag := string(b[1 : len(b)-len(rest)-1])
		b = rest
		switch {
		case strings.HasPrefix(tag, "/"):
			if name := local(tag[1:]); open != "" && name == open {
				f(name, unescape(string(text)))
			}
			open = ""
		case strings.HasSuffix(tag, "/"):
			f(local(strings.TrimSuffix(tag, "/")), "")
			open = ""
		default:
			open = local(tag)
		}
		text = text[:0]
	}
}

// after returns what follows the first mark, nil when there is none.
func after(b []byte, mark string) []byte {
	i := bytes.Index(b, []byte(mark))
	if i < 0 {
		return nil
	}
	return b[i+len(mark):]
}

// local returns the name of a tag without attributes and prefix.
func local(tag string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(tag), " ")
	name = strings.TrimSpace(name)
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		name = name[i+1:]
	}
	return name
}

func unescape(s string) string {
	if !strings.Contains(s, "&") {
		return s
	}
	var out strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '&')
		if i < 0 {
			out.WriteString(s)
			break
		}
		out.WriteString(s[:i])
		s = s[i:]
		end := strings.IndexByte(s, ';')
		if end < 0 || end > 10 {
			out.WriteByte('&')
			s = s[1:]
			continue
		}
		out.WriteString(entity(s[1:end]))
		s = s[end+1:]
	}
	return out.String()
}

func entity(name string) string {
	switch name {
	case "amp":
		return "&"
	case "lt":
		return "<"
	case "gt":
		return ">"
	case "quot":
		return `"`
	case "apos":
		return "'"
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		return ""
	}
	base := 10
	if strings.HasPrefix(digits, "x") {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n > utf8.MaxRune {
		return ""
	}
	return string(rune(n))
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}
