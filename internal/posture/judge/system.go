package judge

import (
	"strings"

	"github.com/ringwall/ringwall"
)

func (j *judge) system() {
	const fs = ringwall.Firmware
	root, known := j.root()
	ima := j.p.Facts["ima"]
	evidence := []string{"root file system: " + root.Type}
	if root.ReadOnly {
		evidence[0] += ", read-only"
	}
	if ima != "" {
		evidence = append(evidence, "IMA: "+ima)
	}
	const remedy = "Mount the root read-only, with dm-verity where the kernel has it; keep what changes on a partition of its own"
	switch {
	case !known:
		j.say("FS-13", fs, ringwall.Unknown, ringwall.Observed, "The mounts could not be read", "", j.unread("proc/1/mountinfo", "proc/self/mountinfo", "mounts")...)
	case root.Verified:
		j.say("FS-13", fs, ringwall.Pass, ringwall.Confirmed, "The root file system is verified while it runs", "", append(evidence, "dm-verity")...)
	case ima == "measuring" || ima == "appraising":
		j.say("FS-13", fs, ringwall.Pass, ringwall.Confirmed, "What runs is measured", "", evidence...)
	case root.ReadOnly:
		j.say("FS-13", fs, ringwall.Pass, ringwall.Confirmed, "The root file system is read-only", "", evidence...)
	case root.Type == "overlay":
		j.say("FS-13", fs, ringwall.Partial, ringwall.Confirmed, "A writable layer lies over the root file system", remedy, evidence...)
	default:
		j.say("FS-13", fs, ringwall.Fail, ringwall.Confirmed, "The root file system can be written to and is not measured", remedy, evidence...)
	}
	if j.p.Kernel == "" {
		return
	}
	if key := j.p.Facts["identity-key"]; key != "" {
		j.say("CO-13", ringwall.Communication, ringwall.Pass, ringwall.Confirmed, "The device has a key of its own to prove itself with", "", "identity key: "+key)
	}
}

// storage are places where devices keep recordings.
var storage = [...]string{"/mnt", "/media", "/sdcard", "/record", "/var/record", "/data", "/storage", "/tmp/sd"}

func (j *judge) data() {
	const da = ringwall.Data
	checked, known := j.fact("secrets-checked")
	open, plain := j.p.Facts["secrets-open"], j.p.Facts["secrets-plain"]
	var crypted bool
	if root, ok := j.root(); ok {
		crypted = root.Encrypted
	}
	hidden := j.unread("etc/wpa", "etc/config", "etc/hostapd", "etc/ppp", "etc/ssh", "etc/ssl", "etc/NetworkManager", "etc/wireguard", "etc/openvpn", "etc/stunnel", "etc/dropbear")
	switch {
	case open != "":
		j.say("DA-01", da, ringwall.Fail, ringwall.Confirmed, "Every program may read files of secrets", "Let only their owner read files of secrets (mode 600)", "readable by all: "+open)
	case !known || checked == "0" && len(hidden) == 0:
		j.say("DA-01", da, ringwall.Unknown, ringwall.Observed, "No file of secrets was found where they usually are", "")
	case len(hidden) > 0:
		j.say("DA-01", da, ringwall.Unknown, ringwall.Observed, "Files of secrets could not be read", "", first(hidden)...)
	case plain != "" && !crypted:
		j.say("DA-01", da, ringwall.Partial, ringwall.Observed, "Secrets are kept in the clear on storage that is not encrypted", "Encrypt the partition with a key bound to the device", "in the clear: "+plain)
	default:
		j.say("DA-01", da, ringwall.Pass, ringwall.Observed, "Files of secrets are kept from others", "", checked+" files looked at")
	}

	var bare, safe []string
	for _, m := range j.p.Mounts {
		for _, s := range storage {
			if m.Path != s && !strings.HasPrefix(m.Path, s+"/") {
				continue
			}
			if m.Encrypted {
				safe = append(safe, m.Path+" ("+m.Type+"): encrypted")
			} else if !m.ReadOnly {
				bare = append(bare, m.Path+" ("+m.Type+"): not encrypted")
			}
			break
		}
	}
	switch {
	case len(bare) > 0:
		j.say("DA-05", da, ringwall.Fail, ringwall.Observed, "Storage for recordings is not encrypted", "Encrypt the storage with a key bound to the device", first(bare)...)
	case len(safe) > 0:
		j.say("DA-05", da, ringwall.Pass, ringwall.Observed, "Storage for recordings is encrypted", "", first(safe)...)
	default:
		j.say("DA-05", da, ringwall.Unknown, ringwall.Observed, "No storage for recordings was found", "", j.unread("proc/1/mountinfo", "proc/self/mountinfo")...)
	}

	switch log, known := j.fact("log"); {
	case !known:
		j.say("DA-07", da, ringwall.Unknown, ringwall.Observed, "Whether a log is kept could not be read", "", j.unread("proc")...)
	case log == "remote":
		j.say("DA-07", da, ringwall.Pass, ringwall.Confirmed, "A log is kept and leaves the device", "", "log: remote")
	case log == "local":
		j.say("DA-07", da, ringwall.Partial, ringwall.Confirmed, "A log is kept on the device only", "Send the log to a collector, so that an intruder cannot erase it", "log: local")
	default:
		j.say("DA-07", da, ringwall.Fail, ringwall.Confirmed, "No log is kept", "Run a log daemon and send its log to a collector", "no log daemon runs")
	}
}
