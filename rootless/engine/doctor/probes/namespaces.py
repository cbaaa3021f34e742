"""User namespaces and what is made in them, tried as a start makes them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from rootless.errors import RlError
from rootless.kernel import libc, seccomp, signals
from rootless.model.idmap import IdMaps, rootful_map
from rootless.runtime import keeper
from rootless.tools import confinement, idmap, timely, userns_forbidden

_KINDS = {
    "network": libc.CLONE_NEWNET, "uts": libc.CLONE_NEWUTS, "ipc": libc.CLONE_NEWIPC,
    "cgroup": libc.CLONE_NEWCGROUP, "pid": libc.CLONE_NEWPID, "time": libc.CLONE_NEWTIME,
}  # fmt: skip
_SECONDS = 1.0
# Forbids acct(2), which nobody here calls.
_FILTER = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}],
}


def look() -> dict[str, Any]:
    """The facts that `engine.doctor.namespaces` judges, in types that `marshal` carries.

    cause: of tools.userns_forbidden, "" where user namespaces can be made and used; reason and
    command: in words. kinds: the errno of each other kind of namespace, 0 for one that works. proc:
    of mounting /proc. filter: why no seccomp filter can be set, as [message, hint], or None.
    """
    around = confinement.look()
    facts: dict[str, Any] = {name: getattr(around, name) for name in around.__slots__}
    program, no_filter = _program()
    facts.update(kernel=os.uname().release, has_openat2=_has_openat2(), filter=no_filter)
    facts.update(cause="", reason="", command="", kinds={}, proc=0)
    number = timely.ask({"": _make}, _SECONDS)[""]
    if number:
        refusal = userns_forbidden.judge(number if isinstance(number, int) else 0, around)
        facts.update(cause=refusal.cause, reason=refusal.reason, command=refusal.command)
        return facts
    single = IdMaps(rootful_map(os.geteuid(), []), rootful_map(os.getegid(), []))
    try:
        facts.update(idmap.call(lambda: _inside(program), single))
    except (RlError, OSError) as error:
        facts.update(cause=userns_forbidden.UNKNOWN, reason=str(error))
    return facts


def _make() -> int:
    """The errno of a user namespace and of the first thing that a keeper does in it."""
    for flag in (libc.CLONE_NEWUSER, libc.CLONE_NEWNS):
        number = _errno(libc.unshare, flag)
        if number:
            return number
    return 0


def _program() -> tuple[bytes, list[str] | None]:
    try:
        return seccomp.compile_filter(_FILTER), None
    except RlError as error:
        return b"", [error.message, error.hint]


def _has_openat2() -> bool:
    try:
        os.close(libc.openat2(libc.AT_FDCWD, "/", os.O_PATH))
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True


def _inside(program: bytes) -> dict[str, Any]:
    """As the container's first process does it, after the keeper's part."""
    libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
    keeper.leave_mounts_of_host()
    kinds = {name: _errno(libc.unshare, flag) for name, flag in _KINDS.items()}
    told = timely.ask({"proc": _mount_proc}, _SECONDS)["proc"]
    facts: dict[str, Any] = {"kinds": kinds, "proc": told if isinstance(told, int) else 0}
    if program:
        facts["filter"] = _set_filter(program)
    return facts


def _errno(call: Callable[..., object], *args: Any) -> int:
    try:
        call(*args)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _mount_proc() -> int:
    flags = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
    return _errno(libc.mount, "proc", "/proc", "proc", flags)


def _set_filter(program: bytes) -> list[str] | None:
    try:
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        libc.seccomp_set_mode_filter(program)
    except OSError as error:
        return [f"the kernel refuses a filter: {error.strerror}", "zgrep SECCOMP /proc/config.gz"]
    return None
