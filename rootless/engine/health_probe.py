"""`rl healthcheck run`: the container's check, made once."""

from __future__ import annotations

import os
import select
import time

from rootless.engine import exec as engine_exec
from rootless.engine import healthcheck, live
from rootless.engine.pump import milliseconds, poll
from rootless.errors import (
    EXIT_CANNOT_INVOKE,
    EXIT_ENGINE,
    EXIT_NOT_FOUND,
    EXIT_SIGNAL_BASE,
    RlError,
)
from rootless.kernel import signals
from rootless.model import health, moment
from rootless.model.exec_spec import ExecSpec
from rootless.model.healthcheck import Check
from rootless.runtime.stdio import CapturedStdio
from rootless.store import containers
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine.live import Live
    from rootless.runtime.enter import Entry
    from rootless.store.paths import Paths

_CHUNK = 65536
# The kernel kills all processes of a container before its first one is seen to be gone.
_SECONDS_OF_AN_END = 0.5


def run(paths: Paths, text: str) -> bool:
    """Make the check of container `text` and note the result; whether it was well.

    Raises RlError when it does not run, is paused or has no check.
    """
    found = engine_exec.find(paths, text)
    record = containers.read_record(paths, found.id)
    if not record.get("health_check"):
        hint = f"rl exec {text} COMMAND"
        raise RlError(f"container {text}: has no health check", hint=hint, exit_code=EXIT_ENGINE)
    check = Check(**record["health_check"])
    start = moment.rfc3339(time.time_ns())
    code, output, words = _answer(paths, found, check)
    _refuse_cut_short(found, code)
    result = health.result(start, moment.rfc3339(time.time_ns()), code, output, words)
    healthcheck.note(paths, found.id, int(record["starts"]), result)
    return code == 0


def _answer(paths: Paths, found: Live, check: Check) -> tuple[int, bytes, str]:
    """The exit code, the output, and what is to be said before it."""
    deadline = time.monotonic() + check.timeout / 1e9
    stdio = CapturedStdio()
    entry = engine_exec.begin(paths, found, ExecSpec(check.command), stdio)
    try:
        entry.go(terminal=False)
    except RlError as error:
        if error.exit_code not in (EXIT_CANNOT_INVOKE, EXIT_NOT_FOUND):
            raise
        return error.exit_code, f"{error.message}\n".encode(), ""
    output, is_over = _collect(entry, stdio.launcher[1], deadline)
    if is_over:
        return spawn.exit_code_of(entry.status()), output, ""
    entry.kill_group()
    span = moment.duration_text(check.timeout)
    return health.TIMED_OUT, output, f"Health check exceeded timeout ({span}): "


def _collect(entry: Entry, source: int, deadline: float) -> tuple[bytes, bool]:
    """What the command writes until it ends, and whether it did so before `deadline`."""
    os.set_blocking(source, False)
    kept, is_over = b"", False
    watched = {source: select.POLLIN, entry.report.fd: select.POLLIN}
    while not is_over and (left := deadline - time.monotonic()) > 0:
        ready = poll(watched, milliseconds(left))
        # Looked at before the last read; a child that it leaves may keep the pipe open.
        is_over = entry.report.fd in ready
        if source in ready:
            data = _read(source)
            kept = (kept + data)[: health.MOST_OUTPUT + 1]
            if not data:
                del watched[source]
    return kept, is_over


def _read(source: int) -> bytes:
    try:
        return os.read(source, _CHUNK)
    except OSError:
        return b""


def _refuse_cut_short(found: Live, code: int) -> None:
    """Raise RlError where the command was ended, or held up, together with its container."""
    if code == health.TIMED_OUT and live.is_frozen(found.group):
        raise RlError(f"container {found.text}: was paused during the check", exit_code=EXIT_ENGINE)
    if code != EXIT_SIGNAL_BASE + signals.SIGKILL:
        return
    deadline = time.monotonic() + _SECONDS_OF_AN_END
    while found.pid("init"):
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)
    raise RlError(f"container {found.text}: has ended during the check", exit_code=EXIT_ENGINE)
