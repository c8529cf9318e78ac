// SPDX-License-Identifier: MIT

package hvsocket

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// Requests, and what else is in docs/protocol.md.
const (
	msgHello   = 1
	msgBind    = 2
	msgConnect = 3
	msgListen  = 4
	msgResolve = 7

	reply       = 0x8000
	version     = 1
	frameMax    = 65536
	mostFDs     = 253
	reasonNone  = 0
	noBroker    = 13
	listenEvent = 1 // flag of LISTEN: a notice

	answerWithin = 10 * time.Second // without a deadline
)

// Error is a refusal: an errno, which errors.Is finds, and why.
type Error struct {
	Errno  syscall.Errno
	Reason uint32 // docs/protocol.md, section 7
	Text   string // one sentence
	Broker string // the directory of the broker that was asked
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (reason %d; broker %s)", e.Text, e.Reason,
		e.Broker)
}

// Unwrap makes errors.Is(err, syscall.ECONNREFUSED) work.
func (e *Error) Unwrap() error {
	return e.Errno
}

// Timeout tells net.Error of one.
func (e *Error) Timeout() bool {
	return e.Errno.Timeout()
}

// Temporary is part of net.Error.
func (e *Error) Temporary() bool {
	return e.Errno.Temporary()
}

// broker is one control connection.
type broker struct {
	conn   *net.UnixConn
	dir    string
	serial uint32
}

// dirs are where a broker may be: the first that answers is asked.
func dirs() []string {
	if dir := os.Getenv("HVSOCKET_RUNTIME_DIR"); dir != "" &&
		os.Getuid() == os.Geteuid() {
		return []string{dir}
	}
	own := os.Getenv("XDG_RUNTIME_DIR")
	if own == "" || os.Getuid() != os.Geteuid() {
		own = fmt.Sprintf("/run/user/%d", os.Getuid())
	}
	return []string{"/run/hvsocket", own + "/hvsocket"}
}

// dialControl goes through /proc where the path is longer than an address has
// room for.
func dialControl(ctx context.Context, dir string) (*net.UnixConn, error) {
	var d net.Dialer
	if len(dir) > 99 {
		const oPath = 0x200000
		at, err := syscall.Open(dir, oPath|syscall.O_DIRECTORY|
			syscall.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		defer syscall.Close(at)
		dir = fmt.Sprintf("/proc/self/fd/%d", at)
	}
	c, err := d.DialContext(ctx, "unixpacket", dir+"/control")
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

func dialBroker(ctx context.Context) (*broker, error) {
	var last error
	for _, dir := range dirs() {
		c, err := dialControl(ctx, dir)
		if err == nil {
			b := &broker{conn: c, dir: dir}
			hello := binary.LittleEndian.AppendUint32(nil, version)
			hello = binary.LittleEndian.AppendUint32(hello, version)
			if _, err = b.ask(ctx, msgHello, hello, -1); err == nil {
				return b, nil
			}
			b.close()
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		last = &Error{syscall.ENETDOWN, noBroker,
			"no broker answers there: " + plain(err), dir}
	}
	return nil, last
}

// plain is the error of the system, without what was done.
func plain(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

func (b *broker) close() {
	b.conn.Close()
}

func (b *broker) send(kind uint16, payload []byte, fd int) error {
	b.serial++
	frame := binary.LittleEndian.AppendUint16(nil, kind)
	frame = append(frame, 0, 0)
	frame = binary.LittleEndian.AppendUint32(frame, b.serial)
	var rights []byte
	if fd >= 0 {
		rights = syscall.UnixRights(fd)
	}
	_, _, err := b.conn.WriteMsgUnix(append(frame, payload...), rights, nil)
	return err
}

// ask sends a request and waits for its reply: what comes after the header, or
// the refusal.
func (b *broker) ask(ctx context.Context, kind uint16, payload []byte,
	fd int) ([]byte, error) {
	if _, limited := ctx.Deadline(); !limited {
		b.conn.SetDeadline(time.Now().Add(answerWithin))
	} else {
		b.conn.SetDeadline(time.Time{})
	}
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-ctx.Done():
			b.conn.SetDeadline(time.Unix(1, 0)) // wakes us up
		case <-done:
		}
	}()
	defer func() { close(done); <-ended }()

	if err := b.send(kind, payload, fd); err != nil {
		return nil, b.broken(ctx, err)
	}
	data, oob := make([]byte, frameMax), make([]byte,
		syscall.CmsgSpace(mostFDs*4))
	for {
		n, m, _, _, err := b.conn.ReadMsgUnix(data, oob)
		if err != nil {
			return nil, b.broken(ctx, err)
		}
		closeAll(oob[:m]) // nothing here asks for descriptors
		if n < 16 {
			return nil, b.broken(ctx, errors.New("it has ended"))
		}
		if binary.LittleEndian.Uint16(data) != kind|reply ||
			binary.LittleEndian.Uint32(data[4:]) != b.serial {
			continue
		}
		errno := binary.LittleEndian.Uint32(data[8:])
		if errno == 0 {
			return data[16:n], nil
		}
		return nil, &Error{syscall.Errno(errno),
			binary.LittleEndian.Uint32(data[12:]),
			strings.ToValidUTF8(string(data[16:n]), "?"), b.dir}
	}
}

func (b *broker) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &Error{syscall.ETIMEDOUT, reasonNone,
			"the broker does not answer", b.dir}
	}
	return &Error{syscall.ENETDOWN, noBroker,
		"the broker: " + plain(err), b.dir}
}

func closeAll(oob []byte) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			syscall.Close(fd)
		}
	}
}

// Resolve finds the address that a person's words stand for: each a name, a
// GUID, a word ("parent", "wildcard", ...), or, as a service, a port.
func Resolve(ctx context.Context, partition, service string) (*HvsockAddr,
	error) {
	b, err := dialBroker(ctx)
	if err != nil {
		return nil, err
	}
	defer b.close()
	if strings.Contains(partition+service, "\x00") {
		return nil, fmt.Errorf("%q: a zero byte in a name",
			partition+":"+service)
	}
	words := bytes.Join([][]byte{[]byte(partition), []byte(service), nil},
		[]byte{0})
	data, err := b.ask(ctx, msgResolve, words, -1)
	if err != nil {
		return nil, err
	}
	addr, err := fromRaw(data)
	if err != nil {
		return nil, err
	}
	return &addr, nil
}
