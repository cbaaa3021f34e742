"""`rl oci exec`."""

from __future__ import annotations

import os

from rootless.cli import oci_options
from rootless.cli.cmd_oci import number_of, root_of
from rootless.errors import UsageError
from rootless.oci import exec as running
from rootless.oci import lifecycle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cli.options import Parsed
    from rootless.oci.statedir import Record

_ROOTS = ("bounding", "effective", "permitted")
_OTHERS = (*_ROOTS, "inheritable", "ambient")


def _exec(parsed: Parsed) -> int:
    from rootless.runtime import selfcopy

    selfcopy.run_from_copy()
    record = lifecycle.find(root_of(parsed), parsed.arguments[0])
    options = running.Options(_process(parsed, record))
    options.detached = parsed.flag("detach")
    options.cgroup = parsed.text("cgroup")
    options.preserved = number_of(parsed, "preserve-fds")
    for name in ("console-socket", "pid-file", "pidfd-socket"):
        path = parsed.text(name)
        setattr(options, name.replace("-", "_"), os.path.abspath(path) if path else "")
    return running.run(record, options)


def _process(parsed: Parsed, record: Record) -> dict[str, Any]:
    from rootless.oci import document

    if parsed.text("process"):
        wanted = document.read_json(parsed.text("process"))
        document.check_process(wanted)
        return wanted
    if not parsed.arguments[1:]:
        raise UsageError("rl oci exec: needs a command, or --process")
    wanted = {**record.status.get("process", {}), "args": parsed.arguments[1:]}
    wanted["terminal"] = parsed.flag("tty")
    wanted["cwd"] = parsed.text("cwd") or wanted.get("cwd", "/")
    _set_user(parsed, wanted)
    _add_capabilities(parsed, wanted)
    _set_rest(parsed, wanted)
    document.check_process(wanted)
    return wanted


def _set_user(parsed: Parsed, wanted: dict[str, Any]) -> None:
    user = wanted["user"] = dict(wanted.get("user", {}))
    if parsed.text("user"):
        uid, _, gid = parsed.text("user").partition(":")
        if not uid.isdecimal() or (gid and not gid.isdecimal()):
            raise UsageError(f"--user {parsed.text('user')}: numbers, as UID[:GID]")
        user["uid"] = int(uid)
        user["gid"] = int(gid) if gid else user.get("gid", 0)
    groups = parsed.split("additional-gids")
    if not all(gid.isdecimal() for gid in groups):
        raise UsageError("--additional-gids: numbers only")
    user["additionalGids"] = [*user.get("additionalGids", []), *map(int, groups)]


def _add_capabilities(parsed: Parsed, wanted: dict[str, Any]) -> None:
    if not parsed.all("cap"):
        return
    sets = {name: list(wanted.get("capabilities", {}).get(name) or []) for name in _OTHERS}
    for name in _ROOTS if wanted["user"].get("uid", 0) == 0 else _OTHERS:
        sets[name] += parsed.all("cap")
    wanted["capabilities"] = sets


def _set_rest(parsed: Parsed, wanted: dict[str, Any]) -> None:
    env = dict(entry.partition("=")[::2] for entry in wanted.get("env", []))
    for entry in parsed.all("env"):
        name, _, value = entry.partition("=")
        env[name] = value
    wanted["env"] = [f"{name}={value}" for name, value in env.items()]
    # As in crun, the document's own is for the first process alone.
    wanted["noNewPrivileges"] = parsed.flag("no-new-privs")
    for option, key in (("apparmor", "apparmorProfile"), ("process-label", "selinuxLabel")):
        if parsed.text(option):
            wanted[key] = parsed.text(option)


SIGNATURES = {"exec": oci_options.exec_(_exec)}
