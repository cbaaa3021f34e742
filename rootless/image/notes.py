"""What unpacking left out, kept in bounded memory whatever an archive holds."""

from __future__ import annotations

from rootless.image.tarentry import shown

_EXAMPLES = 3


class Notes:
    """For each kind of thing a count and the first names."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[int, list[str]]] = {}

    def add(self, kind: str, name: bytes) -> None:
        """One more thing of `kind`, a phrase such as "device nodes not made"."""
        count, names = self._kinds.get(kind, (0, []))
        if len(names) < _EXAMPLES and name:
            names.append(shown(name))
        self._kinds[kind] = (count + 1, names)

    def lines(self) -> list[str]:
        """One line for each kind."""
        return [_note(kind, count, names) for kind, (count, names) in self._kinds.items()]


def _note(kind: str, count: int, names: list[str]) -> str:
    if not names:
        return kind
    more = ", …" if count > len(names) else ""
    return f"{kind}: {count} ({', '.join(names)}{more})"
