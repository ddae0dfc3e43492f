package vuln

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"

	"github.com/ringwall/ringwall"
)

// sniffed is how much of a file tells its kind.
const sniffed = 64 << 10

// Import returns base with what files say, in their order. The kind of each is
// told by its beginning: a bundle of ours, which takes the place of all before it;
// CISA's catalogue of exploited vulnerabilities; an answer of the NVD CVE API
// 2.0; records of the CVE list. Each may be compressed with gzip. A bundle's
// digest is checked, not its signature: for that there is LoadSigned.
func Import(base *Data, files ...io.Reader) (*Data, error) {
	if base == nil {
		base = &Data{version: "none"}
		if err := base.build(); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		var err error
		if base, err = importOne(base, f); err != nil {
			return nil, err
		}
	}
	return base, nil
}

func importOne(base *Data, f io.Reader) (*Data, error) {
	in := bufio.NewReaderSize(f, sniffed)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "reading vulnerability data: %w", err)
		}
		defer z.Close()
		in = bufio.NewReaderSize(&capped{r: z, left: maxPlain}, sniffed)
	}
	head, err := in.Peek(sniffed)
	if err != nil && err != io.EOF {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading vulnerability data: %w", err)
	}
	first, _, _ := bytes.Cut(head, []byte("\n"))
	has := func(in []byte, field string) bool { return bytes.Contains(in, []byte(`"`+field+`"`)) }
	switch {
	case has(first, bundleKind):
		return Load(in)
	case has(head, "catalogVersion"):
		return ImportKEV(base, in)
	case has(head, "cveMetadata"), has(head, "CVE_RECORD"):
		return ImportCVE(base, in)
	case has(head, "NVD_CVE"), has(head, "vulnerabilities") && has(head, "cve"):
		return ImportNVD(base, in)
	}
	return nil, ringwall.Errorf(ringwall.Invalid, "this file is no bundle of vulnerability data, no list of exploited vulnerabilities (KEV), no NVD data and no record of the CVE list")
}
