"""Environment variables from flags and from files (docker's `--env-file` format). Pure."""

from __future__ import annotations

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BOM = b"\xef\xbb\xbf"


def parse_env(words: Iterable[str], host: Mapping[str, str]) -> dict[str, str]:
    """`NAME=VALUE` as it stands; `NAME` from `host` where set; `PRE*` all of host's that begin so.

    Raises UsageError that names the word.
    """
    result: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise UsageError(f"--env {word!r}: the name of the variable is missing")
        if equals:
            result[name] = value
        elif name.endswith("*"):
            result.update((key, host[key]) for key in host if key.startswith(name[:-1]))
        elif name in host:
            result[name] = host[name]
    return result


def parse_env_file(content: bytes, source: str, host: Mapping[str, str]) -> dict[str, str]:
    """The variables of one file; `source` names it in errors.

    A line is `NAME=VALUE` or `NAME` (then from `host`); nothing is unquoted or expanded. Blank
    lines and lines that begin with `#` are skipped. Raises UsageError that names the line.
    """
    result: dict[str, str] = {}
    for number, line in _lines(content, source):
        name, equals, value = line.partition("=")
        _check_name(name if equals else name.strip(), f"{source}:{number}")
        if equals:
            result[name] = value
        elif name.strip() in host:
            result[name.strip()] = host[name.strip()]
    return result


def parse_label_file(content: bytes, source: str) -> dict[str, str]:
    """As `parse_env_file`, but a line without `=` is a label with an empty value."""
    result: dict[str, str] = {}
    for number, line in _lines(content, source):
        name, _, value = line.partition("=")
        _check_name(name, f"{source}:{number}")
        result[name] = value
    return result


def _lines(content: bytes, source: str) -> list[tuple[int, str]]:
    try:
        text = content.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{source}:{number}: not UTF-8") from None
    # Not splitlines(): that also splits at form feeds and at Unicode's line separators.
    rows = enumerate(text.split("\n"), start=1)
    stripped = ((number, line.removesuffix("\r").lstrip()) for number, line in rows)
    return [(number, line) for number, line in stripped if line and not line.startswith("#")]


def _check_name(name: str, place: str) -> None:
    if not name:
        raise UsageError(f"{place}: the name before '=' is missing")
    if any(character.isspace() for character in name):
        raise UsageError(f"{place}: the name {name!r} contains a space")


def parse_pairs(words: Iterable[str], flag: str) -> dict[str, str]:
    """`KEY=VALUE` or `KEY` (an empty value) of --label and its like. Raises UsageError."""
    result: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        if not name:
            raise UsageError(f"{flag} {word!r}: the name before '=' is missing")
        result[name] = value
    return result
