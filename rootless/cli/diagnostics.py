"""What is said on standard error: errors, warnings, the transcript of effects. One line each."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.errors import RlError

_DOCTOR = "rl doctor"
_PREFIXES = {"warning": "rl: warning: ", "notice": "rl: ", "debug": "+ "}


def say(level: str, text: str) -> None:
    """The sink for `rootless.log`."""
    say_line(_PREFIXES[level] + text)


def complain(error: RlError, code: int | None = None) -> int:
    """Print the error and its hint; gives `code`, or else the error's own exit code."""
    say_line(f"rl: error: {error.message}")
    if error.hint:
        say_line(f"hint: {error.hint}")
    if error.concerns_host and not error.hint.startswith(_DOCTOR):
        say_line(f"hint: {_DOCTOR}  # what else a run needs of this host")
    return error.exit_code if code is None else code


def say_line(text: str) -> None:
    """One line, in one write(2), so that lines of a forked child and of its parent do not mix."""
    try:
        os.write(2, f"{harmless(text)}\n".encode(errors="surrogateescape"))
    except OSError:
        pass


def harmless(text: str) -> str:
    """`text` without control characters: names from images and registries are quoted in it."""
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    # A byte of a file name that is not UTF-8 (surrogateescape) goes out as it came in.
    is_raw_byte = "\udc80" <= character <= "\udcff"
    return character if character.isprintable() or is_raw_byte else repr(character)[1:-1]
