package platform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/console"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/spine"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/task"
)

const (
	// lookEvery is the round that notices what nobody reports.
	lookEvery = 30 * time.Second
	// respondEvery is the responder's round; a wake comes sooner.
	respondEvery = time.Second
	// followRetry is the pause before an input of usage records is tried again.
	followRetry = 10 * time.Second
	// drainTime is what requests under way get when the platform stops.
	drainTime = 10 * time.Second
)

// Run serves until ctx ends, then stops in order: listeners, requests under
// way, the parts, the stores. It calls ready, if not nil, once when all serve.
func (p *Platform) Run(ctx context.Context, ready func()) error {
	err := task.Run(ctx, ready, p.tasks()...)
	return errors.Join(err, p.Close())
}

func (p *Platform) tasks() []task.Task {
	tasks := []task.Task{
		task.Func("gateways", p.serveGateways),
		task.Func("projector", func(ctx context.Context, ready func()) error { ready(); return p.proj.run(ctx) }),
		task.Func("outbox", func(ctx context.Context, ready func()) error { ready(); return p.pub.run(ctx) }),
		task.Func("events", p.followEvents),
		task.Func("responder", p.respondAll),
		task.Func("operators", p.respondAllSIMs),
		task.Func("presence", p.lookAround),
		task.Func("rollouts", p.carryRollouts),
		task.Func("descriptions", p.fetchMUDs),
		task.Func("warnings", p.sendWarnings),
		task.Func("assess", p.lookAfter),
		task.Func("evidence", p.expireEvidence),
		task.Func("api", p.serveHTTP),
	}
	if p.tunnels != nil {
		tasks = append(tasks, task.Func("tunnels", p.runTunnels))
	}
	if p.judgesUsage() && p.cfg.Demo == nil { // a demo's comes with its file
		tasks = append(tasks, task.Func("usage", func(ctx context.Context, ready func()) error { ready(); return p.usage.run(ctx) }))
	}
	if c := p.cfg.UsageCluster; c != nil {
		tasks = append(tasks, task.Func("usage", func(ctx context.Context, ready func()) error { ready(); return p.talkUsage(ctx, c) }))
	}
	if p.mqtt.port != nil {
		tasks = append(tasks, task.Func("mqtt", p.mqtt.port.Run))
	}
	if p.cfg.Demo != nil {
		tasks = append(tasks, task.Func("demo", p.runDemo))
	}
	return tasks
}

// serveGateways answers gateways until ctx ends; requests under way are
// waited for when the connection is closed.
func (p *Platform) serveGateways(ctx context.Context, ready func()) error {
	stop, err := p.desk.serve(p.conn)
	if err != nil {
		return err
	}
	defer stop()
	ready()
	<-ctx.Done()
	return nil
}

// followEvents hands what is published to those who watch live.
func (p *Platform) followEvents(ctx context.Context, ready func()) error {
	stop, err := p.conn.Subscribe(spine.Events, p.watchEvents)
	if err != nil {
		return err
	}
	defer stop()
	ready()
	<-ctx.Done()
	return nil
}

// rounds calls f for each organisation, every so often and when woken. An
// organisation whose round fails does not keep the others from theirs.
func (p *Platform) rounds(ctx context.Context, every time.Duration, wake <-chan struct{}, f func(k *keptScopes, org ringwall.OrgID) error) error {
	kept := &keptScopes{auditor: p.auditor, now: p.core.now}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		orgs, err := p.orgs(ctx, kept)
		if err != nil && ctx.Err() == nil {
			p.core.log.Error("round not begun", "cause", err)
		}
		for _, o := range orgs {
			if err := f(kept, o.ID); err != nil && ctx.Err() == nil {
				p.core.log.Error("round not finished", "org", o.ID, "cause", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-tick.C:
		}
	}
}

func (p *Platform) orgs(ctx context.Context, kept *keptScopes) (orgs []api.Org, err error) {
	scope, err := kept.get(ctx, audit.SysPresence, audit.SystemPresence, "")
	if err != nil {
		return nil, err
	}
	return orgs, p.store.View(ctx, func(tx *sqlstore.Tx) (err error) { orgs, err = tx.Orgs(scope); return err })
}

func (p *Platform) lookAround(ctx context.Context, ready func()) error {
	ready()
	return p.rounds(ctx, lookEvery, nil, func(k *keptScopes, org ringwall.OrgID) error {
		scope, err := k.get(ctx, audit.SysPresence, audit.SystemPresence, org)
		if err != nil {
			return err
		}
		if err := p.look(ctx, scope); err != nil {
			return err
		}
		return p.crossLook(ctx, k, org)
	})
}

// crossLook compares what operators say of cards with what gateways say of the
// devices that they are in.
func (p *Platform) crossLook(ctx context.Context, k *keptScopes, org ringwall.OrgID) error {
	scope, err := k.get(ctx, audit.SysUsage, audit.SystemUsage, org)
	if err != nil {
		return err
	}
	err = p.core.crossCheck(ctx, scope)
	now := p.core.now()
	if d := now.Sub(p.compared[org]); d >= 0 && d < volumeEvery {
		return err
	}
	p.compared[org] = now
	return errors.Join(err, p.core.compareVolumes(ctx, scope, p.segments))
}

func (p *Platform) respondAll(ctx context.Context, ready func()) error {
	ready()
	return p.rounds(ctx, respondEvery, p.wake, func(k *keptScopes, org ringwall.OrgID) error {
		scope, err := k.get(ctx, audit.SysProject, audit.SystemProject, org)
		if err != nil {
			return err
		}
		return p.respondDevices(ctx, scope)
	})
}

func (p *Platform) respondAllSIMs(ctx context.Context, ready func()) error {
	ready()
	return p.rounds(ctx, respondEvery, p.wakeSIMs, func(k *keptScopes, org ringwall.OrgID) error {
		scope, err := k.get(ctx, audit.SysProject, audit.SystemProject, org)
		if err != nil {
			return err
		}
		var sims simPort
		if s := p.sims.Load(); s != nil {
			sims = *s
		}
		return errors.Join(p.respondSIMs(ctx, scope, sims), p.core.askProfiles(ctx, scope, sims), p.core.askStates(ctx, scope, sims))
	})
}

const (
	// defaultKeep is how long evidence is kept unless told otherwise: a quarter
	// of a year, within which an attack is usually found out.
	defaultKeep = 90 * 24 * time.Hour
	// expireEvery is the round that removes older evidence.
	expireEvery = time.Hour
)

// expireEvidence removes evidence that is older than it is kept, as far as it
// has been turned into state.
func (p *Platform) expireEvidence(ctx context.Context, ready func()) error {
	ready()
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		read, err := p.proj.cursor(ctx)
		if err == nil {
			err = p.segments.Expire(p.core.now().Add(-p.cfg.Keep), read)
		}
		if err != nil && ctx.Err() == nil {
			p.core.log.Error("old evidence is not removed", "cause", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// talkUsage talks to the machines that judge usage records, again when it fails.
func (p *Platform) talkUsage(ctx context.Context, c *UsageCluster) error {
	if err := os.MkdirAll(p.usage.dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of card usage: %w", err)
	}
	for {
		u := &usageTalk{core: p.core, home: p.org, cluster: c, keyFile: p.usage.keyFile(), tells: keptScopes{auditor: p.auditor, now: p.core.now}}
		err := u.run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		p.core.log.Error("the usage machines are not talked to; trying again", "cause", err)
		if !waited(ctx, followRetry) {
			return nil
		}
	}
}

// judgesUsage reports whether usage records are judged here.
func (p *Platform) judgesUsage() bool { return len(p.usage.files) > 0 || p.usage.open != nil }

// runDemo brings the range up once the API serves, and down when ctx ends. The
// range's operator writes usage records, which are followed meanwhile.
func (p *Platform) runDemo(ctx context.Context, ready func()) error {
	var d *demo
	var err error
	recorded, why := p.cfg.Demo.Recorded, "it was asked for"
	if !recorded {
		d, err = startDemo(ctx, p.service, p.org, *p.cfg.Demo, p.EnrolAddr().String(), p.SpineAddr().String(), p.tunnelAddr(), p.CAFile(), func(s simPort) { p.sims.Store(&s) })
		if recorded = isCode(err, ringwall.Unavailable); recorded {
			why = words(err)
		}
	}
	if recorded {
		d, err = startRecorded(ctx, p.service, p.org, p.conn, filepath.Join(p.dir, recordedDir), why, p.cfg.Demo.Speed)
	}
	if err != nil {
		return err
	}
	p.demo.Store(d)
	ready()
	if file := d.usageFile(); file != "" {
		p.usage.files = append(p.usage.files, UsageFile{Path: file})
	}
	if p.judgesUsage() {
		err = p.usage.run(ctx)
	}
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, d.close())
}

// serveHTTP serves the API and the console, and, at the other door, enrolment.
func (p *Platform) serveHTTP(ctx context.Context, ready func()) error {
	plain := p.cfg.Plain || loopback(p.listen.Addr())
	throttle := httpapi.NewThrottle(p.core.now)
	pages, err := console.New(console.Config{Service: p.service, Log: p.core.log, Now: p.core.now, Throttle: throttle, Secure: !plain,
		EnrolAddress: enrolAddress(p.cfg.Names, p.EnrolAddr())})
	if err != nil {
		return err
	}
	cfg := httpapi.Config{
		Service: p.service, Log: p.core.log, Now: p.core.now, Metrics: p.meters.registry, Ready: p.ready, Console: pages, Throttle: throttle, Secure: !plain,
	}
	main := p.server(ctx, httpapi.New(cfg))
	main.RegisterOnShutdown(p.hub.close) // live streams have no end of their own
	cfg.Console, cfg.Metrics, cfg.Secure = nil, nil, true
	enrol := http.NewServeMux()
	enrol.Handle("POST /v1/enrol", httpapi.New(cfg))
	door := p.server(ctx, enrol)
	ready()
	return task.Run(ctx, nil,
		task.Func("main", func(ctx context.Context, ready func()) error { ready(); return p.serve(ctx, main, p.listen, plain) }),
		task.Func("enrolment", func(ctx context.Context, ready func()) error { ready(); return p.serve(ctx, door, p.door, false) }))
}

func (p *Platform) server(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		TLSConfig: p.certs.server(nil), ErrorLog: slog.NewLogLogger(p.core.log.Handler(), slog.LevelDebug),
		// Requests end with Shutdown, not with ctx: those under way are finished.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
}

// serve runs a server until ctx ends, then lets requests under way finish.
func (p *Platform) serve(ctx context.Context, srv *http.Server, l net.Listener, plain bool) error {
	failed := make(chan error, 1)
	go func() {
		if plain {
			failed <- srv.Serve(l)
			return
		}
		failed <- srv.ServeTLS(l, "", "")
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		p.core.log.Warn("requests cut off", "cause", err)
		_ = srv.Close()
	}
	<-failed
	return nil
}

// ready reports whether the platform can do its work.
func (p *Platform) ready(ctx context.Context) error {
	if err := p.segments.Failed(); err != nil {
		return err
	}
	if !p.conn.Connected() {
		return ringwall.Errorf(ringwall.Unavailable, "the spine is not connected")
	}
	return p.store.View(ctx, func(*sqlstore.Tx) error { return nil })
}
