"""The entry point: argv → command, errors → one line and an exit code.

What is printed here is only the diagnostics; results are printed by the commands.
"""

from __future__ import annotations

import gc
import os
import sys

from rootless import log
from rootless.cli import argv as fast
from rootless.cli import commands, diagnostics, program
from rootless.cli.main_options import MAIN
from rootless.errors import EXIT_ENGINE, EXIT_SIGNAL_BASE, RlError, describe_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from rootless.cli.options import Parsed, Signature

_SIGINT = 2
_SIGPIPE = 13


def main() -> NoReturn:
    """The console script. Does not return."""
    program.leave(run_cli)


def run_cli(argv: Sequence[str]) -> int:
    """Do what `argv` says (without the program's name) and give the exit code."""
    log.install(diagnostics.say, debug=False)
    try:
        return _dispatch(argv)
    except RlError as error:
        return diagnostics.complain(error)
    except KeyboardInterrupt:
        return EXIT_SIGNAL_BASE + _SIGINT
    except BrokenPipeError:
        return _quiet_pipe()
    except Exception as error:
        # A traceback is for who asks for it, everybody else gets a line like any other error's.
        if log.is_debug():
            raise
        return diagnostics.complain(_converted(error, argv))


def _converted(error: Exception, argv: Sequence[str]) -> RlError:
    if isinstance(error, ModuleNotFoundError):
        package = str(error.name).partition(".")[0]
        return RlError(f"{error.msg}", f"pip install {package}", EXIT_ENGINE)
    from rootless.tools.spawn import quoted

    if _stands_nowhere(error):
        return RlError("the current directory was removed", "cd", EXIT_ENGINE)
    if isinstance(error, OSError):
        text = describe_os_error(error)
    else:
        text = f"internal error: {type(error).__name__}: {error}"
    return RlError(text, f"rl --debug {quoted(argv)}", EXIT_ENGINE)


def _stands_nowhere(error: Exception) -> bool:
    """Whether `error` is getcwd(2)'s, which names no path."""
    if not isinstance(error, FileNotFoundError) or error.filename:
        return False
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _dispatch(argv: Sequence[str]) -> int:
    if "_RL_COMPLETE" in os.environ:
        from rootless.cli import click_adapter

        return click_adapter.complete(os.environ["_RL_COMPLETE"])
    parsed = fast.parse(MAIN, argv)
    if parsed is None:
        return _without_command(argv)
    _apply(parsed)
    return _run_command(["version"] if parsed.flag("version") else parsed.arguments)


def _without_command(argv: Sequence[str]) -> int:
    """`rl` alone, `rl --help`, `rl --version`, or a mistake before the command."""
    parsed = fast.parse(MAIN, [*argv, "version"])
    if parsed is None:
        from rootless.cli import click_adapter

        click_adapter.explain_main(argv)
        return 0
    _apply(parsed)
    return _run_command(["version"]) if parsed.flag("version") else _help_of("")


def _apply(parsed: Parsed) -> None:
    if parsed.flag("debug"):
        log.install(diagnostics.say, debug=True)
    for option, variable in (("root", "RL_ROOT"), ("runtime-dir", "RL_RUNTIME_DIR")):
        if parsed.text(option):
            os.environ[variable] = os.path.abspath(parsed.text(option))


def _run_command(words: Sequence[str]) -> int:
    if words[0] == "help":
        return _dispatch([*words[1:], "--help"])
    if words[0] in commands.GROUPS and (len(words) == 1 or words[1] in ("--help", "-h")):
        return _help_of(words[0])
    found = commands.find(words)
    if found is None:
        from rootless.cli import click_adapter

        raise click_adapter.unknown_command(words)
    entry, argv = found
    signature = entry.load()
    parsed = fast.parse(signature, argv) or _parse_slowly(signature, entry.path, argv)
    return 0 if parsed is None else _call(signature, parsed)


def _parse_slowly(signature: Signature, path: str, argv: Sequence[str]) -> Parsed | None:
    from rootless.cli import click_adapter

    return click_adapter.parse(signature, f"rl {path}", argv)


def _call(signature: Signature, parsed: Parsed) -> int:
    gc.enable()  # see quickload.install
    if "--debug" in signature.spellings and parsed.flag("debug"):
        log.install(diagnostics.say, debug=True)
    try:
        return signature.function(parsed)
    except RlError as error:
        if error.exit_code == RlError.exit_code:
            error.exit_code = signature.error_code
        raise


def _help_of(group: str) -> int:
    from rootless.cli import click_adapter

    click_adapter.show_help(group)
    return 0


def _quiet_pipe() -> int:
    """The reader is gone, as with `rl images | head -1`; what is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())
    return EXIT_SIGNAL_BASE + _SIGPIPE
