"""Short seccomp filters for a few system calls, every other one being allowed.

Pure. struct sock_filter and its instructions: linux/filter.h; struct seccomp_data and the actions:
linux/seccomp.h; AUDIT_ARCH_*: linux/audit.h.
"""

from __future__ import annotations

import struct
import sys

from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

X86_64, I386 = 0xC000003E, 0x40000003
AARCH64, ARM = 0xC00000B7, 0x40000028
S390X, S390 = 0x80000016, 0x00000016
RISCV64, LOONGARCH64, PPC64LE = 0xC00000F3, 0xC0000102, 0xC0000015

ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
SUCCEED = 0x00050000  # SECCOMP_RET_ERRNO with no error

_INSTRUCTION = struct.Struct("=HBBI")
_LOAD, _AND, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # where they are in struct seccomp_data
_LOW = 0 if sys.byteorder == "little" else 4


class Check(Value):
    """Do `action` where argument number `argument` has one of `values` in the bits of `mask`."""

    __slots__ = ("action", "argument", "mask", "values")

    def __init__(self, argument: int, values: tuple[int, ...], action: int, mask: int) -> None:
        self.argument = argument
        self.values = values
        self.action = action
        self.mask = mask


def program(
    calls: Mapping[int, Mapping[int, int]],
    checks: Mapping[int, Mapping[int, Check]] | None = None,
) -> bytes:
    """An array of struct sock_filter; empty without any call.

    calls: AUDIT_ARCH_* → number of a call → action; checks: the same of calls of which only some
    are meant.
    """
    if not calls:
        return b""
    blocks = b"".join(
        _block(arch, numbers, (checks or {}).get(arch, {})) for arch, numbers in calls.items()
    )
    return _load(_ARCH) + blocks + _return(ALLOW)


def _block(arch: int, numbers: Mapping[int, int], checks: Mapping[int, Check]) -> bytes:
    """What is done for calls of `arch`; others go on behind it."""
    body = _load(_NUMBER)
    for number, check in checks.items():
        code = _checked(check)
        body += _jump(number, 0, len(code) // _INSTRUCTION.size) + code
    for action in sorted(set(numbers.values())):
        body += _one_action([key for key, value in numbers.items() if value == action], action)
    body += _return(ALLOW)
    return _jump(arch, 0, len(body) // _INSTRUCTION.size) + body


def _one_action(numbers: list[int], action: int) -> bytes:
    """Return `action` for them; others go on behind it."""
    jumps = b"".join(
        _jump(number, left, 0 if left else 1)
        for left, number in zip(range(len(numbers) - 1, -1, -1), numbers, strict=True)
    )
    return jumps + _return(action)


def _checked(check: Check) -> bytes:
    load = _load(_ARGUMENTS + 8 * check.argument + _LOW)
    mask = _INSTRUCTION.pack(_AND, 0, 0, check.mask)
    return load + mask + _one_action(list(check.values), check.action) + _return(ALLOW)


def _load(place: int) -> bytes:
    return _INSTRUCTION.pack(_LOAD, 0, 0, place)


def _jump(value: int, if_equal: int, otherwise: int) -> bytes:
    return _INSTRUCTION.pack(_JUMP_IF_EQUAL, if_equal, otherwise, value)


def _return(action: int) -> bytes:
    return _INSTRUCTION.pack(_RETURN, 0, 0, action)
