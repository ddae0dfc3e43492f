package fdt

import (
	"os"
	"testing"
)

func FuzzParse(f *testing.F) {
	b, err := os.ReadFile("../../testdata/tree.dtb")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		root, err := Parse(b)
		if err == nil && root == nil {
			t.Error("neither a tree nor an error")
		}
		root.Node("images").Node("kernel").Text("type")
		root.Node("chosen").Number("linux,initrd-start")
	})
}
