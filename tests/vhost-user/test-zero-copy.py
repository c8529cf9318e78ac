#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Payload goes from guest memory to the socket without a buffer between.

Runs the program under a tracer while 4 MB go each way, and compares where its
system calls moved bytes with the mappings of guest memory in the same trace.

usage: test-zero-copy.py TRACER PROGRAM MOVER
"""
import os
import subprocess
import sys
import tempfile

BYTES = 4000000
# Frames of the broker and messages of the VMM are smaller than this.
SMALL = 65536

MAP_SHARED = 1
PROT_WRITE = 2
READS = ('read', 'readv', 'recvmsg', 'recvfrom')
WRITES = ('write', 'writev', 'sendmsg', 'sendto')


def moved(vectors, result):
    """The (address, length) pairs that `result` bytes went through."""
    for v in vectors:
        address, length = v.split(':')
        part = min(int(length), result)
        if part:
            yield int(address, 16), part
        result -= part


def analyse(lines):
    guest = []
    inside = {'in': 0, 'out': 0}
    outside = {'in': [], 'out': []}
    for line in lines:
        name, *rest = line.split()
        if name == 'mmap':
            address, length = int(rest[0], 16), int(rest[1])
            if (int(rest[2]) & PROT_WRITE and int(rest[3]) & MAP_SHARED and
                    int(rest[4]) >= 0):
                guest.append((address, address + length))
        elif name == 'munmap':
            address = int(rest[0], 16)
            guest = [g for g in guest if g[0] != address]
        elif name in READS or name in WRITES:
            way = 'in' if name in READS else 'out'
            if 'unreadable' in rest:
                sys.exit('a buffer list could not be read: ' + line)
            for address, length in moved(rest[2:], int(rest[1])):
                if any(a <= address and address + length <= b
                       for a, b in guest):
                    inside[way] += length
                else:
                    outside[way].append(length)
        elif guest:  # (before that, the dynamic loader is at work)
            sys.exit('bytes moved in a way that is not looked at: ' + line)
    return inside, outside


def main():
    tracer, program, mover = sys.argv[1:]
    with tempfile.TemporaryDirectory() as d:
        log = os.path.join(d, 'trace')
        env = dict(os.environ, VHOST_USER_PROGRAM=tracer,
                   VHOST_USER_SANDBOX='none', TRACE_PROGRAM=program,
                   TRACE_LOG=log)
        subprocess.run([mover], env=env, check=True)
        with open(log) as f:
            inside, outside = analyse(f.read().splitlines())
    print('guest memory to sockets:', inside['out'], 'bytes')
    print('sockets to guest memory:', inside['in'], 'bytes')
    print('elsewhere, written:', sum(outside['out']), 'read:',
          sum(outside['in']))
    ok = True
    # into the guest: every byte, always
    if inside['in'] != BYTES:
        print('FAIL: not all bytes for the guest were read into its memory')
        ok = False
    if inside['out'] != BYTES:
        print('FAIL: not all bytes of the guest were written from its memory')
        ok = False
    if sum(outside['out']) > SMALL:
        print('FAIL: payload was written from a buffer')
        ok = False
    if sum(outside['in']) > SMALL:
        print('FAIL: payload was read into a buffer')
        ok = False
    return 0 if ok else 1


if __name__ == '__main__':
    sys.exit(main())
