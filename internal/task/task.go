// Package task runs the long-lived parts of a program and ends them in order.
//
// A Task owns its goroutines: Run returns only when all of them have ended.
// Group runs several tasks, ends all when one fails, and waits for every one.
package task

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Task is a long-lived part of a program.
type Task interface {
	// Run works until ctx ends or the task fails. It consumes its own
	// cancellation: ended by ctx, it returns nil.
	Run(ctx context.Context) error
	// Ready is closed when the task serves.
	Ready() <-chan struct{}
	// String names the task in logs and errors.
	String() string
}

// Func makes a Task of a function. The function must close ready when it
// serves; a task that needs no warming up closes it first thing.
func Func(name string, run func(ctx context.Context, ready func()) error) Task {
	return &funcTask{name: name, run: run, ready: make(chan struct{})}
}

type funcTask struct {
	name  string
	run   func(ctx context.Context, ready func()) error
	ready chan struct{}
	once  sync.Once
}

func (t *funcTask) Run(ctx context.Context) error {
	return t.run(ctx, func() { t.once.Do(func() { close(t.ready) }) })
}
func (t *funcTask) Ready() <-chan struct{} { return t.ready }
func (t *funcTask) String() string         { return t.name }

// Run runs tasks until ctx ends or one of them fails, then ends the others and
// waits for all. It calls ready, if not nil, once when every task is ready.
// The error joins those of all tasks, each with its task's name.
func Run(ctx context.Context, ready func(), tasks ...Task) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(tasks))
	var wg sync.WaitGroup
	for i, t := range tasks {
		wg.Go(func() {
			defer cancel()
			if err := t.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				errs[i] = fmt.Errorf("%s: %w", t, err)
			}
		})
	}
	if ready != nil {
		wg.Go(func() {
			for _, t := range tasks {
				select {
				case <-t.Ready():
				case <-ctx.Done():
					return
				}
			}
			ready()
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
