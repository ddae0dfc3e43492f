package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed static
var staticFiles embed.FS

// vendored lists the files that others wrote, as they came: npm package and
// version, licence, SHA-256. The licence texts stand beside them.
//
//	htmx.min.js   htmx.org 4.0.1        0BSD  dist/htmx.min.js
//	pico.min.css  @picocss/pico 2.1.1   MIT   css/pico.min.css
func vendored() map[string]string {
	return map[string]string{
		"htmx.min.js":  "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
		"pico.min.css": "fbc9a63fc9fc9f72d12fd7fc9806e11fa9f77ae4f9cad146b27003a1119ba3db",
	}
}

// asset is one embedded file under its content's hash.
type asset struct {
	hash string
	kind string
	body []byte
}

type assets map[string]asset

func loadAssets() (assets, error) {
	kinds := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8"}
	names, err := fs.Glob(staticFiles, "static/*")
	if err != nil {
		return nil, fmt.Errorf("listing assets: %w", err)
	}
	all := assets{}
	for _, name := range names {
		b, err := staticFiles.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading asset: %w", err)
		}
		sum := sha256.Sum256(b)
		kind := kinds[path.Ext(name)]
		if kind == "" {
			return nil, fmt.Errorf("asset %q is of no kind that is served", name)
		}
		all[path.Base(name)] = asset{hash: hex.EncodeToString(sum[:8]), kind: kind, body: b}
	}
	return all, nil
}

// url returns where a browser finds an asset; it changes with the content.
func (a assets) url(name string) (string, error) {
	f, ok := a[name]
	if !ok {
		return "", fmt.Errorf("no asset %q", name)
	}
	return "/static/" + f.hash + "/" + name, nil
}

// static serves an asset, to be kept for ever under this address. An old hash
// is answered with 404 and not with the new content, which a cache would keep
// under the wrong name.
func (c *Console) static(w http.ResponseWriter, r *http.Request) {
	f, ok := c.assets[r.PathValue("name")]
	if !ok || f.hash != r.PathValue("hash") {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d, immutable", int((365*24*time.Hour).Seconds())))
	_, _ = w.Write(f.body) // the browser has gone
}
