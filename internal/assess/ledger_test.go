package assess

import (
	"sync"
	"testing"
	"time"
)

func TestLedger_bounds(t *testing.T) {
	now := noon
	l := NewLedger(Budget{}, func() time.Time { return now })
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
