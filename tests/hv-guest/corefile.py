# SPDX-License-Identifier: MIT
"""corefile - an ELF core of a guest's, read by its own program headers"""
import mmap
import struct

PT_LOAD, PT_NOTE = 1, 4
NT_PRSTATUS = 1
IMAGE = 0xffffffff80000000


class Core:
    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        e = struct.unpack_from("<16sHHIQQQIHHHHHH", self.data)
        assert e[0][:5] == b"\x7fELF\2" and e[1] == 4 and e[2] == 62, e
        self.loads, self.cpus, self.info = [], [], ""
        for i in range(e[10]):
            kind, _, at, va, pa, size, _, _ = struct.unpack_from(
                "<IIQQQQQQ", self.data, e[5] + i * e[9])
            if kind == PT_LOAD:
                self.loads.append((va, pa, at, size))
            elif kind == PT_NOTE:
                self._notes(at, at + size)
        direct = [va - pa for va, pa, _, _ in self.loads if va < IMAGE]
        self.direct = direct[0]

    def _notes(self, at, end):
        while at < end:
            name, desc, kind = struct.unpack_from("<III", self.data, at)
            who = self.data[at + 12:at + 12 + name].rstrip(b"\0")
            at += 12 + (name + 3) // 4 * 4
            body = self.data[at:at + desc]
            at += (desc + 3) // 4 * 4
            if who == b"CORE" and kind == NT_PRSTATUS:
                self.cpus.append(struct.unpack_from("<27Q", body, 112))
            elif who == b"VMCOREINFO":
                self.info = body.decode()

    def physical(self, va):
        for start, pa, _, size in self.loads:
            if start <= va < start + size:
                return va - start + pa
        raise AssertionError("0x%x is not in the core" % va)

    def at(self, va, n):
        for start, _, offset, size in self.loads:
            if start <= va < start + size:
                offset += va - start
                return self.data[offset:offset + n]
        raise AssertionError("0x%x is not in the core" % va)
