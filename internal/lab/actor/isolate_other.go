//go:build !linux

package actor

import (
	"context"
	"errors"
)

func isolate(Spec) error { return errors.New("the range needs Linux") }

func rewritePrivate(string, string) error { return errors.New("the range needs Linux") }

func reap(context.Context, *Env) {}
