package firmware

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/firmware/internal/fdt"
)

// maxTree bounds a device tree that is parsed. A FIT that embeds its images
// is such a tree, so that this bounds those, too.
const maxTree = 128 << 20

// openFDT opens a device tree, or the FIT that it is.
func openFDT(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	total, ok := fdt.Length(head)
	if !ok {
		return nil
	}
	sub := v.sub(off, total)
	p := &Part{Format: "dtb", Length: total, Facts: map[string]string{}, data: sub.section()}
	if total > maxTree || sub.size < total {
		if sub.size < total && total > 2*sub.size+1<<20 {
			return nil // more likely chance than a tree cut to less than half
		}
		p.Err = fmt.Sprintf("the tree claims %d bytes of which %d are there", total, sub.size)
		return p
	}
	if err := u.budget.Take(total); err != nil {
		p.Err = err.Error()
		return p
	}
	defer u.budget.Give(total)
	root, err := fdt.Parse(sub.head(0, total))
	if root == nil {
		return nil
	}
	if err != nil {
		p.Err = err.Error()
	}
	if root.Node("images") != nil && (root.Node("configurations") != nil || p.hasImages(root)) {
		u.fit(p, v, off, total, root, s)
		return p
	}
	p.describe(root)
	return p
}

func (p *Part) hasImages(root *fdt.Node) bool {
	return slices.ContainsFunc(root.Node("images").Nodes, func(n *fdt.Node) bool { return n.Text("type") != "" })
}

// fact sets a fact that has a value.
func (p *Part) fact(name, value string) {
	if value != "" {
		p.Facts[name] = value
	}
}

// describe tells what a device tree says about its board and its boot.
func (p *Part) describe(root *fdt.Node) {
	p.fact(FactModel, root.Text("model"))
	p.fact(FactCompatible, root.Text("compatible"))
	p.fact(FactBootargs, root.Node("chosen").Text("bootargs"))
	p.Name = root.Text("model")
	var keys []string
	if sig := root.Node("signature"); sig != nil {
		for _, k := range sig.Nodes {
			// U-Boot demands a signature only by keys marked so
			// (doc/usage/fit/signature.rst).
			if need := k.Text("required"); need != "" {
				keys = append(keys, fmt.Sprintf("%s (%s, %s)", strings.TrimPrefix(k.Name, "key-"), k.Text("algo"), need))
			}
		}
	}
	p.fact(FactKeyRequired, strings.Join(keys, "; "))
}

// fit opens the images of a FIT (doc/usage/fit/source_file_format.rst).
func (u *unpacker) fit(p *Part, v view, off, total int64, root *fdt.Node, s scope) {
	p.Format = "fit"
	p.fact(FactDescription, root.Text("description"))
	if at, ok := root.Number("timestamp"); ok {
		setTime(p, time.Unix(int64(at), 0).UTC())
	}
	p.Facts[FactSigned] = "false"
	if confs := root.Node("configurations"); confs != nil {
		p.fact(FactConfig, confs.Text("default"))
		for _, c := range confs.Nodes {
			p.signatures(c)
		}
	}
	in := s.into("fit", off)
	for _, n := range root.Node("images").Nodes {
		q := Part{Format: "fit-image", Name: n.Name, Facts: map[string]string{}}
		for fact, prop := range map[string]string{FactDescription: "description", FactType: "type", FactArch: "arch", FactOS: "os", FactCompression: "compression"} {
			q.fact(fact, n.Text(prop))
		}
		for fact, prop := range map[string]string{FactLoad: "load", FactEntry: "entry"} {
			if at, ok := n.Number(prop); ok {
				q.Facts[fact] = fmt.Sprintf("%#x", at)
			}
		}
		u.fitData(&q, v, off, total, n)
		if q.data != nil {
			p.Length = max(p.Length, q.Offset+q.Length)
			data := view{q.data, q.data.Size()}
			q.hashes(n, data)
			q.signatures(n)
			if q.Facts[FactSigned] == "true" {
				p.Facts[FactSigned] = "true"
			}
			q.Parts = u.payload(q.Facts[FactCompression], data, in.below(&q))
			u.banners(&q, data)
		}
		p.Parts = append(p.Parts, q)
	}
	p.data = v.sub(off, p.Length).section()
}

// fitData finds an image's bytes: in the tree, behind it, or at a position.
func (u *unpacker) fitData(q *Part, v view, off, total int64, n *fdt.Node) {
	if d, ok := n.Prop("data"); ok {
		q.Offset, q.Length = d.Offset, int64(len(d.Value))
	} else if size, ok := n.Number("data-size"); ok {
		q.Length = int64(size & (1<<62 - 1))
		if at, ok := n.Number("data-position"); ok {
			q.Offset = int64(at & (1<<62 - 1))
		} else if at, ok := n.Number("data-offset"); ok {
			q.Offset = (total+3)&^3 + int64(at&(1<<61-1))
		}
	} else {
		q.Err = "the image has no data"
		return
	}
	sub := v.sub(off+q.Offset, q.Length)
	if sub.size < q.Length {
		q.Err = fmt.Sprintf("the image is cut: %d of %d bytes are there", sub.size, q.Length)
		q.Length = sub.size
	}
	q.data = sub.section()
}

// hashes checks the hash nodes of an image: all must hold.
func (q *Part) hashes(n *fdt.Node, data view) {
	var algos []string
	for _, h := range n.Nodes {
		if !strings.HasPrefix(h.Name, "hash") {
			continue
		}
		algo := h.Text("algo")
		algos = append(algos, algo)
		want, _ := h.Prop("value")
		var sum hash.Hash
		switch algo {
		case "crc32":
			sum = crc32.NewIEEE()
		case "md5":
			sum = md5.New()
		case "sha1":
			sum = sha1.New()
		case "sha256":
			sum = sha256.New()
		case "sha384":
			sum = sha512.New384()
		case "sha512":
			sum = sha512.New()
		default:
			continue
		}
		if _, err := io.Copy(sum, data.section()); err != nil || !bytes.Equal(sum.Sum(nil), want.Value) {
			q.Facts[FactChecksum] = "wrong"
		} else if q.Facts[FactChecksum] == "" {
			q.Facts[FactChecksum] = "ok"
		}
	}
	q.fact(FactHash, strings.Join(algos, ","))
}

// signatures notes the signature nodes of an image or a configuration.
func (q *Part) signatures(n *fdt.Node) {
	for _, sig := range n.Nodes {
		if !strings.HasPrefix(sig.Name, "signature") {
			continue
		}
		if value, ok := sig.Prop("value"); ok && len(value.Value) > 0 {
			q.Facts[FactSigned] = "true"
			q.fact(FactSignAlgo, sig.Text("algo"))
			q.fact(FactSignKey, sig.Text("key-name-hint"))
		}
	}
}
