"""`rl ps`."""

from __future__ import annotations

from rootless.cli import choosing, output, templates
from rootless.cli.options import Parsed, Signature, flag, repeat, value
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.store.paths import Paths

    Record = dict[str, Any]


def show(parsed: Parsed) -> int:
    """List containers, the newest first; without --all only those that run."""
    from rootless.cli import ps_rows
    from rootless.engine import listing
    from rootless.store import paths

    places = paths.discover()
    last = _last(parsed)
    records = _wanted(places, parsed, listing.current(places), last)
    shown = ps_rows.Listing(places, records, full=parsed.flag("no-trunc"))
    if parsed.flag("quiet"):
        for row in shown.rows():
            output.write_line(row.shown_id())
    elif parsed.text("format") == "json":
        output.write_json([_document(row, parsed) for row in shown.rows()])
    else:
        _write(shown, parsed)
    return 0


def _write(shown: Any, parsed: Parsed) -> None:
    from rootless.cli import ps_rows

    columns = [*ps_rows.COLUMNS, *(["Size"] if parsed.flag("size") else [])]
    views = [row.view() for row in shown.rows()]
    templates.write_listing(parsed.text("format"), columns, views, ps_rows.HEADS)


def _document(row: Any, parsed: Parsed) -> dict[str, Any]:
    document: dict[str, Any] = row.document()
    if parsed.flag("size"):
        own, whole = row.listing.sizes(row.record)
        document["Size"] = {"rwSize": own, "rootFsSize": whole}
    return document


def _last(parsed: Parsed) -> int:
    """How many of the newest to show, in any state; 0 for all."""
    if parsed.flag("latest"):
        return 1
    text = parsed.text("last")
    # docker's default is -1, for no limit.
    if not text.removeprefix("-").isdecimal():
        raise UsageError(f"--last {text}: not a number of containers", hint="rl ps --last 3")
    return max(0, int(text))


def _wanted(places: Paths, parsed: Parsed, records: list[Record], last: int) -> list[Record]:
    words = parsed.all("filter")
    everything = parsed.flag("all") or last > 0
    if words:
        records, named = choosing.filtered(places, words, records)
        everything = everything or named
    if not everything:
        from rootless.cli.ps_rows import UP

        up = (*UP, "restarting")
        # What runs on another host is shown with --all only.
        records = [one for one in records if one["status"] in up and not one["elsewhere"]]
    return records[:last] if last else records


PS = Signature(
    show,
    "List containers.",
    (
        flag("-a --all", "Also those that do not run"),
        flag("-q --quiet", "Only ids"),
        flag("--no-trunc", "Show whole ids and commands"),
        flag("-s --size", "Show the size of the writable layer, and with the image"),
        value("-n --last", "N", "The N newest, in any state", default="-1"),
        flag("-l --latest", "The newest, in any state"),
        repeat(
            "-f --filter",
            "KEY=VALUE",
            "id, name, label, status, exited, ancestor, before, since, volume, network, health,"
            " publish, expose",
        ),
        templates.LIST_FORMAT,
    ),
    examples=(
        "rl ps --all --filter status=exited",
        "rl ps --format 'table {{.Names}}\\t{{.Ports}}'",
        "rl ps --quiet --filter label=app=web",
    ),
)
