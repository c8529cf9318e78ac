// SPDX-License-Identifier: MIT

//go:build !386

package hvsocket

import "syscall"

const (
	sysGetsockname = syscall.SYS_GETSOCKNAME
	sysGetpeername = syscall.SYS_GETPEERNAME
)
