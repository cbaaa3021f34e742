"""Which group binds: a container's limits, those of the groups above it, and the machine. Pure.

A limit of cgroup v2 holds for all below the group that has it, so that the smallest one on the way
to the root is what a process meets (cgroup-v2.rst, "Resource Distribution Models").
"""

from __future__ import annotations

from rootless.cgroup import usage
from rootless.model.resources import PERIOD, parse_list
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rootless.cgroup.levels import Host, Level

    # A number, a list or another text; MAX for no limit, None for what is not there.
    Amount = int | float | str | None

MAX = "max"
HOST = "the host"
AFFINITY = "CPU affinity"

# Units of a row's amounts.
BYTES, CPUS, COUNT, WEIGHT, LIST, RESERVED, RATE, OPERATIONS, TEXT = (
    "bytes", "cpus", "count", "weight", "list", "reserved bytes", "bytes per second",
    "operations per second", "text",
)  # fmt: skip
_RATES = {"rbps": ("read", RATE), "wbps": ("write", RATE),
          "riops": ("reads", OPERATIONS), "wiops": ("writes", OPERATIONS)}  # fmt: skip


class Row(Value):
    """One resource. requested: the wish; set: the file of the container's group; effective: what
    holds; bound_by: the label of what makes it so, "" where nothing does; bound_path: its
    directory, "" for the host; bound_used: what all below that group use, where it is not the
    container alone; used, peak: the container's. All amounts are in `unit`."""

    __slots__ = (
        "bound_by", "bound_path", "bound_used", "effective", "file", "name", "peak", "requested",
        "set", "unit", "used",
    )  # fmt: skip

    def __init__(self, name: str, file: str, unit: str, requested: Amount = None) -> None:
        self.name = name
        self.file = file
        self.unit = unit
        self.requested = requested
        self.set: Amount = None
        self.effective: Amount = None
        self.bound_by = ""
        self.bound_path = ""
        self.bound_used: int | None = None
        self.used: int | None = None
        self.peak: int | None = None

    def bind(self, effective: Amount, level: Level | None) -> None:
        """Say what holds, and whose it is: None for the host's."""
        self.effective = effective
        self.bound_by = level.label if level else HOST
        self.bound_path = level.directory if level else ""


def amount(text: str | None) -> int | str | None:
    """A file with a number or "max"; None for a file that is not there."""
    if text is None:
        return None
    number = usage.count(text)
    return text.strip() if number is None else number


def cpus(text: str | None) -> float | str | None:
    """cpu.max as a number of CPUs."""
    words = (text or "").split()
    if not words:
        return None
    if not words[0].isdigit():
        return MAX
    period = int(words[1]) if len(words) > 1 else PERIOD
    return int(words[0]) / period


def weight(text: str | None) -> int | str | None:
    """cpu.weight ("100"), io.weight and io.bfq.weight ("default 100", then lines for devices)."""
    lines = (text or "").splitlines()
    return amount(lines[0].split()[-1]) if lines and lines[0] else None


def rates(text: str | None) -> dict[tuple[str, str], int]:
    """io.max: (device, key) → the rate, for those that are limited."""
    found = {}
    for line in (text or "").splitlines():
        device, *words = line.split() or [""]
        for word in words:
            key, _, value = word.partition("=")
            if key in _RATES and value.isdigit():
                found[device, key] = int(value)
    return found


def smallest(
    values: Iterable[tuple[Amount, Level]], capacity: float
) -> tuple[Amount, Level | None, bool]:
    """(what holds, whose limit it is, whether anything limits).

    values: from the container up; of equal ones the nearest counts. capacity: the machine's own,
    0 when there is no such thing.
    """
    limits = [(value, level) for value, level in values if isinstance(value, (int, float))]
    least, level = min(limits, key=lambda pair: pair[0], default=(None, None))
    if capacity and (least is None or capacity < least):
        return capacity, None, True
    return (MAX, None, False) if least is None else (least, level, True)


class Table:
    """Makes the rows of one container.

    requested: (file, text) of each wish. chain: its group and those above, from below; empty for
    one that does not run. is_own: whether the first of them is the container's alone. host: the
    machine. allowed: the CPUs and memory nodes of its first process, "" when they are not known.
    """

    def __init__(
        self,
        requested: Iterable[tuple[str, str]],
        chain: Sequence[Level],
        host: Host,
        *,
        is_own: bool,
        allowed: tuple[str, str] = ("", ""),
    ) -> None:
        self._requested = list(requested)
        self._wishes: dict[str, str] = dict(self._requested)
        self._chain = chain
        self._host = host
        self._own: Mapping[str, str] = chain[0].files if chain and is_own else {}
        self._is_own = is_own
        self._allowed = allowed

    def rows(self) -> list[Row]:
        """What is always of interest, then what somebody has asked for or limited."""
        cpu_list = self._list("cpuset.cpus", self._host.cpus, self._allowed[0])
        rows = [
            self._limit("memory", "memory.max", BYTES, self._host.memory, used="memory.current"),
            self._swap(),
            self._reservation(),
            *self._high(),
            self._cpu(cpu_list),
            self._weight("cpu weight", "cpu.weight"),
            cpu_list,
            *self._nodes(),
            self._limit("pids", "pids.max", COUNT, self._host.pids, used="pids.current"),
            self._weight("io weight", self._io_weight_file()),
            *self._rates(),
        ]
        return [*rows, *self._others({row.file for row in rows})]

    def _values(
        self, file: str, parse: Callable[[str | None], Amount]
    ) -> list[tuple[Amount, Level]]:
        return [(parse(level.files.get(file)), level) for level in self._chain]

    def _limit(
        self,
        name: str,
        file: str,
        unit: str,
        capacity: float,
        *,
        used: str = "",
        parse: Callable[[str | None], Amount] = amount,
    ) -> Row:
        row = Row(name, file, unit, parse(self._wishes.get(file)))
        row.set = parse(self._own.get(file))
        if self._chain or self._allowed[0]:
            value, level, limited = smallest(self._values(file, parse), capacity)
            row.effective = value
            if limited:
                row.bind(value, level)
            self._note_use(row, level, used)
        return row

    def _note_use(self, row: Row, level: Level | None, file: str) -> None:
        row.used = usage.count(self._own.get(file, ""))
        row.peak = usage.count(self._own.get(file.replace(".current", ".peak"), ""))
        if level is not None and not (self._is_own and level is self._chain[0]):
            row.bound_used = usage.count(level.files.get(file, ""))

    def _swap(self) -> Row:
        """A machine without swap has room for 0 bytes of it."""
        has_swap = self._host.swap > 0
        row = self._limit(
            "swap", "memory.swap.max", BYTES, self._host.swap, used="memory.swap.current"
        )
        if not has_swap and row.effective is not None:
            row.bind(0, None)
        return row

    def _high(self) -> Iterator[Row]:
        """Above memory.high processes are slowed down until enough was given back."""
        row = self._limit("memory (soft)", "memory.high", BYTES, 0, used="memory.current")
        if row.requested is not None or row.bound_by:
            yield row

    def _reservation(self) -> Row:
        """A group's memory is kept for it as far as every group above has some kept for itself."""
        row = Row("memory reserved", "memory.low", RESERVED, amount(self._wishes.get("memory.low")))
        row.set = amount(self._own.get("memory.low"))
        # The root has no such file. "max" is more than any number.
        values = [(amount(one.files["memory.low"]), one)
                  for one in self._chain if "memory.low" in one.files]  # fmt: skip
        if not values or not self._own:
            return row
        least, level = min(values, key=lambda pair: _size(pair[0]))
        row.effective = least
        if row.set:
            row.bind(least, level)
        return row

    def _cpu(self, cpu_list: Row) -> Row:
        """Quotas bind, and so does the number of CPUs that there are to run on."""
        count = len(parse_list(str(cpu_list.effective or "")) or ())
        row = self._limit("cpu", "cpu.max", CPUS, count, parse=cpus)
        if row.bound_by == HOST:
            row.bound_by, row.bound_path = cpu_list.bound_by, cpu_list.bound_path
        return row

    def _weight(self, name: str, file: str) -> Row:
        """Containers compete where their topmost groups are: beside the other groups there."""
        row = Row(name, file, WEIGHT, weight(self._wishes.get(file)))
        row.set = weight(self._own.get(file))
        if self._is_own and len(self._chain) > 2:
            row.effective = weight(self._chain[1].files.get(file))
            if row.effective is not None:
                row.bind(row.effective, self._chain[2])
        return row

    def _io_weight_file(self) -> str:
        """Each of the two schedulers that know weights has a file of its own."""
        return "io.weight" if "io.bfq.weight" not in self._own else "io.bfq.weight"

    def _list(self, file: str, online: str, allowed: str) -> Row:
        row = Row(file.replace(".", " "), file, LIST, self._wishes.get(file))
        if file in self._own:
            row.set = self._own[file].strip() or MAX
        if not self._chain and not allowed:
            return row
        shown = f"{file}.effective"
        levels = [(one.files[shown].strip(), one) for one in self._chain if shown in one.files]
        group_list = levels[0][0] if levels else online
        if parse_list(allowed) and parse_list(allowed) != parse_list(group_list):
            row.effective, row.bound_by = allowed, AFFINITY
        else:
            row.bind(group_list, _narrowing(levels, online))
        return row

    def _nodes(self) -> Iterator[Row]:
        row = self._list("cpuset.mems", self._host.mems, "")
        if row.requested is not None or row.bound_by not in ("", HOST):
            yield row

    def _rates(self) -> Iterator[Row]:
        wishes: dict[tuple[str, str], int] = {}
        for file, text in self._requested:
            if file == "io.max":
                wishes.update(rates(text))
        values = [(rates(level.files.get("io.max")), level) for level in self._chain]
        keys = dict.fromkeys([*wishes, *(key for found, _ in values for key in found)])
        own = rates(self._own.get("io.max"))
        for device, key in sorted(keys):
            words, unit = _RATES[key]
            row = Row(f"io {words} {device}", "io.max", unit, wishes.get((device, key)))
            row.set = own.get((device, key), MAX if "io.max" in self._own else None)
            if values:
                value, level, limited = smallest(
                    [(found.get((device, key)), one) for found, one in values], 0
                )
                row.effective = value
                if limited:
                    row.bind(value, level)
            yield row

    def _others(self, known: set[str]) -> Iterator[Row]:
        """Files that --cgroup-conf has named and no row above stands for."""
        for file, text in self._wishes.items():
            if file in known or file in ("io.max", "io.weight", "io.bfq.weight"):
                continue
            row = Row(file, file, TEXT, text)
            row.set = row.effective = self._own[file].strip() if file in self._own else None
            yield row


def _size(value: Amount) -> float:
    return float(value) if isinstance(value, (int, float)) else float("inf")


def _narrowing(levels: Sequence[tuple[str, Level]], online: str) -> Level | None:
    """The group in which the list of the lowest one came to be; None where it is the host's."""
    if not levels or parse_list(levels[0][0]) == parse_list(online):
        return None
    same = [level for text, level in levels if text == levels[0][0]]
    return same[-1]
