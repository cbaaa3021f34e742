"""`rl stats`: a table as docker's, drawn again after each interval."""

from __future__ import annotations

import json
import sys
import time
from operator import itemgetter

from rootless.cli import output, templates
from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import EXIT_ENGINE, UsageError
from rootless.model.gotemplate.values import View
from rootless.model.units import binary_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine.stats import Sample
    from rootless.store.paths import Paths

    # Each with the CPU percentage since the one before it.
    Rows = list[tuple[Sample, float | None]]

_HEADS = (
    "CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS",
)  # fmt: skip
# docker's keys, in docker's order.
_KEYS = {
    "BlockIO": "BLOCK I/O", "CPUPerc": "CPU %", "Container": "CONTAINER ID", "ID": "CONTAINER ID",
    "MemPerc": "MEM %", "MemUsage": "MEM USAGE / LIMIT", "Name": "NAME", "NetIO": "NET I/O",
    "PIDs": "PIDS",
}  # fmt: skip
_COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
_FIELDS = {key: itemgetter(key) for key in _KEYS}
_NOTHING = "--"
_LONGEST_INTERVAL = 86400.0
# console_codes(4): the cursor to the upper left corner; clear the rest of the line, of the screen.
_HOME, _CLEAR_LINE, _CLEAR_REST = "\033[H", "\033[K", "\033[J"


def show(parsed: Parsed) -> int:
    """Show tables until Ctrl-C, or one; ends too when all containers that were named are gone."""
    from rootless.engine import recover
    from rootless.store import paths

    interval = _interval(parsed.text("interval"))
    places = paths.discover()
    recover.tidy(places)
    wanted = _Wanted(places, parsed)
    screen = _screen(parsed)
    before = wanted.samples()
    # A terminal has something to show at once; in a pipe every line has all of its figures.
    if screen.draws_at_once and (before or not wanted.ids):
        screen.show([(sample, None) for sample in before])
    while before or not wanted.ids:
        time.sleep(interval)
        before = _step(wanted, before, screen)
        if parsed.flag("no-stream"):
            break
    return 0


def _step(wanted: _Wanted, before: list[Sample], screen: _Screen) -> list[Sample]:
    from rootless.engine import stats

    known = {sample.id: sample for sample in before}
    now = wanted.samples()
    screen.show([(one, stats.cpu_percent(known.get(one.id), one)) for one in now])
    return now


class _Wanted:
    """Which containers to show. ids: those that were named, empty for whichever there are."""

    def __init__(self, places: Paths, parsed: Parsed) -> None:
        from rootless.store import containers

        self._places = places
        self._all = parsed.flag("all")
        self.ids = [containers.find(places, text) for text in dict.fromkeys(parsed.arguments)]

    def samples(self) -> list[Sample]:
        """A sample of each."""
        from rootless.engine import stats

        return stats.take(self._places, self.ids or self._present())

    def _present(self) -> list[str]:
        from rootless.engine import stats
        from rootless.store import containers

        running = stats.running(self._places)
        others = containers.all_ids(self._places) if self._all else []
        return list(dict.fromkeys([*running, *others]))


class _Screen:
    """Where tables go: one after the other, here."""

    draws_at_once = False

    def __init__(self, *, truncate: bool) -> None:
        self._truncate = truncate

    def show(self, rows: Rows) -> None:
        """Write one table."""
        output.write_table(_HEADS, self._rows(rows))
        sys.stdout.flush()

    def _rows(self, rows: Rows) -> list[list[str]]:
        return [_row(sample, percent, truncate=self._truncate) for sample, percent in rows]

    def _documents(self, rows: Rows) -> list[dict[str, str]]:
        named = (dict(zip(_HEADS, row, strict=True)) for row in self._rows(rows))
        return [{key: row[head] for key, head in _KEYS.items()} for row in named]


class _Terminal(_Screen):
    """Each table takes the place of the one before it, without flicker, as docker does it."""

    draws_at_once = True

    def show(self, rows: Rows) -> None:
        """Write one table over the last one."""
        lines = output.table_lines([_HEADS, *self._rows(rows)])
        # The first one clears what stands on the screen as well: everything is below its corner.
        drawn = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines)
        sys.stdout.write(f"{_HOME}{drawn}{_CLEAR_REST}")
        sys.stdout.flush()


class _Formatted(_Screen):
    """As a template has it."""

    def __init__(self, form: str, *, truncate: bool) -> None:
        super().__init__(truncate=truncate)
        self._form = form

    def show(self, rows: Rows) -> None:
        """Write one table, or a line for each container."""
        views = [View("stats", document, _FIELDS, {}) for document in self._documents(rows)]
        templates.write_listing(self._form, _COLUMNS, views, _KEYS)
        sys.stdout.flush()


class _JsonLines(_Screen):
    def show(self, rows: Rows) -> None:
        """A line for each container, as docker writes them."""
        for document in self._documents(rows):
            sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
        sys.stdout.flush()


class _JsonDocument(_Screen):
    def show(self, rows: Rows) -> None:
        """A list of all containers."""
        output.write_json(self._documents(rows))


def _screen(parsed: Parsed) -> _Screen:
    once = parsed.flag("no-stream")
    form = parsed.text("format")
    if form not in ("", "json", "table"):
        return _Formatted(form, truncate=not parsed.flag("no-trunc"))
    if form == "json":
        kind: type[_Screen] = _JsonDocument if once else _JsonLines
    else:
        kind = _Terminal if sys.stdout.isatty() and not once else _Screen
    return kind(truncate=not parsed.flag("no-trunc"))


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= _LONGEST_INTERVAL:
        raise UsageError(f"--interval {text}: not a number of seconds from 0.1 to 86400")
    return seconds


def _row(sample: Sample, percent: float | None, *, truncate: bool) -> list[str]:
    memory = None
    if sample.memory is not None and sample.limit:
        memory = 100 * sample.memory / sample.limit
    shown_id = output.short_id(sample.id) if truncate else sample.id
    return [
        shown_id,
        sample.name,
        _percent(percent),
        f"{_memory(sample.memory)} / {_memory(sample.limit)}",
        _percent(memory),
        _pair(sample.network),
        _pair(sample.block),
        _NOTHING if sample.pids is None else str(sample.pids),
    ]


def _percent(number: float | None) -> str:
    return _NOTHING if number is None else f"{number:.2f}%"


def _memory(size: int | None) -> str:
    return _NOTHING if size is None else binary_size(size)


def _pair(sizes: tuple[int, int] | None) -> str:
    if sizes is None:
        return _NOTHING
    return " / ".join(output.human_size(size) for size in sizes)


STATS = Signature(
    show,
    "Show what containers use: CPU (100 % is one CPU), memory without what the page cache would"
    " give back, network and disk traffic so far, processes and threads. The CPU percentage is that"
    " of the last interval; with --no-stream one interval is waited for. -- stands for what cannot"
    " be told, such as disk traffic where the io controller is not delegated.",
    (
        flag("-a --all", "Also containers that do not run"),
        value("-i --interval", "SECONDS", "Time between two tables", default="1"),
        flag("--no-stream", "One table, then end"),
        flag("--no-trunc", "Show whole ids"),
        value(
            "--format",
            "FORMAT",
            "json: lines, with --no-stream a document; or a Go template: '{{.Name}} {{.CPUPerc}}',"
            " or 'table' and one",
        ),
    ),
    (Argument("CONTAINER", 0, None),),
    error_code=EXIT_ENGINE,
)
