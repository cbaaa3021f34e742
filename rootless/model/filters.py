"""`--filter KEY=VALUE`, the same for all commands that list or prune. Pure.

Docker's rules: filters with different keys must all fit, of those with one key any; of labels, all.
"""

from __future__ import annotations

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class Filters:
    """The filters of one command. keys: those that it knows, each with its form for the hint.

    Raises UsageError for what is no filter of it.
    """

    def __init__(self, words: Iterable[str], keys: Mapping[str, str], command: str) -> None:
        self._command = command
        self._keys = keys
        self._values: dict[str, list[str]] = {}
        for word in words:
            key, equals, wanted = word.partition("=")
            key = key.strip().lower()
            if key not in keys or not equals or not wanted:
                raise self.refuse(word)
            self._values.setdefault(key, []).append(wanted)

    def refuse(self, word: str) -> UsageError:
        """The error for a filter that is none."""
        forms = " | ".join(f"{key}={form}" for key, form in self._keys.items())
        hint = f"{self._command} --filter {forms}"
        return UsageError(f"--filter {word}: not a filter", hint)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def values(self, key: str) -> Sequence[str]:
        """What was given for `key`."""
        return self._values.get(key, ())

    def fits(self, key: str, test: Callable[[str], bool]) -> bool:
        """Whether `test` takes one of the values of `key`, or there are none."""
        return key not in self._values or any(map(test, self._values[key]))

    def check(self, key: str, allowed: Iterable[str]) -> None:
        """Raises UsageError for a value of `key` that is not among `allowed`."""
        for wanted in self.values(key):
            if wanted not in allowed:
                raise self.refuse(f"{key}={wanted}")

    def boolean(self, key: str) -> bool | None:
        """true or false, None when it was not given."""
        self.check(key, _BOOLEANS)
        return _BOOLEANS[self._values[key][-1]] if key in self._values else None

    def labels_fit(self, labels: Mapping[str, Any]) -> bool:
        """Whether `labels` have all of `label` and none of `label!`."""
        return all(_has(labels, one) for one in self.values("label")) and not any(
            _has(labels, one) for one in self.values("label!")
        )


def _has(labels: Mapping[str, Any], wanted: str) -> bool:
    key, equals, text = wanted.partition("=")
    return key in labels and (not equals or labels[key] == text)


def matches(pattern: str, text: str) -> bool:
    """Whether the regular expression `pattern` is found in `text`; a wrong one fits itself only."""
    if not set(pattern) & set(r".^$*+?{}[]\|()"):
        return pattern in text
    import re

    try:
        return re.search(pattern, text) is not None
    except re.error:
        return pattern == text
