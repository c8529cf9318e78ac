// SPDX-License-Identifier: MIT

// Package guid has the GUIDs of Hyper-V sockets, under the names that go-winio
// has for them.
package guid

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// GUID has the layout of Windows: three little-endian numbers, eight bytes.
type GUID struct {
	Data1 uint32
	Data2 uint16
	Data3 uint16
	Data4 [8]byte
}

var (
	_ encoding.TextMarshaler   = GUID{}
	_ encoding.TextUnmarshaler = (*GUID)(nil)
)

// NewV4 makes a random one.
func NewV4() (GUID, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return GUID{}, err
	}
	return versioned(b, 4), nil
}

// NewV5 makes the one that stands for a name in a namespace: always the same.
func NewV5(namespace GUID, name []byte) (GUID, error) {
	var b [16]byte
	space := namespace.ToArray()
	sum := sha1.Sum(append(space[:], name...))
	copy(b[:], sum[:])
	return versioned(b, 5), nil
}

func versioned(b [16]byte, version byte) GUID {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	return FromArray(b)
}

// FromArray takes the bytes in the order in which they are written as text.
func FromArray(b [16]byte) GUID {
	return from(b, binary.BigEndian)
}

// ToArray gives the bytes in the order in which they are written as text.
func (g GUID) ToArray() [16]byte {
	return g.to(binary.BigEndian)
}

// FromWindowsArray takes the bytes as they lie in memory and in addresses.
func FromWindowsArray(b [16]byte) GUID {
	return from(b, binary.LittleEndian)
}

// ToWindowsArray gives the bytes as they lie in memory and in addresses.
func (g GUID) ToWindowsArray() [16]byte {
	return g.to(binary.LittleEndian)
}

func from(b [16]byte, order binary.ByteOrder) GUID {
	g := GUID{
		Data1: order.Uint32(b[0:4]),
		Data2: order.Uint16(b[4:6]),
		Data3: order.Uint16(b[6:8]),
	}
	copy(g.Data4[:], b[8:])
	return g
}

func (g GUID) to(order binary.ByteOrder) (b [16]byte) {
	order.PutUint32(b[0:4], g.Data1)
	order.PutUint16(b[4:6], g.Data2)
	order.PutUint16(b[6:8], g.Data3)
	copy(b[8:], g.Data4[:])
	return b
}

func (g GUID) String() string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x",
		g.Data1, g.Data2, g.Data3, g.Data4[:2], g.Data4[2:])
}

// FromString reads "00000000-0000-0000-0000-000000000000", in any case.
func FromString(s string) (GUID, error) {
	var b [16]byte
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' ||
		s[23] != '-' {
		return GUID{}, fmt.Errorf("%q is not a GUID", s)
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(b[:], []byte(digits)); err != nil {
		return GUID{}, fmt.Errorf("%q is not a GUID", s)
	}
	return FromArray(b), nil
}

// MarshalText writes it as String does.
func (g GUID) MarshalText() ([]byte, error) {
	return []byte(g.String()), nil
}

// UnmarshalText reads what FromString takes.
func (g *GUID) UnmarshalText(text []byte) error {
	other, err := FromString(string(text))
	if err == nil {
		*g = other
	}
	return err
}
