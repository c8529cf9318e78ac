# SPDX-License-Identifier: MIT
"""tsc - how fast the time stamp counter of this machine runs

A kernel measures it at boot against emulated timers. Where its processor does
not run for a while meanwhile, as on a busy machine, it may find a fraction of
the rate, and its clocks then run many times too fast: each time limit in it is
over at once. QEMU's emulation shows the real counter, so the rate can be told.
"""
import ctypes
import mmap
import time

# rdtsc; shl $32, %rdx; or %rdx, %rax; ret
CODE = bytes.fromhex("0f3148c1e2204809d0c3")
LOOK_S = 0.1


def khz():
    room = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE |
                     mmap.PROT_EXEC)
    room.write(CODE)
    start = ctypes.c_char.from_buffer(room)
    rdtsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(start))

    def both():
        """Counter and clock, of the look that took least."""
        looks = []
        for _ in range(50):
            before, ticks = time.monotonic_ns(), rdtsc()
            after = time.monotonic_ns()
            looks.append((after - before, ticks, (before + after) // 2))
        return min(looks)[1:]

    ticks, ns = both()
    time.sleep(LOOK_S)
    more, later = both()
    return (more - ticks) * 1000000 // (later - ns)
