"""Pieces of output to what is shown of them: the wanted lines, each with what stands before it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Lines:
    """One container's pieces, in their order.

    skip: lines to leave out at first, counted at their ends, which the two streams have in any
    order. before: stands before each line. stamps: the time of a line's beginning as well.
    details: stands between that and the line.
    """

    def __init__(
        self, *, skip: int = 0, before: bytes = b"", stamps: bool = False, details: bytes = b""
    ) -> None:
        self._skip = skip
        self._before = before
        self._stamps = stamps
        self._details = details
        # What has begun of lines while lines are still left out.
        self._held: list[tuple[str, str, bytes]] = []
        self._inside: dict[str, bool] = {}

    def show(self, when: str, stream: str, data: bytes) -> Iterator[tuple[str, bytes]]:
        """What is to be written now: (stream, bytes)."""
        while self._skip and data:
            line, end, data = data.partition(b"\n")
            if not end:
                self._held.append((when, stream, line))
                return
            self._skip -= 1
            self._held = [one for one in self._held if one[1] != stream]
        if self._skip:
            return
        for held in self._held:
            yield held[1], self._marked(*held)
        self._held = []
        if data:
            yield stream, self._marked(when, stream, data)

    def _marked(self, when: str, stream: str, data: bytes) -> bytes:
        mark = self._before + (f"{when} ".encode() if self._stamps else b"") + self._details
        if not mark:
            return data
        inside = self._inside.get(stream, False)
        self._inside[stream] = not data.endswith(b"\n")
        *whole, last = data.split(b"\n")
        marked = (b"\n" + mark).join(whole) + b"\n" if whole else b""
        if last:
            marked += (mark if whole or not inside else b"") + last
        return marked if inside or not whole else mark + marked
