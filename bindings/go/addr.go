// SPDX-License-Identifier: MIT

// Package hvsocket has Hyper-V sockets on Linux, under the names that go-winio
// has for them on Windows. A program changes one line:
//
//	import winio "hvsocket"
//
// It speaks docs/protocol.md with the broker and needs neither cgo nor
// libhvsocket; connections are sockets of the kernel's, with Go's own poller.
// Streams only, as there. What go-winio has not: Resolve, for names, and Error,
// which says why something was refused.
package hvsocket

import (
	"encoding/binary"
	"fmt"

	"hvsocket/pkg/guid"
)

const afHyperV = 34

// HvsockGUIDWildcard hears every partition.
func HvsockGUIDWildcard() guid.GUID {
	return guid.GUID{}
}

// HvsockGUIDBroadcast is for datagrams to all children, which are not here.
func HvsockGUIDBroadcast() guid.GUID {
	return known("ffffffff-ffff-ffff-ffff-ffffffffffff")
}

// HvsockGUIDLoopback is the partition that one is in.
func HvsockGUIDLoopback() guid.GUID {
	return known("e0e16197-dd56-4a10-9195-5ee7a155a838")
}

// HvsockGUIDSiloHost is the host of a container.
func HvsockGUIDSiloHost() guid.GUID {
	return known("36bd0c5c-7276-4223-88ba-7d03b654c568")
}

// HvsockGUIDChildren hears the partitions below this one.
func HvsockGUIDChildren() guid.GUID {
	return known("90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd")
}

// HvsockGUIDParent is the partition above this one: a VM's host.
func HvsockGUIDParent() guid.GUID {
	return known("a42e7cda-d03f-480c-9cc2-a4de20abb878")
}

// VsockServiceID is the service that an AF_VSOCK port is.
func VsockServiceID(port uint32) guid.GUID {
	g := known("00000000-facb-11e6-bd58-64006a7986d3")
	g.Data1 = port
	return g
}

func known(text string) guid.GUID {
	g, err := guid.FromString(text)
	if err != nil {
		panic(err)
	}
	return g
}

// HvsockAddr is who, and what.
type HvsockAddr struct {
	VMID      guid.GUID
	ServiceID guid.GUID
}

// Network is "hvsock".
func (*HvsockAddr) Network() string {
	return "hvsock"
}

func (addr *HvsockAddr) String() string {
	return fmt.Sprintf("%s:%s", addr.VMID, addr.ServiceID)
}

// raw is the 36 bytes of SOCKADDR_HV.
func (addr *HvsockAddr) raw() []byte {
	b := binary.LittleEndian.AppendUint16(nil, afHyperV)
	b = append(b, 0, 0)
	vm, service := addr.VMID.ToWindowsArray(), addr.ServiceID.ToWindowsArray()
	return append(append(b, vm[:]...), service[:]...)
}

func fromRaw(b []byte) (addr HvsockAddr, err error) {
	if len(b) < 36 || binary.LittleEndian.Uint16(b) != afHyperV {
		return addr, fmt.Errorf("no Hyper-V address in %d bytes", len(b))
	}
	return HvsockAddr{windows(b[4:]), windows(b[20:])}, nil
}

func windows(b []byte) guid.GUID {
	return guid.FromWindowsArray(*(*[16]byte)(b[:16]))
}
