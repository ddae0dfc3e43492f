package firmware

import (
	"bytes"
	"context"
	"sync"
	"testing"
)

// TestTree_readByManyAtOnce reads every tree from several goroutines, after
// the context it was opened with has ended.
func TestTree_readByManyAtOnce(t *testing.T) {
	for _, name := range []string{"squashfs-xz", "squashfs-zstd", "jffs2-lzo", "ubifs-zlib", "cramfs-little", "ext4", "zip"} {
		b := gunzip(t, "testdata/"+name+".img.gz")
		ctx, cancel := context.WithCancel(t.Context())
		im, err := OpenContext(ctx, bytes.NewReader(b), int64(len(b)), Options{})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		tree := im.Trees()[0]
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				got, err := tree.ReadFile("bin/tool", 1<<20)
				if want := wanted()["bin/tool"].content; err != nil || string(got) != want {
					t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(want), err)
				}
			})
		}
		wg.Wait()
	}
}
