// SPDX-License-Identifier: MIT

package hvsocket

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const backlog = 128

// HvsockConn is a connection.
type HvsockConn struct {
	sock          *net.UnixConn
	local, remote HvsockAddr
	closed        atomic.Bool
}

var _ net.Conn = &HvsockConn{}

func newSocket() (*os.File, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|
		syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return os.NewFile(uintptr(fd), "hvsock"), nil
}

// fd is the number of a file that stays as it is: Fd() would make it block.
func number(f *os.File) (fd int) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1
	}
	raw.Control(func(n uintptr) { fd = int(n) })
	return fd
}

// An end that connects has an abstract name of 82 bytes that says who it is
// and what it has dialled (docs/protocol.md, section 6).
type end struct {
	own, dialled HvsockAddr
}

func endOf(raw syscall.RawConn, call uintptr) (e end, err error) {
	var name syscall.RawSockaddrUnix
	size := uint32(unsafe.Sizeof(name))
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = syscall.RawSyscall(call, fd,
			uintptr(unsafe.Pointer(&name)),
			uintptr(unsafe.Pointer(&size)))
	})
	if err != nil {
		return e, err
	}
	if errno != 0 {
		return e, errno
	}
	b := (*[108]byte)(unsafe.Pointer(&name.Path))[:]
	if size != 2+1+82 || b[0] != 0 || string(b[1:5]) != "hvs1" {
		return e, errors.New("the other end is no Hyper-V socket")
	}
	b = b[1:]
	return end{HvsockAddr{windows(b[6:]), windows(b[22:])},
		HvsockAddr{windows(b[38:]), windows(b[54:])}}, nil
}

// connOf takes the file, whatever happens.
func connOf(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

func (conn *HvsockConn) opErr(op string, err error) error {
	var inner *net.OpError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return &net.OpError{Op: op, Net: "hvsock", Source: &conn.local,
		Addr: &conn.remote, Err: err}
}

func (conn *HvsockConn) Read(b []byte) (int, error) {
	n, err := conn.sock.Read(b)
	return n, conn.unlessEnd("read", err)
}

func (conn *HvsockConn) Write(b []byte) (int, error) {
	n, err := conn.sock.Write(b)
	return n, conn.unlessEnd("write", err)
}

// unlessEnd keeps io.EOF and nil as they are, which are no net.OpError.
func (conn *HvsockConn) unlessEnd(op string, err error) error {
	var inner *net.OpError
	if errors.As(err, &inner) {
		return conn.opErr(op, err)
	}
	return err
}

// Close ends the connection, and reads and writes that wait.
func (conn *HvsockConn) Close() error {
	conn.closed.Store(true)
	return conn.unlessEnd("close", conn.sock.Close())
}

// IsClosed says whether Close was called.
func (conn *HvsockConn) IsClosed() bool {
	return conn.closed.Load()
}

// CloseRead ends the direction to us.
func (conn *HvsockConn) CloseRead() error {
	return conn.unlessEnd("closeread", conn.sock.CloseRead())
}

// CloseWrite ends the direction from us: the other side reads to the end.
func (conn *HvsockConn) CloseWrite() error {
	return conn.unlessEnd("closewrite", conn.sock.CloseWrite())
}

// LocalAddr is this end's.
func (conn *HvsockConn) LocalAddr() net.Addr {
	return &conn.local
}

// RemoteAddr is who was dialled, or who has dialled.
func (conn *HvsockConn) RemoteAddr() net.Addr {
	return &conn.remote
}

// SetDeadline is net.Conn's.
func (conn *HvsockConn) SetDeadline(t time.Time) error {
	return conn.sock.SetDeadline(t)
}

// SetReadDeadline is net.Conn's.
func (conn *HvsockConn) SetReadDeadline(t time.Time) error {
	return conn.sock.SetReadDeadline(t)
}

// SetWriteDeadline is net.Conn's.
func (conn *HvsockConn) SetWriteDeadline(t time.Time) error {
	return conn.sock.SetWriteDeadline(t)
}

// SyscallConn gives the descriptor, of a socket of the kernel's.
func (conn *HvsockConn) SyscallConn() (syscall.RawConn, error) {
	return conn.sock.SyscallConn()
}

// HvsockListener is a service that takes connections.
type HvsockListener struct {
	sock *net.UnixListener
	addr HvsockAddr
	// while it lasts the listener is ours: the broker removes its name
	// when both are gone
	broker *broker
}

var _ net.Listener = &HvsockListener{}

// ListenHvsock makes a listener. VMID is whom to hear; a ServiceID of zeros
// asks for a number that nobody has.
func ListenHvsock(addr *HvsockAddr) (_ *HvsockListener, err error) {
	l := &HvsockListener{addr: *addr}
	ctx := context.Background()
	f, err := newSocket()
	if err != nil {
		return nil, l.opErr("listen", err)
	}
	defer f.Close()
	if l.broker, err = dialBroker(ctx); err != nil {
		return nil, l.opErr("listen", err)
	}
	if err = l.listen(ctx, f); err != nil {
		l.broker.close()
		return nil, l.opErr("listen", err)
	}
	return l, nil
}

func (l *HvsockListener) listen(ctx context.Context, f *os.File) error {
	data, err := l.broker.ask(ctx, msgBind,
		append(l.addr.raw(), 0, 0, 0, 0), number(f))
	if err != nil {
		return err
	}
	if l.addr, err = fromRaw(data); err != nil {
		return err
	}
	request := binary.LittleEndian.AppendUint16(nil, syscall.SOCK_STREAM)
	request = append(append(request, 0, 0), l.addr.raw()...)
	_, err = l.broker.ask(ctx, msgListen, append(request, 0, 0, 0, 0), -1)
	if err != nil {
		return err
	}
	if err = syscall.Listen(number(f), backlog); err != nil {
		return os.NewSyscallError("listen", err)
	}
	sock, err := net.FileListener(f)
	if err != nil {
		return err
	}
	l.sock = sock.(*net.UnixListener)
	// whoever waits for us goes on
	return l.broker.send(msgListen, append(request, listenEvent, 0, 0, 0),
		-1)
}

func (l *HvsockListener) opErr(op string, err error) error {
	var inner *net.OpError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return &net.OpError{Op: op, Net: "hvsock", Addr: &l.addr, Err: err}
}

// Accept waits for a connection, an *HvsockConn.
func (l *HvsockListener) Accept() (net.Conn, error) {
	for {
		sock, err := l.sock.AcceptUnix()
		if err != nil {
			return nil, l.opErr("accept", err)
		}
		raw, err := sock.SyscallConn()
		if err == nil {
			var peer end
			peer, err = endOf(raw, sysGetpeername)
			if err == nil {
				return &HvsockConn{sock: sock, local: l.addr,
					remote: peer.own}, nil
			}
		}
		sock.Close() // who has no name of ours is no error of ours
	}
}

// Addr is what was bound.
func (l *HvsockListener) Addr() net.Addr {
	return &l.addr
}

// Close ends the listener, and an Accept that waits.
func (l *HvsockListener) Close() error {
	err := l.sock.Close()
	l.broker.close()
	if err != nil {
		return l.opErr("close", err)
	}
	return nil
}
