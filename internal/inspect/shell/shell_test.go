package shell

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// mem is a file system of texts; what lies under /tmp and /mnt may change.
type mem map[string]string

func (m mem) Text(p string) (string, bool) { t, ok := m[p]; return t, ok }
func (m mem) Exists(p string) Truth {
	if m.Kind(p) != "" {
		return True
	}
	if strings.HasPrefix(p, "/tmp/") || strings.HasPrefix(p, "/mnt/") || strings.HasPrefix(p, "/proc/") {
		return Maybe
	}
	return False
}
func (m mem) Kind(p string) string {
	if t, ok := m[p]; ok {
		if strings.HasPrefix(t, "#!") {
			return KindScript
		}
		return KindFile
	}
	for k := range m {
		if strings.HasPrefix(k, p+"/") {
			return KindDir
		}
	}
	return ""
}
func (m mem) List(dir string) []string {
	var out []string
	for k := range m {
		if rest, ok := strings.CutPrefix(k, strings.TrimSuffix(dir, "/")+"/"); ok {
			name, _, _ := strings.Cut(rest, "/")
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// trace returns the commands named x of a script, with their arguments, and
// "?" before those that depend on something.
func trace(files mem, body string) []string {
	m := mem{"/bin/x": "ELF", "/s": "#!/bin/sh\n" + body}
	for k, v := range files {
		m[k] = v
	}
	t := &Tracer{Host: m}
	t.Run("/s", []string{"start", "two"})
	var out []string
	for _, c := range t.Res.Commands {
		if path.Base(c.Name) != "x" {
			continue
		}
		s := strings.ReplaceAll(strings.Join(c.Args, " "), Unsure, "~")
		if c.User != "" {
			s = c.User + ":" + s
		}
		if !c.Always() {
			s = "?" + s
		}
		out = append(out, s)
	}
	return out
}

func TestTrace(t *testing.T) {
	files := mem{"/etc/conf": "A=1\nB=two\n", "/etc/d/S1": "#!/bin/sh\nx from S1 $1\n", "/etc/d/S2": "#!/bin/sh\nx from S2 $1\n", "/etc/lib": "f() { x in f $1; return; x never; }\n"}
	for _, c := range []struct{ body, want string }{
		{"x a 'b c' \"d\"", "a b c d"},
		{"V=1; x $V ${V} \"$V\"", "1 1 1"},
		{"x $1 $2 $3 $# $0", "start two 2 /s"},
		{"x ${N:-def} ${1:-def}", "def start"},
		{"P=/a/b.c; x ${P##*/} ${P%.*} ${P#/a} ${#P}", "b.c /a/b /b.c 6"},
		{"x `basename /a/b` $(dirname /a/b) $(cat /etc/conf | wc)", "b /a ~"},
		{"x $(cat /etc/conf)", "A=1 B=two"},
		{". /etc/conf; x $A $B", "1 two"},
		{". /etc/lib; f 7; x after", "in f 7|after"},
		{"for i in a b; do x $i; done", "a|b"},
		{"for i in /etc/d/S?; do $i go; done", "from S1 go|from S2 go"},
		{"for i in $(ls /tmp); do x $i; done", "?~"},
		{"while read l; do x loop; done < /tmp/f", "?loop"},
		{"while true; do x forever; done", "forever"},
		{"until false; do x until; done", "until"},
		{"if [ -e /bin/x ]; then x yes; else x no; fi", "yes"},
		{"if [ ! -e /bin/x ]; then x yes; else x no; fi", "no"},
		{"if [ -e /tmp/x ]; then x yes; else x no; fi", "?yes|?no"},
		{"if test 1 -lt 2 -a a != b; then x yes; fi", "yes"},
		{"if [[ $1 == st* && -f /etc/conf ]]; then x yes; fi", "yes"},
		{"case $1 in sto*) x stop;; start|begin) x go;; *) x other;; esac", "go"},
		{"case $(cat /tmp/y) in a) x a;; *) x b;; esac", "?a|?b"},
		{"[ -f /tmp/off ] && exit 0; x on", "?on"},
		{"[ -f /nothing ] && exit 0; x on", "on"},
		{"[ -f /nothing ] || exit 0; x on", ""},
		{"V=a; if [ -f /tmp/y ]; then V=b; fi; x $V", "~"},
		{"V=a; if [ -f /tmp/y ]; then V=a; fi; x $V", "a"},
		{"(exit 1); x still; exit; x never", "still"},
		{"f() { exit; }; f; x never", ""},
		{"exec x last; x never", "last"},
		{"cd /bin; ./x here", "here"},
		{"nohup x a & nice -n 5 x b; env A=1 x c; timeout 3 x d; busybox nohup x e", "a|b|c|d|e"},
		{"su -c 'x a' user; sudo -u bob x b; chpst -u eve x c", "user:a|bob:b|eve:c"},
		{"start-stop-daemon -S -c www -x /bin/x -- -p 1", "www:-p 1"},
		{"start-stop-daemon -K -x /bin/x", ""},
		{"set -- a b; shift; x $1", "b"},
		{"eval \"x $1\"; sh -c 'x in sh'", "start|in sh"},
		{"echo x; printf x; echo 'x y' | cat", ""},
		{"! x neg; x a || x b; x c && x d", "neg|a|?b|c|?d"},
		{"true && x a; false || x b; : && x c; false && x d", "a|b|c"},
		{"A=\"x one\"; $A", "one"},
		{"if", ""},
		{"x before\nif then )\nx after", "before|?after"},
		{"f() { g; }; g() { f; }; f; x end", "end"},
		{"/s; x self", "self|self"},
	} {
		want := []string{}
		if c.want != "" {
			want = strings.Split(c.want, "|")
		}
		got := trace(files, c.body)
		if !slices.Equal(got, want) && !(len(got) == 0 && len(want) == 0) {
			t.Errorf("%q gives %q, want %q", c.body, got, want)
		}
	}
}

func TestTrace_bounded(t *testing.T) {
	for name, body := range map[string]string{
		"doubling":     "A=xxxxxxxx\n" + strings.Repeat("A=$A$A$A$A\n", 200) + "x $A\n",
		"deep nesting": strings.Repeat("if true; then ", 10_000) + "x" + strings.Repeat("; fi", 10_000),
		"parentheses":  strings.Repeat("( ", 60_000),
		"substitution": strings.Repeat("$( ", 60_000),
		"quotes":       strings.Repeat("\"$(\"", 40_000),
		"branches":     strings.Repeat("if [ -f /tmp/a ]; then x a; else x b; fi\n", 4000),
		"recursion":    "f() { f; f; f; f; }\nf\n",
		"loops":        strings.Repeat("for i in 1 2 3 4 5 6 7 8; do ", 12) + "x" + strings.Repeat("; done", 12),
		"itself":       "/s; /s; . /s; . /s",
		"many":         strings.Repeat("x\n", 60_000),
	} {
		tr := &Tracer{Host: mem{"/bin/x": "ELF", "/s": "#!/bin/sh\n" + body}}
		tr.Run("/s", nil)
		if len(tr.Res.Commands) > maxCommands || len(tr.Res.Notes) > 64 {
			t.Errorf("%s: %d commands, %d notes", name, len(tr.Res.Commands), len(tr.Res.Notes))
		}
	}
}

func TestParseUCI(t *testing.T) {
	got := ParseUCI("config dropbear 'main'\n\toption Port '22'  # ssh\n\tlist Interface lan\n\tlist Interface \"wan 2\"\n#option off 1\nconfig dropbear\n option Port 2222\n")
	if len(got) != 2 || got[0].Type != "dropbear" || got[0].Name != "main" || got[0].Options["Port"] != "22" || got[0].Options["Interface"] != "lan wan 2" || got[1].Options["Port"] != "2222" {
		t.Errorf("sections %+v", got)
	}
}

func TestTrace_uci(t *testing.T) {
	files := mem{"/etc/config/dropbear": "config dropbear\n option Port 22\n option enable 1\nconfig dropbear\n option Port 2022\n option enable 0\n"}
	body := "one() {\n config_get_bool on \"$1\" enable 1\n [ \"$on\" = 0 ] && return 1\n config_get port \"$1\" Port 22\n procd_set_param command /bin/x -p $port\n}\nconfig_load dropbear\nconfig_foreach one dropbear\n"
	if got := trace(files, body); !slices.Equal(got, []string{"-p 22"}) {
		t.Errorf("started %q, want the enabled section alone", got)
	}
}

func FuzzTrace(f *testing.F) {
	for _, s := range []string{"x $1 ${A:-b} `cat /etc/conf`", "for i in *; do . $i; done", "case $1 in a) ;; esac", "if [[ a == b ]]; then fi", "cat <<E\nx\nE\n", "((", "${a//b/c}", "function f { x; }; f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > 16<<10 {
			return
		}
		tr := &Tracer{Host: mem{"/bin/x": "ELF", "/s": "#!/bin/sh\n" + body, "/etc/conf": body}}
		tr.Run("/s", []string{"start"})
		if len(tr.Res.Commands) > maxCommands {
			t.Fatalf("%d commands", len(tr.Res.Commands))
		}
	})
}

func FuzzParseUCI(f *testing.F) {
	f.Add("config a 'b'\noption c \"d\ne\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range ParseUCI(text) {
			if s.Type == "" && len(s.Options) > len(text) {
				t.Fatal("more options than text")
			}
		}
	})
}
