//go:build !linux

package actor

import (
	"context"
	"errors"
	"io"
	"syscall"
)

const loginProgram = ""

func ownSession() *syscall.SysProcAttr { return nil }

func onTerminal(context.Context, io.ReadWriter, string, ...string) error {
	return errors.New("the range needs Linux")
}

func endSessions() {}

func awaitPort(context.Context, string) error { return errors.New("the range needs Linux") }
