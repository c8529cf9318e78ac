// SPDX-License-Identifier: MIT

package hvsocket

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	timeoutMax = 300 * time.Second
	// after a deadline the broker still has so long to say why
	grace = 250 * time.Millisecond
)

// HvsockDialer says how to dial.
type HvsockDialer struct {
	// Deadline is when to give up; without one, and without one of the
	// context's, each try has two seconds.
	Deadline time.Time

	// Retries is how often to try again when nobody answers.
	Retries uint

	// RetryWait is the pause before each of these.
	RetryWait time.Duration
}

// Dial is that of an HvsockDialer with nothing set.
func Dial(ctx context.Context, addr *HvsockAddr) (*HvsockConn, error) {
	return (&HvsockDialer{}).Dial(ctx, addr)
}

// Dial connects to a service. The error is a net.OpError around an *Error.
func (d *HvsockDialer) Dial(ctx context.Context, addr *HvsockAddr) (
	*HvsockConn, error) {
	conn := &HvsockConn{remote: *addr}
	if !d.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, d.Deadline)
		defer cancel()
	}
	for try := uint(0); ; try++ {
		err := ctx.Err()
		if err == nil {
			err = conn.dial(ctx)
		}
		if err == nil {
			return conn, nil
		}
		if try == d.Retries || !again(err) || !pause(ctx, d.RetryWait) {
			return nil, conn.opErr("dial", ended(ctx, err))
		}
	}
}

// endedError is why the last try failed, and that there was no time for more.
type endedError struct {
	error
	context error
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return endedError{err, ctx.Err()}
}

// Is finds context.Canceled, as go-winio returns it.
func (e endedError) Is(target error) bool {
	return target == e.context
}

func (e endedError) Unwrap() error {
	return e.error
}

func (e endedError) Timeout() bool {
	return e.context == context.DeadlineExceeded
}

// again: might it go better in a moment?
func again(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ECONNREFUSED,
		syscall.ETIMEDOUT, syscall.EHOSTDOWN, syscall.ENETUNREACH} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}

func (conn *HvsockConn) dial(ctx context.Context) error {
	request := conn.remote.raw()
	request = append(request, (&HvsockAddr{}).raw()...)
	var limit time.Duration // 0: the broker's own
	if deadline, ok := ctx.Deadline(); ok {
		limit = time.Until(deadline)
		if limit > timeoutMax {
			limit = timeoutMax
		}
		if limit < time.Millisecond {
			limit = time.Millisecond
		}
	}
	request = binary.LittleEndian.AppendUint32(request,
		uint32(limit.Milliseconds()))
	request = append(request, 0, 0, 0, 0)

	f, err := newSocket()
	if err != nil {
		return err
	}
	b, err := dialBroker(ctx)
	if err != nil {
		f.Close()
		return err
	}
	defer b.close() // gives up what is still waiting
	ask, cancel := patient(ctx)
	defer cancel()
	data, err := b.ask(ask, msgConnect, request, number(f))
	if err == nil && (len(data) < 4 ||
		binary.LittleEndian.Uint32(data) != 0) {
		err = fmt.Errorf("the broker's answer makes no sense")
	}
	if err != nil {
		f.Close()
		return err
	}
	if conn.sock, err = connOf(f); err != nil {
		return os.NewSyscallError("dup", err)
	}
	raw, err := conn.sock.SyscallConn()
	if err == nil {
		var own end
		own, err = endOf(raw, sysGetsockname)
		conn.local = HvsockAddr{ServiceID: own.own.ServiceID}
	}
	if err != nil {
		conn.sock.Close()
	}
	return err
}

// patient is ctx with a deadline a little later, so that whose time is up
// hears the broker's reason and not only that.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	later, cancel := context.WithDeadline(context.Background(),
		deadline.Add(grace))
	go func() {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				cancel()
			}
		case <-later.Done():
		}
	}()
	return later, cancel
}
