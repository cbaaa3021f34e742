"""Where in a Dockerfile something stands, and the error that shows it. Pure."""

from __future__ import annotations

from rootless.errors import RlError
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_SHOWN = 160


class DockerfileError(RlError):
    """Something in a Dockerfile that cannot be understood or done.

    The message is `FILE:LINE: what is wrong: the line itself`; the hint says what would be right.
    """


class Place(Value):
    """A line of a Dockerfile. number: from 1; text: the line, continuation lines joined."""

    __slots__ = ("file", "number", "text")

    def __init__(self, file: str, number: int, text: str) -> None:
        self.file = file
        self.number = number
        self.text = text

    def error(self, what: str, hint: str = "") -> DockerfileError:
        """The error to raise."""
        return DockerfileError(f"{self}: {what}: {shortened(self.text)}", hint)

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"


def shortened(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """`text` on one line, cut where it is longer than `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest of `known`, else all of them."""
    from difflib import get_close_matches

    names = sorted(known)
    if not names:
        return ""
    near = get_close_matches(word, names, n=2)
    return f"did you mean {' or '.join(near)}?" if near else f"one of: {', '.join(names)}"
