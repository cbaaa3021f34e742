"""Where a container's output goes beside its caller's streams: the log driver in its record."""

from __future__ import annotations

import os

from rootless.model import logspec
from rootless.store import containers, log_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from rootless.store.paths import Paths

    class Writer(Protocol):
        """What a log driver is to who reads a container's output. Nothing here raises."""

        def write(self, stream: str, data: bytes, when_ns: int) -> None:
            """Keep `data`, read from "stdout" or "stderr" at `when_ns` since 1970."""

        def close(self) -> None:
            """End, when the container has ended."""


def directory(paths: Paths, container_id: str) -> str:
    """Where the log files of a container are, gone with it."""
    return f"{containers.directory(paths, container_id)}/log"


def path_of(paths: Paths, record: dict[str, Any]) -> str:
    """The newest log file (docker's LogPath); "" where the driver keeps none."""
    if record.get("log_driver", logspec.JSON_FILE) != logspec.JSON_FILE:
        return ""
    return f"{directory(paths, record['id'])}/{log_files.NAME}"


def open_writer(paths: Paths, record: dict[str, Any]) -> Writer | None:
    """What keeps the output of the container with `record`; None where nothing is to be kept."""
    driver, options = record["log_driver"], record["log_opts"]
    if driver == logspec.NONE:
        return None
    if driver == logspec.JOURNALD:
        return _journal_writer(record, options)
    folder = directory(paths, record["id"])
    try:
        # Now, not at the first output: it tells a container that said nothing from one without log.
        os.mkdir(folder, 0o700)
    except OSError:
        pass  # there already, or the writer says what is wrong
    size, files = logspec.limits(options, log_files.DEFAULT_MAX_SIZE, log_files.DEFAULT_MAX_FILES)
    return log_files.LogWriter(folder, size, files)


def _journal_writer(record: dict[str, Any], options: dict[str, str]) -> Writer:
    from rootless.tools.journal import JournalWriter

    image = str(record["image"] or "")
    tag = logspec.fill_tag(
        options.get("tag", ""), record["id"], record["name"], image, record["image_id"]
    )
    return JournalWriter(record["id"], record["name"], image, tag)
