package posture

import (
	"errors"
	"io/fs"
	"strings"
)

// secretNames are parts of the names of kernel parameters whose values are
// never told.
var secretNames = [...]string{"pass", "pwd", "secret", "token", "key", "psk", "auth", "credential", "cookie", "hash"}

// Redact cuts the values of secrets out of a kernel command line, and names and
// passwords out of addresses in it.
func Redact(command string) string {
	words := strings.Fields(clean(command, 4096))
	for i, w := range words {
		name, value, ok := strings.Cut(w, "=")
		low := strings.ToLower(name)
		if ok {
			for _, s := range secretNames {
				if strings.Contains(low, s) {
					value = "***"
				}
			}
		}
		if scheme, rest, is := strings.Cut(value, "://"); is {
			if at := strings.LastIndex(rest, "@"); at >= 0 {
				value = scheme + "://***@" + rest[at+1:]
			}
		}
		if ok {
			words[i] = name + "=" + value
		}
	}
	return clean(strings.Join(words, " "), 2048)
}

func (c *collector) boot() {
	if cmd, ok := c.read("proc/cmdline", 8192); ok {
		c.p.Command = Redact(cmd)
	} else {
		c.note("proc/cmdline: not there")
	}
	c.secureBoot()
	if l := c.line("sys/kernel/security/lockdown"); l != "" {
		if _, rest, ok := strings.Cut(l, "["); ok {
			state, _, _ := strings.Cut(rest, "]")
			c.fact("lockdown", state)
		}
	}
	c.integrity()
	c.chips()
	c.consoles()
}

// secureBoot reads the UEFI variable: four bytes of attributes, one of value.
func (c *collector) secureBoot() {
	if _, err := fs.Stat(c.root, "sys/firmware/efi"); errors.Is(err, fs.ErrNotExist) {
		if _, err := fs.Stat(c.root, "sys/kernel"); err == nil {
			c.fact("secure-boot", "no-efi")
		} else {
			c.note("sys/firmware/efi: not there")
		}
		return
	}
	v, ok := c.read("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", 16)
	switch {
	case !ok || len(v) != 5:
		c.note("SecureBoot variable: cannot be read")
	case v[4] == 1:
		c.fact("secure-boot", "on")
	default:
		c.fact("secure-boot", "off")
	}
}

// integrity tells whether IMA measures, and whether it appraises.
func (c *collector) integrity() {
	if n := c.line("sys/kernel/security/ima/runtime_measurements_count"); n != "" {
		// One measurement, of the boot itself, is there without any policy.
		if n == "0" || n == "1" {
			c.fact("ima", "idle")
		} else {
			c.fact("ima", "measuring")
		}
	}
	if strings.Contains(c.p.Command, "ima_appraise=enforce") || strings.Contains(c.p.Command, "ima_policy=appraise_tcb") {
		c.fact("ima", "appraising")
	}
}

func (c *collector) chips() {
	class := c.entries("sys/class/tpm")
	for _, e := range class {
		if v := c.line("sys/class/tpm/" + e.Name() + "/tpm_version_major"); v != "" {
			c.fact("tpm", v)
		}
	}
	if _, known := c.p.Facts["tpm"]; !known {
		if _, err := fs.Stat(c.root, "sys/class"); err == nil {
			if len(class) > 0 {
				c.fact("tpm", "1")
			} else {
				c.fact("tpm", "none")
			}
		}
	}
	if len(c.entries("sys/class/tee")) > 0 {
		c.fact("tee", "present")
	}
}

// consoles tells which serial consoles the kernel writes to, and whether one
// hands out a shell without a login.
func (c *collector) consoles() {
	serial, all := map[string]bool{}, map[string]bool{}
	text, ok := c.read("proc/consoles", 16<<10)
	for l := range strings.Lines(text) {
		if f := strings.Fields(l); len(f) > 0 {
			all[f[0]] = true
			if isSerial(f[0]) {
				serial[f[0]] = true
			}
		}
	}
	for w := range strings.FieldsSeq(c.p.Command) {
		if v, is := strings.CutPrefix(w, "console="); is {
			name, _, _ := strings.Cut(v, ",")
			if isSerial(name) {
				serial[name] = true
			}
		}
	}
	if ok {
		c.fact("consoles", join(all))
		c.p.Facts["serial-consoles"] = join(serial)
	} else {
		c.note("proc/consoles: not there")
		if len(serial) > 0 {
			c.fact("serial-consoles", join(serial))
		}
	}
	tab, ok := c.read("etc/inittab", 64<<10)
	if !ok {
		return
	}
	// id:runlevels:action:process; BusyBox puts the terminal into id.
	shells := map[string]bool{}
	for l := range strings.Lines(tab) {
		f := strings.SplitN(strings.TrimSpace(l), ":", 4)
		if len(f) != 4 || strings.HasPrefix(f[0], "#") || f[2] != "respawn" && f[2] != "askfirst" && f[2] != "once" && f[2] != "wait" {
			continue
		}
		words := strings.Fields(strings.TrimPrefix(f[3], "-"))
		if len(words) > 0 && (words[0] == "/bin/sh" || words[0] == "/bin/ash" || words[0] == "/bin/bash") && len(words) == 1 {
			where := f[0]
			if where == "" {
				where = "console"
			}
			shells[where] = true
		}
	}
	if len(shells) > 0 {
		c.fact("console-shell", join(shells))
	} else {
		c.fact("console-shell", "none")
	}
}

func isSerial(name string) bool {
	for _, p := range []string{"ttyS", "ttyAMA", "ttymxc", "ttyUSB", "ttyO", "ttyPS", "ttyHS", "ttyMSM", "ttySAC", "ttyLP", "ttyATH", "ttySC", "ttyTHS"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
