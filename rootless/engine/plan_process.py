"""The `process` part of the OCI runtime document: who runs what, with which powers. Pure."""

from __future__ import annotations

import os

from rootless.errors import UsageError
from rootless.model import capabilities, user
from rootless.model.idmap import size_of, to_outside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.facts import HostFacts
    from rootless.model.container import ContainerSpec
    from rootless.model.idmap import IdMap
    from rootless.model.security import SecurityChoice
    from rootless.model.user import ExecUser

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEEP_GROUPS = "keep-groups"


def command_of(spec: ContainerSpec, config: dict[str, Any]) -> list[str]:
    """Entrypoint and arguments, as docker combines the image's with the flags'.

    An --entrypoint drops the image's CMD as well. Raises UsageError when nothing is left to run.
    """
    entrypoint, arguments = _words(config.get("Entrypoint")), _words(config.get("Cmd"))
    if spec.entrypoint is not None:
        entrypoint, arguments = spec.entrypoint, []
    args = entrypoint + (spec.command or arguments)
    if not args:
        raise UsageError(
            "no command to run: the image names none", hint=f"rl run {spec.image or '…'} sh"
        )
    return args


def _words(value: Any) -> list[str]:
    return list(value) if isinstance(value, list) else []


def environment(
    spec: ContainerSpec, config: dict[str, Any], who: ExecUser, hostname: str
) -> list[str]:
    """`NAME=VALUE` entries: defaults, then the image's, then the flags'."""
    env = {"PATH": DEFAULT_PATH, "container": "rl"}
    if spec.tty:
        env["TERM"] = "xterm"
    if hostname:
        env["HOSTNAME"] = hostname
    env["HOME"] = who.home or "/"
    for entry in _words(config.get("Env")):
        name, equals, value = str(entry).partition("=")
        if name and equals:
            env[name] = value
    env.update(spec.env)
    return [f"{name}={value}" for name, value in env.items()]


def who_runs(
    spec: ContainerSpec, config: dict[str, Any], default_user: str, passwd: str, group: str
) -> ExecUser:
    """The process's user: the flag's, the image's, or the user namespace's default."""
    return user.resolve(spec.user or str(config.get("User") or "") or default_user, passwd, group)


def build(
    spec: ContainerSpec,
    config: dict[str, Any],
    facts: HostFacts,
    who: ExecUser,
    security: SecurityChoice,
    *,
    group: str,
    hostname: str,
    gids: IdMap,
) -> dict[str, Any]:
    """The OCI `process` object (runtime-spec, config.md, "Process"). gids: what is mapped."""
    process: dict[str, Any] = {
        "terminal": spec.tty,
        "user": {
            "uid": who.uid,
            "gid": who.gid,
            "umask": spec.umask,
            "additionalGids": _groups(spec, who, group, gids),
        },
        "args": command_of(spec, config),
        "env": environment(spec, config, who, hostname),
        "cwd": os.path.join("/", spec.workdir or str(config.get("WorkingDir") or "/")),
        "capabilities": _capabilities(spec, who),
        "noNewPrivileges": security.no_new_privileges,
    }
    if spec.tty and facts.terminal_size:
        rows, columns = facts.terminal_size
        process["consoleSize"] = {"height": rows, "width": columns}
    if spec.oom_score_adj is not None:
        process["oomScoreAdj"] = spec.oom_score_adj
    if spec.ulimits:
        process["rlimits"] = _limits(spec.ulimits)
    if security.apparmor not in ("", "unconfined"):
        process["apparmorProfile"] = security.apparmor
    return process


def _capabilities(spec: ContainerSpec, who: ExecUser) -> dict[str, list[str]]:
    bounding = capabilities.resolve(spec.cap_add, spec.cap_drop, privileged=spec.privileged)
    added = capabilities.explicitly_added(spec.cap_add, bounding)
    return capabilities.process_capabilities(bounding, is_root=who.uid == 0, added=added)


def _groups(spec: ContainerSpec, who: ExecUser, group: str, gids: IdMap) -> list[int]:
    """The image's groups as far as they are mapped, and those asked for, which have to be."""
    words = [word for word in spec.group_add if word != KEEP_GROUPS]
    added = user.additional_groups(words, group) if words else ()
    if size_of(gids) == 1:
        return list(dict.fromkeys((who.gid, *who.groups, *added)))  # setgroups(2) is answered
    for gid in added:
        if to_outside(gids, gid) is None:
            raise UsageError(f"--group-add {gid}: not among the {size_of(gids)} group ids mapped")
    own = [gid for gid in who.groups if to_outside(gids, gid) is not None]
    return list(dict.fromkeys((who.gid, *own, *added)))


def _limits(texts: list[str]) -> list[dict[str, Any]]:
    from rootless.model import ulimits

    return ulimits.to_oci(ulimits.parse_all(texts))
