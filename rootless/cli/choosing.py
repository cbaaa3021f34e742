"""Which containers a command is for: those that are named, or those that --all, --filter, --cidfile
and --latest stand for (podman-stop(1))."""

from __future__ import annotations

from rootless.cli.options import flag, repeat
from rootless.errors import EXIT_ENGINE, NotFoundError, RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.cli.options import Parsed
    from rootless.store.paths import Paths

    Record = dict[str, Any]

_FILTERED = "Those that `rl ps --all --filter` shows"
FILTER = repeat("-f --filter", "KEY=VALUE", _FILTERED)
# For commands whose -f is --force.
FILTER_ALONE = repeat("--filter", "KEY=VALUE", _FILTERED)
CIDFILE = repeat("--cidfile", "FILE", "The one whose id is in FILE, by rl run --cidfile")
LATEST = flag("-l --latest", "The newest")
FLAGS = (FILTER, CIDFILE, LATEST)
DOWN = ("created", "exited")
UP = ("running", "paused", "restarting")


def chosen(
    parsed: Parsed,
    verb: str,
    everything: Callable[[Paths], list[str]] | None = None,
    *,
    gone_is_well: bool = False,
) -> list[str]:
    """Names and ids of containers. Raises RlError where none is asked for, or cannot be found out.

    everything: gives what --all stands for, None without it. gone_is_well: a --cidfile that is not
    there is no error.
    """
    from rootless.store import paths

    places = paths.discover()
    if everything is not None:
        return everything(places)
    words = list(parsed.arguments)
    words += [text for path in parsed.all("cidfile") if (text := _id_in(path, gone_is_well))]
    if parsed.flag("latest"):
        words.append(_newest(places))
    if parsed.all("filter"):
        from rootless.engine import listing

        taken, _ = filtered(places, parsed.all("filter"), listing.current(places))
        return words + [record["id"] for record in taken]
    if not words and not parsed.all("cidfile"):
        raise RlError(f"rl {verb}: name a container, or give --all", "rl ps --all", EXIT_ENGINE)
    return words


def _id_in(path: str, gone_is_well: bool) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError as error:
        if gone_is_well and isinstance(error, FileNotFoundError):
            return ""
        raise RlError(f"--cidfile {path}: {error.strerror}", exit_code=EXIT_ENGINE) from error


def _newest(places: Paths) -> str:
    from rootless.engine import listing

    found = listing.records(places)
    if not found:
        raise NotFoundError("--latest: there is no container", "rl ps --all", EXIT_ENGINE)
    return str(max(found, key=lambda record: float(record["created"]))["id"])


def filtered(places: Paths, words: list[str], records: list[Record]) -> tuple[list[Record], bool]:
    """Those of `records` that the filters of `rl ps` take, and whether the filters say which states
    are wanted. Raises UsageError."""
    from rootless.engine import listing
    from rootless.model.container_filter import ContainerFilter
    from rootless.store import containers

    def find(word: str) -> Record:
        return containers.read_record(places, containers.find(places, word))

    wanted = ContainerFilter(words, find)
    taken = [one for one in records if wanted.takes(one, listing.ports(one, _state(places, one)))]
    return taken, wanted.names_statuses


def _state(places: Paths, record: Record) -> Record:
    from rootless.store import containers

    is_up = record["status"] in ("running", "paused")
    return containers.read_state(places, record["id"]) if is_up else {}


def all_that_run(places: Paths) -> list[str]:
    """The ids of what runs, for --all."""
    from rootless.engine import live

    return [running.id for running in live.find_all(places)]


def in_order(places: Paths, *, statuses: tuple[str, ...] = ()) -> list[str]:
    """The ids of all that have one of `statuses`, the oldest first: what joins another comes later
    than that one. () for any."""
    from rootless.engine import listing

    found = listing.current(places)[::-1]
    return [one["id"] for one in found if not statuses or one["status"] in statuses]


def all_there_are(places: Paths) -> list[str]:
    """Every id."""
    from rootless.store import containers

    return containers.all_ids(places)
