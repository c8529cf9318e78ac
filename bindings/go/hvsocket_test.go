// SPDX-License-Identifier: MIT

package hvsocket_test

// Needs a broker at $HVSOCKET_RUNTIME_DIR, with a service "echo" of port 5000
// and a partition "box" whose directory is $BOX: tests/bindings/test-go.py.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	winio "hvsocket"
	"hvsocket/pkg/guid"
)

var (
	host = os.Getenv("HVSOCKET_RUNTIME_DIR")
	ctx  = context.Background()
)

func loopback(port uint32) *winio.HvsockAddr {
	return &winio.HvsockAddr{VMID: winio.HvsockGUIDLoopback(),
		ServiceID: winio.VsockServiceID(port)}
}

func listen(t *testing.T, addr *winio.HvsockAddr) *winio.HvsockListener {
	t.Helper()
	l, err := winio.ListenHvsock(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func pair(t *testing.T) (client, server *winio.HvsockConn) {
	t.Helper()
	l := listen(t, &winio.HvsockAddr{VMID: winio.HvsockGUIDLoopback()})
	addr := *l.Addr().(*winio.HvsockAddr)
	client, err := winio.Dial(ctx, &addr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); s.Close() })
	return client, s.(*winio.HvsockConn)
}

func refused(t *testing.T, err error, errno syscall.Errno,
	reason uint32) *winio.Error {
	t.Helper()
	var op *net.OpError
	var why *winio.Error
	if !errors.As(err, &op) || op.Net != "hvsock" {
		t.Fatalf("%T %v is no net.OpError", err, err)
	}
	if !errors.As(err, &why) {
		t.Fatalf("%T %v does not say why", err, err)
	}
	if !errors.Is(err, errno) || why.Reason != reason || why.Text == "" ||
		why.Broker != os.Getenv("HVSOCKET_RUNTIME_DIR") {
		t.Fatalf("%v: %+v", err, why)
	}
	return why
}

func TestAddresses(t *testing.T) {
	for text, g := range map[string]guid.GUID{
		"00000000-0000-0000-0000-000000000000": winio.HvsockGUIDWildcard(),
		"ffffffff-ffff-ffff-ffff-ffffffffffff": winio.HvsockGUIDBroadcast(),
		"e0e16197-dd56-4a10-9195-5ee7a155a838": winio.HvsockGUIDLoopback(),
		"36bd0c5c-7276-4223-88ba-7d03b654c568": winio.HvsockGUIDSiloHost(),
		"90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd": winio.HvsockGUIDChildren(),
		"a42e7cda-d03f-480c-9cc2-a4de20abb878": winio.HvsockGUIDParent(),
		"00001388-facb-11e6-bd58-64006a7986d3": winio.VsockServiceID(5000),
	} {
		if g.String() != text {
			t.Errorf("%s, not %s", g, text)
		}
	}
	a := loopback(5000)
	if a.Network() != "hvsock" || a.String() != "e0e16197-dd56-4a10-"+
		"9195-5ee7a155a838:00001388-facb-11e6-bd58-64006a7986d3" {
		t.Error(a.Network(), a)
	}
}

func TestEchoFromTheBox(t *testing.T) {
	l := listen(t, &winio.HvsockAddr{VMID: winio.HvsockGUIDWildcard(),
		ServiceID: winio.VsockServiceID(5000)})
	who := make(chan net.Addr, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		who <- c.RemoteAddr()
		io.Copy(c, c)
		c.(*winio.HvsockConn).CloseWrite()
		c.Close()
	}()
	t.Setenv("HVSOCKET_RUNTIME_DIR", os.Getenv("BOX"))
	addr, err := winio.Resolve(ctx, "parent", "5000")
	if err != nil {
		t.Fatal(err)
	}
	c, err := winio.Dial(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	data := bytes.Repeat([]byte("hello\n"), 50000)
	go func() { c.Write(data); c.CloseWrite() }()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, data) {
		t.Error(len(got), err)
	}
	if c.RemoteAddr().String() != addr.String() {
		t.Error(c.RemoteAddr())
	}
	t.Setenv("HVSOCKET_RUNTIME_DIR", host)
	box, err := winio.Resolve(ctx, "box", "5000")
	if err != nil {
		t.Fatal(err)
	}
	peer := (<-who).(*winio.HvsockAddr)
	if peer.VMID != box.VMID ||
		peer.ServiceID != c.LocalAddr().(*winio.HvsockAddr).ServiceID {
		t.Error(peer, box, c.LocalAddr())
	}
}

func TestRefusals(t *testing.T) {
	_, err := winio.Dial(ctx, loopback(5001))
	refused(t, err, syscall.ECONNREFUSED, 6)
	_, err = winio.Dial(ctx, &winio.HvsockAddr{
		ServiceID: winio.VsockServiceID(1)})
	refused(t, err, syscall.EADDRNOTAVAIL, 15)
	_, err = winio.ListenHvsock(&winio.HvsockAddr{
		VMID:      winio.HvsockGUIDChildren(),
		ServiceID: winio.VsockServiceID(5999)})
	refused(t, err, syscall.EACCES, 1)
	listen(t, loopback(5002))
	_, err = winio.ListenHvsock(loopback(5002))
	refused(t, err, syscall.EADDRINUSE, 14)
	if _, err = winio.Resolve(ctx, "nobody", "1"); !errors.Is(err,
		syscall.EHOSTUNREACH) {
		t.Error(err)
	}
	if _, err = winio.Resolve(ctx, "a\x00b", "1"); err == nil {
		t.Error("a zero byte")
	}
}

func TestNoBroker(t *testing.T) {
	t.Setenv("HVSOCKET_RUNTIME_DIR", "/nonexistent")
	_, err := winio.Dial(ctx, loopback(1))
	refused(t, err, syscall.ENETDOWN, 13)
}

// Socket addresses have 108 bytes for a path, directories more.
func TestLongPath(t *testing.T) {
	dir := t.TempDir() + "/" + strings.Repeat("long", 40)
	if err := os.Symlink(host, dir); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HVSOCKET_RUNTIME_DIR", dir)
	if _, err := winio.Dial(ctx, loopback(5001)); !errors.Is(err,
		syscall.ECONNREFUSED) {
		t.Error(err)
	}
}

func TestRetries(t *testing.T) {
	time.AfterFunc(50*time.Millisecond, func() {
		l, err := winio.ListenHvsock(loopback(5003))
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { l.Close() })
	})
	d := winio.HvsockDialer{Retries: 1000, RetryWait: 5 * time.Millisecond,
		Deadline: time.Now().Add(20 * time.Second)}
	c, err := d.Dial(ctx, loopback(5003))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	d.Retries, d.Deadline = 2, time.Time{}
	_, err = d.Dial(ctx, loopback(5004))
	refused(t, err, syscall.ECONNREFUSED, 6)
}

func TestContexts(t *testing.T) {
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := winio.Dial(over, loopback(5001)); !errors.Is(err,
		context.Canceled) {
		t.Error(err)
	}
	d := winio.HvsockDialer{Deadline: time.Now().Add(-time.Second)}
	if _, err := d.Dial(ctx, loopback(5001)); !errors.Is(err,
		context.DeadlineExceeded) {
		t.Error(err)
	}
	soon, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	d = winio.HvsockDialer{Retries: 1 << 20, RetryWait: time.Hour}
	_, err := d.Dial(soon, loopback(5001))
	refused(t, err, syscall.ECONNREFUSED, 6)
	var ne net.Error
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &ne) ||
		!ne.Timeout() {
		t.Error(err)
	}
	over, cancel = context.WithCancel(ctx)
	time.AfterFunc(30*time.Millisecond, cancel)
	if _, err = d.Dial(over, loopback(5001)); !errors.Is(err,
		context.Canceled) {
		t.Error(err)
	}
}

// A broker that says what no broker says.
func TestHostileBroker(t *testing.T) {
	dir := t.TempDir()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{
		Name: dir + "/control", Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("HVSOCKET_RUNTIME_DIR", dir)
	answer := make(chan []byte, 1)
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			reply, b := <-answer, make([]byte, 65536)
			c.Read(b)
			c.Write([]byte{1, 128, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
				0, 0, 0})
			c.Read(b)
			b[1] |= 128
			rights := syscall.UnixRights(0, 1, 2)
			c.WriteMsgUnix(append(b[:8:8], reply...), rights, nil)
			c.Read(b) // to the end
			c.Close()
		}
	}()
	zero := make([]byte, 8)
	files := func() int {
		names, _ := os.ReadDir("/proc/self/fd")
		return len(names)
	}
	before := files()
	for _, reply := range [][]byte{nil, zero, append(zero, 1, 0, 0, 0),
		append(zero, zero...), make([]byte, 60000),
		bytes.Repeat([]byte{255}, 65000)} {
		answer <- reply
		if c, err := winio.Dial(ctx, loopback(1)); err == nil {
			t.Error(len(reply), c)
		}
		answer <- reply
		if l, err := winio.ListenHvsock(loopback(1)); err == nil {
			t.Error(len(reply), l)
		}
		answer <- reply
		a, err := winio.Resolve(ctx, "a", "b")
		if err == nil || a != nil {
			t.Error(len(reply), a, err)
		}
	}
	for i := 0; files() > before+1; i++ { // the other side closes late
		if i > 5000 {
			t.Fatal("descriptors are left", before, files())
		}
		time.Sleep(time.Millisecond)
	}
}

func TestDeadlinesAndEnds(t *testing.T) {
	c, s := pair(t)
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() ||
		!errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	c.SetDeadline(time.Time{})
	if err = s.CloseRead(); err != nil {
		t.Error(err)
	}
	if _, err = c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Error(err)
	}
	if err = s.CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err = c.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	if c.IsClosed() || c.Close() != nil || !c.IsClosed() {
		t.Error("close")
	}
	if _, err = c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	raw, err := s.SyscallConn()
	if err != nil || raw.Control(func(uintptr) {}) != nil {
		t.Error(err)
	}
}

func TestCloseEndsAccept(t *testing.T) {
	l := listen(t, loopback(5005))
	ended := make(chan error)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	// and the address is free
	listen(t, loopback(5005))
}

func TestManyAtOnce(t *testing.T) {
	l := listen(t, loopback(5006))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	ended := make(chan error)
	for i := 0; i < 50; i++ {
		go func() {
			c, err := winio.Dial(ctx, loopback(5006))
			if err == nil {
				defer c.Close()
				c.Write([]byte("many"))
				b := make([]byte, 4)
				_, err = io.ReadFull(c, b)
			}
			ended <- err
		}()
	}
	for i := 0; i < 50; i++ {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
