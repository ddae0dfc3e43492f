package api

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// TestExample_inTheManual_isWhatALaboratorySigns holds that the example in
// docs/examples, without its white space, is byte for byte what Signed returns:
// a laboratory without our programs signs just that.
func TestExample_inTheManual_isWhatALaboratorySigns(t *testing.T) {
	b, err := os.ReadFile("../docs/examples/laboratory.json")
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, b); err != nil {
		t.Fatal(err)
	}
	var x Examination
	if err := json.Unmarshal(b, &x); err != nil {
		t.Fatal(err)
	}
	x.ID, x.Device, x.By, x.Signature = "exm_1", "dev_1", "usr_1", []byte("signed")
	got, err := x.Signed()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, compact.Bytes()) {
		t.Errorf("what is signed is\n%s\nthe manual's example is\n%s", got, compact.Bytes())
	}
}
