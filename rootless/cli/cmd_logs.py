"""`rl logs`."""

from __future__ import annotations

import os
import time

from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import EXIT_ENGINE, UsageError
from rootless.model.digits import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine.logview import View, Wish
    from rootless.store.paths import Paths

_MOST_LINES = 10**12
_FULL = 1 << 16
_SHORT_ID = 12


def show(parsed: Parsed) -> int:
    """Write what containers have said to the streams that they said it on."""
    from rootless.engine import logview
    from rootless.store import paths

    wish = _wish(parsed)
    places = paths.discover()
    views: list[View] = []
    try:
        views += [_view(places, text, wish, parsed) for text in parsed.arguments]
        output = _Output()
        logview.show_all(views, wish, output.emit, reader=1, flush=output.flush)
    finally:
        for view in views:
            view.close()
    return 0


def _wish(parsed: Parsed) -> Wish:
    from rootless.engine.logview import Wish
    from rootless.model.moment import parse_moment

    now = time.time_ns()
    since, until = (
        parse_moment(text, now, f"--{key}") if (text := parsed.text(key)) else None
        for key in ("since", "until")
    )
    return Wish(
        tail=_tail(parsed.text("tail")),
        since_ns=since,
        until_ns=until,
        stamps=parsed.flag("timestamps"),
        follow=parsed.flag("follow"),
        details=parsed.flag("details"),
    )


def _tail(text: str) -> int | None:
    """As docker: all, or a number; one below zero is all as well."""
    if text == "all" or (number(text.removeprefix("-"), 1, _MOST_LINES) and text.startswith("-")):
        return None
    count = number(text, 0, _MOST_LINES)
    if count is None:
        raise UsageError(f"--tail {text}: not a number of lines, nor all")
    return count


def _view(places: Paths, text: str, wish: Wish, parsed: Parsed) -> View:
    from rootless.engine.logview import View
    from rootless.store import containers

    container_id = containers.find(places, text)
    before = ""
    if parsed.flag("names"):
        before = f"{containers.read_record(places, container_id)['name']} "
    elif len(parsed.arguments) > 1:
        before = f"{container_id[:_SHORT_ID]} "
    return View(places, container_id, wish, before)


class _Output:
    """Standard output and standard error, in the order of what is written to them."""

    def __init__(self) -> None:
        self._fd = 1
        self._parts: list[bytes] = []
        self._size = 0

    def emit(self, stream: str, data: bytes) -> None:
        """Write `data` soon; notes about the log go where errors go."""
        fd = 1 if stream == "stdout" else 2
        if fd != self._fd or self._size > _FULL:
            self.flush()
            self._fd = fd
        self._parts.append(data)
        self._size += len(data)

    def flush(self) -> None:
        """Write it now. Raises BrokenPipeError when nobody reads it."""
        rest = memoryview(b"".join(self._parts))
        self._parts, self._size = [], 0
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                _wait_for_room(self._fd)


def _wait_for_room(fd: int) -> None:
    """For a stream that another of its holders has made non-blocking."""
    from select import POLLOUT

    from rootless.engine.pump import poll

    poll({fd: POLLOUT}, None)


LOGS = Signature(
    show,
    "Write what containers have said, standard error to standard error.",
    (
        flag("-f --follow", "Go on until the container has ended"),
        value("-n --tail", "LINES", "Only so many lines from the end, or all", default="all"),
        value("--since", "TIME", "Only from there on: 2026-11-21T03:54:00Z, seconds, or 10m ago"),
        value("--until", "TIME", "Only up to there"),
        flag("-t --timestamps", "Put its time before each line"),
        flag("--details", "Put before each line what --log-opt labels, env and tag have chosen"),
        flag("--names", "Put the container's name before each line"),
    ),
    (Argument("CONTAINER", 1, None),),
    error_code=EXIT_ENGINE,
    examples=(
        "rl logs web",
        "rl logs --follow --tail 10 web",
        "rl logs --since 10m --timestamps web db",
    ),
)
