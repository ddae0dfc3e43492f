package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

func simFleet(k *conn) *cobra.Command {
	var noCard bool
	c := &cobra.Command{
		Use: "fleet", Short: "Show the fleet of cards: counts, risk by area, the worst cards, trend", Args: exactArgs(0),
		Long: `Show the fleet of cards. Lists of cards are "ringwall sim list" with --separated, --silent, --never, --nodevice or --area.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if noCard {
				return ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.Device, error) {
					return all(ctx, c.DevicesWithoutSIM)
				},
					func(w io.Writer, ds []api.Device) {
						row(w, "NAME", "TYPE", "PRESENCE", "ID")
						for _, d := range ds {
							row(w, d.Name, d.Type, d.Presence, d.ID)
						}
					})(cmd, args)
			}
			return ask(k, func(ctx context.Context, c *client.Client, _ []string) (api.SIMFleet, error) { return c.SIMFleet(ctx) }, showFleet)(cmd, args)
		},
	}
	c.Flags().BoolVar(&noCard, "devices-without-card", false, "list the devices that no card is in")
	return c
}

func showFleet(w io.Writer, f api.SIMFleet) {
	row(w, "cards", f.Cards)
	for _, state := range []string{"active", "suspended", "unknown"} {
		row(w, "  "+state, f.ByState[state])
	}
	row(w, "separated", f.Separated)
	row(w, fmt.Sprintf("silent for %s", time.Duration(f.SilentFor)), f.Silent)
	row(w, "never used", f.Never)
	row(w, "without a device", f.NoDevice)
	row(w, "devices without a card", f.NoCard)
	alerts, severe := 0, 0
	for _, d := range f.Trend {
		alerts, severe = alerts+d.Alerts, severe+d.Severe
	}
	row(w, "alerts since "+f.From.Format(time.DateOnly), fmt.Sprintf("%d, %d of them grave", alerts, severe))
	for n, a := range f.Areas {
		if n == 10 || a.Alerts == 0 {
			break
		}
		row(w, "area", strings.TrimSpace(a.Area+" "+a.Name), fmt.Sprintf("risk %d, %d alerts, %d cards", a.Risk, a.Alerts, a.Cards))
	}
	for _, r := range f.Rules {
		row(w, "rule", r.Rule, fmt.Sprintf("%d alerts of %d cards, %d kept quiet, %d false", r.Alerts, r.Cards, r.Muted, r.False))
	}
	for _, t := range f.Top {
		row(w, "card", t.ICCID, t.Worst, fmt.Sprintf("%d alerts", t.Alerts), strings.Join(t.Rules, ","), t.SIM)
	}
}

func simAlerts(k *conn) *cobra.Command {
	var sim, rule string
	c := &cobra.Command{
		Use: "alerts", Short: "List what rules said of SIMs, newest first", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.SIMAlert, error) {
			return all(ctx, func(ctx context.Context, p client.Paging) (api.Page[api.SIMAlert], error) {
				return c.SIMAlerts(ctx, ringwall.SIMID(sim), rule, p)
			})
		}, func(w io.Writer, as []api.SIMAlert) {
			row(w, "TIME", "SEVERITY", "RULE", "SIM", "TITLE", "DECISION", "ID")
			for _, a := range as {
				row(w, when(a.Time), a.Severity, a.Rule, a.SIM, a.Title, verdictText(a), a.ID)
			}
		}),
	}
	c.Flags().StringVar(&sim, "sim", "", "of this SIM")
	c.Flags().StringVar(&rule, "rule", "", "of this rule")
	return c
}

func simJudge(k *conn) *cobra.Command {
	var note string
	var except time.Duration
	var customer bool
	c := &cobra.Command{
		Use: "judge ALERT true|benign|false|unknown", Short: "Say what an alert is; --except keeps the rule quiet for a while", Args: exactArgs(2),
		Example: "  ringwall sim judge alt_… benign --note 'new firmware' --except 72h",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.SIMAlert, error) {
			in := api.AlertDecision{Disposition: args[1], Note: note}
			if except > 0 {
				in.Except = &api.AlertExcept{Customer: customer, Until: k.env.Now().Add(except).UTC()}
			}
			return c.DecideSIMAlert(ctx, ringwall.AlertID(args[0]), in)
		}, func(w io.Writer, a api.SIMAlert) { row(w, a.ID, a.Rule, a.Disposition, dash(string(a.Exception))) }),
	}
	f := c.Flags()
	f.StringVar(&note, "note", "", "why")
	f.DurationVar(&except, "except", 0, "make an exception for this long")
	f.BoolVar(&customer, "customer", false, "for all cards of the customer, not for the card alone")
	return c
}

func simSet(k *conn) *cobra.Command {
	var customer, tariff, seller string
	c := &cobra.Command{
		Use: "set SIM", Short: "Say whose card it is", Args: exactArgs(1),
	}
	c.RunE = ask(k, func(ctx context.Context, cl *client.Client, args []string) (api.SIM, error) {
		p := api.SIMPatch{}
		for name, to := range map[string]struct {
			field **string
			v     *string
		}{"customer": {&p.Customer, &customer}, "tariff": {&p.Tariff, &tariff}, "seller": {&p.Seller, &seller}} {
			if c.Flags().Changed(name) {
				*to.field = to.v
			}
		}
		if p == (api.SIMPatch{}) {
			return api.SIM{}, usagef("say what is to be set: --customer, --tariff or --seller")
		}
		return cl.PatchSIM(ctx, ringwall.SIMID(args[0]), p)
	}, func(w io.Writer, s api.SIM) { row(w, s.ID, dash(s.Customer), dash(s.Tariff), dash(s.Seller)) })
	f := c.Flags()
	f.StringVar(&customer, "customer", "", "whose card it is")
	f.StringVar(&tariff, "tariff", "", "by what tariff")
	f.StringVar(&seller, "seller", "", "the intermediary that passed it on")
	return c
}

func simRestrict(k *conn) *cobra.Command {
	var reason string
	var r api.SIMRestriction
	var expiry time.Duration
	var trial bool
	c := &cobra.Command{
		Use: "restrict SIM", Short: "Ask the operator to reduce a SIM: a rate, services off, some access points alone", Args: exactArgs(1),
		Long:    `Ask the operator to reduce a SIM. "ringwall response undo" lifts it, and time does when --for is given.`,
		Example: "  ringwall sim restrict sim_… --rate 64000 --off voice,sms --for 24h --reason 'volume spike'",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Response, error) {
			return c.CreateResponse(ctx, api.ResponseCreate{
				Kind: "sim-restrict", Target: ringwall.Subject{Kind: ringwall.SubjectSIM, ID: args[0]}, Reason: reason, Restrict: &r, Expiry: api.Duration(expiry), Trial: trial,
			})
		}, showResponse),
	}
	f := c.Flags()
	f.Uint64Var(&r.Rate, "rate", 0, "most bits a second")
	f.StringSliceVar(&r.Services, "off", nil, "services that are switched off: data, sms, voice")
	f.StringSliceVar(&r.APNs, "apn", nil, "access points, the only ones that are left")
	f.DurationVar(&expiry, "for", 0, "how long; 0 = until it is undone")
	f.StringVar(&reason, "reason", "from the command line", "why; it is recorded")
	f.BoolVar(&trial, "dry-run", false, "tell what would be done, and do nothing")
	return c
}

func showResponse(w io.Writer, r api.Response) {
	if r.Trial && r.Effect != nil {
		row(w, r.Effect.Text)
		return
	}
	row(w, r.ID, r.Kind, r.Status)
}

func simRules(k *conn) *cobra.Command {
	var customer, tariff, file, note string
	var undo, trial, describe bool
	var days int
	c := &cobra.Command{
		Use: "rules", Short: "Show or set what usage records are judged by, for a customer, a tariff or everybody", Args: exactArgs(0),
		Long: `Show the settings that usage records are judged by. With --customer (and --tariff) their versions, newest first;
--set FILE makes the next version out of JSON (rules, fixed, services, peers, countries, areas, hours, pools), --try
tells what that would have changed over the last days and changes nothing, --undo goes back to the version before.
--describe lists the rules with their limits.`,
		Example: `  echo '{"fixed":true,"rules":{"sim-volume":{"limits":{"deviations":12}}}}' | ringwall sim rules --customer 'Water works' --set - --try`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case describe:
				return ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.UsageRule, error) {
					return c.UsageRules(ctx)
				}, func(w io.Writer, rs []api.UsageRule) {
					for _, r := range rs {
						row(w, r.Name, r.Why)
						for _, name := range sortedKeys(r.Limits) {
							row(w, "  "+name, strconv.FormatFloat(r.Limits[name], 'g', -1, 64))
						}
					}
				})(cmd, args)
			case undo:
				return ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.UsageSettings, error) {
					return c.UndoUsageSettings(ctx, customer, tariff)
				}, showSettings)(cmd, args)
			case file != "":
				return k.setRules(cmd, args, file, customer, tariff, note, trial, days)
			case customer != "":
				return ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.UsageSettings, error) {
					return c.UsageSettings(ctx, customer, tariff)
				}, showSettings)(cmd, args)
			}
			return ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.UsageSettings, error) {
				return c.AllUsageSettings(ctx)
			}, showSettings)(cmd, args)
		},
	}
	f := c.Flags()
	f.StringVar(&customer, "customer", "", "whose cards; none = everybody's")
	f.StringVar(&tariff, "tariff", "", "of this tariff alone")
	f.StringVar(&file, "set", "", "file with settings in JSON; - = standard input")
	f.StringVar(&note, "note", "", "why; it is kept with the version")
	f.BoolVar(&trial, "try", false, "with --set: tell what it would have changed")
	f.IntVar(&days, "days", 7, "with --try: over how many days")
	f.BoolVar(&undo, "undo", false, "go back to the version before")
	f.BoolVar(&describe, "describe", false, "list the rules with their limits")
	return c
}

func sortedKeys(m map[string]float64) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func showSettings(w io.Writer, all []api.UsageSettings) {
	row(w, "CUSTOMER", "TARIFF", "VERSION", "MADE", "BY", "RULES", "NOTE")
	for _, s := range all {
		var rules []string
		for name, r := range s.Rules {
			if r.Off {
				rules = append(rules, name+" off")
			} else {
				rules = append(rules, name)
			}
		}
		slices.Sort(rules)
		if s.None {
			rules = []string{"none of its own"}
		}
		row(w, dash(s.Customer), dash(s.Tariff), s.Version, when(s.Made), s.By, dash(strings.Join(rules, ", ")), dash(s.Note))
	}
}

// maxSettings bounds a file with settings.
const maxSettings = 2 << 20

func (k *conn) setRules(cmd *cobra.Command, args []string, file, customer, tariff, note string, trial bool, days int) error {
	var set api.UsageSettings
	if err := k.readJSON(file, maxSettings, &set); err != nil {
		return err
	}
	set.Customer, set.Tariff, set.Note = customer, tariff, note
	if !trial {
		return ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.UsageSettings, error) {
			return c.PutUsageSettings(ctx, set)
		}, showSettings)(cmd, args)
	}
	return ask(k, func(ctx context.Context, c *client.Client, _ []string) (api.UsageTrial, error) {
		return c.TryUsageSettings(ctx, api.UsageTry{Settings: set, Days: days})
	}, func(w io.Writer, t api.UsageTrial) {
		row(w, fmt.Sprintf("%d looked at since %s: %d as before, %d would not be said, %d would be said anew", t.Looked, when(t.From), t.Same, t.GoneAll, t.NewAll))
		for _, a := range t.Gone {
			row(w, "gone", when(a.Time), a.Rule, a.SIM, a.Title)
		}
		for _, a := range t.Fresh {
			row(w, "new", when(a.Time), a.Rule, a.SIM, a.Title)
		}
		if len(t.Unknown) > 0 {
			row(w, "unknown: what these would say by other limits, stored alerts do not tell:", strings.Join(t.Unknown, ", "))
		}
	})(cmd, args)
}

// readJSON reads a small file, or the standard input, strictly.
func (k *conn) readJSON(file string, most int64, into any) error {
	in := k.env.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return ringwall.Errorf(ringwall.Invalid, "reading %q: %w", file, err)
		}
		defer f.Close()
		in = f
	}
	d := json.NewDecoder(io.LimitReader(in, most))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return ringwall.Errorf(ringwall.Invalid, "reading %q: %v", file, err)
	}
	return nil
}

func simExceptions(k *conn) *cobra.Command {
	var sim, end string
	var every bool
	c := &cobra.Command{
		Use: "exceptions", Short: "List exceptions, maintenance windows and planned swaps; --end ends one", Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if end != "" {
				return ask(k, func(ctx context.Context, c *client.Client, _ []string) (api.UsageException, error) {
					return c.EndException(ctx, ringwall.ExceptionID(end))
				}, showException)(cmd, args)
			}
			return ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.UsageException, error) {
				return all(ctx, func(ctx context.Context, p client.Paging) (api.Page[api.UsageException], error) {
					return c.Exceptions(ctx, ringwall.SIMID(sim), !every, p)
				})
			}, func(w io.Writer, es []api.UsageException) {
				row(w, "KIND", "FOR", "RULES", "UNTIL", "BY", "REASON", "ID")
				for _, e := range es {
					showException(w, e)
				}
			})(cmd, args)
		},
	}
	f := c.Flags()
	f.StringVar(&sim, "sim", "", "of this SIM")
	f.BoolVar(&every, "all", false, "those that have ended too")
	f.StringVar(&end, "end", "", "end this one before its time")
	return c
}

func showException(w io.Writer, e api.UsageException) {
	whose := string(e.SIM)
	if whose == "" {
		whose = e.Customer
	}
	if whose == "" {
		whose = "everybody"
	}
	until := when(e.Until)
	if !e.Ended.IsZero() {
		until = "ended " + when(e.Ended)
	}
	row(w, e.Kind, whose, dash(strings.Join(e.Rules, ",")), until, e.By, e.Reason, e.ID)
}

func simExcept(k *conn) *cobra.Command {
	var in api.ExceptionCreate
	var sim string
	var length, in0 time.Duration
	c := &cobra.Command{
		Use: "except exception|window|swap", Short: "Keep rules quiet for a while, or plan a swap of equipment", Args: exactArgs(1),
		Long: `Make an exception: "exception" keeps one rule quiet for a card or a customer, "window" all rules (or those of --rule)
for maintenance, "swap" plans that a card is put into another device; its IMEI is the first line of the standard input,
since others on the machine can read flags.`,
		Example: "  ringwall sim except window --customer 'Water works' --for 6h --reason 'new firmware'\n  ringwall sim except swap --sim sim_… --for 72h --reason repair < imei",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.UsageException, error) {
			in.Kind, in.SIM = args[0], ringwall.SIMID(sim)
			in.From = k.env.Now().Add(in0).UTC()
			in.Until = in.From.Add(length)
			if in.Kind == api.ExceptSwap {
				b, err := io.ReadAll(io.LimitReader(k.env.Stdin, 64))
				if err != nil {
					return api.UsageException{}, ringwall.Errorf(ringwall.Invalid, "reading the IMEI: %w", err)
				}
				line, _, _ := strings.Cut(string(b), "\n")
				in.IMEI = strings.TrimSpace(line)
			}
			return c.CreateException(ctx, in)
		}, showException),
	}
	f := c.Flags()
	f.StringVar(&sim, "sim", "", "for this card")
	f.StringVar(&in.Customer, "customer", "", "for all cards of a customer")
	f.StringSliceVar(&in.Rules, "rule", nil, "the rule")
	f.DurationVar(&in0, "in", 0, "begins in")
	f.DurationVar(&length, "for", 24*time.Hour, "how long")
	f.StringVar(&in.Reason, "reason", "", "why; it is recorded")
	return c
}

func simPools(k *conn) *cobra.Command {
	var file, drop string
	c := &cobra.Command{
		Use: "pools", Short: "List pools of equipment; --set FILE makes one, --drop forgets one", Args: exactArgs(0),
		Long: "List pools of equipment in which cards may sit by turns. --set takes JSON: name, tacs (eight digits) and imeis. IMEIs are sealed and never given back.",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case file != "":
				var p api.IMEIPool
				if err := k.readJSON(file, 4<<20, &p); err != nil {
					return err
				}
				return ask(k, func(ctx context.Context, c *client.Client, _ []string) (api.IMEIPool, error) {
					return c.PutIMEIPool(ctx, p)
				},
					func(w io.Writer, p api.IMEIPool) { row(w, p.Name, fmt.Sprintf("version %d", p.Version)) })(cmd, args)
			case drop != "":
				return ask(k, func(ctx context.Context, c *client.Client, _ []string) (struct{}, error) {
					return struct{}{}, c.DropIMEIPool(ctx, drop)
				}, func(io.Writer, struct{}) {})(cmd, args)
			}
			return ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.IMEIPool, error) {
				return c.IMEIPools(ctx)
			}, func(w io.Writer, ps []api.IMEIPool) {
				row(w, "NAME", "MODELS", "IMEIS", "VERSION", "MADE")
				for _, p := range ps {
					row(w, p.Name, dash(strings.Join(p.TACs, ",")), p.Count, p.Version, when(p.Made))
				}
			})(cmd, args)
		},
	}
	c.Flags().StringVar(&file, "set", "", "file with a pool in JSON; - = standard input")
	c.Flags().StringVar(&drop, "drop", "", "forget this pool")
	return c
}

// areasAtOnce bounds the areas of one request.
const areasAtOnce = 10_000

func simAreas(k *conn) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "areas", Short: "List where areas are; --set FILE.csv replaces the table", Args: exactArgs(0),
		Long: "List the table of areas. --set takes CSV whose first line names the columns area, lat, lon, and may name name and risk (0 to 100).",
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				return ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.UsageArea, error) {
					return all(ctx, c.UsageAreas)
				}, func(w io.Writer, as []api.UsageArea) {
					row(w, "AREA", "NAME", "LAT", "LON", "RISK")
					for _, a := range as {
						row(w, a.Area, dash(a.Name), a.Lat, a.Lon, a.Risk)
					}
				})(cmd, args)
			}
			areas, err := k.readAreas(file)
			if err != nil {
				return err
			}
			return ask(k, func(ctx context.Context, c *client.Client, _ []string) (int, error) {
				for from := 0; from < len(areas); from += areasAtOnce {
					if err := c.PutUsageAreas(ctx, areas[from:min(len(areas), from+areasAtOnce)], from > 0); err != nil {
						return 0, err
					}
				}
				return len(areas), nil
			}, func(w io.Writer, n int) { row(w, n, "areas") })(cmd, args)
		},
	}
	c.Flags().StringVar(&file, "set", "", "CSV file; - = standard input")
	return c
}

func (k *conn) readAreas(file string) ([]api.UsageArea, error) {
	t, err := k.openTable(file, []string{"area", "lat", "lon"}, []string{"name", "risk"})
	if err != nil {
		return nil, err
	}
	defer t.close()
	var all []api.UsageArea
	for {
		f, err := t.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		a := api.UsageArea{Area: f["area"], Name: f["name"]}
		if a.Lat, err = strconv.ParseFloat(f["lat"], 64); err == nil {
			a.Lon, err = strconv.ParseFloat(f["lon"], 64)
		}
		if err == nil && f["risk"] != "" {
			a.Risk, err = strconv.Atoi(f["risk"])
		}
		if err != nil {
			return nil, t.bad("a number is none")
		}
		all = append(all, a)
	}
}

// table is a CSV file whose first line names its columns.
type table struct {
	r       *csv.Reader
	columns []string
	file    io.Closer
	line    int
}

// maxTable bounds a CSV file that is read.
const maxTable = 256 << 20

func (k *conn) openTable(file string, needed, allowed []string) (*table, error) {
	t := &table{}
	in := k.env.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "reading %q: %w", file, err)
		}
		in, t.file = f, f
	}
	t.r = csv.NewReader(io.LimitReader(in, maxTable))
	t.r.FieldsPerRecord, t.r.ReuseRecord, t.r.TrimLeadingSpace = -1, true, true
	head, err := t.r.Read()
	t.line = 1
	if err != nil {
		t.close()
		return nil, t.bad("it has no first line that names columns")
	}
	for _, h := range head {
		name := strings.ToLower(strings.TrimSpace(strings.TrimPrefix(h, "\ufeff")))
		if !slices.Contains(needed, name) && !slices.Contains(allowed, name) || slices.Contains(t.columns, name) {
			t.close()
			return nil, t.bad("column %.40q is none of %s, or is there twice", name, strings.Join(append(slices.Clone(needed), allowed...), ", "))
		}
		t.columns = append(t.columns, name)
	}
	for _, n := range needed {
		if !slices.Contains(t.columns, n) {
			t.close()
			return nil, t.bad("there is no column %q", n)
		}
	}
	return t, nil
}

func (t *table) close() {
	if t.file != nil {
		_ = t.file.Close() // it was only read
	}
}

// next returns the fields of the next line; io.EOF at the end.
func (t *table) next() (map[string]string, error) {
	rec, err := t.r.Read()
	t.line++
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil || len(rec) != len(t.columns) {
		return nil, t.bad("it has %d fields, the first line %d", len(rec), len(t.columns))
	}
	f := map[string]string{}
	for i, v := range rec {
		f[t.columns[i]] = strings.TrimSpace(v)
	}
	return f, nil
}

func (t *table) bad(format string, args ...any) error {
	return ringwall.Errorf(ringwall.Invalid, "line %d: %s", t.line, fmt.Sprintf(format, args...))
}

func simCredit(k *conn) *cobra.Command {
	var seller bool
	c := &cobra.Command{
		Use: "credit [NAME]", Short: "Show the credit of customers, or of sellers, explained",
		Args: cobra.MaximumNArgs(1),
	}
	kind := func() string {
		if seller {
			return "seller"
		}
		return "customer"
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.Credit, error) {
				return c.Credits(ctx, kind())
			}, func(w io.Writer, cs []api.Credit) {
				row(w, "NAME", "CREDIT", "CARDS", "WORST")
				for _, c := range cs {
					worst := "-"
					if len(c.Deductions) > 0 {
						worst = c.Deductions[0].Rule
					}
					row(w, c.Name, creditText(c), c.Cards, worst)
				}
			})(cmd, args)
		}
		return ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Credit, error) {
			return c.Credit(ctx, kind(), args[0])
		}, func(w io.Writer, c api.Credit) {
			row(w, c.Kind, c.Name)
			row(w, "credit", creditText(c))
			row(w, "cards used", c.Cards, "since "+c.From.Format(time.DateOnly))
			for _, d := range c.Deductions {
				row(w, fmt.Sprintf("-%.1f", d.Points), d.Rule, fmt.Sprintf("%d alerts of %d cards (%.1f %%), %s to %s", d.Alerts, d.Cards, 100*d.Share, d.First.Format(time.DateOnly), d.Last.Format(time.DateOnly)))
				for _, id := range d.Proofs {
					row(w, "", "", id)
				}
			}
		})(cmd, args)
	}
	c.Flags().BoolVar(&seller, "seller", false, "of intermediaries, not of customers")
	return c
}

func creditText(c api.Credit) string {
	if !c.Known {
		return "unknown (too little " + c.Why + ")"
	}
	return strconv.Itoa(c.Value) + " of 100"
}
