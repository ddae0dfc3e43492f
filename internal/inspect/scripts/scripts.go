// Package scripts reads what interprets input from the network: pages and
// gateway programs of the web server (AP-08), and whoever talks to servers
// without checking who they are (CO-08).
//
// A script is at fault when text of a request reaches a shell: within a few
// lines of one file the request is read and the same name goes into a command.
// A program is suspect when it takes requests, runs commands through a shell
// and holds a command with a place for text; that is less than a proof and is
// reported as less. Comments and documentation are none of it.
//
// Nothing is answered by absence: an image in which no fault is found may hold
// one all the same, and the answer then is unknown.
package scripts

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/inspect/hardening"
	"github.com/ringwall/ringwall/internal/inspect/view"
)

// Scan gathers faults while the files of a view are read once.
type Scan struct {
	inject  []string // proven in the text
	suspect []string
	pages   int
	open    []string // verification turned off
	latent  []string // in a program's strings
}

const maxHits = 60

var (
	verifyOff = []*regexp.Regexp{
		regexp.MustCompile(`\bcurl(?:\s[^\n|;#]*?)?\s(?:--insecure\b|-[a-zA-Z]*k\b)`),
		regexp.MustCompile(`\bwget\s[^\n|;#]*--no-check-certificate\b`),
		regexp.MustCompile(`\bmosquitto_(?:pub|sub)\s[^\n|;#]*--insecure\b`),
		regexp.MustCompile(`^\s*bridge_insecure\s+true\b`),
		regexp.MustCompile(`^\s*verify\s*=\s*0\s*$`),
		regexp.MustCompile(`NODE_TLS_REJECT_UNAUTHORIZED\s*=\s*["']?0`),
		regexp.MustCompile(`\brejectUnauthorized\s*:\s*false\b`),
		regexp.MustCompile(`CURLOPT_SSL_VERIFYPEER\s*(?:,|=>)\s*(?:0|false|FALSE)\b`),
		regexp.MustCompile(`\brequests\.\w+\([^\n]*verify\s*=\s*False\b`),
		regexp.MustCompile(`\bssl\.CERT_NONE\b|_create_unverified_context\b`),
	}
	// inBinary are commands among a program's strings.
	inBinary = regexp.MustCompile(`\b(?:curl(?:\s[ -~]{0,120}?)?\s(?:--insecure\b|-[a-zA-Z]*k\s)|wget\s[ -~]{0,120}?--no-check-certificate)`)

	luaRead  = regexp.MustCompile(`(?:local\s+)?(\w+)\s*=\s*[^\n]*(?:formvalue|getenv)\s*\(`)
	luaRun   = regexp.MustCompile(`\b(?:io\.popen|os\.execute|luci\.sys\.(?:call|exec)|sys\.(?:call|exec))\s*\(([^\n]*)`)
	phpRun   = regexp.MustCompile(`\b(?:system|exec|shell_exec|passthru|popen|proc_open|eval)\s*\(([^\n;]*)`)
	phpRead  = regexp.MustCompile(`\$(\w+)\s*=\s*[^\n;]*\$_(?:GET|POST|REQUEST|COOKIE)\s*\[`)
	phpSuper = regexp.MustCompile(`\$_(?:GET|POST|REQUEST|COOKIE)\s*\[`)
	shEval   = regexp.MustCompile(`\beval\b[^\n]*(?:\$QUERY_STRING|\$\{QUERY_STRING|\$REQUEST|\$HTTP_|\$POST|\$FORM_|httpd -d)`)
	shParse  = regexp.MustCompile("\\beval\\s+[\"'`]?\\$\\(?(?:echo|printf)[^\\n]*QUERY_STRING")
)

// File reads one file. bin is nil unless it is a program.
func (s *Scan) File(f *view.File, data []byte, bin *hardening.Binary, box bool) {
	if library(f.Path) {
		return
	}
	if bin != nil {
		s.program(f, data, bin, box)
		return
	}
	if len(data) > 512<<10 || !view.IsText(data) {
		return
	}
	text := string(data)
	s.unverified(f, text)
	s.page(f, text)
}

// library tells places of languages' and documents' own files, whose options
// and examples are no settings of this device.
func library(p string) bool {
	for _, d := range []string{"/usr/share/doc/", "/usr/share/man/", "/usr/share/perl", "/usr/lib/python", "/usr/lib/perl", "/usr/lib/ruby", "/usr/lib/node_modules/", "/usr/share/bash-completion/", "/usr/share/zsh/", "/usr/share/vim/", "/usr/lib/x86_64-linux-gnu/perl", "/usr/local/go/", "/usr/lib/go", "/usr/share/git-core/", "/usr/lib/git-core/"} {
		if strings.HasPrefix(p, d) {
			return true
		}
	}
	return false
}

func (s *Scan) unverified(f *view.File, text string) {
	if len(s.open) >= maxHits {
		return
	}
	n := 0
	for line := range strings.Lines(text) {
		n++
		t := strings.TrimSpace(line)
		if t == "" || len(t) > 2000 || strings.HasPrefix(t, "#") || strings.HasPrefix(t, "//") || strings.HasPrefix(t, "--") || strings.HasPrefix(t, ";") {
			continue
		}
		for i, re := range verifyOff {
			if i == 4 && !strings.Contains(f.Path, "stunnel") {
				continue // "verify = 0" means this in stunnel's files only
			}
			if re.MatchString(t) {
				s.open = append(s.open, fmt.Sprintf("%s line %d: %s", f.At(), n, view.Clip(t, 110)))
				break
			}
		}
	}
}

// page reads a page or gateway script.
func (s *Scan) page(f *view.File, text string) {
	ext := strings.ToLower(path.Ext(f.Path))
	web := strings.Contains(f.Path, "cgi-bin/") || strings.Contains(f.Path, "/www/") || strings.Contains(f.Path, "/htdocs/") || strings.Contains(f.Path, "/luci/") || ext == ".cgi" || ext == ".php" || ext == ".asp"
	if !web || len(s.inject) >= maxHits {
		return
	}
	switch {
	case ext == ".lua" || ext == ".htm" && strings.Contains(text, "luci."):
		s.pages++
		s.flow(f, text, luaRead, luaRun, func(arg string) bool { return strings.Contains(arg, "formvalue(") })
	case ext == ".php" || strings.HasPrefix(text, "<?php"):
		s.pages++
		s.flow(f, text, phpRead, phpRun, phpSuper.MatchString)
	case strings.HasPrefix(text, "#!") && strings.Contains(strings.SplitN(text, "\n", 2)[0], "sh"):
		s.pages++
		n := 0
		for line := range strings.Lines(text) {
			n++
			t := strings.TrimSpace(line)
			if !strings.HasPrefix(t, "#") && (shEval.MatchString(t) || shParse.MatchString(t)) {
				s.inject = append(s.inject, fmt.Sprintf("%s line %d: the shell evaluates text of the request: %s", f.At(), n, view.Clip(t, 100)))
			}
		}
	}
}

// flow reports when a name that was read from a request goes into a command.
func (s *Scan) flow(f *view.File, text string, read, run *regexp.Regexp, direct func(string) bool) {
	names := map[string]bool{}
	for _, m := range read.FindAllStringSubmatch(text, 200) {
		names[m[1]] = true
	}
	n := 0
	for line := range strings.Lines(text) {
		n++
		t := strings.TrimSpace(line)
		if strings.HasPrefix(t, "--") || strings.HasPrefix(t, "//") || strings.HasPrefix(t, "#") || strings.HasPrefix(t, "*") {
			continue
		}
		m := run.FindStringSubmatch(t)
		if m == nil || strings.Contains(m[1], "escapeshell") || strings.Contains(m[1], "shellquote") || strings.Contains(m[1], "shellsqescape") {
			continue
		}
		hit := direct(m[1])
		for _, w := range strings.FieldsFunc(m[1], func(r rune) bool {
			return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) {
			hit = hit || names[w] && !strings.Contains(m[1], `"`+w+`"`)
		}
		if hit && len(s.inject) < maxHits {
			s.inject = append(s.inject, fmt.Sprintf("%s line %d: text of the request goes into a command: %s", f.At(), n, view.Clip(t, 100)))
		}
	}
}

// takesRequests are names that a program which answers web requests has.
var takesRequests = [][]byte{[]byte("QUERY_STRING"), []byte("REQUEST_METHOD"), []byte("CONTENT_LENGTH"), []byte("websGetVar"), []byte("httpGetEnv"), []byte("cgiGetValue")}

// command is a shell command with a place for text.
var command = regexp.MustCompile(`(?:^|\x00)((?:/(?:s?bin|usr/s?bin)/)?(?:echo|ping|ifconfig|iwconfig|iwpriv|route|rm|cp|mv|cat|date|hostname|wget|tar|sed|chpasswd|passwd|iptables|mkdir|touch|nvram_set|telnetd|ntpdate|kill|killall)\s[ -~]{0,60}?%s[ -~]{0,80})\x00`)

func (s *Scan) program(f *view.File, data []byte, bin *hardening.Binary, box bool) {
	if box {
		return
	}
	if m := inBinary.Find(data); m != nil && len(s.latent) < maxHits && !strings.HasPrefix(path.Base(f.Path), "curl") && !strings.HasPrefix(path.Base(f.Path), "wget") && !strings.Contains(path.Base(f.Path), "libcurl") {
		s.latent = append(s.latent, f.At()+": holds the command "+view.Clip(string(m), 100))
	}
	if !bin.Program {
		return
	}
	asks := 0
	for _, w := range takesRequests {
		if bytes.Contains(data, w) {
			asks++
		}
	}
	if asks == 0 {
		return
	}
	s.pages++
	if !bin.Uses("system", "popen", "doSystemCmd", "doSystem", "twsystem") {
		return
	}
	if m := command.FindSubmatch(data); m != nil && len(s.suspect) < maxHits {
		s.suspect = append(s.suspect, fmt.Sprintf("%s: takes requests, runs commands through a shell, and holds %q", f.At(), view.Clip(string(m[1]), 80)))
	}
}

// Findings answers AP-08 and CO-08. reached reports whether a place in evidence
// is of a file that the start reaches.
func (s *Scan) Findings() []ringwall.Finding {
	a := ringwall.Finding{Indicator: "AP-08", Confidence: ringwall.Observed, Evidence: bound(slices.Concat(s.inject, s.suspect))}
	switch {
	case len(s.inject) > 0:
		a.Outcome, a.Title = ringwall.Fail, "text of a web request reaches a shell"
	case len(s.suspect) > 0:
		a.Outcome, a.Title = ringwall.Partial, "a program that takes web requests builds shell commands from text"
	case s.pages > 0:
		a.Title = "no request was seen to reach a shell; that does not show that input is validated"
		a.Evidence = append(a.Evidence, fmt.Sprintf("%d pages, gateway scripts and programs that take requests were read", s.pages))
	default:
		a.Title = "nothing that takes web requests was found in the image"
	}
	c := ringwall.Finding{Indicator: "CO-08", Confidence: ringwall.Observed, Evidence: bound(slices.Concat(s.open, s.latent))}
	switch {
	case len(s.open)+len(s.latent) > 0:
		c.Outcome, c.Title = ringwall.Fail, "servers are talked to without checking their certificates"
	default:
		c.Title = "nothing in the image turns the check of certificates off; whether it is done was not seen"
	}
	return []ringwall.Finding{a, c}
}

func bound(lines []string) []string {
	if len(lines) > 24 {
		return append(lines[:24:24], fmt.Sprintf("and %d more", len(lines)-24))
	}
	return lines
}
