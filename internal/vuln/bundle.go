package vuln

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
)

// A bundle is JSON lines, compressed with gzip or not. The first line is the
// header; it holds the SHA-256 of all bytes after it and, when signed, an Ed25519
// signature of signedText. Every other line is one record, told by its field "t":
// "cve" (Entry), "end" (End) or "alias" (Alias).

// header is the first line of a bundle.
type header struct {
	Kind      string    `json:"ringwall"` // always bundleKind
	Format    int       `json:"format"`
	Version   string    `json:"version"`
	Made      time.Time `json:"made"`
	Sources   []string  `json:"sources,omitempty"`
	SHA256    string    `json:"sha256"`
	Signature []byte    `json:"signature,omitempty"`
}

const (
	bundleKind   = "vulnerability-data"
	bundleFormat = 1
	maxPacked    = 128 << 20 // bytes of a bundle as it lies on disk
	maxUnpacked  = 1 << 30
	maxLine      = 4 << 20
)

// signedText is what a signature covers: with the digest, all of the bundle.
func (h *header) signedText() []byte {
	return fmt.Appendf(nil, "ringwall vulnerability data %d\n%s\n%s\n%s\n", h.Format, h.Version, h.Made.UTC().Format(time.RFC3339), h.SHA256)
}

//go:embed seed.jsonl
var seedFile embed.FS

// seedVersion and seedMade belong to seed.jsonl.
const seedVersion = "2026.11.22-seed"

var seedMade = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

var shipped = sync.OnceValue(func() *Data {
	b, err := seedFile.ReadFile("seed.jsonl")
	if err != nil {
		panic("the program does not carry its vulnerability data: " + err.Error())
	}
	d := &Data{version: seedVersion, made: seedMade, sources: []string{"curated by Ringwall", "CISA KEV (CC0)"}}
	if err := d.read(bytes.NewReader(b)); err != nil {
		panic("the program carries broken vulnerability data: " + err.Error())
	}
	return d
})

// Default returns the data that the program carries.
func Default() *Data { return shipped() }

// Load reads a bundle, signed or not, and checks its digest. Errors have the code
// Unverified when the digest does not hold, Invalid when the content is wrong.
func Load(r io.Reader) (*Data, error) { return load(r, nil) }

// LoadSigned reads a bundle that has to be signed with the key.
func LoadSigned(r io.Reader, key ed25519.PublicKey) (*Data, error) {
	if len(key) != ed25519.PublicKeySize {
		return nil, ringwall.Errorf(ringwall.Invalid, "the key for vulnerability data has %d bytes, not %d", len(key), ed25519.PublicKeySize)
	}
	return load(r, key)
}

func load(r io.Reader, key ed25519.PublicKey) (*Data, error) {
	packed := &capped{r: r, left: maxPacked}
	in := bufio.NewReaderSize(packed, 64<<10)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "reading vulnerability data: %w", err)
		}
		defer z.Close()
		in = bufio.NewReaderSize(&capped{r: z, left: maxUnpacked}, 64<<10)
	}
	first, err := in.ReadSlice('\n')
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "this is no bundle of vulnerability data: its first line has no end: %w", err)
	}
	var h header
	if err := json.Unmarshal(first, &h); err != nil || h.Kind != bundleKind {
		return nil, ringwall.Errorf(ringwall.Invalid, "this is no bundle of vulnerability data: its first line is not the header of one")
	}
	if h.Format != bundleFormat {
		return nil, ringwall.Errorf(ringwall.Invalid, "vulnerability data of format %d; this program reads format %d", h.Format, bundleFormat)
	}
	if h.Version == "" || len(h.Version) > maxField || len(h.Sources) > 100 {
		return nil, ringwall.Errorf(ringwall.Invalid, "vulnerability data without a usable version")
	}
	if key != nil && !ed25519.Verify(key, h.signedText(), h.Signature) {
		return nil, ringwall.Errorf(ringwall.Unverified, "the vulnerability data are not signed with the expected key")
	}
	d := &Data{version: h.Version, made: h.Made, sources: h.Sources}
	sum := &summed{r: in, h: sha256.New()}
	parse := d.read(sum)
	// The digest first: what was damaged on its way is not reported as wrong.
	if _, err := io.Copy(io.Discard, sum); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading vulnerability data: %w", err)
	}
	if got := hex.EncodeToString(sum.h.Sum(nil)); got != h.SHA256 {
		return nil, ringwall.Errorf(ringwall.Unverified, "the vulnerability data are damaged: their SHA-256 is not the one their header names")
	}
	if parse != nil {
		return nil, parse
	}
	return d, nil
}

// summed hashes what is read through it.
type summed struct {
	r io.Reader
	h hash.Hash
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.h.Write(p[:n])
	return n, err
}

// capped fails, rather than ends, when more is read than it allows.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("the file is larger than this program reads")
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// read reads the records and builds the indexes.
func (d *Data) read(r io.Reader) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), maxLine)
	for n := 2; s.Scan(); n++ {
		if len(bytes.TrimSpace(s.Bytes())) == 0 {
			continue
		}
		if err := d.record(s.Bytes()); err != nil {
			return ringwall.Errorf(ringwall.Invalid, "vulnerability data, line %d: %w", n, err)
		}
	}
	if err := s.Err(); err != nil {
		return ringwall.Errorf(ringwall.Invalid, "reading vulnerability data: %w", err)
	}
	return d.build()
}

func (d *Data) record(line []byte) error {
	var kind struct {
		T string `json:"t"`
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		return err
	}
	switch kind.T {
	case "cve":
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		d.entries = append(d.entries, e)
	case "end":
		var e End
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		d.ends = append(d.ends, e)
	case "alias":
		var a Alias
		if err := json.Unmarshal(line, &a); err != nil {
			return err
		}
		d.aliases = append(d.aliases, a)
	default:
		return fmt.Errorf("a record of kind %q", shorten(kind.T))
	}
	if len(d.entries) > maxEntries || len(d.ends) > maxEnds || len(d.aliases) > maxAliases {
		return fmt.Errorf("too many records")
	}
	return nil
}

// Encode writes the data as a bundle, compressed, and signed when key is set.
// The same data give the same bytes.
func (d *Data) Encode(w io.Writer, key ed25519.PrivateKey) error {
	var body bytes.Buffer
	put := func(kind string, v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		fmt.Fprintf(&body, `{"t":%q`, kind)
		if len(b) > 2 {
			body.WriteByte(',')
		}
		body.Write(b[1:])
		body.WriteByte('\n')
		return nil
	}
	for _, a := range d.aliases {
		if err := put("alias", a); err != nil {
			return err
		}
	}
	for _, e := range d.entries {
		if err := put("cve", e); err != nil {
			return fmt.Errorf("writing %s: %w", e.ID, err)
		}
	}
	for _, e := range d.ends {
		if err := put("end", e); err != nil {
			return err
		}
	}
	sum := sha256.Sum256(body.Bytes())
	h := header{Kind: bundleKind, Format: bundleFormat, Version: d.version, Made: d.made.UTC().Truncate(time.Second), Sources: d.sources, SHA256: hex.EncodeToString(sum[:])}
	if key != nil {
		h.Signature = ed25519.Sign(key, h.signedText())
	}
	first, err := json.Marshal(h)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(w)
	if _, err := z.Write(append(first, '\n')); err != nil {
		return err
	}
	if _, err := z.Write(body.Bytes()); err != nil {
		return err
	}
	return z.Close()
}

// edit returns a copy of the data that may be changed until build is called.
func (d *Data) edit(version string, made time.Time, source string) *Data {
	c := &Data{
		version: version, made: made,
		sources: slices.Clone(d.sources),
		entries: slices.Clone(d.entries),
		ends:    d.ends,
		aliases: d.aliases,
	}
	if !slices.Contains(c.sources, source) {
		c.sources = append(c.sources, source)
	}
	c.byID = make(map[string]int, len(c.entries))
	for i := range c.entries {
		c.byID[c.entries[i].ID] = i
	}
	return c
}
