package task_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ringwall/ringwall/internal/task"
)

func TestRun_oneFailureEndsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		long := task.Func("long", func(ctx context.Context, ready func()) error {
			ready()
			<-ctx.Done()
			ended = true
			return ctx.Err()
		})
		boom := errors.New("boom")
		short := task.Func("short", func(context.Context, func()) error { return boom })
		err := task.Run(t.Context(), nil, long, short)
		if !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "short: ") {
			t.Errorf("Run = %v, want boom of task short", err)
		}
		if !ended {
			t.Error("Run returned before the other task had ended")
		}
	})
}

func TestRun_readyOnlyWhenAllAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		gate := make(chan struct{})
		mk := func(name string, wait bool) task.Task {
			return task.Func(name, func(ctx context.Context, ready func()) error {
				if wait {
					<-gate
				}
				ready()
				<-ctx.Done()
				return nil
			})
		}
		ready := false
		done := make(chan error)
		go func() { done <- task.Run(ctx, func() { ready = true }, mk("a", false), mk("b", true)) }()
		synctest.Wait()
		if ready {
			t.Error("ready before task b was")
		}
		close(gate)
		synctest.Wait()
		if !ready {
			t.Error("not ready though both tasks are")
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run after cancel = %v, want nil", err)
		}
	})
}
