// Package update judges how the firmware of an image is replaced: whether a
// signature is verified (FS-09), whether what is fetched is authenticated and
// encrypted on its way (FS-10), and whether an older firmware can be put back
// (FS-11).
//
// An updater is what writes flash: a script with a command that does, or a
// program that holds such commands or devices among its strings together with
// words of updating. Formatting a partition is not updating. What a script does
// can be read; what a program does beyond its strings and the functions it
// imports cannot, so a program alone seldom gives more than unknown. No updater
// found is unknown too: it may stand on a partition that is not in the image.
package update

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

var (
	// writes are commands that put an image into flash.
	writes = regexp.MustCompile(`(?:^|[;&|\s(` + "`" + `/])(flashcp\s+\S|nandwrite\s+\S|mtd\s+(?:-\S+\s+(?:\S+\s+)?)*write\s|ubiupdatevol\s+\S|dd\s[^\n;|]*of=/dev/(?:mtd|mmcblk[0-9])|swupdate\s+\S|rauc\s+install|mender\s+install|mtd_write\s+\S|fw_update\s+\S)`)
	signs  = regexp.MustCompile(`\bopenssl\s+(?:dgst|sha256|sha1|rsautl|pkeyutl|cms|smime)\b[^\n]*-verify\b|\bgpgv\b|\bgpg\b[^\n]*--verify|\busign\s+-V|\bucert\s+-V|\bsignify(?:-openbsd)?\s+-V|\bminisign\s+-V|\brauc\s+install|\bswupdate\b[^\n]*\s-k\s|\bverify_?sign|\bsig(?:nature)?_(?:check|verify)|\bfwtool_check_signature`)
	sums   = regexp.MustCompile(`\b(md5sum|sha1sum|sha256sum|cksum|crc32)\b`)
	fetch  = regexp.MustCompile(`\b(?:wget|curl|uclient-fetch|ftpget|tftp)\b[^\n]*`)
	httpTo = regexp.MustCompile(`\bhttp://[A-Za-z0-9.$-]`)
	urls   = regexp.MustCompile(`https?://[A-Za-z0-9.-]{4,100}(?::[0-9]{1,5})?/[A-Za-z0-9_./?=&%+-]{0,160}`)
	about  = regexp.MustCompile(`(?i)(?:^|[/_.?&=-])(?:ota|fota|upgrade|firmware|fwupdate|fw_?update|sysupgrade|update)(?:[/_.?&=-]|$)`)
	older  = regexp.MustCompile(`(?i)anti[-_ ]?rollback|rollback[-_ ]?(?:index|version|protect)|downgrade`)
	insec  = regexp.MustCompile(`\bcurl(?:\s[^\n|;#]*?)?\s(?:--insecure\b|-[a-zA-Z]*k\b)|--no-check-certificate`)
	piped  = regexp.MustCompile(`\b(?:wget|curl)\b[^\n|;]*http://[^\n|;]*\|\s*(?:ba|a)?sh\b`)
)

// Scan gathers updaters while the files of a view are read once.
type Scan struct {
	scripts  []script
	programs []program
	links    []string // update addresses among the strings of programs, in clear
	secure   []string
	pipes    []string
}

type script struct {
	at                    string
	write, sign, sum, old string // a line each, "" for none
	plain, insecure, tls  string
}

type program struct {
	at       string
	verifies []string
	md5      bool
	old      bool
}

// maxUpdaters bounds how many are kept of one image.
const maxUpdaters = 50

// flashers are what a program that writes flash has among its strings.
var flashers = []string{"flashcp ", "flash_eraseall /dev", "flash_erase /dev", "nandwrite ", "mtd write ", "mtd -r write", "ubiupdatevol", "sysupgrade ", "/dev/mtdblock", "/dev/mtd%d"}

var updateWords = [][]byte{[]byte("upgrade"), []byte("Upgrade"), []byte("UPGRADE"), []byte("ota_"), []byte("OTA"), []byte("firmware"), []byte("Firmware")}

// verifiers are functions of crypto libraries that check signatures.
var verifiers = []string{
	"RSA_verify", "RSA_public_decrypt", "EVP_VerifyFinal", "EVP_DigestVerifyFinal", "EVP_DigestVerify", "ECDSA_verify", "ECDSA_do_verify", "ED25519_verify",
	"mbedtls_pk_verify", "mbedtls_rsa_pkcs1_verify", "mbedtls_rsa_rsassa_pss_verify", "mbedtls_ecdsa_verify", "wc_ed25519_verify_msg", "wc_RsaSSL_Verify", "wc_ecc_verify_hash",
	"crypto_sign_verify_detached", "crypto_sign_open", "CMS_verify", "PKCS7_verify", "gnutls_pubkey_verify_data2", "ed25519_verify",
}

// File reads one file. bin is nil unless it is a program.
func (s *Scan) File(f *view.File, data []byte, bin *hardening.Binary) {
	switch {
	case strings.HasPrefix(f.Path, "/usr/share/doc"), strings.HasPrefix(f.Path, "/usr/share/man"):
	case bin != nil:
		s.program(f, data, bin)
	case len(data) < 256<<10 && (bytes.HasPrefix(data, []byte("#!")) || path.Ext(f.Path) == ".sh") && view.IsText(data) && !otherLanguage(data):
		s.script(f, string(data))
	}
}

func otherLanguage(data []byte) bool {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return bytes.HasPrefix(line, []byte("#!")) && !bytes.Contains(line, []byte("sh")) && !bytes.Contains(line, []byte("busybox"))
}

func (s *Scan) script(f *view.File, text string) {
	if len(s.scripts) >= maxUpdaters {
		return
	}
	sc := script{at: f.At()}
	n := 0
	name := strings.ToLower(path.Base(f.Path))
	updates := strings.Contains(name, "upgrade") || strings.Contains(name, "update") || strings.Contains(name, "ota")
	set := func(at *string, line string) {
		if *at == "" {
			*at = fmt.Sprintf("%s line %d: %s", f.At(), n, view.Clip(line, 100))
		}
	}
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || strings.HasPrefix(line, "echo ") {
			continue
		}
		if writes.MatchString(line) {
			set(&sc.write, line)
		}
		if signs.MatchString(line) {
			set(&sc.sign, line)
		}
		if sums.MatchString(line) {
			set(&sc.sum, line)
		}
		if older.MatchString(line) {
			set(&sc.old, line)
		}
		if g := fetch.FindString(line); g != "" {
			switch {
			case insec.MatchString(g):
				set(&sc.insecure, line)
			case httpTo.MatchString(g) || strings.HasPrefix(g, "ftpget") || strings.HasPrefix(g, "tftp"):
				set(&sc.plain, line)
			case strings.Contains(g, "https://"):
				set(&sc.tls, line)
			}
		}
		if piped.MatchString(line) && len(s.pipes) < maxUpdaters {
			s.pipes = append(s.pipes, fmt.Sprintf("%s line %d: runs what it fetches in clear: %s", f.At(), n, view.Clip(line, 100)))
		}
	}
	if sc.write != "" || updates && (sc.plain != "" || sc.insecure != "" || sc.tls != "") {
		s.scripts = append(s.scripts, sc)
	}
}

func (s *Scan) program(f *view.File, data []byte, bin *hardening.Binary) {
	base := path.Base(f.Path)
	if strings.HasPrefix(base, "busybox") || len(s.programs) >= maxUpdaters || tool(base) {
		return
	}
	flash := ""
	for _, w := range flashers {
		if bytes.Contains(data, []byte(w)) {
			flash = w
			break
		}
	}
	word := slices.ContainsFunc(updateWords, func(w []byte) bool { return bytes.Contains(data, w) })
	if flash == "" || !word {
		return
	}
	p := program{at: f.At() + ": a program with " + fmt.Sprintf("%q", strings.TrimSpace(flash)) + " and words of updating among its strings"}
	for _, v := range verifiers {
		if bin.Uses(v) {
			p.verifies = append(p.verifies, v)
		}
	}
	p.md5 = bin.Uses("MD5_Final", "MD5_Update", "md5_finish", "mbedtls_md5_finish", "MD5Final") || bytes.Contains(data, []byte("md5sum"))
	p.old = older.Match(data[:min(len(data), 8<<20)])
	s.programs = append(s.programs, p)
	for _, u := range urls.FindAll(data, 400) {
		link := string(u)
		if !about.MatchString(link) || strings.Contains(link, "example.") || strings.Contains(link, "schemas.") || strings.Contains(link, "www.w3.org") {
			continue
		}
		line := f.At() + ": names " + view.Clip(link, 100)
		switch {
		case strings.HasPrefix(link, "http://") && len(s.links) < maxUpdaters:
			s.links = append(s.links, line)
		case strings.HasPrefix(link, "https://") && len(s.secure) < maxUpdaters:
			s.secure = append(s.secure, line)
		}
	}
}

// tool tells programs of others that write flash when they are told to.
func tool(base string) bool {
	for _, t := range []string{"flashcp", "flash_erase", "nandwrite", "mtd", "ubi", "fw_printenv", "fw_setenv", "libc", "ld-", "libcrypto", "libssl", "libmbed", "dpkg", "apt", "mkfs", "e2fs", "systemd", "udev", "grub", "dd"} {
		if strings.HasPrefix(base, t) {
			return true
		}
	}
	return false
}

func answer(id string) ringwall.Finding {
	return ringwall.Finding{Indicator: id, Confidence: ringwall.Observed}
}

// Findings answers FS-09, FS-10 and FS-11.
func (s *Scan) Findings() []ringwall.Finding {
	return []ringwall.Finding{s.signed(), s.channel(), s.rollback()}
}

func (s *Scan) signed() ringwall.Finding {
	f := answer("FS-09")
	signed, unsigned := 0, 0
	for _, sc := range s.scripts {
		switch {
		case sc.write == "":
		case sc.sign != "":
			signed++
			f.Evidence = append(f.Evidence, "verifies a signature: "+sc.sign)
		case sc.sum != "":
			unsigned++
			f.Evidence = append(f.Evidence, "writes flash: "+sc.write, "checks a checksum only: "+sc.sum)
		default:
			unsigned++
			f.Evidence = append(f.Evidence, "writes flash without any check: "+sc.write)
		}
	}
	maybe := 0
	for _, p := range s.programs {
		switch {
		case len(p.verifies) > 0:
			maybe++
			f.Evidence = append(f.Evidence, p.at+"; it imports "+strings.Join(p.verifies[:min(len(p.verifies), 3)], ", "))
		case p.md5:
			f.Evidence = append(f.Evidence, p.at+"; it imports MD5 and no function that verifies a signature")
			unsigned++
		default:
			maybe++
			f.Evidence = append(f.Evidence, p.at+"; it imports no function of a crypto library that verifies a signature")
		}
	}
	f.Evidence = bound(f.Evidence)
	switch {
	case unsigned > 0 && signed == 0 && maybe == 0:
		f.Outcome, f.Title = ringwall.Fail, "what updates the firmware checks no signature"
	case unsigned > 0 && (signed > 0 || maybe > 0):
		f.Outcome, f.Title = ringwall.Partial, "one way of updating the firmware checks no signature"
	case signed > 0 && maybe == 0:
		f.Outcome, f.Title = ringwall.Pass, "what updates the firmware verifies a signature"
	case maybe > 0:
		f.Title = "a program updates the firmware; whether it verifies a signature cannot be read from the image"
	default:
		f.Title = "nothing that updates the firmware was found in the image"
	}
	return f
}

func (s *Scan) channel() ringwall.Finding {
	f := answer("FS-10")
	var bad, good []string
	for _, sc := range s.scripts {
		if sc.insecure != "" {
			bad = append(bad, "fetches without checking the server: "+sc.insecure)
		}
		if sc.plain != "" {
			bad = append(bad, "fetches in clear: "+sc.plain)
		}
		if sc.tls != "" {
			good = append(good, "fetches over TLS: "+sc.tls)
		}
	}
	bad = append(append(bad, s.pipes...), s.links...)
	f.Evidence = bound(slices.Concat(bad, good, s.secure))
	switch {
	case len(bad) > 0:
		f.Outcome, f.Title = ringwall.Fail, "updates or programs are fetched in clear or without checking the server"
	case len(good) > 0:
		f.Outcome, f.Title = ringwall.Pass, "updates are fetched over TLS with the server checked"
	default:
		f.Title = "how updates are fetched was not seen in the image"
	}
	return f
}

func (s *Scan) rollback() ringwall.Finding {
	f := answer("FS-11")
	writers, compares := 0, 0
	for _, sc := range s.scripts {
		if sc.write == "" {
			continue
		}
		writers++
		if sc.old != "" {
			compares++
			f.Evidence = append(f.Evidence, "speaks of older versions: "+sc.old)
		} else {
			f.Evidence = append(f.Evidence, "compares no versions before it writes: "+sc.write)
		}
	}
	for _, p := range s.programs {
		if p.old {
			f.Evidence = append(f.Evidence, p.at+"; it speaks of rollback or downgrade")
		}
	}
	f.Evidence = bound(f.Evidence)
	switch {
	case writers > 0 && compares == 0 && len(s.programs) == 0:
		f.Outcome, f.Title = ringwall.Fail, "nothing keeps an older firmware from being put back"
	case compares > 0:
		f.Outcome, f.Title = ringwall.Partial, "an updater speaks of older versions; whether a counter protects it was not seen"
	default:
		f.Title = "whether an older firmware can be put back was not seen in the image"
	}
	return f
}

func bound(lines []string) []string {
	if len(lines) > 24 {
		return append(lines[:24:24], fmt.Sprintf("and %d more", len(lines)-24))
	}
	return lines
}
