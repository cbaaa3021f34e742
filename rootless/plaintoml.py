"""TOML as most people write it, read without a TOML reader, whose import costs a start 7 ms.

Known are `key = value` and `[table]` with bare keys, and of values texts in double quotes without
backslashes, numbers, booleans, and lists and inline tables of those. For anything else, and for
what is no TOML at all, the answer is None, and the real reader has to look (config.load): what is
understood here means the same there.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_NUMBER = frozenset("0123456789.")
_DIGITS = frozenset("0123456789")


class _Unknown(Exception):
    """This is for the real reader."""


def parse(text: str) -> dict[str, Any] | None:
    """The document, None where it is not that plain."""
    try:
        return _Reader(text).document()
    except (_Unknown, IndexError):
        return None  # an IndexError: the text ends too soon


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n") + "\n"
        self._at = 0
        # They are no TOML, not even in comments.
        if any((each < " " and each not in "\n\t") or each == "\x7f" for each in self._text):
            raise _Unknown

    def document(self) -> dict[str, Any]:
        whole: dict[str, Any] = {}
        table = whole
        self._skip(lines=True)
        while self._at < len(self._text):
            if self._take("["):
                table = self._new(whole, self._key("]"), {})
            else:
                key = self._key("=")
                self._new(table, key, self._value())
            self._end_of_line()
        return whole

    @staticmethod
    def _new(table: dict[str, Any], key: str, value: Any) -> Any:
        if key in table:
            raise _Unknown
        table[key] = value
        return value

    def _skip(self, *, lines: bool) -> None:
        """Spaces, and with `lines` ends of lines and comments too."""
        while self._at < len(self._text):
            each = self._text[self._at]
            if each == "#" and lines:
                self._at = self._text.index("\n", self._at)
            elif each in " \t" or (lines and each == "\n"):
                self._at += 1
            else:
                return

    def _take(self, wanted: str) -> bool:
        if not self._text.startswith(wanted, self._at):
            return False
        self._at += len(wanted)
        return True

    def _end_of_line(self) -> None:
        self._skip(lines=False)
        if self._text[self._at] not in "#\n":
            raise _Unknown
        self._skip(lines=True)

    def _key(self, end: str) -> str:
        self._skip(lines=False)
        start = self._at
        while self._text[self._at] in _BARE:
            self._at += 1
        key = self._text[start : self._at]
        self._skip(lines=False)
        if not key or not self._take(end):
            raise _Unknown
        return key

    def _value(self) -> Any:
        self._skip(lines=False)
        if self._take('"'):
            return self._string()
        if self._take("["):
            return self._list()
        if self._take("{"):
            return self._inline()
        start = self._at
        while self._text[self._at] in _BARE or self._text[self._at] in _NUMBER:
            self._at += 1
        return _plain(self._text[start : self._at])

    def _string(self) -> str:
        line = self._text[self._at : self._text.index("\n", self._at)]
        content, quote, rest = line.partition('"')
        if not quote or "\\" in content or (not content and rest.startswith('"')):
            raise _Unknown
        self._at += len(content) + 1
        return content

    def _list(self) -> list[Any]:
        found = []
        self._skip(lines=True)
        while not self._take("]"):
            found.append(self._value())
            self._skip(lines=True)
            if not self._take(","):
                if not self._text.startswith("]", self._at):
                    raise _Unknown
            self._skip(lines=True)
        return found

    def _inline(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._skip(lines=False)
        while not self._take("}"):
            self._new(found, self._key("="), self._value())
            self._skip(lines=False)
            if self._take(","):
                self._skip(lines=False)
                if self._text.startswith("}", self._at):
                    raise _Unknown  # TOML 1.0 has no comma there
            elif not self._text.startswith("}", self._at):
                raise _Unknown
        return found


def _plain(word: str) -> bool | int | float:
    if word in ("true", "false"):
        return word == "true"
    whole, point, rest = word.partition(".")
    if not whole or not _DIGITS.issuperset(whole + rest) or (len(whole) > 1 and whole[0] == "0"):
        raise _Unknown
    if point and not rest:
        raise _Unknown
    return float(word) if point else int(word)
