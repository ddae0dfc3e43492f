package sdk_test

import (
	"context"
	"net/netip"
	"os"
	"testing"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/sdk"
)

// exampleSite is a platform with one application, whose policy lets it read
// https://api.vendor.example/v1/.
type exampled struct{ client *sdk.Client }

func exampleSite() (exampled, func()) {
	t := &exampleT{}
	in := &api.Inside{Proto: "http", Paths: []string{"/v1/*"}, Methods: []string{"GET"}}
	s := newSite(t, allowName("api", "api.vendor.example", in))
	dir, err := os.MkdirTemp("", "ringwall-example-")
	if err != nil {
		panic(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return exampled{s.open(dir, func(c *sdk.Config) { c.Resolver = fixed{"api.vendor.example.": {netip.MustParseAddr("198.51.100.7")}} })}, t.done
}

// exampleT is what of a test an example needs to have the site's parts.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                  {}
func (t *exampleT) Context() context.Context { return context.Background() }
func (t *exampleT) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Fatal(args ...any)        { panic(args) }

func (t *exampleT) TempDir() string {
	dir, err := os.MkdirTemp("", "ringwall-example-")
	if err != nil {
		panic(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (t *exampleT) done() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}
