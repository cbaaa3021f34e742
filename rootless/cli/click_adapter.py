"""click commands made from the tables: help, usage errors with advice, and shell completion.

Imported only when the fast parser gave up. Works with click 8.1 and later through its public
interface alone, which is why argv is rewritten where docker's rules differ from click's.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem, shell_complete

from rootless.cli import argv as fast
from rootless.cli import commands, main_options
from rootless.cli.options import BOOLEANS, FLAG, REPEAT, Argument, Option, Parsed, Signature
from rootless.errors import EXIT_ENGINE, UsageError

# click knows "off" only as a second name of a flag; no user would type this one.
_OFF = ":off"


def parse(signature: Signature, path: str, argv: Sequence[str]) -> Parsed | None:
    """`argv` of the command `path` by click; None when click printed the help instead.

    Raises UsageError with click's explanation.
    """
    command = TableCommand(signature, path.rpartition(" ")[2])
    try:
        with command.make_context(path, list(argv)) as context:
            return command.parsed(context)
    except click.exceptions.Exit:
        return None
    except click.UsageError as error:
        raise _converted(error, path) from None


def show_help(group: str) -> None:
    """Print the help of `rl` ("") or of one of its groups."""
    command: click.Group = RootGroup() if not group else TableGroup(group)
    with click.Context(command, info_name=f"rl {group}".rstrip()) as context:
        click.echo(command.get_help(context))


def explain_main(argv: Sequence[str]) -> None:
    """Print the help of `rl`, or raise UsageError for what stands before the command."""
    try:
        RootGroup().make_context("rl", list(argv))
    except click.exceptions.Exit:
        return
    except click.UsageError as error:
        raise _converted(error, "rl") from None


def unknown_command(words: Sequence[str]) -> UsageError:
    """Why `words` are no command, with the nearest names there are."""
    group = words[0] if words[0] in commands.GROUPS else ""
    wanted = words[1] if group else words[0]
    known = _names_below(group)
    near = get_close_matches(wanted, known)
    path = f"rl {group}".rstrip()
    return UsageError(f"{path}: no such command: {wanted}{_advice(near)}", hint=f"{path} --help")


def _advice(near: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(near)}?" if near else ""


def complete(instruction: str) -> int:
    """Answer the shell: `instruction` is the value of _RL_COMPLETE, such as "bash_source"."""
    return shell_complete(RootGroup(), {}, "rl", "_RL_COMPLETE", instruction)


def _converted(error: click.UsageError, path: str) -> UsageError:
    message = error.format_message().rstrip(".")
    if isinstance(error, click.NoSuchOption):
        near = [name for name in error.possibilities or () if _OFF not in name]
        message = f"No such option '{error.option_name}'{_advice(near)}"
    return UsageError(f"{path}: {message}", hint=f"{path} --help", exit_code=EXIT_ENGINE)


class TableOption(click.Option):
    """An option of the table; a flag has a hidden second name that turns it off."""

    def __init__(self, option: Option) -> None:
        self.option = option
        names = list(option.names)
        if option.kind == FLAG:
            names[names.index(f"--{option.name}")] = f"--{option.name}/--{option.name}{_OFF}"
        super().__init__(
            [f"o_{option.name.replace('-', '_')}", *names],
            is_flag=True if option.kind == FLAG else None,
            multiple=option.kind == REPEAT,
            type=_click_type(option),
            help=option.help,
            metavar=option.metavar or None,
        )

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """The two columns of the help, as docker and podman write them."""
        option = self.option
        short = ", ".join(name for name in option.names if not name.startswith("--"))
        long = ", ".join(name for name in option.names if name.startswith("--"))
        head = f"{short}, {long}" if short else f"    {long}"
        return f"{head} {_metavar(option)}".rstrip(), option.help + _default_text(option)


def _click_type(option: Option) -> click.ParamType[Any] | None:
    if option.kind == FLAG:
        return None
    return click.Choice(option.choices) if option.choices else click.UNPROCESSED


def _metavar(option: Option) -> str:
    return "|".join(option.choices) if option.choices else option.metavar


def _default_text(option: Option) -> str:
    if option.kind == FLAG:
        return " (default true)" if option.default else ""
    return f" (default {option.default})" if option.default else ""


class TableCommand(click.Command):
    """A click command with the options and arguments of a Signature."""

    def __init__(self, signature: Signature, name: str) -> None:
        self.signature = signature
        params: list[click.Parameter] = [TableOption(option) for option in signature.options]
        params += [_argument(each) for each in signature.arguments]
        short = [] if "-h" in signature.spellings else ["-h"]
        super().__init__(
            name,
            params=params,
            help=signature.help,
            options_metavar="[OPTIONS]",
            context_settings={
                "help_option_names": ["--help", *short],
                "allow_interspersed_args": signature.intermixed,
                "max_content_width": 100,
            },
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """click's own parse, after what click cannot read is rewritten."""
        return super().parse_args(ctx, rewritten(self.signature, args))

    def parsed(self, context: click.Context) -> Parsed:
        """What click read, as the fast parser gives it."""
        values: dict[str, bool | str | list[str]] = {}
        arguments: list[str] = []
        for param in self.params:
            found = context.params[str(param.name)]
            if isinstance(param, click.Argument):
                arguments += [found] if isinstance(found, str) else list(found or ())
            elif isinstance(param, TableOption) and _is_given(context, param):
                values[param.option.name] = list(found) if param.multiple else found
        return Parsed(self.signature, values, arguments)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options under the headings of their sections."""
        sections: dict[str, list[tuple[str, str]]] = {}
        options = (each for each in self.get_params(ctx) if isinstance(each, click.Option))
        for param in options:
            record = param.get_help_record(ctx)
            if record is not None:
                heading = param.option.section if isinstance(param, TableOption) else ""
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading or "Options"):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        if self.signature.examples:
            with formatter.section("Examples"):
                for line in self.signature.examples:
                    formatter.write(f"  {line}\n")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """click's own, without the hidden names."""
        return [item for item in super().shell_complete(ctx, incomplete) if _OFF not in item.value]


def _is_given(context: click.Context, param: click.Parameter) -> bool:
    return context.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE


def _argument(argument: Argument) -> click.Argument:
    single = argument.maximum == 1
    return click.Argument(
        [f"a_{argument.metavar.lower()}"],
        required=argument.minimum > 0,
        nargs=1 if single else -1,
        type=click.UNPROCESSED,
        metavar=_argument_metavar(argument),
    )


def _argument_metavar(argument: Argument) -> str:
    many = "" if argument.maximum == 1 else "..."
    return f"{argument.metavar}{many}" if argument.minimum else f"[{argument.metavar}{many}]"


def rewritten(signature: Signature, args: Sequence[str]) -> list[str]:
    """`args` with `--flag=false`, `-i=false` and `-e=A=B` in words that click knows.

    Words after the first that is unknown stay as they are: click explains that one.
    """
    result: list[str] = []
    rest = list(reversed(args))
    while rest:
        word = rest.pop()
        if word == "--" or (fast.is_argument(word) and not signature.intermixed):
            return [*result, word, *reversed(rest)]
        known = [word] if fast.is_argument(word) else _known_words(signature, word)
        if known is None:
            return [*result, word, *reversed(rest)]
        result += known
        if _wants_next(signature, known[-1]) and rest:
            result.append(rest.pop())
    return result


def _wants_next(signature: Signature, word: str) -> bool:
    option = signature.spellings.get(word)
    return option is not None and option.kind != FLAG


def _known_words(signature: Signature, word: str) -> list[str] | None:
    if word.startswith("--"):
        name, equals, text = word.partition("=")
        option = signature.spellings.get(name)
        if option is None:
            return None
        return [_switch(option, text)] if option.kind == FLAG and equals else [word]
    return _split_bundle(signature, word)


def _split_bundle(signature: Signature, word: str) -> list[str] | None:
    result: list[str] = []
    for position in range(1, len(word)):
        option = signature.spellings.get("-" + word[position])
        if option is None:
            return None
        tail = word[position + 1 :]
        if option.kind == FLAG and not tail.startswith("="):
            result.append(f"--{option.name}")
        elif option.kind == FLAG:
            return [*result, _switch(option, tail[1:])]
        elif tail:
            return [*result, f"--{option.name}={tail.removeprefix('=')}"]
        else:
            result.append(f"--{option.name}")
    return result


def _switch(option: Option, text: str) -> str:
    if text not in BOOLEANS:
        raise click.UsageError(f"--{option.name}: {text!r} is neither true nor false")
    return f"--{option.name}" if BOOLEANS[text] else f"--{option.name}{_OFF}"


class TableGroup(click.Group):
    """The commands below one word; a command's module is loaded only when it is asked for."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(path or "rl", help=commands.GROUPS.get(path), no_args_is_help=True)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return _names_below(self.path)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command or group called `cmd_name`."""
        if not self.path and cmd_name in commands.GROUPS:
            return TableGroup(cmd_name)
        entry = commands.ENTRIES.get(f"{self.path} {cmd_name}".lstrip())
        return TableCommand(entry.load(), cmd_name) if entry else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names from the table, without loading the commands."""
        found = [
            CompletionItem(name, help=summary)
            for name, summary in self._rows()
            if name.startswith(incomplete)
        ]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return found + [item for item in options if _OFF not in item.value]

    def _rows(self) -> list[tuple[str, str]]:
        rows = [(entry.path.split()[-1], entry.summary) for entry in commands.children(self.path)]
        return rows if self.path else rows + list(commands.GROUPS.items())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and summaries, from the table alone."""
        groups = [row for row in self._rows() if not self.path and row[0] in commands.GROUPS]
        with formatter.section("Commands"):
            formatter.write_dl([row for row in self._rows() if row not in groups])
        if groups:
            with formatter.section("Groups"):
                formatter.write_dl(groups)


class RootGroup(TableGroup):
    """`rl` itself: the groups and the options that stand before the command."""

    def __init__(self) -> None:
        super().__init__("")
        self.help = main_options.MAIN.help
        self.params = [TableOption(option) for option in main_options.MAIN.options]
        self.context_settings = {"help_option_names": ["--help", "-h"], "max_content_width": 100}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As for a command."""
        return super().parse_args(ctx, rewritten(main_options.MAIN, args))


def _names_below(group: str) -> list[str]:
    names = [entry.path.split()[-1] for entry in commands.children(group)]
    return names if group else [*names, *commands.GROUPS]
