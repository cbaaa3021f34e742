"""`rl ps` and `rl rm`."""

from __future__ import annotations

import time

from rootless.cli import output
from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import EXIT_ENGINE, NotFoundError, RlError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.store.paths import Paths

    Record = dict[str, Any]

_HEADS = ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES")
_COMMAND_WIDTH = 20
# What `rl ps` shows without --all.
_UP = ("running", "paused")


def show(parsed: Parsed) -> int:
    """List containers, the newest first; without --all only those that run."""
    from rootless.store import paths

    rows = _records(paths.discover())
    if not parsed.flag("all"):
        rows = [record for record in rows if record["status"] in _UP]
    if parsed.flag("quiet"):
        for record in rows:
            output.write_line(_shown_id(record, parsed))
    elif parsed.text("format"):
        output.write_json([_document(record) for record in rows])
    else:
        output.write_table(_HEADS, [_row(record, parsed) for record in rows])
    return 0


def records(places: Paths) -> list[Record]:
    """The record of every container; damaged ones are left out with a warning."""
    from rootless import log
    from rootless.store import containers

    found = []
    for container_id in containers.all_ids(places):
        try:
            found.append(containers.read_record(places, container_id))
        except NotFoundError:
            continue
        except StoreError as error:
            log.warn(error.message)
    return found


def _records(places: Paths) -> list[Record]:
    """All records, the newest first, put right where a crash left them wrong.

    Their status is "paused" where that is so now.
    """
    from rootless.engine import live, recover

    recover.tidy(places)
    recover.heal_records(places)
    found = records(places)
    for record in found:
        record["status"] = live.status(places, record)
    return sorted(found, key=lambda record: -float(record["created"]))


def _shown_id(record: Record, parsed: Parsed) -> str:
    return str(record["id"]) if parsed.flag("no-trunc") else output.short_id(record["id"])


def _row(record: Record, parsed: Parsed) -> list[str]:
    command = " ".join(record["command"])
    if len(command) > _COMMAND_WIDTH and not parsed.flag("no-trunc"):
        command = command[: _COMMAND_WIDTH - 1] + "…"
    return [
        _shown_id(record, parsed),
        str(record["image"] or ""),
        command,
        output.human_age(time.time() - record["created"]),
        status_text(record, time.time()),
        str(record["name"]),
    ]


def status_text(record: Record, now: float) -> str:
    """The status as docker words it."""
    if record["status"] in _UP:
        length = output.human_duration(now - record["created"])
        return f"Up {length} (Paused)" if record["status"] == "paused" else f"Up {length}"
    if record["status"] == "exited":
        return f"Exited ({record['exit_code']}) {output.human_age(now - record['finished'])}"
    return str(record["status"]).capitalize()


def _document(record: Record) -> dict[str, Any]:
    return {
        "Id": record["id"],
        "Names": [record["name"]],
        "Image": record["image"],
        "ImageID": record["image_id"],
        "Command": record["command"],
        "Created": record["created"],
        "State": record["status"],
        "ExitCode": record["exit_code"],
        "Labels": record["labels"],
    }


def remove(parsed: Parsed) -> int:
    """Remove containers; goes on after an error, and ends with the first one's exit code."""
    from rootless.cli import removal
    from rootless.engine import recover
    from rootless.engine import remove as engine_remove
    from rootless.store import containers, paths

    places = paths.discover()
    recover.tidy(places)
    words = list(parsed.arguments)
    if parsed.flag("all"):
        words = containers.all_ids(places)
    elif not words:
        raise RlError("rl rm: name a container, or give --all", "rl ps --all", EXIT_ENGINE)
    force = parsed.flag("force")

    def one(text: str) -> list[str]:
        engine_remove.remove(places, text, force=force)
        return [text]

    # One of --all may have gone by itself since we looked.
    return removal.remove_each(words, one, gone_is_well=force or parsed.flag("all"))


PS = Signature(
    show,
    "List containers.",
    (
        flag("-a --all", "Also those that do not run"),
        flag("-q --quiet", "Only ids"),
        flag("--no-trunc", "Show whole ids and commands"),
        value("--format", "FORMAT", "json for a document", choices=("json",)),
    ),
)

RM = Signature(
    remove,
    "Remove containers with their files and anonymous volumes.",
    (
        flag("-f --force", "Also those that run; one that does not exist is no error"),
        flag("-a --all", "Every container"),
    ),
    (Argument("CONTAINER", 0, None),),
)
