"""/proc/diskstats (Documentation/admin-guide/iostats.rst) out of io.stat (cgroup-v2.rst). Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.snapshot import Snapshot

_SECTOR = 512


def devices(text: bytes) -> dict[bytes, dict[bytes, int]]:
    """io.stat: "MAJOR:MINOR" → its counters, of those devices that have any.

    Linux 6 leaves out the line feed behind a device without counters, so words are looked at.
    """
    found: dict[bytes, dict[bytes, int]] = {}
    counters: dict[bytes, int] = {}
    for word in text.split():
        name, equals, value = word.partition(b"=")
        if not equals:
            counters = found.setdefault(name, {})
        elif value.isdigit():
            counters[name] = int(value)
    return {device: counters for device, counters in found.items() if counters}


def render(snapshot: Snapshot) -> bytes:
    """One line for each disk that the group has used; the host's text without the controller."""
    host = snapshot.host("diskstats")
    text = snapshot.own("io.stat")
    if text is None:
        return host
    used = devices(text)
    lines = []
    for line in host.splitlines():
        words = line.split()
        counters = used.get(b":".join(words[:2]))
        if counters is not None:
            lines.append(_line(words, counters))
    return b"".join(lines)


def _line(words: list[bytes], counters: dict[bytes, int]) -> bytes:
    """The counters that a group has; the others (merged, time, in flight) are 0."""
    numbers = [0] * max(11, len(words) - 3)
    for place, key in ((0, b"rios"), (4, b"wios"), (11, b"dios")):
        if place < len(numbers):
            numbers[place] = counters.get(key, 0)
    for place, key in ((2, b"rbytes"), (6, b"wbytes"), (13, b"dbytes")):
        if place < len(numbers):
            numbers[place] = counters.get(key, 0) // _SECTOR
    head = b"%4d %7d %b " % (int(words[0]), int(words[1]), words[2])
    return head + b" ".join([b"%d" % value for value in numbers]) + b"\n"
