"""Options and arguments of commands as plain data: declared once, read by both parsers.

`cli.argv` (fast) and `cli.click_adapter` (help, usage errors, completion) are built from the same
`Signature`. See docs/decisions/0002-fast-argv.md. The rules are those of docker and podman: every
flag takes `=true` or `=false`, a short option may be bundled and may carry its value (`-itv/a:/b`,
`-eA=B`, `-e=A=B`), there are no abbreviations.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Value = bool | str | list[str]

FLAG = "flag"
VALUE = "value"
REPEAT = "repeat"

# What Go's strconv.ParseBool takes, which is what docker and podman give their flags to.
BOOLEANS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True)
BOOLEANS.update(dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False))


class Option:
    """One option: `spelled` lists its names ("-e --env"); the first long one is its key.

    kind: FLAG (true or false), VALUE (the last one counts) or REPEAT (all, in order).
    default: what is shown and used when the option is absent. choices: the values that are taken.
    """

    __slots__ = ("choices", "default", "help", "kind", "metavar", "name", "names", "section")

    def __init__(
        self,
        spelled: str,
        kind: str,
        help: str,
        metavar: str = "",
        *,
        default: bool | str | None = None,
        choices: tuple[str, ...] = (),
    ) -> None:
        self.names = tuple(spelled.split())
        self.name = next(name[2:] for name in self.names if name.startswith("--"))
        self.kind = kind
        self.help = help
        self.metavar = metavar
        self.default = default
        self.choices = choices
        self.section = ""


def flag(spelled: str, help: str, *, default: bool = False) -> Option:
    """An option without a value; `--name=false` turns it off again."""
    return Option(spelled, FLAG, help, default=default)


def value(
    spelled: str, metavar: str, help: str, *, default: str = "", choices: tuple[str, ...] = ()
) -> Option:
    """An option with a value."""
    return Option(spelled, VALUE, help, metavar, default=default, choices=choices)


def repeat(spelled: str, metavar: str, help: str) -> Option:
    """An option that may be given many times."""
    return Option(spelled, REPEAT, help, metavar)


def section(title: str, *options: Option) -> tuple[Option, ...]:
    """`options` under a heading of their own in the help."""
    for option in options:
        option.section = title
    return options


class Argument:
    """A positional argument: taken from `minimum` to `maximum` times, None for no limit."""

    __slots__ = ("maximum", "metavar", "minimum")

    def __init__(self, metavar: str, minimum: int = 1, maximum: int | None = 1) -> None:
        self.metavar = metavar
        self.minimum = minimum
        self.maximum = maximum


class Parsed:
    """What an argv says: the options that were given, and the positional arguments."""

    __slots__ = ("arguments", "signature", "values")

    def __init__(
        self, signature: Signature, values: dict[str, Value], arguments: list[str]
    ) -> None:
        self.signature = signature
        self.values = values
        self.arguments = arguments

    def flag(self, name: str) -> bool:
        """Whether the flag is on, its default when it was not given."""
        return bool(self.values.get(name, self.signature.default(name)))

    def text(self, name: str) -> str:
        """The value of the option, its default when it was not given."""
        return str(self.values.get(name, self.signature.default(name)))

    def optional(self, name: str) -> str | None:
        """The value of the option, None when it was not given (it may have been given empty)."""
        return str(self.values[name]) if name in self.values else None

    def all(self, name: str) -> list[str]:
        """Every value of a repeated option, in order."""
        found = self.values.get(name, [])
        return found if isinstance(found, list) else []

    def split(self, name: str) -> list[str]:
        """As `all`, where one value may also hold several, separated by commas."""
        return [part for text in self.all(name) for part in text.split(",") if part]


class Signature:
    """What a command takes, and the function that does it.

    intermixed: whether options may follow arguments (not for `run`: those are the command's).
    error_code: the exit code for an error that has no code of its own.
    """

    __slots__ = (
        "arguments",
        "error_code",
        "examples",
        "function",
        "help",
        "intermixed",
        "options",
        "spellings",
    )

    def __init__(
        self,
        function: Callable[[Parsed], int],
        help: str,
        options: Iterable[Option] = (),
        arguments: tuple[Argument, ...] = (),
        *,
        intermixed: bool = True,
        error_code: int = 1,
        examples: tuple[str, ...] = (),
    ) -> None:
        self.function = function
        self.help = help
        self.options = tuple(options)
        self.arguments = arguments
        self.intermixed = intermixed
        self.error_code = error_code
        self.examples = examples
        self.spellings = {name: option for option in self.options for name in option.names}

    def default(self, name: str) -> bool | str | None:
        """The default of the option with the key `name`."""
        return self.spellings[f"--{name}"].default

    def takes(self, count: int) -> bool:
        """Whether `count` positional arguments fit."""
        if count < sum(argument.minimum for argument in self.arguments):
            return False
        limits = [argument.maximum for argument in self.arguments]
        return None in limits or count <= sum(limit or 0 for limit in limits)
