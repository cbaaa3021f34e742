"""The logs of containers, wherever their drivers keep them, as a caller wants to see them."""

from __future__ import annotations

import os
import select

from rootless import log
from rootless.engine import logs
from rootless.engine.follow import Followed, Life, follow
from rootless.engine.pump import poll
from rootless.errors import RlError
from rootless.model import logattributes, logspec
from rootless.model.loglines import Lines
from rootless.model.moment import rfc3339
from rootless.store import containers
from rootless.store.log_reader import LogReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    from rootless.store.log_reader import Entry
    from rootless.store.paths import Paths

    # Gets the stream ("stdout", "stderr" or log_files.NOTE) and bytes to write.
    Emit = Callable[[str, bytes], None]

    class Source(Protocol):
        """A log that is read piece by piece."""

        skip: int
        directories: list[str]

        def fds(self) -> list[int]:
            """Descriptors that tell of news, besides what changes in `directories`."""

        def entries(self, last: bool) -> Iterator[Entry]:
            """What has come since the last call; `last`: all that is still to come, too."""

        def close(self) -> None:
            """End."""


# How long the journal may take to hand out what a container said last.
_JOURNAL_MS = 500
_CHUNK = 65536


class Wish:
    """What to show. tail: lines of text from the end, None for all. since_ns, until_ns: nanoseconds
    since 1970, None for no limit. follow: go on until the containers have ended. details: what the
    log options have said along with each line."""

    def __init__(
        self,
        *,
        tail: int | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        stamps: bool = False,
        follow: bool = False,
        details: bool = False,
    ) -> None:
        self.tail = tail
        self.since_ns = since_ns
        self.until_ns = until_ns
        self.stamps = stamps
        self.follow = follow
        self.details = details
        self._since = "" if since_ns is None else rfc3339(since_ns)
        self._until = "" if until_ns is None else rfc3339(until_ns)

    def takes(self, when: str) -> bool:
        """Whether the time of an entry is in the wanted span; times sort as their texts do."""
        return when >= self._since and (not self._until or when <= self._until)


class View:
    """The log of one container. before: stands before each line. Raises RlError without a log."""

    def __init__(self, paths: Paths, container_id: str, wish: Wish, before: str = "") -> None:
        self._paths = paths
        self._wish = wish
        self._record = containers.read_record(paths, container_id)
        self._source = _open(paths, self._record, wish)
        self._lines = Lines(
            skip=self._source.skip,
            before=before.encode(),
            stamps=wish.stamps,
            details=self._details() if wish.details else b"",
        )

    def show(self, emit: Emit, *, last: bool = True) -> None:
        """Give to `emit` what has come since the last call."""
        for when, stream, data in self._source.entries(last):
            for part in self._lines.show(when, stream, data):
                if self._wish.takes(when):
                    emit(*part)

    def _details(self) -> bytes:
        shown = logattributes.shown(logs.attributes(self._paths, self._record))
        return f"{shown} ".encode(errors="surrogateescape")

    def followed(self, emit: Emit) -> Followed:
        """This view for engine.follow."""
        container_id = self._record["id"]
        return Followed(
            Life(self._paths, container_id),
            lambda last: self.show(emit, last=last),
            [containers.directory(self._paths, container_id), *self._source.directories],
            self._source.fds,
        )

    def close(self) -> None:
        """Let go of the log."""
        self._source.close()


def show_all(
    views: list[View], wish: Wish, emit: Emit, *, reader: int, flush: Callable[[], None]
) -> None:
    """Show one after the other, or all at once where they are followed. reader, flush: see
    engine.follow."""
    if wish.follow:
        until = None if wish.until_ns is None else wish.until_ns / 1e9
        follow([view.followed(emit) for view in views], reader, until, flush)
    else:
        for view in views:
            view.show(emit)
    flush()


def _open(paths: Paths, record: dict[str, Any], wish: Wish) -> Source:
    driver = record.get("log_driver", logspec.NONE)
    if driver == logspec.JOURNALD:
        return _Journal(record["id"], wish)
    folder = logs.directory(paths, record["id"])
    if driver == logspec.NONE or (record["status"] != "created" and not os.path.isdir(folder)):
        raise _no_log(record)
    return _Files(folder, wish)


def _no_log(record: dict[str, Any]) -> RlError:
    name = record["name"]
    if record.get("log_driver") == logspec.JSON_FILE and record.get("remove"):
        return RlError(
            f"container {name}: keeps no log: it runs in the foreground and goes at its end (--rm)",
            hint="rl run without --rm, or with --detach",
        )
    return RlError(
        f"container {name}: keeps no log (--log-driver none)",
        hint="rl run --log-driver json-file …",
    )


class _Files:
    """Our own log files."""

    def __init__(self, folder: str, wish: Wish) -> None:
        self.directories = [folder]
        self._reader = LogReader(folder)
        self.skip = 0 if wish.tail is None else self._reader.start_at_tail(wish.tail)
        self._folder = folder

    def fds(self) -> list[int]:
        return []

    def entries(self, last: bool) -> Iterator[Entry]:
        yield from self._reader.entries()
        if self._reader.has_gap:
            log.warn(f"{self._folder}: files were rotated away before they could be read")

    def close(self) -> None:
        self._reader.close()


class _Journal:
    """The entries in systemd's journal."""

    def __init__(self, container_id: str, wish: Wish) -> None:
        from rootless.tools import journal

        self.skip = 0
        self.directories: list[str] = []
        self._parse = journal.parse
        words = journal.command(
            container_id, follow=wish.follow, tail=wish.tail, since_ns=wish.since_ns
        )
        self._follows = wish.follow
        self._fd, theirs = os.pipe()
        try:
            self._child = journal.start_reading(words, theirs)
        except BaseException:
            os.close(self._fd)
            raise
        finally:
            os.close(theirs)
        self._rest = b""
        self._ended = False

    def fds(self) -> list[int]:
        return [] if self._ended else [self._fd]

    def entries(self, last: bool) -> Iterator[Entry]:
        # Without --follow, journalctl ends when all was read.
        patience = None if not self._follows else _JOURNAL_MS if last else 0
        while not self._ended and poll({self._fd: select.POLLIN}, patience):
            block = os.read(self._fd, _CHUNK)
            self._ended = not block
            *lines, self._rest = (self._rest + block).split(b"\n")
            yield from filter(None, map(self._parse, lines))

    def close(self) -> None:
        os.close(self._fd)
        self._child.kill()
        self._child.wait()
