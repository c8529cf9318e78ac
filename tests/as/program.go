// SPDX-License-Identifier: MIT

// program.go - goroutines that accept and connect, a hundred of each
//
// net is there for its own sake: where cgo is, it has the program linked with
// libc, whose socket calls are not used even so.
package main

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

type addr struct {
	family, reserved uint16
	vm, service      [16]byte
}

var loopback = [16]byte{0x97, 0x61, 0xe1, 0xe0, 0x56, 0xdd, 0x10, 0x4a, 0x91, 0x95, 0x5e, 0xe7, 0xa1, 0x55, 0xa8, 0x38}

func address(port uint32) *addr {
	a := &addr{family: 34, vm: loopback}
	a.service = [16]byte{4: 0xcb, 0xfa, 0xe6, 0x11, 0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3}
	*(*uint32)(unsafe.Pointer(&a.service[0])) = port
	return a
}

func must(what string, e syscall.Errno) {
	if e != 0 {
		fmt.Println(what, e)
		os.Exit(1)
	}
}

func main() {
	if ip := net.ParseIP("127.0.0.1"); ip == nil {
		os.Exit(1)
	}
	a := address(5000)
	l, _, e := syscall.Syscall(syscall.SYS_SOCKET, 34, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 1)
	must("socket", e)
	_, _, e = syscall.Syscall(syscall.SYS_BIND, l, uintptr(unsafe.Pointer(a)), 36)
	must("bind", e)
	_, _, e = syscall.Syscall(syscall.SYS_LISTEN, l, 64, 0)
	must("listen", e)
	var wg sync.WaitGroup
	n := 100
	for i := 0; i < n; i++ {
		wg.Add(2)
		go func() {
			defer wg.Done()
			var from addr
			size := uint32(36)
			c, _, e := syscall.Syscall6(syscall.SYS_ACCEPT4, l, uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)), syscall.SOCK_CLOEXEC, 0, 0)
			must("accept", e)
			if from.family != 34 || size != 36 || from.vm != loopback {
				fmt.Println("bad peer", from, size)
				os.Exit(1)
			}
			f := os.NewFile(c, "c")
			b := make([]byte, 5)
			f.Read(b)
			f.Write(b)
			f.Close()
		}()
		go func() {
			defer wg.Done()
			c, _, e := syscall.Syscall(syscall.SYS_SOCKET, 34, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 1)
			must("socket", e)
			_, _, e = syscall.Syscall(syscall.SYS_CONNECT, c, uintptr(unsafe.Pointer(a)), 36)
			must("connect", e)
			f := os.NewFile(c, "c")
			f.Write([]byte("hello"))
			b := make([]byte, 5)
			k, _ := f.Read(b)
			if string(b[:k]) != "hello" {
				fmt.Println("got", string(b[:k]))
				os.Exit(1)
			}
			f.Close()
		}()
	}
	wg.Wait()
	fmt.Println("all have answered")
}
