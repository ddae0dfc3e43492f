package digest

import (
	"strings"
	"testing"
	"time"
)

func TestResponse_vectors(t *testing.T) {
	// RFC 7616 section 3.9.1, and RFC 2617 section 3.5 for MD5.
	base := answer{
		user: "Mufasa", realm: "http-auth@example.org", nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
		uri: "/dir/index.html", method: "GET", cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", count: 1, qop: true,
	}
	for _, tt := range []struct{ algorithm, want string }{
		{"MD5", "8ca523f5e9506fed4657c9700eebdbec"},
		{"SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
	} {
		a := base
		a.newHash, a.session, _ = Challenge{Algorithm: tt.algorithm}.algorithm()
		if got := a.response("Circle of Life"); got != tt.want {
			t.Errorf("%s response = %s, want %s", tt.algorithm, got, tt.want)
		}
	}
}

func TestParseChallenges(t *testing.T) {
	cs, err := ParseChallenges([]string{
		`Basic realm="IP Camera", Digest realm="IP \"Cam\"", nonce="a,b=c", qop="auth,auth-int", algorithm=SHA-256, stale=TRUE, opaque="o"`,
		`Digest realm=cam, nonce=n`,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) != 3 || cs[0].Scheme != "basic" || cs[0].Realm != "IP Camera" {
		t.Fatalf("challenges = %+v", cs)
	}
	d := cs[1]
	if d.Realm != `IP "Cam"` || d.Nonce != "a,b=c" || len(d.QOP) != 2 || d.Algorithm != "SHA-256" || !d.Stale || d.Opaque != "o" {
		t.Errorf("digest challenge = %+v", d)
	}
	if best, ok := Best(cs); !ok || best.Algorithm != "SHA-256" {
		t.Errorf("best = %+v, %v", best, ok)
	}
	for _, bad := range []string{`Digest realm="open`, `realm="x"`, strings.Repeat("a", MaxHeader+1), "Digest " + strings.Repeat("a=b,", MaxParams+1), "Digest realm=\"a\r\nb\""} {
		if _, err := ParseChallenges([]string{bad}); err == nil {
			t.Errorf("ParseChallenges(%.40q) found nothing wrong", bad)
		}
	}
}

func TestVerifier_acceptsOnceAndOnlyTheRightPassword(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, algorithm := range []string{"MD5", "SHA-256"} {
		v := NewVerifier("cam", algorithm, func() time.Time { return now })
		password := func(u string) (string, bool) { return "secret", u == "admin" }
		answer := func(user, pass string, n uint32, challenge string) string {
			cs, err := ParseChallenges([]string{challenge})
			if err != nil {
				t.Fatal(err)
			}
			h, err := cs[0].Answer("DESCRIBE", "rtsp://x/", user, pass, n)
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		c := v.Challenge(false)
		good := answer("admin", "secret", 1, c)
		if u, ok, _ := v.Verify(good, "DESCRIBE", password); !ok || u != "admin" {
			t.Errorf("%s: right answer refused", algorithm)
		}
		if _, ok, stale := v.Verify(good, "DESCRIBE", password); ok || !stale {
			t.Errorf("%s: replayed answer: ok %v stale %v, want refused and stale", algorithm, ok, stale)
		}
		if _, ok, _ := v.Verify(answer("admin", "secret", 2, c), "PLAY", password); ok {
			t.Errorf("%s: answer for another method accepted", algorithm)
		}
		if _, ok, _ := v.Verify(answer("admin", "wrong", 2, c), "DESCRIBE", password); ok {
			t.Errorf("%s: wrong password accepted", algorithm)
		}
		if _, ok, _ := v.Verify(answer("nobody", "secret", 2, c), "DESCRIBE", password); ok {
			t.Errorf("%s: unknown user accepted", algorithm)
		}
		other := NewVerifier("cam", algorithm, func() time.Time { return now })
		if _, ok, _ := v.Verify(answer("admin", "secret", 1, other.Challenge(false)), "DESCRIBE", password); ok {
			t.Errorf("%s: nonce of another server accepted", algorithm)
		}
		late := answer("admin", "secret", 5, c)
		now = now.Add(nonceLife + time.Second)
		if _, ok, stale := v.Verify(late, "DESCRIBE", password); ok || !stale {
			t.Errorf("%s: old nonce: ok %v stale %v, want refused and stale", algorithm, ok, stale)
		}
	}
}

func TestVerifier_memoryIsBounded(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	v := NewVerifier("cam", "MD5", func() time.Time { return now })
	nonces := make([]string, 0, maxNonces+10)
	for range maxNonces + 10 {
		now = now.Add(time.Microsecond)
		n := v.nonce()
		made, _ := v.made(n)
		if !v.first(n, made, 1) {
			t.Fatal("fresh nonce refused")
		}
		nonces = append(nonces, n)
	}
	if len(v.seen) > maxNonces {
		t.Errorf("%d nonces are remembered, want at most %d", len(v.seen), maxNonces)
	}
	for _, n := range nonces {
		if made, _ := v.made(n); v.first(n, made, 1) {
			t.Fatal("a forgotten count was accepted again")
		}
	}
}

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Digest realm="IP \"Cam\"", nonce="a,b=c", qop="auth,auth-int", algorithm=SHA-256`)
	f.Add(`Basic realm=x, Digest realm=y nonce=z`)
	f.Add(`Negotiate YII==`)
	f.Fuzz(func(t *testing.T, h string) {
		cs, err := ParseChallenges([]string{h})
		if err != nil {
			return
		}
		if c, ok := Best(cs); ok {
			a, err := c.Answer("GET", "/", "admin", "p", 1)
			if err != nil {
				t.Fatalf("Best chose %+v, which Answer refuses: %v", c, err)
			}
			if strings.ContainsAny(a, "\r\n") {
				t.Fatalf("answer to %q breaks the header line", h)
			}
		}
	})
}

func FuzzVerify(f *testing.F) {
	v := NewVerifier("cam", "MD5", func() time.Time { return time.Unix(1_700_000_000, 0) })
	f.Add(`Digest username="admin", realm="cam", nonce="x", uri="/", qop=auth, nc=00000001, cnonce="c", response="r"`)
	f.Fuzz(func(t *testing.T, h string) {
		if _, ok, _ := v.Verify(h, "GET", func(string) (string, bool) { return "s3cret-of-test", true }); ok {
			t.Fatalf("%q was accepted", h)
		}
	})
}
