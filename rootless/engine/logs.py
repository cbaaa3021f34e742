"""Where a container's output goes beside its caller's streams: the log driver in its record."""

from __future__ import annotations

import os

from rootless.errors import RlError
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
        return _journal_writer(paths, record)
    folder = directory(paths, record["id"])
    try:
        # Now, not at the first output: it tells a container that said nothing from one without log.
        os.mkdir(folder, 0o700)
    except OSError:
        pass  # there already, or the writer says what is wrong
    size, files = logspec.limits(options, log_files.DEFAULT_MAX_SIZE, log_files.DEFAULT_MAX_FILES)
    return log_files.LogWriter(folder, size, files)


def _journal_writer(paths: Paths, record: dict[str, Any]) -> Writer:
    from rootless.tools.journal import JournalWriter

    image = str(record["image"] or "")
    extra = attributes(paths, record)
    extra.pop("tag", None)
    return JournalWriter(record["id"], record["name"], image, _tag(record), extra)


def attributes(paths: Paths, record: dict[str, Any]) -> dict[str, str]:
    """What the log options say along with each line of the container with `record`."""
    options = record["log_opts"]
    if not options.keys() - {"max-size", "max-file"}:
        return {}
    from rootless.model import logattributes

    try:
        env = containers.read_config(paths, record["id"])["process"]["env"]
    except (RlError, KeyError):
        env = ()
    found = logattributes.of(options, record["labels"], env)
    return {**found, "tag": _tag(record)} if "tag" in found else found


def _tag(record: dict[str, Any]) -> str:
    image, wish = str(record["image"] or ""), record["log_opts"].get("tag", "")
    return logspec.fill_tag(wish, record["id"], record["name"], image, record["image_id"])
