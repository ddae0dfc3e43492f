package credential

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

func newEnv(vendor string) *assess.Env {
	return &assess.Env{Now: time.Now, Ledger: assess.NewLedger(assess.Budget{}, time.Now), Known: assess.Identity{Vendor: vendor}, Say: func(string, ...any) {}}
}

var camera = Service{Name: "the test", Key: "http/80", Realm: assess.CameraAccounts}

// device is a service with one account.
type device struct {
	user, password string
	lockAfter      int // per source: after so many failures it says locked
	lockAccount    int // per account
	dropAfter      int // hangs up for good after so many failures
	failures       int // seen
	byAccount      map[string]int
	locked         bool // somebody was locked out
	hollow         bool // says yes without a proof
}

func (d *device) login(_ context.Context, user, password string) (Outcome, string) {
	if d.dropAfter > 0 && d.failures >= d.dropAfter {
		return Dropped, ""
	}
	if d.lockAfter > 0 && d.failures >= d.lockAfter || d.lockAccount > 0 && d.byAccount[user] >= d.lockAccount {
		d.locked = true
		return Locked, ""
	}
	if user == d.user && password == d.password {
		delete(d.byAccount, user) // failures in a row are what locks count
		if d.hollow {
			return Hollow, ""
		}
		return Accepted, "the page behind"
	}
	d.failures++
	if d.byAccount == nil {
		d.byAccount = map[string]int{}
	}
	d.byAccount[user]++
	return Refused, ""
}

func answer(t *testing.T, r Report) ringwall.Finding {
	t.Helper()
	fs := r.Findings()
	if len(fs) == 0 || fs[0].Indicator != "AP-01" {
		t.Fatalf("findings are %+v", fs)
	}
	return fs[0]
}

func TestCheck_findsADefaultWithItsProof(t *testing.T) {
	synctest.Test(t, testCheck_findsADefaultWithItsProof)
}

func testCheck_findsADefaultWithItsProof(t *testing.T) {
	d := &device{user: "admin", password: "12345"}
	r := Check(t.Context(), newEnv(""), camera, d.login)
	f := answer(t, r)
	if r.Hit == nil || f.Outcome != ringwall.Fail || f.Confidence != ringwall.Confirmed {
		t.Fatalf("report %+v, finding %+v", r, f)
	}
	ev := strings.Join(f.Evidence, "\n")
	for _, want := range []string{"random user and password were refused", "proof: the page behind", "the same user with a random password was refused"} {
		if !strings.Contains(ev, want) {
			t.Errorf("evidence lacks %q: %s", want, ev)
		}
	}
	if d.failures > 4 {
		t.Errorf("%d wrong passwords were presented", d.failures)
	}
}

func TestCheck_neverShowsAPassword(t *testing.T) { synctest.Test(t, testCheck_neverShowsAPassword) }

func testCheck_neverShowsAPassword(t *testing.T) {
	d := &device{user: "root", password: "xc3511"}
	tel := Service{Name: "telnet on port 23", Key: "telnet/23", Realm: assess.SystemAccounts}
	r := Check(t.Context(), newEnv(""), tel, d.login)
	if r.Hit == nil {
		t.Fatal("not found")
	}
	all := fmt.Sprintf("%v %+v %#v %s", *r.Hit, r.Findings(), *r.Hit, r.Evidence)
	if strings.Contains(all, "xc3511") {
		t.Errorf("the password is shown: %s", all)
	}
}

func TestCheck_decoysAreNoFinding(t *testing.T) { synctest.Test(t, testCheck_decoysAreNoFinding) }

func testCheck_decoysAreNoFinding(t *testing.T) {
	anyFor := func(user string) Login {
		return func(_ context.Context, u, _ string) (Outcome, string) {
			if u == user {
				return Accepted, "welcome"
			}
			return Refused, ""
		}
	}
	always := func(o Outcome) Login {
		return func(context.Context, string, string) (Outcome, string) { return o, "x" }
	}
	for _, tt := range []struct {
		name  string
		login Login
		want  ringwall.Outcome
	}{
		{"yes to everything", always(Accepted), ringwall.Unknown},
		{"yes without a proof", always(Hollow), ringwall.Unknown},
		{"no to everything", always(Refused), ringwall.Pass},
		{"any password for admin", anyFor("admin"), ringwall.Unknown},
		{"hollow yes to a default", (&device{user: "admin", password: "admin", hollow: true}).login, ringwall.Unknown},
		{"hangs up after three", (&device{user: "x", password: "y", dropAfter: 3}).login, ringwall.Unknown},
		{"hangs up at once", always(Dropped), ringwall.Unknown},
		{"locked from the start", always(Locked), ringwall.Unknown},
		{"not understood", always(Unclear), ringwall.Unknown},
		{"an owner's password", (&device{user: "admin", password: "correct horse"}).login, ringwall.Pass},
	} {
		r := Check(t.Context(), newEnv(""), camera, tt.login)
		f := answer(t, r)
		if r.Hit != nil || f.Outcome != tt.want {
			t.Errorf("%s: hit %v, outcome %v, want none and %v (%q)", tt.name, r.Hit, f.Outcome, tt.want, f.Evidence)
		}
	}
}

// A stall is not an answer: what a small device fails to say while a pair is
// proven is asked again, a little.
func TestCheck_stallsAreForgiven(t *testing.T) { synctest.Test(t, testCheck_stallsAreForgiven) }

func testCheck_stallsAreForgiven(t *testing.T) {
	for _, tt := range []struct {
		name  string
		stall map[int]Outcome // by the number of the login
		hit   bool
		decoy bool
	}{
		{"none", nil, true, false},
		{"the first yes shows nothing", map[int]Outcome{2: Hollow}, true, false},
		{"the first yes never shows anything", map[int]Outcome{2: Hollow, 3: Hollow}, false, true},
		{"locked when it is asked for what it did not show", map[int]Outcome{2: Hollow, 3: Locked}, false, false},
		{"the first control is lost", map[int]Outcome{3: Dropped}, true, false},
		{"a repeat is lost, another shows nothing", map[int]Outcome{4: Dropped, 9: Hollow}, true, false},
		{"three repeats are lost", map[int]Outcome{4: Dropped, 8: Unclear, 11: Dropped}, false, false},
		{"a repeat is refused", map[int]Outcome{5: Refused}, false, true},
		{"the last repeats show nothing", map[int]Outcome{10: Hollow, 11: Hollow, 12: Hollow}, false, true},
	} {
		d, n := &device{user: "root", password: "xc3511"}, 0
		tel := Service{Name: "telnet on port 23", Key: "telnet/23", Realm: assess.SystemAccounts}
		r := Check(t.Context(), newEnv(""), tel, func(ctx context.Context, user, password string) (Outcome, string) {
			n++
			if o, ok := tt.stall[n]; ok {
				return o, ""
			}
			return d.login(ctx, user, password)
		})
		if (r.Hit != nil) != tt.hit || r.Decoy != tt.decoy {
			t.Errorf("%s: hit %v, decoy %v after %d logins (%q)", tt.name, r.Hit, r.Decoy, n, r.Evidence)
		}
		if r.Hit == nil && answer(t, r).Outcome != ringwall.Unknown {
			t.Errorf("%s: %+v", tt.name, answer(t, r))
		}
		if d.failures > 4 {
			t.Errorf("%s: %d wrong passwords were presented", tt.name, d.failures)
		}
	}
}

func TestCheck_locksNobodyOut(t *testing.T) { synctest.Test(t, testCheck_locksNobodyOut) }

func testCheck_locksNobodyOut(t *testing.T) {
	for name, d := range map[string]*device{
		"by source":                {user: "admin", password: "unguessable", lockAfter: 5},
		"by account":               {user: "admin", password: "unguessable", lockAccount: 5},
		"by source, with a hit":    {user: "admin", password: "123456", lockAfter: 5},
		"by account, with a hit":   {user: "admin", password: "123456", lockAccount: 5},
		"by source, vendor's last": {user: "root", password: "root", lockAfter: 5},
	} {
		env := newEnv("")
		// Three services of one device share accounts and, at worst, the lock.
		for _, key := range []string{"http/80", "onvif/80", "rtsp/554"} {
			s := camera
			s.Key = key
			if strings.HasPrefix(name, "by source") {
				d.failures = 0 // a lock by source counts per service
			}
			Check(t.Context(), env, s, d.login)
		}
		if d.locked {
			t.Errorf("%s: locked out (%v)", name, d.byAccount)
		}
	}
}

func TestCheck_lockIsSeenAndRespected(t *testing.T) {
	synctest.Test(t, testCheck_lockIsSeenAndRespected)
}

func testCheck_lockIsSeenAndRespected(t *testing.T) {
	env := newEnv("")
	d := &device{user: "x", password: "y", lockAfter: 2}
	r := Check(t.Context(), env, camera, d.login)
	if !r.Locked {
		t.Fatalf("report %+v", r)
	}
	fs := r.Findings()
	if last := fs[len(fs)-1]; last.Indicator != "AP-03" || last.Outcome != ringwall.Pass {
		t.Errorf("a lock is evidence of resistance to guessing: %+v", fs)
	}
	before := d.failures
	if again := Check(t.Context(), env, camera, d.login); again.Tried != 0 || d.failures != before {
		t.Errorf("after a lock %d more were tried", again.Tried)
	}
}

func TestCheck_provenPairComesFirstElsewhere(t *testing.T) {
	synctest.Test(t, testCheck_provenPairComesFirstElsewhere)
}

func testCheck_provenPairComesFirstElsewhere(t *testing.T) {
	env := newEnv("")
	web := &device{user: "admin", password: "123456"}
	if r := Check(t.Context(), env, camera, web.login); r.Hit == nil {
		t.Fatal("not found at the first service")
	}
	rtsp := &device{user: "admin", password: "123456"}
	s := camera
	s.Key = "rtsp/554"
	r := Check(t.Context(), env, s, rtsp.login)
	if r.Hit == nil || r.Tried != 1 {
		t.Errorf("at the second service: hit %v after %d tries, want the first", r.Hit, r.Tried)
	}
}

func TestCheck_repairIsSeenSoonAfter(t *testing.T) { synctest.Test(t, testCheck_repairIsSeenSoonAfter) }

func testCheck_repairIsSeenSoonAfter(t *testing.T) {
	env := newEnv("")
	d := &device{user: "admin", password: "12345", lockAccount: 5}
	keys := []string{"onvif/80", "http/80", "rtsp/554"}
	at := func(key string) Service { s := camera; s.Key = key; return s }
	for _, k := range keys {
		if r := Check(t.Context(), env, at(k), d.login); r.Hit == nil {
			t.Fatalf("%s: not found: %+v", k, r)
		}
		d.byAccount = nil // the last thing each service saw of the account was a login, and one wrong password
	}
	d.password = "correct horse"
	passed := 0
	for _, k := range keys {
		r := Check(t.Context(), env, at(k), d.login)
		if r.Hit != nil {
			t.Fatalf("%s: still %v", k, r.Hit)
		}
		if answer(t, r).Outcome == ringwall.Pass {
			passed++
		}
	}
	if passed == 0 || d.locked {
		t.Errorf("after the repair %d services pass, locked %v", passed, d.locked)
	}
}

func TestCheck_twiceInARowSaysTheSame(t *testing.T) {
	synctest.Test(t, testCheck_twiceInARowSaysTheSame)
}

func testCheck_twiceInARowSaysTheSame(t *testing.T) {
	env := newEnv("")
	d := &device{user: "admin", password: "correct horse", lockAfter: 5}
	first := answer(t, Check(t.Context(), env, camera, d.login))
	second := answer(t, Check(t.Context(), env, camera, d.login))
	if first.Outcome != ringwall.Pass || second.Outcome != ringwall.Pass || d.locked || d.failures > 4 {
		t.Errorf("first %v, then %v, %d wrong passwords, locked %v", first.Outcome, second.Outcome, d.failures, d.locked)
	}
}

func TestCheck_provenAndOutOfTriesIsNoPass(t *testing.T) {
	synctest.Test(t, testCheck_provenAndOutOfTriesIsNoPass)
}

func testCheck_provenAndOutOfTriesIsNoPass(t *testing.T) {
	env := newEnv("")
	d := &device{user: "admin", password: "12345"}
	if r := Check(t.Context(), env, camera, d.login); r.Hit == nil {
		t.Fatal("not found")
	}
	for { // somebody else's tries use the purse up
		if ok, _ := env.Ledger.Spend(camera.Realm, camera.Key, "x"); !ok {
			break
		}
	}
	for n := 10; n < 15; n++ {
		env.Ledger.Refused(camera.Realm, camera.Key, n)
	}
	if f := answer(t, Check(t.Context(), env, camera, d.login)); f.Outcome != ringwall.Unknown {
		t.Errorf("a service that a default opened and that could not be tried again is %v", f.Outcome)
	}
}

func TestCheck_servicesShareTheList(t *testing.T) { synctest.Test(t, testCheck_servicesShareTheList) }

func testCheck_servicesShareTheList(t *testing.T) {
	env := newEnv("")
	env.Ledger = assess.NewLedger(assess.Budget{PerAddress: 12}, time.Now)
	seen := map[string]int{}
	for _, key := range []string{"http/80", "onvif/80", "rtsp/554"} {
		s := camera
		s.Key = key
		Check(t.Context(), env, s, func(_ context.Context, u, p string) (Outcome, string) {
			seen[u+"\x00"+p]++
			return Refused, ""
		})
	}
	for pair, n := range seen {
		if n > 1 {
			t.Errorf("a pair of user %q was tried %d times while others were not", pair[:strings.IndexByte(pair, 0)], n)
		}
	}
	if len(seen) != 12 { // three services: a control and three pairs each
		t.Errorf("%d credentials were presented, want 12", len(seen))
	}
}

func TestKnown_vendorComesFirst(t *testing.T) {
	ps := Known(assess.CameraAccounts, "HIKVISION Digital")
	if ps[0].User != "admin" || ps[0].Password() != "12345" {
		t.Errorf("first for Hikvision is %v", ps[0])
	}
	if n := len(Known(assess.SystemAccounts, "")); n < 61 {
		t.Errorf("%d system pairs, want at least the 61 that Mirai tried", n)
	}
}

func TestKnown_coversMirai(t *testing.T) {
	want, err := os.ReadFile(sharedtest.Path(t, "lists/mirai_credentials.txt"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, p := range Known(assess.SystemAccounts, "") {
		have[p.User+":"+p.Password()] = true
	}
	for line := range strings.Lines(string(want)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !have[line] {
			t.Errorf("user %q of the list is missing with one password", line[:strings.IndexByte(line, ':')])
		}
	}
}
