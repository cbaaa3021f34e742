"""The fast parser: reads what is certainly right, and leaves everything else to click.

Importing click costs more than half of the time that a whole start may take. So argv is read here
by the same tables first; at the first thing that is not plain (help, an unknown option, a missing
or a wrong value, too many arguments) `parse` gives up and the caller asks `cli.click_adapter`,
which prints the help or explains the error.
"""

from __future__ import annotations

from rootless.cli.options import BOOLEANS, FLAG, REPEAT, Parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.cli.options import Option, Signature, Value


def parse(signature: Signature, argv: Sequence[str]) -> Parsed | None:
    """`argv` (without the command's name) by `signature`; None when click has to look at it."""
    values: dict[str, Value] = {}
    arguments: list[str] = []
    rest = list(reversed(argv))
    while rest:
        word = rest.pop()
        if is_argument(word):
            arguments.append(word)
            if signature.intermixed:
                continue
            break
        if word == "--":
            break
        read = _read_long if word.startswith("--") else _read_short
        if not read(signature, word, rest, values):
            return None
    arguments.extend(reversed(rest))
    if not signature.takes(len(arguments)) or not _all_allowed(signature, values):
        return None
    return Parsed(signature, values, arguments)


def _all_allowed(signature: Signature, values: dict[str, Value]) -> bool:
    """Whether each option with a choice got one of it; as in click, only the last value counts."""
    for name, value in values.items():
        choices = signature.spellings[f"--{name}"].choices
        if choices and value not in choices:
            return False
    return True


def is_argument(word: str) -> bool:
    """Whether `word` is no option: a lone "-" is an argument too."""
    return len(word) < 2 or word[0] != "-"


def _read_long(signature: Signature, word: str, rest: list[str], values: dict[str, Value]) -> bool:
    name, equals, text = word.partition("=")
    option = signature.spellings.get(name)
    if option is None:
        return False
    if equals:
        return _store(option, text, values)
    return _store_next(option, rest, values)


def _read_short(signature: Signature, word: str, rest: list[str], values: dict[str, Value]) -> bool:
    for position in range(1, len(word)):
        option = signature.spellings.get("-" + word[position])
        if option is None:
            return False
        tail = word[position + 1 :]
        if tail.startswith("="):
            return _store(option, tail[1:], values)
        if option.kind != FLAG and tail:
            return _store(option, tail, values)
        if not _store_next(option, rest, values):
            return False
    return True


def _store_next(option: Option, rest: list[str], values: dict[str, Value]) -> bool:
    """The option without a value in its own word: a flag, or the value is the next word."""
    if option.kind == FLAG:
        values[option.name] = True
        return True
    return bool(rest) and _store(option, rest.pop(), values)


def _store(option: Option, text: str, values: dict[str, Value]) -> bool:
    if option.kind == FLAG:
        if text not in BOOLEANS:
            return False
        values[option.name] = BOOLEANS[text]
        return True
    if option.kind != REPEAT:
        values[option.name] = text
        return True
    found = values.setdefault(option.name, [])
    assert isinstance(found, list)
    found.append(text)
    return True
