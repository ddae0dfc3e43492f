package firmware

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// envSizes are the sizes an environment is built with: CONFIG_ENV_SIZE is a
// page, a sector or an erase block in practice.
func envSizes() []int64 {
	return []int64{0x400, 0x800, 0x1000, 0x2000, 0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x80000, 0x1f000, 0x1e000, 0x3000, 0x6000, 0xc000, 0xe000, 0xf000}
}

// environments finds the environments of U-Boot in a region: a CRC-32, in a
// redundant pair a flag byte, and then variables, each closed by a zero
// (env/env_internal.h of U-Boot). They stand at sector borders.
func (u *unpacker) environments(v view, from, to int64) []Part {
	var out []Part
	start := (from + gapBlock - 1) / gapBlock * gapBlock
	if from < gapBlock {
		start = 0
	}
	for off := start; off+64 < to; off += gapBlock {
		if n := len(out); n > 0 && off < out[n-1].Offset+out[n-1].Length {
			continue
		}
		head := v.head(off, 64)
		flag := 0
		switch {
		case len(head) < 64:
			continue
		case variable(head[4:]):
		case variable(head[5:]):
			flag = 1
		default:
			continue
		}
		if p := environment(v, off, flag); p != nil {
			out = append(out, *p)
		}
	}
	return out
}

// variable reports whether b begins with a name and an equals sign.
func variable(b []byte) bool {
	i := bytes.IndexByte(b, '=')
	if i < 2 {
		return false
	}
	for _, c := range b[:i] {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

func environment(v view, off int64, flag int) *Part {
	all := v.head(off, 0x80000)
	want := all[:4]
	le, be := binary.LittleEndian.Uint32(want), binary.BigEndian.Uint32(want)
	p := &Part{Format: "uboot-env", Offset: off, Facts: map[string]string{FactChecksum: "wrong", FactRedundant: "false"}}
	if flag == 1 {
		p.Facts[FactRedundant] = "true"
	}
	for _, size := range envSizes() {
		if size > int64(len(all)) {
			continue
		}
		if sum := crc32.ChecksumIEEE(all[4+flag : size]); sum == le || sum == be {
			p.Length = size
			p.Facts[FactChecksum] = "ok"
			break
		}
	}
	vars, used := variables(all[4+flag:])
	if p.Length == 0 {
		// Without its checksum an environment must name what only it would.
		_, cmd := vars["bootcmd"]
		_, delay := vars["bootdelay"]
		if len(vars) < 3 || !cmd && !delay {
			return nil
		}
		p.Length = int64(4 + flag + used)
	}
	p.setVariables(vars)
	p.data = v.sub(off, p.Length).section()
	return p
}

const maxVariables = 500

// variables reads name=value pairs up to an empty one.
func variables(b []byte) (vars map[string]string, used int) {
	vars = map[string]string{}
	for used < len(b) && len(vars) < maxVariables {
		end := bytes.IndexByte(b[used:], 0)
		if end <= 0 {
			break
		}
		pair := b[used : used+end]
		used += end + 1
		name, value, ok := bytes.Cut(pair, []byte{'='})
		if !ok || !variable(pair) && len(name) > 1 {
			break
		}
		vars[string(name)] = strings.ToValidUTF8(string(value), "�")
	}
	return vars, used
}

func (p *Part) setVariables(vars map[string]string) {
	for name, value := range vars {
		p.Facts["env."+name] = value
	}
	for _, fact := range []string{FactBootargs, FactBootdelay, FactBootcmd} {
		if value, ok := vars[fact]; ok {
			p.Facts[fact] = value
		}
	}
}

// builtIn finds the default environment inside a boot loader: the list of
// variables around "bootcmd=" or "bootdelay=".
func (u *unpacker) builtIn(v view) []Part {
	b := v.head(0, 4<<20)
	for _, word := range []string{"bootdelay=", "bootcmd=", "bootargs="} {
		for at := 0; ; {
			i := bytes.Index(b[at:], []byte(word))
			if i < 0 {
				break
			}
			i += at
			at = i + 1
			if i > 0 && b[i-1] != 0 {
				continue
			}
			start := i
			for start > 0 { // back over the variables before it
				prev := bytes.LastIndexByte(b[:start-1], 0) + 1
				if start-prev > 4096 || !variable(b[prev:start]) {
					break
				}
				start = prev
			}
			vars, used := variables(b[start:])
			if len(vars) < 3 {
				continue
			}
			p := Part{Format: "uboot-env", Offset: int64(start), Length: int64(used), Facts: map[string]string{FactDefault: "true"}, data: v.sub(int64(start), int64(used)).section()}
			p.setVariables(vars)
			return []Part{p}
		}
	}
	return nil
}
