// Package netnstest gives tests network namespaces, and skips loudly where the
// machine cannot make them. On CI it never skips.
package netnstest

import (
	"os"
	"testing"

	"github.com/ringwall/ringwall/internal/netns"
)

// New makes a namespace that ends with the test.
func New(t testing.TB, name string) *netns.NS {
	t.Helper()
	ns, err := netns.New(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("network namespaces are needed on CI: %v", err)
		}
		t.Skipf("SKIPPED, NOT TESTED: this test needs root and network namespaces: %v", err)
	}
	t.Cleanup(func() {
		if err := ns.Close(); err != nil {
			t.Errorf("closing namespace %q: %v", name, err)
		}
	})
	return ns
}
