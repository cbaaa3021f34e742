"""`rl oci state`, `list`, `ps`, `events`."""

from __future__ import annotations

import time

from rootless.cli import diagnostics, oci_options, output
from rootless.cli.cmd_oci import root_of
from rootless.errors import UsageError
from rootless.oci import lifecycle, members, statedir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cli.options import Parsed


def _print_json(value: Any, indent: int | None = 2) -> None:
    import json

    print(json.dumps(value, indent=indent), flush=True)


def _state(parsed: Parsed) -> int:
    record = lifecycle.find(root_of(parsed), parsed.arguments[0])
    document = record.document()
    for key in ("rootfs", "created", "owner"):
        document[key] = record.status.get(key, "")
    if record.status.get("scope"):
        document["systemd-scope"] = record.status["scope"]
    _print_json(document)
    return 0


def _list(parsed: Parsed) -> int:
    rows = lifecycle.rows(root_of(parsed))
    if parsed.text("format") == "json":
        _print_json(rows, None)
    elif parsed.flag("quiet"):
        for row in rows:
            print(row["id"])
    else:
        columns = ("id", "pid", "status", "bundle", "created", "owner")
        cells = [[str(row[name]) for name in columns] for row in rows]
        output.write_table([name.upper() for name in columns], cells)
    return 0


def _ps(parsed: Parsed) -> int:
    record = lifecycle.find(root_of(parsed), parsed.arguments[0])
    pids = members.of(record)
    if parsed.text("format") == "json":
        _print_json(pids, None)
        return 0
    from rootless.kernel import proctable

    print(f"{'PID':>8} {'PPID':>8} COMMAND")
    table = proctable.read()
    for pid in pids:
        if pid in table:
            print(f"{pid:>8} {table[pid].parent:>8} {diagnostics.harmless(_command(pid))}")
    return 0


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4096).rstrip(b"\0").split(b"\0")
    except OSError:
        return "?"
    return b" ".join(words).decode(errors="replace")


def _events(parsed: Parsed) -> int:
    from rootless.oci import usage

    seconds = _seconds(parsed.text("interval"))
    record = lifecycle.find(root_of(parsed), parsed.arguments[0])
    while True:
        _print_json({"type": "stats", "id": record.id, "data": usage.read(record)}, None)
        if parsed.flag("stats"):
            return 0
        time.sleep(seconds)
        if record.state == statedir.STOPPED:
            return 0


def _seconds(text: str) -> float:
    factors = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    number = text.rstrip("msh")
    unit = text[len(number) :] or "s"
    if not number.isdecimal() or unit not in factors or not int(number):
        raise UsageError(f"--interval {text}: not a time such as 5s")
    return int(number) * factors[unit]


SIGNATURES = {
    "state": oci_options.simple(_state, "Show a container's state as JSON."),
    "list": oci_options.list_(_list),
    "ps": oci_options.ps(_ps),
    "events": oci_options.events(_events),
}
