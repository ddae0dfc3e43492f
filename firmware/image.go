package firmware

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

// Options bounds what opening an image may take. The zero value is good.
type Options struct {
	MaxBytes int64 // memory held plus bytes of files yielded; 0 means 512 MiB
	MaxFiles int   // entries of all trees together; 0 means 200,000
	MaxDepth int   // images within images; 0 means 8
	MaxRatio int   // how many times a compressed stream may grow once it passes 32 MiB; 0 means 1,000
}

func (o Options) withDefaults() Options {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 512 << 20
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = 200_000
	}
	if o.MaxDepth <= 0 {
		o.MaxDepth = 8
	}
	if o.MaxRatio <= 0 {
		o.MaxRatio = 1000
	}
	return o
}

// Image is an opened firmware image.
type Image struct {
	Size   int64
	Digest string // SHA-256 of the whole file, in hexadecimal
	Parts  []Part
	Notes  []string // what to know about the image as a whole: limits reached, things refused
}

// Part is a piece of an image with a format of its own.
type Part struct {
	Format string // such as "squashfs", "uimage", "uboot-env"; "unknown" for what has no known header
	Offset int64  // within what holds the part: the image, or the data of the part around it
	Length int64
	Name   string            // the name its header gives it, or its path in the archive around it
	Facts  map[string]string // what the header and the content say, see the Fact constants
	Tree   *Tree             // of file systems and archives
	Parts  []Part            // what is nested inside
	Err    string            // why it was not unpacked, or not all of it

	data *io.SectionReader
}

// Data returns the content of the part: of a compressed part or a wrapper the
// payload, else the bytes of the part as they stand in the image. It is nil
// when there is nothing to read.
func (p *Part) Data() *io.SectionReader {
	if p.data == nil {
		return nil
	}
	return io.NewSectionReader(p.data, 0, p.data.Size())
}

// Open opens an image without a time limit. See OpenContext.
func Open(r io.ReaderAt, size int64, o Options) (*Image, error) {
	return OpenContext(context.Background(), r, size, o)
}

// OpenContext opens an image of size bytes. It fails only when the image
// cannot be read, is empty, or ctx is done: an image nobody knows is an
// image with one unknown part. The reader must stay usable with the image.
func OpenContext(ctx context.Context, r io.ReaderAt, size int64, o Options) (*Image, error) {
	if size <= 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "the firmware image is empty")
	}
	o = o.withDefaults()
	im := &Image{Size: size}
	var err error
	if im.Digest, err = digest(ctx, r, size); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading the firmware image: %w", err)
	}
	u := &unpacker{
		options: o,
		image:   im,
		budget:  unpack.NewBudget(ctx, o.MaxBytes, int64(o.MaxFiles), int64(o.MaxRatio)),
	}
	im.Parts = u.carve(view{r, size}, scope{})
	if err := ctx.Err(); err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "opening the firmware image: %w", err)
	}
	if len(im.Parts) == 0 {
		whole := view{r, size}
		p := Part{Format: Unknown, Length: size, Facts: map[string]string{}, data: whole.section()}
		looks(&p, whole)
		if len(regions(whole, 0, size)) == 0 {
			p.Facts[FactLooks], p.Err = LooksSparse, "nothing but erased flash or zeros"
		}
		im.Parts = []Part{p}
	}
	return im, nil
}

// digest reads the image once, from end to end: what cannot be read whole is
// not analysed in part.
func digest(ctx context.Context, r io.ReaderAt, size int64) (string, error) {
	h := sha256.New()
	buf := make([]byte, 256<<10)
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		h.Write(buf[:n])
		off += int64(n)
		if err == io.EOF && off < size || err == nil && n == 0 {
			return "", io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Trees returns the file systems and archives of the image, outermost and
// foremost first.
func (im *Image) Trees() []*Tree {
	var all []*Tree
	im.Walk(func(_ string, p *Part) {
		if p.Tree != nil {
			all = append(all, p.Tree)
		}
	})
	return all
}

// Walk visits every part, a part before those inside it. The place is where
// the part stands, such as "uimage@0x40000/lzma@0x0"; a part that is named by
// what is around it stands there with its name, as in
// "zip@0x0/root.img/squashfs@0x0".
func (im *Image) Walk(visit func(place string, p *Part)) {
	walk("", im.Parts, visit)
}

func walk(prefix string, parts []Part, visit func(string, *Part)) {
	for i := range parts {
		p := &parts[i]
		at := p.place(prefix, p.Offset)
		visit(at, p)
		walk(at, p.Parts, visit)
	}
}
