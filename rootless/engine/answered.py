"""Which system calls of a container are answered from outside, and by what filters."""

from __future__ import annotations

import os

from rootless.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.userns import UserNamespace
    from rootless.runtime.messages import EmulationRequest


def emulation(namespace: UserNamespace) -> EmulationRequest | None:
    """What is emulated of users: nothing where more than one id is mapped."""
    if not namespace.host.is_single:
        return None
    maps = namespace.inner or namespace.host
    return emulation_of(maps.uids[0][0], maps.gids[0][0])


def emulation_of(uid: int, gid: int) -> EmulationRequest | None:
    """The same, for the ids that are mapped in the container."""
    from rootless.model import idcalls

    machine = os.uname().machine
    pretending = idcalls.pretending(machine)
    if not pretending:
        return None
    older = idcalls.answering(machine, writes=False)
    return {"uid": uid, "gid": gid, "older": older, "pretending": pretending}


def filter_of(sysinfo: bool, emulated: EmulationRequest | None) -> bytes:
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


def document(sysinfo: bool, single: bool) -> dict[str, Any] | None:
    """What the process that answers may call, an OCI `linux.seccomp`; None where there is none."""
    if not sysinfo and not single:
        return None
    from rootless.procview import confined

    return confined.EMULATING_DOCUMENT if single else confined.NOTIFIED_DOCUMENT
