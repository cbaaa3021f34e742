"""Which system calls of a container are answered from outside, and by what filters."""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import HostError, RlError
from rootless.runtime import seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.runtime.messages import EmulationRequest


def emulation(*, single: bool) -> EmulationRequest | None:
    """What is emulated of users: nothing where more than one id is mapped."""
    if not single:
        return None
    from rootless.model import idcalls

    machine = os.uname().machine
    pretending = idcalls.pretending(machine)
    if not pretending:
        return None
    return {"older": idcalls.answering(machine, writes=False), "pretending": pretending}


def filter_of(emulated: EmulationRequest | None, *, sysinfo: bool) -> bytes:
    """Of the container's first process, empty for none. Raises HostError for a --sysinfo on a
    machine that is not known."""
    machine = os.uname().machine
    if emulated is not None:
        from rootless.model import idcalls

        return idcalls.answering(machine, with_sysinfo=sysinfo)
    if not sysinfo:
        return b""
    from rootless.model import sysinfo as calls

    program = calls.program(machine)
    if not program:
        raise HostError(f"--sysinfo: not known how it is called on {machine}")
    return program


def confinement(cache: str, *, sysinfo: bool, single: bool) -> bytes:
    """The filter of the process that answers, empty where there is none or it does without."""
    if not sysinfo and not single:
        return b""
    from rootless.procview import confined

    document = confined.EMULATING_DOCUMENT if single else confined.NOTIFIED_DOCUMENT
    return confine(document, cache)


def confine(document: dict[str, Any], cache: str) -> bytes:
    """The filter of a process of ours that answers a container. It can do without."""
    try:
        return seccomp.program_for(document, cache)
    except RlError as error:
        log.effect(f"what answers the container: no seccomp filter: {error.message}")
        return b""
