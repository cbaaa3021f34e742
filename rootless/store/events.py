"""What happens to containers, images and volumes, as `rl events` tells it: a journal of JSON lines.

One file for each store, node-local (docs/decisions/0025-events.md). Whoever does something appends
one line in one write(2) to a file opened with O_APPEND, so that there is neither a lock nor a
daemon; `emit` is on the start path, and a journal that cannot be written fails no command. The
journal is rotated by size and keeps one old file: events are news, not accounts.
"""

from __future__ import annotations

import os
import time

from rootless.model import jsontext
from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from rootless.store.paths import Paths

    Event = dict[str, Any]

CONTAINER, IMAGE, VOLUME = "container", "image", "volume"
# Some 2,000 events; with the file before it never more than twice that.
_MOST_BYTES = 1 << 20
_OLD = ".1"


def emit(
    paths: Paths, kind: str, action: str, actor: str, attributes: Mapping[str, object] | None = None
) -> None:
    """Note that `action` happened to `actor`, a CONTAINER's or IMAGE's id or a VOLUME's name.

    attributes: as docker has them: "name", "image", "exitCode", labels. Never raises.
    """
    now = time.time_ns()
    texts = {key: str(value) for key, value in (attributes or {}).items()}
    event = {
        "Type": kind, "Action": action, "Actor": {"ID": actor, "Attributes": texts},
        "scope": "local", "time": now // 10**9, "timeNano": now,
    }  # fmt: skip
    line = jsontext.dumps(event).encode() + b"\n"
    try:
        _append(paths, line)
    except OSError:
        pass  # a full disk: what was done counts more than what is told of it


def of_container(paths: Paths, action: str, record: Mapping[str, Any], **more: object) -> None:
    """`emit` for a container, with the attributes that follow from its record."""
    labels = record.get("labels") or {}
    attributes = {**labels, "image": record.get("image") or "", "name": record.get("name", "")}
    emit(paths, CONTAINER, action, str(record.get("id", "")), {**attributes, **more})


def _append(paths: Paths, line: bytes) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        fd = os.open(paths.events, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(paths.events), 0o700, exist_ok=True)
        fd = os.open(paths.events, flags, 0o600)
    try:
        os.write(fd, line)
        is_full = os.fstat(fd).st_size > _MOST_BYTES
    finally:
        os.close(fd)
    if is_full:
        _rotate(paths)


def _rotate(paths: Paths) -> None:
    """A line that somebody appends meanwhile goes into the old file, where readers look as well."""
    with files.Lock(f"{paths.events}.lock"):
        if os.path.getsize(paths.events) > _MOST_BYTES:
            os.rename(paths.events, paths.events + _OLD)


class Reader:
    """Reads the journal on, across rotations: each call of `new` gives what has come since."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.events
        self._fd = -1
        self._rest = b""

    def past(self) -> Iterator[Event]:
        """Everything that is still kept, then as `new`. To be called first, if at all."""
        self._open(self._path + _OLD)
        yield from self._read()
        self.close()
        yield from self.new()

    def skip(self) -> None:
        """Begin with what comes from now on."""
        self._open(self._path)
        if self._fd >= 0:
            os.lseek(self._fd, 0, os.SEEK_END)

    def new(self) -> Iterator[Event]:
        """The events that were written since the last call."""
        if self._fd < 0:
            self._open(self._path)
        yield from self._read()
        while self._was_rotated():
            # Who had it open may have written to it after it got its other name.
            yield from self._read()
            self.close()
            self._open(self._path)
            yield from self._read()

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._rest = b""

    def _open(self, path: str) -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._fd = -1

    def _was_rotated(self) -> bool:
        if self._fd < 0:
            return False
        try:
            return not os.path.samestat(os.fstat(self._fd), os.stat(self._path))
        except FileNotFoundError:
            return False  # the next event makes it

    def _read(self) -> Iterator[Event]:
        while self._fd >= 0 and (piece := os.read(self._fd, 1 << 16)):
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for line in lines:
                event = _parsed(line)
                if event is not None:
                    yield event


def _parsed(line: bytes) -> Event | None:
    """One line; None for one that a full disk has cut."""
    try:
        event = jsontext.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "Actor" in event else None
