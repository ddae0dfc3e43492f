// Package boot judges how an image boots: whether kernel and root are verified
// (HW-01), whether a console gives a shell (HW-02), whether the boot loader can
// be interrupted (HW-03), whether removable media can run code (HW-05), and
// whether the root is protected while the device runs (FS-13).
//
// It reads what the parts of an image say of themselves, the boot loader's
// environment or the one compiled into it, and the first lines of the start. An
// image without these parts is not examined, and that is the answer: unknown. A
// signature in an image shows that somebody signed, not that the device checks;
// only what the boot loader is told to check counts as more than a part.
//
// Formats: U-Boot's image.h, doc/uImage.FIT/signature.txt and its environment;
// kernel-parameters.txt of Linux; dm-verity's table.
package boot

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/firmware"
	"github.com/ringwall/ringwall/internal/inspect/services"
	"github.com/ringwall/ringwall/internal/inspect/shell"
	"github.com/ringwall/ringwall/internal/inspect/view"
)

// Env is a boot loader's environment and where it was found.
type Env struct {
	Values map[string]string
	Where  string
	Stored bool // on a partition of its own, which may be written
}

// Chain is what an image shows of its boot.
type Chain struct {
	Envs    []Env
	Bootenv map[string]string // of the loader that counts: stored before compiled in
	Args    string            // the kernel's command line, "" when not seen
	ArgsAt  string
}

// maxLoader is the longest part searched for a compiled-in environment.
const maxLoader = 16 << 20

// Read gathers the environments and command lines of an image.
func Read(v *view.View) Chain {
	var c Chain
	for _, p := range v.Parts {
		if p.Part == nil || p.Tree != nil {
			continue
		}
		if e := environment(p); e != nil {
			c.Envs = append(c.Envs, *e)
		}
		for _, k := range []string{"bootargs", "cmdline", "chosen-bootargs"} {
			if a := p.Facts[k]; a != "" && c.Args == "" {
				c.Args, c.ArgsAt = a, p.Place
			}
		}
	}
	slices.SortStableFunc(c.Envs, func(a, b Env) int {
		return map[bool]int{true: 0, false: 1}[a.Stored] - map[bool]int{true: 0, false: 1}[b.Stored]
	})
	if len(c.Envs) > 0 {
		c.Bootenv = c.Envs[0].Values
		for _, e := range c.Envs {
			if a := e.Values["bootargs"]; a != "" {
				c.Args, c.ArgsAt = a, e.Where
				break
			}
		}
	}
	return c
}

// environment takes the environment of a part from its facts, or finds the one
// compiled into a boot loader: entries of the form name=value, each ended by a
// NUL, among them bootcmd or bootargs.
func environment(p view.Part) *Env {
	e := Env{Values: map[string]string{}, Where: p.Place}
	e.Stored = strings.Contains(p.Format, "env") && p.Facts[firmware.FactDefault] == ""
	for k, v := range p.Facts {
		switch name := strings.TrimPrefix(k, "env."); {
		case name != k, name == "bootcmd", name == "bootdelay", name == "bootargs":
			e.Values[name] = v
		}
	}
	if len(e.Values) > 0 && (e.Values["bootcmd"] != "" || e.Values["bootdelay"] != "" || e.Stored) {
		return &e
	}
	if d := p.Data(); d != nil && d.Size() > 1024 && d.Size() <= maxLoader && len(p.Parts) == 0 {
		b := make([]byte, d.Size())
		if n, err := d.ReadAt(b, 0); n == len(b) && (err == nil || err == io.EOF) {
			if vals, at := Compiled(b); vals != nil {
				return &Env{Values: vals, Where: fmt.Sprintf("%s offset %#x", p.Place, at)}
			}
		}
	}
	return nil
}

var envName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{1,30}$`)

// Compiled finds a default environment in the bytes of a boot loader, and where
// it begins.
func Compiled(b []byte) (map[string]string, int) {
	for _, key := range []string{"\x00bootcmd=", "\x00bootargs=", "\x00bootdelay="} {
		for at := 0; ; {
			i := bytes.Index(b[at:], []byte(key))
			if i < 0 {
				break
			}
			i += at
			at = i + len(key)
			start := i + 1
			// Walk back over entries that end where this one begins.
			for n := 0; n < 200 && start > 1; n++ {
				j := bytes.LastIndexByte(b[max(0, start-2048):start-1], 0)
				if j < 0 {
					break
				}
				j += max(0, start-2048) + 1
				if k, _, ok := strings.Cut(string(b[j:start-1]), "="); !ok || !envName.MatchString(k) {
					break
				}
				start = j
			}
			vals := map[string]string{}
			for k := start; k < len(b) && len(vals) < 200; {
				end := bytes.IndexByte(b[k:min(len(b), k+4096)], 0)
				if end <= 0 {
					break
				}
				name, v, ok := strings.Cut(string(b[k:k+end]), "=")
				if !ok || !envName.MatchString(name) || !printable(v) {
					break
				}
				vals[name] = v
				k += end + 1
			}
			if len(vals) >= 2 && vals["bootcmd"] != "" || vals["bootargs"] != "" && vals["bootdelay"] != "" {
				return vals, start
			}
		}
	}
	return nil, 0
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f })
}

// Findings answers the indicators of the boot.
func Findings(v *view.View, c Chain, s *services.Result) []ringwall.Finding {
	return []ringwall.Finding{verified(v, c), console(v, c), interrupt(v, c), media(v, c, s), readOnly(v, c, s)}
}

func answer(id string) ringwall.Finding {
	return ringwall.Finding{Indicator: id, Confidence: ringwall.Observed, Facts: map[string]string{}}
}

// verified answers HW-01.
func verified(v *view.View, c Chain) ringwall.Finding {
	f := answer("HW-01")
	var signed, unsigned []string
	for _, p := range v.Parts {
		if p.Part == nil {
			continue
		}
		switch p.Format {
		case "uimage":
			// A legacy header may wrap a FIT, a script or a boot loader.
			unsigned = append(unsigned, fmt.Sprintf("%s: legacy uImage %q: its header and data carry CRC-32 only, which anybody can make", p.Place, view.Clip(p.Name, 40)))
		case "fit":
			if sig := signature(p.Facts); sig != "" {
				signed = append(signed, p.Place+": FIT with "+sig)
			} else {
				unsigned = append(unsigned, p.Place+": FIT without a signature node")
			}
		case "trx":
			unsigned = append(unsigned, p.Place+": TRX: CRC-32 only")
		case "android-boot", "bootimg", "android":
			if sig := signature(p.Facts); sig != "" {
				signed = append(signed, p.Place+": Android boot image with "+sig)
			}
		case "vbmeta", "dm-verity", "verity":
			signed = append(signed, p.Place+": "+p.Format)
		}
	}
	verity := strings.Contains(c.Args, "dm-mod.create=") && strings.Contains(c.Args, "verity") || strings.Contains(c.Args, "root=/dev/dm-") || strings.Contains(c.Args, "dm=\"") && strings.Contains(c.Args, "verity")
	if verity {
		signed = append(signed, c.ArgsAt+": the kernel is told to open its root through dm-verity")
	}
	f.Evidence = bound(append(slices.Clone(signed), unsigned...))
	switch {
	case len(unsigned) > 0 && len(signed) == 0:
		f.Outcome, f.Title = ringwall.Fail, "the kernel of the image is protected by a checksum only"
	case len(unsigned) > 0 || len(signed) > 0 && !verity:
		f.Outcome, f.Title = ringwall.Partial, "a part of the boot chain is signed; whether the device checks it was not seen"
	case len(signed) > 0:
		f.Outcome, f.Title = ringwall.Partial, "the root is measured by dm-verity; what verifies the kernel was not seen"
	default:
		f.Title = "the image holds no kernel or boot loader that tells how it is verified"
	}
	return f
}

func signature(facts map[string]string) string {
	for _, k := range slices.Sorted(maps.Keys(facts)) {
		if strings.Contains(k, "signature") || strings.Contains(k, "signed") || strings.Contains(k, "avb") {
			if v := facts[k]; v != "" && v != "no" && v != "false" && v != "none" && v != "0" {
				return k + " " + view.Clip(v, 60)
			}
		}
	}
	return ""
}

func bound(lines []string) []string {
	if len(lines) > 24 {
		return append(lines[:24:24], fmt.Sprintf("and %d more", len(lines)-24))
	}
	return lines
}

var consoleArg = regexp.MustCompile(`(?:^|\s)console=(tty[A-Z][A-Za-z]*[0-9]*)[^\s]*`)

// console answers HW-02.
func console(v *view.View, c Chain) ringwall.Finding {
	f := answer("HW-02")
	var open, login, prints []string
	if m := consoleArg.FindStringSubmatch(c.Args); m != nil {
		prints = append(prints, fmt.Sprintf("%s: the kernel's console is %s", c.ArgsAt, m[1]))
	}
	text, seen := v.Text("/etc/inittab")
	for _, e := range services.ParseInittab(text) {
		p := strings.Fields(strings.TrimPrefix(e.Process, "-"))
		if len(p) == 0 || e.Action != "respawn" && e.Action != "askfirst" && e.Action != "once" && e.Action != "respawnlate" && e.Action != "askconsole" && e.Action != "askconsolelate" {
			continue
		}
		where := fmt.Sprintf("/etc/inittab line %d: %s", e.Line, view.Clip(e.ID+"::"+e.Action+":"+e.Process, 80))
		// A virtual terminal needs a screen and a keyboard.
		if strings.HasPrefix(e.ID, "tty") && len(e.ID) > 3 && e.ID[3] >= '0' && e.ID[3] <= '9' {
			continue
		}
		switch name := path.Base(p[0]); {
		case name == "getty" || name == "agetty" || name == "mingetty":
			if slices.ContainsFunc(p[1:], func(a string) bool { return a == "-n" || a == "-a" || a == "--autologin" || a == "--skip-login" }) {
				open = append(open, where+": a shell without login")
			} else {
				login = append(login, where+": a login on the console")
			}
		case name == "login" || name == "sulogin":
			login = append(login, where+": a login on the console")
		case name == "sh" || name == "ash" || name == "bash" || name == "hush" || name == "cttyhack":
			open = append(open, where+": a shell without login")
		case p[0] == "/usr/libexec/login.sh" || p[0] == "/bin/login.sh":
			// OpenWrt: a shell unless ttylogin is set.
			conf, _ := v.Text("/etc/config/system")
			if ttylogin(conf) {
				login = append(login, where+": a login on the console (ttylogin)")
			} else {
				open = append(open, where+": a shell without login, for ttylogin is not set")
			}
		}
	}
	if m := consoleArg.FindStringSubmatch(c.Args); m != nil && strings.Contains(" "+c.Args+" ", " init=/bin/sh ") {
		open = append(open, c.ArgsAt+": the kernel starts a shell")
	}
	f.Evidence = bound(slices.Concat(open, login, prints))
	switch {
	case len(open) > 0:
		f.Outcome, f.Title = ringwall.Fail, "the serial console gives a shell without login"
	case len(login) > 0:
		f.Outcome, f.Title = ringwall.Partial, "the serial console is open and asks for a login"
	case len(prints) > 0:
		f.Outcome, f.Title = ringwall.Partial, "the serial console is open"
	case seen && c.Args != "":
		f.Outcome, f.Title = ringwall.Pass, "neither the kernel nor the start opens a serial console"
		f.Evidence = append(f.Evidence, c.ArgsAt+": no console= for a serial line", "/etc/inittab: no getty and no shell")
	default:
		f.Title = "neither the kernel's command line nor a start that opens a console was found"
	}
	return f
}

func ttylogin(conf string) bool {
	return slices.ContainsFunc(shell.ParseUCI(conf), func(s shell.Section) bool { return s.Type == "system" && s.Options["ttylogin"] == "1" })
}

// interrupt answers HW-03.
func interrupt(v *view.View, c Chain) ringwall.Finding {
	f := answer("HW-03")
	if len(c.Envs) == 0 {
		f.Title = "no boot loader environment was found in the image"
		return f
	}
	where := c.Envs[0].Where
	raw, ok := c.Bootenv["bootdelay"]
	delay, err := strconv.Atoi(strings.TrimSpace(raw))
	_, tools := v.Find("/usr/sbin/fw_setenv")
	if tools {
		f.Evidence = append(f.Evidence, "/usr/sbin/fw_setenv: the running system can write the environment")
	}
	switch {
	case !ok || err != nil:
		f.Title = "the boot loader's environment names no delay"
		f.Evidence = append(f.Evidence, where+": no bootdelay")
	case delay > 0:
		f.Outcome, f.Title = ringwall.Fail, "the boot loader waits for a key press and then gives its prompt"
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s: bootdelay=%d", where, delay))
		if c.Bootenv["bootstopkey"] != "" || c.Bootenv["bootstopkeysha256"] != "" {
			f.Outcome, f.Title = ringwall.Partial, "the boot loader can be stopped with a key word"
			f.Evidence = append(f.Evidence, where+": it asks for a key word")
		}
	case delay == -2:
		f.Outcome, f.Title = ringwall.Pass, "the boot loader cannot be interrupted"
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s: bootdelay=-2: it does not look for a key", where))
	case delay == -1:
		f.Outcome, f.Title = ringwall.Fail, "the boot loader stops at its prompt"
		f.Evidence = append(f.Evidence, where+": bootdelay=-1")
	default:
		f.Outcome, f.Title = ringwall.Partial, "the boot loader does not wait, but a key held down stops it"
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s: bootdelay=%d", where, delay))
	}
	return f
}
