package firmware

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// SniffLen is how many bytes of the beginning of a file tell Sniff all it can
// use.
const SniffLen = 2048

// Kind says what the content of a file is. A kind that a Part may have is
// spelled as Part.Format spells it.
type Kind string

// The kinds that are no firmware formats.
const (
	KindEmpty       Kind = "empty"
	KindELF         Kind = "elf"
	KindPE          Kind = "pe"
	KindScript      Kind = "script" // begins with #!
	KindText        Kind = "text"   // UTF-8 or a national 8-bit set, no control characters
	KindXML         Kind = "xml"
	KindHTML        Kind = "html"
	KindJSON        Kind = "json"
	KindPEM         Kind = "pem"
	KindDER         Kind = "der" // a certificate or key in DER, by its outer SEQUENCE
	KindSSHKey      Kind = "dropbear-key"
	KindPKCS12      Kind = "pkcs12"
	KindSQLite      Kind = "sqlite"
	KindJPEG        Kind = "jpeg"
	KindPNG         Kind = "png"
	KindGIF         Kind = "gif"
	KindBMP         Kind = "bmp"
	KindRIFF        Kind = "riff"
	KindMP4         Kind = "mp4"
	KindPDF         Kind = "pdf"
	KindFont        Kind = "font"
	KindArchive     Kind = "ar"
	Kind7z          Kind = "7z"
	KindRAR         Kind = "rar"
	KindJava        Kind = "java-class"
	KindLua         Kind = "lua-bytecode"
	KindPython      Kind = "python-bytecode"
	KindUnknown     Kind = "unknown"
	KindTerminfo    Kind = "terminfo"
	KindZoneinfo    Kind = "zoneinfo"
	KindMessages    Kind = "gettext"
	KindBerkeleyDB  Kind = "berkeley-db"
	KindPcap        Kind = "pcap"
	KindWebAssembly Kind = "wasm"
)

// plain lists the magics that alone decide.
func plain() []struct {
	at    int
	magic string
	kind  Kind
} {
	type m = struct {
		at    int
		magic string
		kind  Kind
	}
	return []m{
		{0, "\x7fELF", KindELF}, {0, "#!", KindScript}, {0, "-----BEGIN ", KindPEM}, {0, "SQLite format 3\x00", KindSQLite},
		{0, "\xff\xd8\xff", KindJPEG}, {0, "\x89PNG\r\n\x1a\n", KindPNG}, {0, "GIF8", KindGIF}, {0, "RIFF", KindRIFF}, {4, "ftyp", KindMP4},
		{0, "%PDF-", KindPDF}, {0, "\x00\x01\x00\x00\x00", KindFont}, {0, "OTTO", KindFont}, {0, "wOFF", KindFont}, {0, "wOF2", KindFont},
		{0, "!<arch>\n", KindArchive}, {0, "7z\xbc\xaf\x27\x1c", Kind7z}, {0, "Rar!\x1a\x07", KindRAR}, {0, "\xca\xfe\xba\xbe", KindJava},
		{0, "\x1bLua", KindLua}, {0, "\x1bLJ", KindLua}, {0, "TZif", KindZoneinfo}, {0, "\xde\x12\x04\x95", KindMessages}, {0, "\x95\x04\x12\xde", KindMessages},
		{12, "\x00\x05\x31\x62", KindBerkeleyDB}, {12, "\x62\x31\x05\x00", KindBerkeleyDB}, {0, "\xd4\xc3\xb2\xa1", KindPcap}, {0, "\xa1\xb2\xc3\xd4", KindPcap},
		{0, "\x0a\x0d\x0d\x0a", KindPcap}, {0, "\x00asm", KindWebAssembly}, {0, "\x1a\x01", KindTerminfo},
		{0, "\x00\x00\x00\x07ssh-rsa", KindSSHKey}, {0, "\x00\x00\x00\x07ssh-dss", KindSSHKey}, {0, "\x00\x00\x00\x0bssh-ed25519", KindSSHKey},
		{0, "\x00\x00\x00\x13ecdsa-sha2-", KindSSHKey},
		{0, "hsqs", "squashfs"}, {0, "sqsh", "squashfs"}, {0, "shsq", "squashfs"}, {0, "qshs", "squashfs"},
		{0, "\x1f\x8b\x08", "gzip"}, {0, "\xfd7zXZ\x00", "xz"}, {0, "BZh", "bzip2"}, {0, "\x28\xb5\x2f\xfd", "zstd"}, {0, "\x04\x22\x4d\x18", "lz4"},
		{0, "\x02\x21\x4c\x18", "lz4"}, {0, "\x89LZO\x00\r\n\x1a\n", "lzop"}, {0, "PK\x03\x04", "zip"}, {0, "PK\x05\x06", "zip"}, {257, "ustar", "tar"},
		{0, "070701", "cpio"}, {0, "070702", "cpio"}, {0, "070707", "cpio"}, {0, "\x27\x05\x19\x56", "uimage"}, {0, "\xd0\x0d\xfe\xed", "dtb"},
		{0, "UBI#", "ubi"}, {0, "\x31\x18\x10\x06", "ubifs"}, {0, "\x45\x3d\xcd\x28", "cramfs"}, {0, "\x28\xcd\x3d\x45", "cramfs"}, {0, "-rom1fs-", "romfs"},
		{0, "\x85\x19", "jffs2"}, {0, "\x19\x85", "jffs2"}, {0, "ANDROID!", "android-boot"}, {0, "VNDRBOOT", "android-vendor-boot"},
		{0, "\x3a\xff\x26\xed", "android-sparse"}, {0, "CrAU", "android-payload"}, {0, "HDR0", "trx"}, {1080, "\x53\xef", "ext"},
	}
}

// Sniff tells what a file is by its beginning, of which it should get SniffLen
// bytes if there are as many. It knows a file, not where one hides in another:
// that is what Open is for. What it does not know is KindUnknown.
func Sniff(head []byte) Kind {
	if len(head) == 0 {
		return KindEmpty
	}
	for _, m := range plain() {
		if len(head) >= m.at+len(m.magic) && string(head[m.at:m.at+len(m.magic)]) == m.magic {
			return m.kind
		}
	}
	switch {
	case len(head) > 64 && string(head[:2]) == "MZ":
		return KindPE
	case len(head) > 26 && string(head[:2]) == "BM" && binary.LittleEndian.Uint32(head[14:]) == 40:
		return KindBMP
	case len(head) > 16 && head[2] == '\r' && head[3] == '\n' && head[1] < 0x10:
		return KindPython
	case isDER(head):
		if bytes.Contains(head[:min(40, len(head))], []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01}) {
			return KindPKCS12 // PKCS #7 data right at the beginning (RFC 7292 section 4)
		}
		return KindDER
	}
	if !isText(head) {
		return KindUnknown
	}
	t := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n"))
	switch {
	case bytes.HasPrefix(t, []byte("<?xml")):
		return KindXML
	case bytes.HasPrefix(t, []byte("<!doctype html")), bytes.HasPrefix(t, []byte("<html")), bytes.HasPrefix(t, []byte("<head")):
		return KindHTML
	case bytes.HasPrefix(t, []byte("{")) && bytes.Contains(t, []byte(`"`)) && bytes.Contains(t, []byte(":")), bytes.HasPrefix(t, []byte("[{")), bytes.HasPrefix(t, []byte(`["`)):
		return KindJSON
	case bytes.Contains(t, []byte("\n-----begin ")):
		return KindPEM // a certificate with its text above it
	}
	return KindText
}

// isDER reports whether head begins a SEQUENCE of 128 to 65,535 bytes whose
// first member is an INTEGER or a SEQUENCE, as every key and certificate does.
func isDER(head []byte) bool {
	if len(head) < 8 || head[0] != 0x30 {
		return false
	}
	switch head[1] {
	case 0x81:
		return head[2] >= 0x80 && (head[3] == 0x02 || head[3] == 0x30)
	case 0x82:
		return head[2] >= 0x01 && (head[4] == 0x02 && head[5] <= 8 || head[4] == 0x30)
	}
	return false
}

// isText reports whether head has no control characters but those of text.
// Bytes above 0x7f are let through when they are UTF-8 or at least half of
// the letters are ASCII: GBK and Latin-1 are common on devices.
func isText(head []byte) bool {
	high := 0
	for _, b := range head {
		switch {
		case b == '\n' || b == '\r' || b == '\t' || b == '\f' || b == 0x1b:
		case b < 0x20 || b == 0x7f:
			return false
		case b > 0x7f:
			high++
		}
	}
	cut := head
	for range utf8.UTFMax { // the end of head may split a character
		if utf8.Valid(cut) {
			return true
		}
		if len(cut) == 0 {
			break
		}
		cut = cut[:len(cut)-1]
	}
	return high*2 < len(head)
}
