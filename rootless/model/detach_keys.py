"""The keys that leave a terminal without ending what runs there (docker-attach(1)). Pure."""

from __future__ import annotations

from rootless.errors import UsageError

_CTRL = "ctrl-"
# ctrl-@ is 0, ctrl-a 1, … ctrl-_ 31 (ASCII: the character's code without the bits above 31).
_CONTROLS = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


def parse(text: str) -> bytes:
    """A sequence such as "ctrl-p,ctrl-q" or "a" as the bytes that a terminal sends; b"" for none.

    Raises UsageError.
    """
    return bytes(_code(word, text) for word in text.split(",")) if text else b""


def _code(word: str, text: str) -> int:
    if len(word) == 1 and word.isascii():
        return ord(word)
    key = word.removeprefix(_CTRL).lower()
    if word.startswith(_CTRL) and len(key) == 1 and key in _CONTROLS:
        return _CONTROLS.index(key)
    raise UsageError(
        f"--detach-keys {text}: {word!r} is no key", hint="--detach-keys ctrl-p,ctrl-q"
    )


class DetachKeys:
    """Looks for a sequence in what is typed. A beginning of it waits for what comes next."""

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._held = b""

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What may be passed on by now, and whether the sequence was complete.

        What was typed after it goes nowhere.
        """
        pending = self._held + typed
        self._held = b""
        if not self._sequence:
            return pending, False
        before, found, _ = pending.partition(self._sequence)
        if found:
            return before, True
        held = self._beginning_at_end(pending)
        self._held = pending[len(pending) - held :]
        return pending[: len(pending) - held], False

    def _beginning_at_end(self, pending: bytes) -> int:
        """How many bytes at the end could be the beginning of the sequence."""
        longest = min(len(pending), len(self._sequence) - 1)
        fits = (n for n in range(longest, 0, -1) if pending.endswith(self._sequence[:n]))
        return next(fits, 0)
