//go:build !linux

package actor

import "errors"

func operator(*Env) (Ops, error) { return nil, errors.New("the range needs Linux") }
