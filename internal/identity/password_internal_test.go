package identity

import "testing"

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=99999999999,t=2,p=1$$")
	f.Fuzz(func(t *testing.T, in string) {
		h, ok := parsePHC(in)
		if ok && (h.memory > 256<<10 || h.time > 16 || h.threads > 16 || len(h.key) > 64) {
			t.Errorf("%q costs %+v", in, h)
		}
	})
}
