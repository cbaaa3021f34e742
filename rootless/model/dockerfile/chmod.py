"""Modes of --chmod: octal, or symbolic as chmod(1) has them. Pure."""

from __future__ import annotations

import re

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*)+)\Z")
_ACTION = re.compile(r"([-+=])([rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_SET_USER, _SET_GROUP, _STICKY = 0o4000, 0o2000, 0o1000
_ANY_EXECUTE = 0o111


class Mode:
    """A wish for the mode of files. text: as it was written."""

    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        self.text = text
        self._octal: int | None = None
        self._actions: list[tuple[str, str, str]] = []
        if text and all(character in "01234567" for character in text):
            self._octal = int(text, 8)
            if self._octal > 0o7777:
                raise ValueError(text)
            return
        for clause in text.split(","):
            match = _CLAUSE.match(clause)
            if match is None:
                raise ValueError(text)
            who = "ugo" if "a" in match[1] or not match[1] else match[1]
            self._actions += [(who, sign, bits) for sign, bits in _ACTION.findall(match[2])]

    def of(self, mode: int, *, is_dir: bool) -> int:
        """What a file with the permission bits `mode` gets."""
        if self._octal is not None:
            return self._octal
        for who, sign, letters in self._actions:
            bits = _bits(who, letters, executes=is_dir or bool(mode & _ANY_EXECUTE))
            if sign == "=":
                mode = mode & ~_all_of(who) | bits
            else:
                mode = mode | bits if sign == "+" else mode & ~bits
        return mode


def _bits(who: str, letters: str, *, executes: bool) -> int:
    plain = sum(bit for letter, bit in _BITS.items() if letter in letters)
    if "X" in letters and executes:
        plain |= _BITS["x"]
    bits = 0
    for one in who:
        bits |= plain << _SHIFTS[one]
    if "s" in letters:
        bits |= (_SET_USER if "u" in who else 0) | (_SET_GROUP if "g" in who else 0)
    return bits | (_STICKY if "t" in letters else 0)


def _all_of(who: str) -> int:
    mask = sum(7 << _SHIFTS[one] for one in set(who))
    return mask | (_SET_USER if "u" in who else 0) | (_SET_GROUP if "g" in who else 0)
