package firmware

import (
	"strings"
	"testing"
)

func TestSniff(t *testing.T) {
	for _, tt := range []struct {
		name, head string
		want       Kind
	}{
		{"nothing", "", KindEmpty},
		{"elf", "\x7fELF\x01\x01\x01", KindELF},
		{"shell", "#!/bin/sh\n", KindScript},
		{"private key", "-----BEGIN RSA PRIVATE KEY-----\n", KindPEM},
		{"certificate with text above", "Certificate:\n    Data:\n-----BEGIN CERTIFICATE-----\n", KindPEM},
		{"DER certificate", "\x30\x82\x03\x10\x30\x82\x01\xf8\xa0", KindDER},
		{"DER RSA key", "\x30\x82\x04\xa4\x02\x01\x00\x02", KindDER},
		{"dropbear key", "\x00\x00\x00\x07ssh-rsa\x00\x00\x00\x03\x01", KindSSHKey},
		{"passwd", "root:x:0:0:root:/root:/bin/sh\n", KindText},
		{"GBK comment", "# \xc9\xe8\xb1\xb8 configuration of the device\nname=cam\n", KindText},
		{"UTF-8 cut in a character", strings.Repeat("设备", 10) + "\xe8\xae", KindText},
		{"json", "{ \"name\": 1 }", KindJSON},
		{"xml", "<?xml version=\"1.0\"?>", KindXML},
		{"html", "  <!DOCTYPE HTML>\n<html>", KindHTML},
		{"squashfs", "hsqs\x00\x00\x00\x00", "squashfs"},
		{"noise", "\x01\x02\x80\x99\x13\x00\x00", KindUnknown},
	} {
		if got := Sniff([]byte(tt.head)); got != tt.want {
			t.Errorf("%s: Sniff = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte("\x7fELF"))
	f.Add([]byte("\x30\x82\x01"))
	f.Fuzz(func(t *testing.T, head []byte) {
		if Sniff(head) == "" {
			t.Error("no kind at all")
		}
	})
}
