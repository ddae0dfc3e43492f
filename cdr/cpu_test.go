package cdr

import (
	"time"

	"golang.org/x/sys/unix"
)

// spent is the processor time that this process has used: on a machine that is
// shared it says more than a clock.
func spent() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}
