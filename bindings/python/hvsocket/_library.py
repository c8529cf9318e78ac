# SPDX-License-Identifier: MIT
"""libhvsocket, and the types of its calls"""
import ctypes
import os
from ctypes import (POINTER, c_char, c_char_p, c_int, c_int32, c_size_t,
                    c_ssize_t, c_uint, c_uint16, c_uint32, c_ubyte, c_void_p)


class _Sockaddr(ctypes.Structure):
    _fields_ = [("family", c_uint16), ("reserved", c_uint16),
                ("vm_id", c_ubyte * 16), ("service_id", c_ubyte * 16)]


class _Reason(ctypes.Structure):
    _fields_ = [("code", c_uint32), ("error", c_int32),
                ("text", c_char * 376), ("broker", c_char * 128)]


_Where, _Length = POINTER(_Sockaddr), POINTER(c_uint32)
_CALLS = {
    "hvs_socket": (c_int, c_int, c_int, c_int),
    "hvs_bind": (c_int, c_int, _Where, c_uint32),
    "hvs_listen": (c_int, c_int, c_int),
    "hvs_connect": (c_int, c_int, _Where, c_uint32),
    "hvs_sendto": (c_ssize_t, c_int, c_void_p, c_size_t, c_int, _Where,
                   c_uint32),
    "hvs_recvfrom": (c_ssize_t, c_int, c_void_p, c_size_t, c_int, _Where,
                     _Length),
    "hvs_getsockname": (c_int, c_int, _Where, _Length),
    "hvs_getpeername": (c_int, c_int, _Where, _Length),
    "hvs_setsockopt": (c_int, c_int, c_int, c_int, c_void_p, c_uint32),
    "hvs_getsockopt": (c_int, c_int, c_int, c_int, c_void_p, _Length),
    "hvs_reason": (c_int, c_int, POINTER(_Reason)),
    "hvs_reason_name": (c_char_p, c_uint32),
    "hvs_address_parse": (c_int, c_char_p, _Where),
    "hvs_address_format": (c_int, _Where, c_char_p, c_size_t, c_uint),
    "hvs_partition": (c_int, c_void_p, c_char_p, c_size_t),
}
_INSTALLED = "@LIBRARY@"  # by the build


def _load():
    soname = "libhvsocket.so.0"
    chosen = os.environ.get("HVSOCKET_LIBRARY")
    tried = []
    for path in [chosen] if chosen else [_INSTALLED, soname]:
        try:
            library = ctypes.CDLL(path, use_errno=True)
            for name, (result, *arguments) in _CALLS.items():
                call = getattr(library, name)
                call.restype, call.argtypes = result, arguments
            return library
        except (OSError, AttributeError) as e:
            tried.append(str(e))
    raise ImportError("hvsocket needs %s (HVSOCKET_LIBRARY says which): %s" % (
        soname, "; ".join(tried[-1:])))


_c = _load()
