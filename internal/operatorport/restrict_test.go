package operatorport

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

const (
	rICCID = "8986001234567890127"
	rIMSI  = "460001234567890"
)

func reducing(t *testing.T, now func() time.Time) (*MemStore, *Client, *httptest.Server) {
	t.Helper()
	store, err := NewMemStore(now, nil, Card{ICCID: rICCID, IMSI: rIMSI})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(NewHandler(HandlerConfig{Store: store, Token: "secret"}))
	t.Cleanup(srv.Close)
	c, err := New(Config{URL: srv.URL, Token: "secret", Plain: true, Tries: 1})
	if err != nil {
		t.Fatal(err)
	}
	return store, c, srv
}

func TestRestrict_in_force_until_lifted_or_over(t *testing.T) {
	now := time.Now()
	store, c, _ := reducing(t, func() time.Time { return now })
	card := Card{ICCID: rICCID, IMSI: rIMSI}
	want := &api.SIMRestriction{Rate: 64_000, Services: []string{"sms", "voice"}, APNs: []string{"iot.example"}}
	ask := func(r *api.SIMRestriction, until time.Time, key ringwall.ResponseID) error {
		return c.Restrict(t.Context(), card, r, until, "a reason", key)
	}
	if err := ask(want, now.Add(time.Hour), "rsp_1"); err != nil {
		t.Fatal(err)
	}
	if got := store.Restriction(rICCID); !SameRestriction(got, want) {
		t.Errorf("in force: %+v", got)
	}
	if err := ask(want, now.Add(time.Hour), "rsp_1"); err != nil { // asked again
		t.Error(err)
	}
	if err := ask(&api.SIMRestriction{Rate: 1000}, time.Time{}, "rsp_1"); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("the key used for something else: %v", err)
	}
	now = now.Add(2 * time.Hour)
	if store.Restriction(rICCID) != nil {
		t.Error("it stands though its time is over")
	}
	now = now.Add(-2 * time.Hour)
	if err := ask(nil, time.Time{}, "rsp_1"); err != nil {
		t.Error(err)
	}
	if store.Restriction(rICCID) != nil {
		t.Error("it stands though it was lifted")
	}
	for name, bad := range map[string]*api.SIMRestriction{"nothing": {}, "a rate of nothing": {Rate: 5}, "a service": {Services: []string{"fax"}}, "an access point": {APNs: []string{""}}} {
		if err := ask(bad, time.Time{}, "rsp_2"); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Restrict(t.Context(), Card{ICCID: "8986009999999999999"}, want, time.Time{}, "", "rsp_3"); ringwall.CodeOf(err) != ringwall.NotFound {
		t.Errorf("a card of nobody: %v", err)
	}
}

// TestRestrict_counts_only_what_was_asked_for: answers that say something else,
// or nothing, leave it unknown.
func TestRestrict_counts_only_what_was_asked_for(t *testing.T) {
	want := &api.SIMRestriction{Rate: 64_000}
	for name, c := range map[string]struct {
		status int
		body   string
		want   ringwall.Code
	}{
		"done":              {200, `{"iccid":"` + rICCID + `","restriction":{"rate":64000},"state":"done"}`, ""},
		"pending":           {202, `{"iccid":"` + rICCID + `","restriction":{"rate":64000},"state":"pending"}`, ringwall.Unavailable},
		"another rate":      {200, `{"iccid":"` + rICCID + `","restriction":{"rate":128000},"state":"done"}`, ringwall.Unavailable},
		"none":              {200, `{"iccid":"` + rICCID + `","restriction":null,"state":"done"}`, ringwall.Unavailable},
		"another card":      {200, `{"iccid":"8986009999999999999","restriction":{"rate":64000},"state":"done"}`, ringwall.Unavailable},
		"no state":          {200, `{"iccid":"` + rICCID + `","restriction":{"rate":64000}}`, ringwall.Unavailable},
		"not JSON":          {200, `<html>`, ringwall.Unavailable},
		"a server's error":  {500, ``, ringwall.Unavailable},
		"it knows no such":  {404, `page not found`, ringwall.Conflict},
		"not yours":         {403, ``, ringwall.Forbidden},
		"an answer too big": {200, fmt.Sprintf(`{"iccid":%q,"reason":%q}`, rICCID, make([]byte, maxBody)), ringwall.Unavailable},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		client, err := New(Config{URL: srv.URL, Token: "secret", Plain: true, Tries: 1})
		if err != nil {
			t.Fatal(err)
		}
		err = client.Restrict(context.Background(), Card{ICCID: rICCID}, want, time.Time{}, "", "rsp_1")
		srv.Close()
		if ringwall.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want code %q", name, err, c.want)
		}
	}
}
