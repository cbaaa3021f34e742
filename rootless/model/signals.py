"""Signals by name and number, as --stop-signal and an image's StopSignal write them (signal(7))."""

from __future__ import annotations

import signal

from rootless.errors import UsageError
from rootless.model import digits

_FIRST_REAL_TIME, _LAST_REAL_TIME = 34, 64


def parse_signal(text: str, place: str) -> str:
    """`TERM`, `SIGTERM`, `15`, `RTMIN+3` as "SIGTERM", "SIGRTMIN+3". Raises UsageError."""
    return signal_name(signal_number(text, place))


def signal_number(text: str, place: str = "signal") -> int:
    """The number of the signal `text`. Raises UsageError that begins with `place`."""
    word = text.upper().removeprefix("SIG")
    number = _from_digits(word) or _from_name(word) or _from_offset(word)
    if number is None or not 0 < number <= _LAST_REAL_TIME:
        raise UsageError(f"{place} {text}: no such signal", hint="kill -l")
    return number


def signal_name(number: int) -> str:
    """The inverse of `signal_number`."""
    if number >= _FIRST_REAL_TIME:
        return f"SIGRTMIN+{number - _FIRST_REAL_TIME}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _from_digits(word: str) -> int | None:
    return digits.number(word, 0, 999)


def _from_name(word: str) -> int | None:
    if word in ("RTMIN", "RTMAX"):
        return _FIRST_REAL_TIME if word == "RTMIN" else _LAST_REAL_TIME
    number = getattr(signal, f"SIG{word}", None) if word.isalnum() else None
    return int(number) if isinstance(number, signal.Signals) else None


def _from_offset(word: str) -> int | None:
    base, sign, digits = word[:5], word[5:6], word[6:]
    offset = _from_digits(digits)
    if offset is None or (base, sign) not in (("RTMIN", "+"), ("RTMAX", "-")):
        return None
    number = _FIRST_REAL_TIME + offset if sign == "+" else _LAST_REAL_TIME - offset
    return number if number >= _FIRST_REAL_TIME else None
