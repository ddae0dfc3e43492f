package assess

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Budget bounds the wrong passwords that one device may see. The defaults stay
// under the lowest lock that cameras ship with: five failures of one account.
type Budget struct {
	// PerAccount is how many failed tries one account may see in Window, over
	// all services that share accounts (web, ONVIF and RTSP; telnet and SSH).
	// 0 means 4.
	PerAccount int
	// PerService is how many failed tries one service may see in Window from us,
	// over all accounts, for locks that count by address. 0 means 4.
	PerService int
	// PerTelnet is the same for telnet, whose login(1) knows no lock by address
	// but only hangs up. 0 means 12.
	PerTelnet int
	// PerAddress is how many failed tries the services of the camera's
	// application (web, ONVIF, RTSP) may see from us together in Window: many
	// cameras lock an address out of all of them at once. 0 means 4.
	PerAddress int
	// Window is how long a try counts. 0 means one hour: twice the half hour
	// for which the common cameras lock.
	Window time.Duration
}

func (b Budget) withDefaults() Budget {
	if b.PerAccount == 0 {
		b.PerAccount = 4
	}
	if b.PerService == 0 {
		b.PerService = 4
	}
	if b.PerTelnet == 0 {
		b.PerTelnet = 12
	}
	if b.PerAddress == 0 {
		b.PerAddress = max(4, b.PerService) // who allows one service more allows all of them as much
	}
	if b.Window == 0 {
		b.Window = time.Hour
	}
	return b
}

// Realm names a set of accounts that services of one device share.
type Realm string

// The two that cameras have: those of its application, and those of its
// operating system.
const (
	CameraAccounts Realm = "camera"
	SystemAccounts Realm = "system"
)

// Ledger is the account of tries at one device. All probes draw on the same,
// and later assessments within the window too. It holds indexes into the list
// of known credentials, never a password. Methods may be called concurrently.
type Ledger struct {
	budget Budget
	now    func() time.Time

	mu       sync.Mutex
	accounts map[string][]time.Time // failed tries per realm and account
	address  []time.Time            // failed tries at the camera's application
	services map[string][]time.Time // failed tries per service
	stopped  map[string]stop        // services that must be left alone
	refused  map[refusal]time.Time  // pairs refused, by realm and service
	hits     map[Realm][]int        // pairs proven, in the order of their finding
	habits   map[string]habit       // how services refuse
	shut     map[Realm]stop         // accounts that are locked, or nearly
}

type refusal struct {
	realm   Realm
	service string
	pair    int
}

type stop struct {
	at  time.Time
	why string
}

// NewLedger returns an empty ledger.
func NewLedger(b Budget, now func() time.Time) *Ledger {
	return &Ledger{
		budget: b.withDefaults(), now: now, accounts: map[string][]time.Time{}, services: map[string][]time.Time{},
		stopped: map[string]stop{}, refused: map[refusal]time.Time{}, hits: map[Realm][]int{},
	}
}

// Spend takes one try from the purse before it is made, as if it failed. When
// it may not be made, why says what stands against it.
func (l *Ledger) Spend(realm Realm, service, account string) (ok bool, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if s, stopped := l.stopped[service]; stopped && now.Sub(s.at) < l.budget.Window {
		return false, s.why
	}
	if s, shut := l.shut[realm]; shut && now.Sub(s.at) < l.budget.Window {
		return false, s.why
	}
	perService := l.perService(service)
	key := string(realm) + "\x00" + account
	l.address = l.recent(l.address, now)
	l.accounts[key] = l.recent(l.accounts[key], now)
	l.services[service] = l.recent(l.services[service], now)
	if n := len(l.services[service]); n >= perService {
		return false, fmt.Sprintf("%d wrong passwords are all that one service may see in %v", perService, l.budget.Window)
	}
	if n := len(l.accounts[key]); n >= l.budget.PerAccount {
		return false, fmt.Sprintf("%d wrong passwords are all that one account may see in %v", l.budget.PerAccount, l.budget.Window)
	}
	if realm == CameraAccounts {
		if len(l.address) >= l.budget.PerAddress {
			return false, fmt.Sprintf("%d wrong passwords are all that its services together may see in %v", l.budget.PerAddress, l.budget.Window)
		}
		l.address = append(l.address, now)
	}
	l.accounts[key] = append(l.accounts[key], now)
	l.services[service] = append(l.services[service], now)
	return true, ""
}

// perService is what one service may see. Telnet alone has no lock by address;
// an SSH server on the same accounts may.
func (l *Ledger) perService(service string) int {
	if strings.HasPrefix(service, "telnet/") {
		return l.budget.PerTelnet
	}
	return l.budget.PerService
}

// Refund gives the newest try back, since it was not a wrong password.
func (l *Ledger) Refund(realm Realm, service, account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for m, k := range map[*map[string][]time.Time]string{&l.accounts: string(realm) + "\x00" + account, &l.services: service} {
		if n := len((*m)[k]); n > 0 {
			(*m)[k] = (*m)[k][:n-1]
		}
	}
	if n := len(l.address); realm == CameraAccounts && n > 0 {
		l.address = l.address[:n-1]
	}
}

func (l *Ledger) recent(ts []time.Time, now time.Time) []time.Time {
	keep := ts[:0]
	for _, t := range ts {
		if age := now.Sub(t); age < l.budget.Window && age >= -clockError {
			keep = append(keep, t)
		}
	}
	return keep
}

// LeftAt is how many tries a service may still see, over all accounts.
func (l *Ledger) LeftAt(realm Realm, service string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	n := l.perService(service) - len(l.recent(append([]time.Time(nil), l.services[service]...), now))
	if realm == CameraAccounts {
		n = min(n, l.budget.PerAddress-len(l.recent(append([]time.Time(nil), l.address...), now)))
	}
	return max(0, n)
}

// Left is how many tries an account still has at a service.
func (l *Ledger) Left(realm Realm, service, account string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	perService := l.perService(service)
	a := l.budget.PerAccount - len(l.recent(append([]time.Time(nil), l.accounts[string(realm)+"\x00"+account]...), now))
	s := perService - len(l.recent(append([]time.Time(nil), l.services[service]...), now))
	if realm == CameraAccounts {
		s = min(s, l.budget.PerAddress-len(l.recent(append([]time.Time(nil), l.address...), now)))
	}
	return max(0, min(a, s))
}

// Stop leaves a service alone for the rest of the window: it locked us out,
// asked us to wait, or changed its manners.
func (l *Ledger) Stop(service, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped[service] = stop{l.now(), why}
}

// Refused notes that a service refused pair n of the list.
func (l *Ledger) Refused(realm Realm, service string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[refusal{realm, service, n}] = l.now()
}

// RefusedIn reports whether some service of the realm refused pair n in the
// window.
func (l *Ledger) RefusedIn(realm Realm, n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r, at := range l.refused {
		if r.realm == realm && r.pair == n && l.now().Sub(at) < l.budget.Window {
			return true
		}
	}
	return false
}

// RefusedBy counts the pairs that one service refused in the window.
func (l *Ledger) RefusedBy(realm Realm, service string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for r, at := range l.refused {
		if r.realm == realm && r.service == service && l.now().Sub(at) < l.budget.Window {
			n++
		}
	}
	return n
}

// Proven notes that pair n opened a service, and that a wrong password was
// refused after it. A login resets what a lock counts, so all that is left
// standing against account and service is that one wrong password.
func (l *Ledger) Proven(realm Realm, service, account string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.accounts[string(realm)+"\x00"+account] = []time.Time{now}
	l.services[service] = []time.Time{now}
	if realm == CameraAccounts {
		l.address = []time.Time{now}
	}
	if !slices.Contains(l.hits[realm], n) {
		l.hits[realm] = append(l.hits[realm], n)
	}
}

// Hits returns the proven pairs, first found first.
func (l *Ledger) Hits(realm Realm) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]int(nil), l.hits[realm]...)
}
