package components

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// The vulnerability data that are compiled in speak of products by the names
// that the fingerprints give them: a typing error on either side would make a
// component look clean.
func TestNames_ofTheVulnerabilityData(t *testing.T) {
	seed, err := os.ReadFile("../../vuln/seed.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	products, names := map[string]bool{}, map[string]bool{}
	for _, f := range Shipped().Fingerprints() {
		products[f.Vendor+":"+f.Product] = true
		names[f.Name] = true
	}
	s := bufio.NewScanner(bytes.NewReader(seed))
	s.Buffer(nil, 1<<20)
	n := 0
	var used []string
	for s.Scan() {
		var r struct {
			T, ID, Name, Component string
			Is                     []string
			Affects                []struct{ Product string }
		}
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		n++
		switch r.T {
		case "alias":
			if !names[r.Name] {
				t.Errorf("alias of %q, which no fingerprint tells", r.Name)
			}
			for _, p := range r.Is {
				products[p] = true
			}
		case "end":
			if !names[r.Component] {
				t.Errorf("end of support of %q, which no fingerprint tells", r.Component)
			}
		case "cve":
			for _, a := range r.Affects {
				if a.Product != "" {
					used = append(used, a.Product)
				}
			}
		}
	}
	for _, p := range used {
		if !products[p] {
			t.Errorf("product %q has vulnerabilities, but no fingerprint tells it", p)
		}
	}
	if n < 300 {
		t.Errorf("only %d records were read", n)
	}
}
