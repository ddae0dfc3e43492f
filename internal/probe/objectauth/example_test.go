package objectauth

import (
	"os"
	"testing"
)

// TestExample_inTheManual_isRead holds that the configuration in docs/examples
// is one that Load takes.
func TestExample_inTheManual_isRead(t *testing.T) {
	f, err := os.Open("../../../docs/examples/backend.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var asked []string
	c, err := Load(f, func(name string) ([]byte, error) {
		asked = append(asked, name)
		return []byte("a token of " + name + "\n"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(asked) != 2 || len(c.Objects) != 1 || c.A.Bearer == c.B.Bearer {
		t.Errorf("files %q, %d objects, same tokens: %v", asked, len(c.Objects), c.A.Bearer == c.B.Bearer)
	}
}
