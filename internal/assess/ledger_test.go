package assess

import (
	"crypto/rand"
	"sync"
	"testing"
	"time"
)

func TestLedger_bounds(t *testing.T) {
	now := noon
	l := NewLedger(Budget{PerAddress: 8}, func() time.Time { return now })
	spend := func(realm Realm, service, account string) bool { ok, _ := l.Spend(realm, service, account); return ok }
	for i := range 4 {
		if !spend(CameraAccounts, "http/80", "admin") {
			t.Fatalf("try %d of 4 is refused", i+1)
		}
	}
	if spend(CameraAccounts, "rtsp/554", "admin") {
		t.Error("a fifth try at one account is allowed, at another service of the same accounts")
	}
	if spend(CameraAccounts, "http/80", "root") {
		t.Error("a fifth try at one service is allowed, at another account")
	}
	if !spend(SystemAccounts, "telnet/23", "admin") {
		t.Error("the system's account of the same name shares the camera's tries")
	}
	if !spend(CameraAccounts, "rtsp/554", "root") {
		t.Error("another account at another service is refused")
	}
	l.Refund(CameraAccounts, "http/80", "admin")
	if !spend(CameraAccounts, "http/80", "admin") {
		t.Error("a refunded try cannot be spent")
	}
	l.Stop("rtsp/554", "it locked us out")
	if ok, why := l.Spend(CameraAccounts, "rtsp/554", "guest"); ok || why != "it locked us out" {
		t.Errorf("a stopped service: %v, %q", ok, why)
	}
	now = now.Add(time.Hour + time.Second)
	if !spend(CameraAccounts, "http/80", "admin") || !spend(CameraAccounts, "rtsp/554", "guest") {
		t.Error("after the window nothing may be tried")
	}
}

func TestLedger_servicesShareALockByAddress(t *testing.T) {
	l := NewLedger(Budget{}, func() time.Time { return noon })
	for i, s := range []string{"onvif/80", "http/80", "rtsp/554", "rtsp/8554"} {
		if ok, why := l.Spend(CameraAccounts, s, "user"+s); !ok {
			t.Fatalf("try %d of 4 is refused: %s", i+1, why)
		}
	}
	if ok, _ := l.Spend(CameraAccounts, "https/443", "other"); ok || l.Left(CameraAccounts, "https/443", "other") != 0 || l.LeftAt(CameraAccounts, "https/443") != 0 {
		t.Error("a fifth wrong password is allowed at one camera")
	}
	if ok, _ := l.Spend(SystemAccounts, "telnet/23", "root"); !ok {
		t.Error("the camera's lock stands before its telnet")
	}
	l.Refund(CameraAccounts, "http/80", "userhttp/80")
	if ok, _ := l.Spend(CameraAccounts, "https/443", "other"); !ok {
		t.Error("a refunded try cannot be spent elsewhere")
	}
	// telnet has no lock by address, SSH may have one.
	for range 4 {
		l.Spend(SystemAccounts, "ssh/22", rand.Text())
	}
	if ok, _ := l.Spend(SystemAccounts, "ssh/22", "x"); ok {
		t.Error("a fifth wrong password is allowed at SSH")
	}
}

func TestLedger_clockJumps(t *testing.T) {
	now := noon
	l := NewLedger(Budget{}, func() time.Time { return now })
	for range 4 {
		l.Spend(CameraAccounts, "http/80", "admin")
	}
	now = now.Add(-time.Minute) // a small correction must not give tries back
	if ok, _ := l.Spend(CameraAccounts, "http/80", "admin"); ok {
		t.Error("a clock set back a minute gave a try back")
	}
}

func TestLedger_isSafeTogether(t *testing.T) {
	l := NewLedger(Budget{PerAccount: 100, PerService: 50}, time.Now)
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := 0
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if ok, _ := l.Spend(CameraAccounts, "http/80", "admin"); ok {
					mu.Lock()
					got++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if got != 50 {
		t.Errorf("%d tries were allowed, want 50", got)
	}
}
