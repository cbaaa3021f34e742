"""System calls answered by another process: seccomp's user notification (seccomp_unotify(2)).

A notification that has been received is never received again, and its caller waits until it has an
answer. So the kernel writes it right into memory that every process which may answer shares: when
one is killed, the next finds there what is left to be done.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)

# linux/seccomp.h
_SET_MODE_FILTER = 1
_FLAG_SPEC_ALLOW = 1 << 2
_FLAG_NEW_LISTENER = 1 << 3
_FLAG_WAIT_KILLABLE_RECV = 1 << 5
_CONTINUE = 1
_RECV, _SEND, _ID_VALID = 0xC0502100, 0xC0182101, 0x40082102

# seccomp(2) has no function in the C libraries. Others than these have the generic number.
_SYS_SECCOMP = {"x86_64": 317, "i686": 354, "ppc64le": 358, "s390x": 348}
_SYS_SECCOMP_ARM, _SYS_SECCOMP_GENERIC = 383, 277

# struct seccomp_notif: id, pid, flags, then struct seccomp_data: nr, arch, ip, args.
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")  # struct seccomp_notif_resp: id, val, error, flags
_NONE = bytes(_NOTIFICATION.size)
_COUNTER = struct.Struct("=Q")
_ATTEMPTS, _ANSWERED = 1024, 1032
_SIZE = 4096


def install(program: bytes, *, uninterrupted: bool = True) -> int:
    """Install `program`, an array of struct sock_filter; returns the listener, close-on-exec.

    uninterrupted: once a notification has been received, no signal but a deadly one interrupts the
    call: what is written for it then could otherwise hit memory that its caller has given to
    something else.

    Needs CAP_SYS_ADMIN or no_new_privs. Raises OSError: EBUSY when there is a listener already,
    EINVAL where the kernel knows no such thing, with `uninterrupted` before Linux 5.19.
    """
    flags = _FLAG_NEW_LISTENER | _FLAG_SPEC_ALLOW
    return install_filter(program, flags | (_FLAG_WAIT_KILLABLE_RECV if uninterrupted else 0))


def install_filter(program: bytes, flags: int) -> int:
    """seccomp(2), SECCOMP_SET_MODE_FILTER; with SECCOMP_FILTER_FLAG_NEW_LISTENER the listener."""

    class SockFprog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = SockFprog(len(program) // 8, ctypes.addressof(buffer))
    return _check(_libc.syscall(_number(), _SET_MODE_FILTER, flags, ctypes.byref(fprog)))


def _number() -> int:
    machine = os.uname().machine
    if machine.startswith("armv"):
        return _SYS_SECCOMP_ARM
    return _SYS_SECCOMP.get(machine, _SYS_SECCOMP_GENERIC)


class Notification:
    """A call that waits. pid: of its thread. call: its number by `arch` (AUDIT_ARCH_*)."""

    __slots__ = ("arch", "arguments", "call", "id", "pid")

    def __init__(
        self, number: int, pid: int, arch: int, call: int, arguments: tuple[int, ...]
    ) -> None:
        self.id = number
        self.pid = pid
        self.arch = arch
        self.call = call
        self.arguments = arguments


class Inbox:
    """Room for the one notification that is being answered, shared with forks made later."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, _SIZE)
        # Not by fcntl.ioctl(), which has the kernel write into a buffer of its own first.
        self._place = (ctypes.c_char * _SIZE).from_buffer(self._map)

    def touch(self) -> None:
        """Have the memory present in this process before the kernel writes into it."""
        self._map[0] = self._map[0]

    def receive(self, listener: int) -> bool:
        """Wait for a notification; False when its caller was killed just then. Raises OSError."""
        self._clear()
        result = _libc.ioctl(listener, ctypes.c_ulong(_RECV), self._place)
        if result < 0 and ctypes.get_errno() in (errno.ENOENT, errno.EINTR):
            return False
        _check(result)
        return True

    def unanswered(self) -> Notification | None:
        """The one in work: also what a process that has died since had received."""
        number, pid, _, call, arch, _, *arguments = _NOTIFICATION.unpack_from(self._map)
        return Notification(number, pid, arch, call, tuple(arguments)) if arch else None

    def is_answered(self) -> None:
        """Forget the notification in work, and count it."""
        _COUNTER.pack_into(self._map, _ANSWERED, self.answered + 1)
        self._clear()

    def _clear(self) -> None:
        # The kernel wants zeros where it writes.
        self._map[: len(_NONE)] = _NONE
        self._map[_ATTEMPTS] = 0

    @property
    def answered(self) -> int:
        """How many have been answered by now."""
        return int(_COUNTER.unpack_from(self._map, _ANSWERED)[0])

    @property
    def attempts(self) -> int:
        """How many processes have taken up the one in work after the first."""
        return self._map[_ATTEMPTS]

    @attempts.setter
    def attempts(self, value: int) -> None:
        self._map[_ATTEMPTS] = value


def is_waiting(listener: int, number: int) -> bool:
    """Whether the caller still waits: until then its pid is nobody else's."""
    value = ctypes.c_uint64(number)
    return bool(_libc.ioctl(listener, ctypes.c_ulong(_ID_VALID), ctypes.byref(value)) == 0)


def succeed(listener: int, number: int, value: int = 0) -> None:
    """Have the call return `value`. A caller that is gone is no failure. Raises OSError."""
    _send(listener, _ANSWER.pack(number, value, 0, 0))


def fail(listener: int, number: int, error: int) -> None:
    """Have the call fail with the errno `error`. The same otherwise."""
    _send(listener, _ANSWER.pack(number, 0, -error, 0))


def leave_to_kernel(listener: int, number: int) -> None:
    """Have the kernel do the call, as if nobody listened. The same otherwise."""
    _send(listener, _ANSWER.pack(number, 0, 0, _CONTINUE))


def _send(listener: int, answer: bytes) -> None:
    result = _libc.ioctl(listener, ctypes.c_ulong(_SEND), ctypes.c_char_p(answer))
    # EINPROGRESS: it has its answer already.
    if result < 0 and ctypes.get_errno() not in (errno.ENOENT, errno.EINPROGRESS):
        _check(result)


class _IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def write_memory(pid: int, address: int, data: bytes) -> bool:
    """process_vm_writev(2): whether all of `data` is in the memory of `pid` at `address`.

    Writes nothing that the process itself could not write to.
    """
    source = ctypes.c_char_p(data)
    ours = _IoVec(ctypes.cast(source, ctypes.c_void_p), len(data))
    return _transfer(_libc.process_vm_writev, pid, address, ours)


def read_memory(pid: int, address: int, size: int) -> bytes | None:
    """process_vm_readv(2): `size` bytes of the memory of `pid`, None where it has not that much."""
    buffer = ctypes.create_string_buffer(size)
    ours = _IoVec(ctypes.cast(buffer, ctypes.c_void_p), size)
    return buffer.raw if _transfer(_libc.process_vm_readv, pid, address, ours) else None


def _transfer(function: Any, pid: int, address: int, ours: _IoVec) -> bool:
    function.restype = ctypes.c_ssize_t
    theirs = _IoVec(address, ours.length)
    one, none = ctypes.c_ulong(1), ctypes.c_ulong(0)
    done = function(pid, ctypes.byref(ours), one, ctypes.byref(theirs), one, none)
    return bool(done == ours.length)


def read_string(pid: int, address: int, most: int) -> bytes | None:
    """The bytes before the first zero one; None where memory ends before, or `most` bytes do."""
    found = b""
    while len(found) < most:
        # Up to the end of a page: what follows may not be there.
        size = min(_SIZE - address % _SIZE, most - len(found))
        piece = read_memory(pid, address, size)
        if piece is None:
            return None
        head, end, _ = piece.partition(b"\0")
        found += head
        if end:
            return found
        address += size
    return None


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
