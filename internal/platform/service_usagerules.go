package platform

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// Bounds of what people say of rules.
const (
	maxSettingList  = 5000 // peers, areas
	maxRuleNames    = 100
	maxExceptFor    = 366 * 24 * time.Hour // an exception ends: one that never does is a setting
	maxReason       = 500
	maxPoolNumbers  = 50_000
	maxTrialDays    = 90
	defaultTryDays  = 7
	maxTrialAlerts  = 50_000
	maxUsageHistory = 50
)

// UsageSettings lists the versions of what records are judged by for a customer
// and a tariff, newest first.
func (s *service) UsageSettings(ctx context.Context, a audit.Actor, customer, tariff string) (all []api.UsageSettings, err error) {
	err = s.view(ctx, a, audit.SIMRead, on("usage settings", customer), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		if err := mayJudge(a); err != nil {
			return err
		}
		all, err = tx.UsageSettings(scope, customer, tariff)
		return err
	})
	return orNone(all), err
}

// AllUsageSettings lists the newest version of each.
func (s *service) AllUsageSettings(ctx context.Context, a audit.Actor) (all []api.UsageSettings, err error) {
	err = s.view(ctx, a, audit.SIMRead, on("usage settings", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		if err := mayJudge(a); err != nil {
			return err
		}
		all, err = tx.AllUsageSettings(scope)
		return err
	})
	return orNone(all), err
}

// mayJudge refuses who may not see what cards are used for.
func mayJudge(a audit.Actor) error {
	if !sightOf(a).usage {
		return ringwall.Errorf(ringwall.Forbidden, "what cards are judged by is not shown to your parts")
	}
	return nil
}

func checkUsageSettings(in api.UsageSettings) error {
	if err := checkWord("the customer", in.Customer); err != nil {
		return err
	}
	if err := checkWord("the tariff", in.Tariff); err != nil {
		return err
	}
	if in.Tariff != "" && in.Customer == "" {
		return ringwall.Errorf(ringwall.Invalid, "settings of a tariff are a customer's: name the customer")
	}
	if len(in.Note) > maxReason {
		return ringwall.Errorf(ringwall.Invalid, "the note has %d bytes, want at most %d", len(in.Note), maxReason)
	}
	known := usageRules()
	for name, r := range in.Rules {
		i := slices.IndexFunc(known, func(k api.UsageRule) bool { return k.Name == name })
		if i < 0 {
			return ringwall.Errorf(ringwall.Invalid, "there is no rule %.40q", name)
		}
		for limit, v := range r.Limits {
			if _, ok := known[i].Limits[limit]; !ok {
				return ringwall.Errorf(ringwall.Invalid, "rule %q has no limit %.40q", name, limit)
			}
			if !(v >= 0 && v < 1e15) { // NaN is neither
				return ringwall.Errorf(ringwall.Invalid, "limit %q of rule %q is %v, want a number that is not negative", limit, name, v)
			}
		}
	}
	if _, err := usage.ParseServices(in.Services); err != nil {
		return err
	}
	if _, err := usage.ParsePeers(in.Peers); err != nil {
		return err
	}
	for what, list := range map[string][]string{"peers": in.Peers, "areas": in.Areas, "countries": in.Countries, "pools": in.Pools} {
		if len(list) > maxSettingList {
			return ringwall.Errorf(ringwall.Invalid, "%d %s are more than %d", len(list), what, maxSettingList)
		}
		for _, s := range list {
			if s == "" || len(s) > 100 {
				return ringwall.Errorf(ringwall.Invalid, "one of the %s has %d bytes, want 1 to 100", what, len(s))
			}
		}
	}
	// What the rules cannot take would stop the judging of every card.
	_, err := rules.Compile(specOf(api.SIM{}, in, nil), usage.KeysOf(nil))
	return err
}

// PutUsageSettings makes the next version. Records are judged by it from now on.
func (s *service) PutUsageSettings(ctx context.Context, a audit.Actor, in api.UsageSettings) ([]api.UsageSettings, error) {
	if err := checkUsageSettings(in); err != nil {
		return nil, err
	}
	err := s.change(ctx, a, audit.SIMWrite, on("usage settings", settingsName(in)), func(t *turn, scope audit.Scope) error {
		pools, err := t.tx.IMEIPools(scope)
		if err != nil {
			return err
		}
		for _, name := range in.Pools {
			if !slices.ContainsFunc(pools, func(p api.IMEIPool) bool { return p.Name == name }) {
				return ringwall.Errorf(ringwall.Invalid, "there is no pool %.40q of equipment", name)
			}
		}
		return t.putUsageSettings(scope, a, in)
	})
	if err != nil {
		return nil, err
	}
	return s.UsageSettings(ctx, a, in.Customer, in.Tariff)
}

func (t *turn) putUsageSettings(scope audit.Scope, a audit.Actor, in api.UsageSettings) error {
	old, err := t.tx.UsageSettings(scope, in.Customer, in.Tariff)
	if err != nil {
		return err
	}
	in.Version, in.Made, in.By = 1, t.at, a.String()
	if len(old) > 0 {
		in.Version = old[0].Version + 1
	}
	if err := t.tx.PutUsageSettings(scope, in); err != nil {
		return err
	}
	return t.tx.TouchSIMs(scope, in.Customer)
}

// UndoUsageSettings goes back to the version before the newest, as a version of
// its own; before the first there is none.
func (s *service) UndoUsageSettings(ctx context.Context, a audit.Actor, customer, tariff string) ([]api.UsageSettings, error) {
	err := s.change(ctx, a, audit.SIMWrite, on("usage settings", customer), func(t *turn, scope audit.Scope) error {
		old, err := t.tx.UsageSettings(scope, customer, tariff)
		if err != nil {
			return err
		}
		if len(old) == 0 || len(old) == 1 && old[0].None {
			return ringwall.Errorf(ringwall.Conflict, "there is no version to go back from")
		}
		next := api.UsageSettings{Customer: customer, Tariff: tariff, None: true}
		if len(old) > 1 {
			next = old[1]
		}
		next.Note = fmt.Sprintf("back from version %d", old[0].Version)
		return t.putUsageSettings(scope, a, next)
	})
	if err != nil {
		return nil, err
	}
	return s.UsageSettings(ctx, a, customer, tariff)
}

// UsageRules describes the rules.
func (s *service) UsageRules(ctx context.Context, a audit.Actor) (all []api.UsageRule, err error) {
	err = s.view(ctx, a, audit.SIMRead, on("usage settings", ""), func(*sqlstore.Tx, audit.Scope) error { return nil })
	if err != nil {
		return nil, err
	}
	return usageRules(), nil
}

// Exceptions lists exceptions, newest first.
func (s *service) Exceptions(ctx context.Context, a audit.Actor, sim ringwall.SIMID, live bool, p httpapi.Paging) (page api.Page[api.UsageException], err error) {
	page.Items = []api.UsageException{}
	err = s.view(ctx, a, audit.SIMRead, on("exception", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		if err := mayJudge(a); err != nil {
			return err
		}
		page, err = tx.Exceptions(scope, sim, live, s.now(), paging(p))
		return err
	})
	return page, err
}

// CreateException makes an exception, a maintenance window or a planned swap.
func (s *service) CreateException(ctx context.Context, a audit.Actor, in api.ExceptionCreate) (out api.UsageException, err error) {
	err = s.change(ctx, a, audit.SIMWrite, on("exception", string(in.SIM)), func(t *turn, scope audit.Scope) (err error) {
		out, err = t.except(scope, a, in, "")
		return err
	})
	return out, err
}

// EndException ends one before its time.
func (s *service) EndException(ctx context.Context, a audit.Actor, id ringwall.ExceptionID) (out api.UsageException, err error) {
	err = s.change(ctx, a, audit.SIMWrite, on("exception", string(id)), func(t *turn, scope audit.Scope) (err error) {
		if out, err = t.tx.EndException(scope, id, a.String(), t.at); err != nil || out.SIM == "" {
			return err
		}
		return t.tell(scope, ringwall.EventSIM, simSubject(out.SIM), string(id), note{Key: "timeline.sim.exception.ended", Ref: string(id), Params: map[string]string{"rules": rulesOf(out)}})
	})
	return out, err
}

func rulesOf(e api.UsageException) string {
	if e.Kind == api.ExceptSwap {
		return usage.Separation
	}
	if len(e.Rules) == 0 {
		return "*"
	}
	return strings.Join(e.Rules, ", ")
}

// except makes an exception; alert is the one that it is made of, if any.
func (t *turn) except(scope audit.Scope, a audit.Actor, in api.ExceptionCreate, alert ringwall.AlertID) (api.UsageException, error) {
	if in.From.IsZero() {
		in.From = t.at
		if alert != "" {
			in.From = time.Time{} // what was said already, and comes late, is meant too
		}
	}
	if err := checkException(in, t.at); err != nil {
		return api.UsageException{}, err
	}
	e := api.UsageException{
		ID: ringwall.ExceptionID(ringwall.NewID(ringwall.PrefixException, t.at)), Kind: in.Kind, SIM: in.SIM, Customer: in.Customer, Rules: in.Rules,
		From: in.From.UTC(), Until: in.Until.UTC(), Reason: in.Reason, By: a.String(), Made: t.at, Alert: alert,
	}
	if err := t.tx.PutException(scope, e, ringwall.IMEI(in.IMEI)); err != nil {
		return e, err
	}
	e.IMEI = ringwall.IMEI(in.IMEI).String()
	if e.SIM == "" {
		return e, nil
	}
	return e, t.tell(scope, ringwall.EventSIM, simSubject(e.SIM), string(e.ID), note{Key: "timeline.sim.exception", Ref: string(e.ID), Params: map[string]string{
		"rules": rulesOf(e), "until": e.Until.Format(time.RFC3339), "reason": e.Reason,
	}})
}

func checkException(in api.ExceptionCreate, now time.Time) error {
	if err := checkWord("the customer", in.Customer); err != nil {
		return err
	}
	known := usageRules()
	for _, name := range in.Rules {
		if !slices.ContainsFunc(known, func(r api.UsageRule) bool { return r.Name == name }) {
			return ringwall.Errorf(ringwall.Invalid, "there is no rule %.40q", name)
		}
	}
	switch {
	case !in.Until.After(now):
		return ringwall.Errorf(ringwall.Invalid, "an exception says until when it holds, in the future")
	case in.Until.Sub(now) > maxExceptFor:
		return ringwall.Errorf(ringwall.Invalid, "an exception of more than %d days is a setting: change the settings", maxExceptFor/(24*time.Hour))
	case !in.From.Before(in.Until):
		return ringwall.Errorf(ringwall.Invalid, "it begins after it ends")
	case strings.TrimSpace(in.Reason) == "" || len(in.Reason) > maxReason:
		return ringwall.Errorf(ringwall.Invalid, "an exception has a reason of 1 to %d bytes", maxReason)
	case in.SIM != "" && in.Customer != "":
		return ringwall.Errorf(ringwall.Invalid, "an exception is for a card or for a customer, not for both")
	}
	switch in.Kind {
	case api.ExceptRule:
		if len(in.Rules) != 1 || in.IMEI != "" || in.SIM == "" && in.Customer == "" {
			return ringwall.Errorf(ringwall.Invalid, "an exception is from one rule, for a card or a customer")
		}
	case api.ExceptWindow:
		if in.IMEI != "" {
			return ringwall.Errorf(ringwall.Invalid, "a window has no IMEI")
		}
	case api.ExceptSwap:
		if in.SIM == "" || len(in.Rules) > 0 || usage.EquipmentOf(ringwall.IMEI(in.IMEI)) == 0 {
			return ringwall.Errorf(ringwall.Invalid, "a planned swap is for one card, with the IMEI (14 to 16 digits) of the equipment that it is put into")
		}
	default:
		return ringwall.Errorf(ringwall.Invalid, "kind %.20q is none of %s, %s, %s", in.Kind, api.ExceptRule, api.ExceptWindow, api.ExceptSwap)
	}
	return nil
}

// IMEIPools lists pools of equipment, without numbers.
func (s *service) IMEIPools(ctx context.Context, a audit.Actor) (all []api.IMEIPool, err error) {
	err = s.view(ctx, a, audit.SIMRead, on("pool", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		if err := mayJudge(a); err != nil {
			return err
		}
		all, err = tx.IMEIPools(scope)
		return err
	})
	return orNone(all), err
}

// PutIMEIPool makes a pool, or replaces one.
func (s *service) PutIMEIPool(ctx context.Context, a audit.Actor, in api.IMEIPool) (out api.IMEIPool, err error) {
	if err := checkWord("the pool's name", in.Name); err != nil || in.Name == "" {
		return out, ringwall.Errorf(ringwall.Invalid, "a pool has a name of 1 to %d bytes without slash", maxName)
	}
	if len(in.IMEIs) > maxPoolNumbers || len(in.TACs) > 1000 || len(in.IMEIs)+len(in.TACs) == 0 {
		return out, ringwall.Errorf(ringwall.Invalid, "a pool has up to 1000 TACs and %d IMEIs, and one at least", maxPoolNumbers)
	}
	for i, tac := range in.TACs {
		if len(tac) != 8 || strings.Trim(tac, "0123456789") != "" {
			return out, ringwall.Errorf(ringwall.Invalid, "TAC number %d is not of eight digits", i+1)
		}
	}
	for i, imei := range in.IMEIs {
		if usage.EquipmentOf(ringwall.IMEI(imei)) == 0 {
			return out, ringwall.Errorf(ringwall.Invalid, "IMEI number %d is not of 14 to 16 digits", i+1) // not repeated: it may be a real one, mistyped
		}
	}
	err = s.change(ctx, a, audit.SIMWrite, on("pool", in.Name), func(t *turn, scope audit.Scope) error {
		old, err := t.tx.IMEIPools(scope)
		if err != nil {
			return err
		}
		in.Version, in.Made, in.By = 1, t.at, a.String()
		if i := slices.IndexFunc(old, func(p api.IMEIPool) bool { return p.Name == in.Name }); i >= 0 {
			in.Version = old[i].Version + 1
		}
		out, err = t.tx.PutIMEIPool(scope, in)
		return err
	})
	return out, err
}

// DropIMEIPool forgets a pool that no settings name.
func (s *service) DropIMEIPool(ctx context.Context, a audit.Actor, name string) error {
	return s.change(ctx, a, audit.SIMWrite, on("pool", name), func(t *turn, scope audit.Scope) error {
		all, err := t.tx.AllUsageSettings(scope)
		if err != nil {
			return err
		}
		for _, set := range all {
			if slices.Contains(set.Pools, name) {
				return ringwall.Errorf(ringwall.Conflict, "the settings of %q name the pool", firstOf(settingsName(set), "everybody"))
			}
		}
		return t.tx.DropIMEIPool(scope, name)
	})
}

// TryUsageSettings tells what settings would have changed over the last days: by
// the records, where they are still there, else by what rules did say then, muted
// or not.
func (s *service) TryUsageSettings(ctx context.Context, a audit.Actor, in api.UsageTry) (out api.UsageTrial, err error) {
	if err := checkUsageSettings(in.Settings); err != nil {
		return out, err
	}
	if in.Days < 0 || in.Days > maxTrialDays {
		return out, ringwall.Errorf(ringwall.Invalid, "%d days are not 1 to %d", in.Days, maxTrialDays)
	}
	if in.Days == 0 {
		in.Days = defaultTryDays
	}
	now := s.now().UTC()
	out = api.UsageTrial{From: now.AddDate(0, 0, -in.Days), To: now, Gone: []api.SIMAlert{}, Fresh: []api.SIMAlert{}}
	err = s.view(ctx, a, audit.SIMRead, on("usage settings", settingsName(in.Settings)), func(*sqlstore.Tx, audit.Scope) error {
		return mayJudge(a)
	})
	if err != nil {
		return out, err
	}
	if ok, err := s.tryRecords(ctx, a, in.Settings, &out); ok || err != nil {
		return out, err
	}
	err = s.view(ctx, a, audit.SIMRead, on("usage settings", settingsName(in.Settings)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		return s.trySettings(tx, scope, in.Settings, &out)
	})
	return out, err
}

func (s *service) trySettings(tx *sqlstore.Tx, scope audit.Scope, set api.UsageSettings, out *api.UsageTrial) error {
	now, err := settingsOf(tx, scope, set.Customer, set.Tariff)
	if err != nil {
		return err
	}
	// What a rule would say by other limits or lists, what it did say does not tell.
	for _, r := range usageRules() {
		if !sameLimits(now.Rules[r.Name].Limits, set.Rules[r.Name].Limits) {
			out.Unknown = append(out.Unknown, r.Name)
		}
	}
	lists := func(a api.UsageSettings) string {
		return fmt.Sprint(a.Services, a.Peers, a.Countries, a.Areas, a.Hours, a.Fixed, a.Pools)
	}
	if lists(now) != lists(set) {
		out.Unknown = append(out.Unknown, "lists")
	}
	cards := map[ringwall.SIMID]api.SIM{}
	for p := (sqlstore.Paging{}); out.Looked < maxTrialAlerts; {
		page, err := tx.SIMAlerts(scope, sqlstore.SIMAlertFilter{Since: out.From, Customer: set.Customer}, p)
		if err != nil {
			return err
		}
		for _, x := range page.Items {
			card, ok := cards[x.SIM]
			if !ok {
				if card, err = tx.SIM(scope, x.SIM); err != nil {
					return err
				}
				cards[x.SIM] = card
			}
			if meant, err := meansCard(tx, scope, set, card); err != nil || !meant {
				if err != nil {
					return err
				}
				continue
			}
			out.Looked++
			off := set.Rules[x.Rule].Off
			switch {
			case x.Muted == "" && off:
				if out.GoneAll++; len(out.Gone) < api.MaxTrial {
					out.Gone = append(out.Gone, x)
				}
			case x.Muted == mutedOff && !off:
				if out.NewAll++; len(out.Fresh) < api.MaxTrial {
					out.Fresh = append(out.Fresh, x)
				}
			case x.Muted == "":
				out.Same++
			}
		}
		if p.Cursor = page.Next; p.Cursor == "" {
			break
		}
	}
	return nil
}

// meansCard reports whether settings would be those of a card, once in force.
func meansCard(tx *sqlstore.Tx, scope audit.Scope, set api.UsageSettings, s api.SIM) (bool, error) {
	if set.Customer != "" {
		if set.Customer != s.Customer {
			return false, nil
		}
		if set.Tariff != "" {
			return set.Tariff == s.Tariff, nil
		}
	}
	has, err := settingsOf(tx, scope, s.Customer, s.Tariff)
	if err != nil {
		return false, err
	}
	if has.Version == 0 {
		return true, nil
	}
	return has.Customer == set.Customer && has.Tariff == set.Tariff || has.Customer == "" && set.Customer != "", nil
}

func sameLimits(a, b map[string]float64) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			return false
		}
	}
	return true
}
