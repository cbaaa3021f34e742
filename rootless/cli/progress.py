"""How a pull or a push is shown: bars on a terminal, plain lines elsewhere, nothing when quiet.

Implementations of `rootless.image.progress.Progress`. All of it goes to standard error; standard
output is for the result. Every method may be called from any thread.
"""

from __future__ import annotations

import os
import threading
import time

from rootless.cli.diagnostics import harmless, say_line
from rootless.cli.output import human_size, short_id
from rootless.image.progress import Silent

_SECONDS_BETWEEN_FRAMES = 0.1
_BAR_WIDTH = 30
_NARROWEST_BAR = 4
_CLEAR_TO_END_OF_SCREEN = "\x1b[J"


class QuietProgress(Silent):
    """Shows nothing; a context manager as the others are."""

    def close(self) -> None:
        """Leave the terminal at the start of a line."""

    def __enter__(self) -> QuietProgress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class PlainProgress(QuietProgress):
    """A line when a blob begins and one when it is there. doing: what, such as "pulling"."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def begin(self, digest: str, total: int, have: int) -> None:
        """Say that the blob is on its way."""
        rest = f", {human_size(have)} are there" if have else ""
        say_line(f"{short_id(digest)}: {self._doing} {human_size(total)}{rest}")

    def finish(self, digest: str, outcome: str) -> None:
        """Say how it ended."""
        say_line(f"{short_id(digest)}: {outcome}")

    def message(self, text: str) -> None:
        """Say it."""
        say_line(text)


class _Blob:
    __slots__ = ("arrived", "total")

    def __init__(self, total: int, arrived: int) -> None:
        self.total = total
        self.arrived = arrived


class TerminalProgress(QuietProgress):
    """A bar for each blob on its way, drawn anew in place; what is finished scrolls up."""

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._blobs: dict[str, _Blob] = {}
        self._finished: list[str] = []
        self._height = 0
        self._drawn_at = 0.0

    def begin(self, digest: str, total: int, have: int) -> None:
        """Add a bar."""
        with self._lock:
            self._blobs[digest] = _Blob(total, have)
            self._draw()

    def advance(self, digest: str, count: int) -> None:
        """Let the bar grow, at the next frame."""
        with self._lock:
            blob = self._blobs.get(digest)
            if blob is not None:
                blob.arrived += count
                if time.monotonic() - self._drawn_at >= _SECONDS_BETWEEN_FRAMES:
                    self._draw()

    def finish(self, digest: str, outcome: str) -> None:
        """Replace the bar by a line that stays."""
        with self._lock:
            blob = self._blobs.pop(digest, None)
            size = f" {human_size(blob.total)}" if blob else ""
            self._finished.append(f"{short_id(digest)}  {outcome}{size}")
            self._draw()

    def message(self, text: str) -> None:
        """A line that stays."""
        with self._lock:
            self._finished.append(harmless(text))
            self._draw()

    def close(self) -> None:
        """Take unfinished bars away: what follows is an error message."""
        with self._lock:
            self._blobs.clear()
            # Nothing may be written when nothing is shown: a container may use the terminal by now.
            if self._height:
                self._draw()

    def _draw(self) -> None:
        """One write: back to the first bar, the lines that stay, then the bars as they are now."""
        size = _terminal_size(self._fd)
        bars = [_bar(digest, blob, size.columns - 1) for digest, blob in self._blobs.items()]
        bars = bars[: max(1, size.lines - 2)]
        back = f"\x1b[{self._height}F" if self._height else ""
        # A line that wraps would make the count of lines wrong.
        lines = [line[: size.columns - 1] for line in [*self._finished, *bars]]
        frame = back + _CLEAR_TO_END_OF_SCREEN + "".join(f"{line}\n" for line in lines)
        self._finished.clear()
        self._height = len(bars)
        self._drawn_at = time.monotonic()
        try:
            os.write(self._fd, frame.encode())
        except OSError:
            pass


def _bar(digest: str, blob: _Blob, columns: int) -> str:
    """The bar gives way first where `columns` are few: the numbers say more."""
    share = min(1.0, blob.arrived / blob.total) if blob.total > 0 else 0.0
    counts = f"{human_size(blob.arrived)}/{human_size(blob.total)}"
    width = min(_BAR_WIDTH, columns - len(f"{short_id(digest)}  []  {counts}"))
    if width < _NARROWEST_BAR:
        return f"{short_id(digest)}  {counts}"
    filled = int(share * width)
    bar = "=" * filled + (">" if filled < width else "")
    return f"{short_id(digest)}  [{bar:<{width}}]  {counts}"


def _terminal_size(fd: int) -> os.terminal_size:
    try:
        size = os.get_terminal_size(fd)
    except OSError:
        return os.terminal_size((80, 24))
    # A terminal that was never told its size says 0 by 0.
    return size if size.columns and size.lines else os.terminal_size((80, 24))


def choose(*, quiet: bool, doing: str = "pulling") -> QuietProgress:
    """What fits standard error."""
    if quiet:
        return QuietProgress()
    return TerminalProgress() if os.isatty(2) else PlainProgress(doing)
