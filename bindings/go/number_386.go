// SPDX-License-Identifier: MIT

package hvsocket

// Linux has had these since 4.3; package syscall knows socketcall(2) only.
const (
	sysGetsockname = 367
	sysGetpeername = 368
)
