# SPDX-License-Identifier: MIT
"""Refusals: what errno and the broker say, as an exception"""
import ctypes
import enum
import os
from ctypes import byref

from ._library import _c, _Reason


class Reason(enum.IntEnum):
    """Why something was refused: enum hvs_reason_code of <hvsocket.h>."""
    NONE = 0
    NOT_REGISTERED = 1
    BIND_DENIED = 2
    CONNECT_DENIED = 3
    SECURITY_MODULE = 4
    DISABLED = 5
    NO_LISTENER = 6
    WILDCARD = 7
    BACKLOG = 8
    PARTITION_UNKNOWN = 9
    PARTITION_OFF = 10
    NO_ANSWER = 11
    QUOTA = 12
    NO_BROKER = 13
    ADDRESS_TAKEN = 14
    NOT_A_DESTINATION = 15
    TYPE = 16
    BAD_REQUEST = 17
    NO_LONGER_ALLOWED = 18
    NOT_PERMITTED = 19
    NOT_FOUND = 20
    EXISTS = 21
    GUEST_RESET = 22
    BROKER_FAILED = 23


class HvError(OSError):
    """errno, strerror (one sentence); reason (Reason, or a newer library's
    number), reason_name, and broker, the directory of the broker asked."""
    reason = Reason.NONE
    reason_name = "none"
    broker = ""

    def __str__(self):
        if not self.reason:
            return super().__str__()
        return "%s (%s; broker %s)" % (self.strerror, self.reason_name,
                                       self.broker)

    def __reduce__(self):  # the class is found by the errno
        return _make, (*self.args, self.__dict__)


def _kind(number, kinds={}):  # one class for each errno, kept for ever
    """The class that is an HvError and what Python has for this errno."""
    plain = type(OSError(number, ""))
    if plain not in kinds:
        kinds[plain] = HvError if plain is OSError else type(
            "Hv" + plain.__name__, (HvError, plain), {
                "__module__": HvError.__module__})
    return kinds[plain]


def _make(number, text, more={}):
    e = _kind(number)(number, text)
    e.__dict__.update(more)
    return e


def _error(number, fd=-1):
    why = _Reason()
    if _c.hvs_reason(fd, byref(why)) < 0 or not why.code:
        return _make(number, os.strerror(number))
    return _make(number, why.text.decode(errors="replace"), {
        "reason": Reason._value2member_map_.get(why.code, why.code),
        "reason_name": _c.hvs_reason_name(why.code).decode(),
        "broker": os.fsdecode(why.broker)})


def _check(result):
    if result < 0:
        raise _error(ctypes.get_errno())
    return result
