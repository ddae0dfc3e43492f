package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"path"
	"regexp"
	"strings"

	"github.com/ringwall/ringwall/internal/inspect/view"
)

// form is one kind of token: a piece of text that every one has, and the whole.
type form struct {
	kind   string
	anchor string
	whole  *regexp.Regexp
	hard   bool // gives access by itself
	check  func(string) bool
}

// forms are facts about how issuers write their tokens. Only forms with a fixed
// head and a fixed length are here; "password=" in a program is none.
func forms() []form {
	mixed := func(s string) bool { return variety(s) >= 12 }
	return []form{
		{kind: "JSON Web Token", anchor: "eyJ", whole: regexp.MustCompile(`^eyJ[A-Za-z0-9_-]{10,1000}\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{20,1000}`), hard: true, check: jwt},
		{kind: "AWS access key id", anchor: "AKIA", whole: regexp.MustCompile(`^AKIA[A-Z2-7]{16}\b`), check: func(s string) bool { return !strings.HasSuffix(s, "EXAMPLE") && mixed(s) }},
		{kind: "Alibaba Cloud access key id", anchor: "LTAI", whole: regexp.MustCompile(`^LTAI[A-Za-z0-9]{12}(?:[A-Za-z0-9]{8})?\b`), check: func(s string) bool { return mixed(s) && hasDigitAndCases(s) }},
		{kind: "GitHub token", anchor: "ghp_", whole: regexp.MustCompile(`^ghp_[A-Za-z0-9]{36}\b`), hard: true, check: mixed},
		{kind: "Google API key", anchor: "AIza", whole: regexp.MustCompile(`^AIza[A-Za-z0-9_-]{35}\b`), check: mixed},
		{kind: "Slack token", anchor: "xox", whole: regexp.MustCompile(`^xox[bp]-[0-9]{10,13}-[0-9]{10,13}-[A-Za-z0-9]{24,34}\b`), hard: true},
		{kind: "Stripe secret key", anchor: "sk_live_", whole: regexp.MustCompile(`^sk_live_[A-Za-z0-9]{24,99}\b`), hard: true, check: mixed},
	}
}

// awsSecret is what stands near an access key id when both were left inside.
var awsSecret = regexp.MustCompile(`(?:^|[^A-Za-z0-9/+])([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)`)

func hasDigitAndCases(s string) bool {
	return strings.ContainsAny(s, "0123456789") && strings.ToUpper(s) != s && strings.ToLower(s) != s
}

// variety counts different characters: a run or a table has few.
func variety(s string) int {
	var seen [256]bool
	n := 0
	for i := range len(s) {
		if !seen[s[i]] {
			seen[s[i]] = true
			n++
		}
	}
	return n
}

// jwt decodes the head of a token: it must name its algorithm.
func jwt(s string) bool {
	parts := strings.Split(s, ".")
	var head struct{ Alg, Typ string }
	var claims map[string]any
	for i, into := range []any{&head, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(b, into) != nil {
			return false
		}
	}
	return head.Alg != "" && head.Alg != "none" && len(claims) > 0
}

func (s *Scan) tokens(f *view.File, data []byte) {
	switch strings.ToLower(path.Ext(f.Path)) {
	case ".html", ".htm", ".js", ".css", ".png", ".jpg", ".gif", ".wav", ".ttf", ".woff", ".ko":
		return
	}
	text := view.IsText(data)
	for _, fm := range s.forms {
		for at, n := 0, 0; n < 8; {
			i := bytes.Index(data[at:], []byte(fm.anchor))
			if i < 0 {
				break
			}
			i += at
			at = i + len(fm.anchor)
			if i > 0 && wordByte(data[i-1]) {
				continue
			}
			m := fm.whole.Find(data[i:min(i+8192, len(data))])
			if m == nil || fm.check != nil && !fm.check(string(m)) {
				continue
			}
			n++
			it := Item{File: f, At: i, Kind: fm.kind, Hard: fm.hard, value: string(m)}
			if text {
				it.Line = 1 + bytes.Count(data[:i], []byte("\n"))
			}
			if fm.kind == "AWS access key id" {
				near := data[max(0, i-300):min(i+320, len(data))]
				for _, c := range awsSecret.FindAllSubmatch(near, 8) {
					if hasDigitAndCases(string(c[1])) && variety(string(c[1])) >= 20 {
						it.Kind, it.Hard = "AWS access key with its secret", true
					}
				}
			}
			s.Items = append(s.Items, it)
		}
	}
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '.' || c == '-' || c == '/' || c == '+'
}

var (
	psk = regexp.MustCompile(`(?i)^\s*(?:option\s+)?['"]?(psk|wpa_passphrase|wpa_psk|wpapsk[0-9]?|wifi_?(?:passwd|password|pwd|key|psk)|wifipasswd|wlan_?(?:key|psk|password)|sae_password|wep_key[0-3]?|key_?mgmt_psk)['"]?\s*[=: \t]\s*(.*?)\s*$`)
	// cloud are names under which a device keeps what opens its accounts.
	cloud = regexp.MustCompile(`(?i)^\s*(?:option\s+|export\s+)?["']?([A-Za-z0-9_.-]{0,30}(?:password|passwd|passwort|_pwd|secret|secretkey|secret_key|access_?token|auth_?token|api_?key|accesskey|private_?key|authcode|devicekey|p2p_?key))["']?\s*[=:]\s*(.*?)\s*,?\s*$`)
)

// config reads secrets in clear from a configuration.
func (s *Scan) config(v *view.View, f *view.File, text string) {
	if !configuration(f, text) {
		return
	}
	uci := strings.HasPrefix(f.Path, "/etc/config/")
	n := 0
	for line := range strings.Lines(text) {
		if n++; n > 20_000 || len(s.Wifi) >= maxItems {
			return
		}
		t := strings.TrimSpace(line)
		if t == "" || len(t) > 512 || strings.HasPrefix(t, "#") || strings.HasPrefix(t, ";") || strings.HasPrefix(t, "//") {
			continue
		}
		if m := psk.FindStringSubmatch(t); m != nil {
			value := m[2]
			if secretValue(value) && len(strings.Trim(value, `"'`)) >= 5 {
				s.Wifi = append(s.Wifi, Item{File: f, Line: n, Kind: "Wi-Fi key", Hard: true, value: value})
				continue
			}
		}
		if uci && path.Base(f.Path) == "wireless" {
			if w := strings.Fields(t); len(w) >= 3 && w[0] == "option" && strings.Trim(w[1], `'"`) == "key" && secretValue(w[2]) && len(w[2]) >= 8 {
				s.Wifi = append(s.Wifi, Item{File: f, Line: n, Kind: "Wi-Fi key", Hard: true, value: w[2]})
			}
			continue
		}
		if m := cloud.FindStringSubmatch(t); m != nil && secretValue(m[2]) {
			s.Wifi = append(s.Wifi, Item{File: f, Line: n, Kind: "value of " + view.Clip(m[1], 40), value: m[2]})
		}
	}
}

// configuration tells files in which a device keeps settings from programs,
// pages and translations.
func configuration(f *view.File, text string) bool {
	if strings.HasPrefix(text, "#!") || strings.HasPrefix(text, "<") && !strings.HasPrefix(text, "<?xml") {
		return false
	}
	for _, dir := range []string{"/usr/share/", "/usr/lib/", "/lib/", "/www/", "/usr/www/", "/etc/pam.d/", "/etc/init.d/", "/etc/ssl/", "/etc/logcheck/", "/etc/apparmor", "/etc/bash_completion"} {
		if strings.HasPrefix(f.Path, dir) && !(dir == "/usr/share/" && strings.Contains(f.Path, "wpa")) {
			return false
		}
	}
	switch strings.ToLower(path.Ext(f.Path)) {
	case ".sh", ".html", ".htm", ".js", ".css", ".lua", ".py", ".pl", ".php", ".c", ".h", ".md", ".po", ".lang", ".svg", ".txt", ".pm", ".rb", ".log", ".awk", ".vim", ".el", ".csv":
		return false
	}
	return true
}

// secretValue reports whether a value can be a secret at all: not empty, no
// reference, no placeholder, no switch, no path and no hash.
func secretValue(v string) bool {
	v = strings.Trim(strings.TrimSpace(v), `"';,`)
	low := strings.ToLower(v)
	switch low {
	case "", "0", "1", "none", "null", "nil", "true", "false", "yes", "no", "on", "off", "auto", "default", "disabled", "enabled", "ask", "required", "optional", "files", "compat", "prompt", "{", "[", "empty":
		return false
	}
	if len(v) < 4 || len(v) > 256 || strings.ContainsAny(v[:1], "$%@<{(/[!*`") || strings.ContainsAny(v, " \t<>{}()") {
		return false
	}
	for _, w := range []string{"your", "xxxx", "example", "changeme", "change_me", "placeholder", "passphrase", "secret_here", "****", "0000000000"} {
		if strings.Contains(low, w) && !strings.Contains(low, "example.com") {
			return false
		}
	}
	return variety(v) >= 3 || len(v) >= 8 && variety(v) >= 2
}
