"""`rl oci`, and `rl-oci`: the command line of an OCI runtime (runtime-spec, runtime.md).

Callers parse what is printed and match what is said, so results go to standard output as they are,
nothing else goes anywhere when all is well, and errors go to --log too.
"""

from __future__ import annotations

import os
import sys

from rootless import log
from rootless.cli import argv as fast
from rootless.cli import diagnostics
from rootless.cli.oci_options import GLOBAL
from rootless.cli.options import Argument, Parsed, Signature
from rootless.errors import RlError, UsageError, describe_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Which module has a command's signature, by the command.
_MODULES = {
    "create": "oci_making", "run": "oci_making", "start": "oci_making", "exec": "oci_exec",
    "spec": "oci_facts", "features": "oci_facts",
    "state": "oci_looking", "list": "oci_looking", "ps": "oci_looking", "events": "oci_looking",
    "kill": "oci_ending", "delete": "oci_ending",
    "pause": "oci_changing", "resume": "oci_changing", "update": "oci_changing",
}  # fmt: skip
_FAILED = 1


def main(parsed: Parsed) -> int:
    """Do what `rl oci` was told."""
    if parsed.flag("debug"):
        log.install(diagnostics.say, debug=True)
    else:
        # What callers read on standard error they take for a failure.
        log.install(_quiet, debug=False)
    if parsed.flag("version") or not parsed.arguments:
        return _version() if parsed.flag("version") else _help()
    try:
        return _command(parsed)
    except RlError as error:
        return _complain(parsed, error)
    except OSError as error:
        if log.is_debug():
            raise
        return _complain(parsed, RlError(describe_os_error(error)))


def _quiet(level: str, text: str) -> None:
    if level == "warning":
        diagnostics.say(level, text)


def _help() -> int:
    print("usage: rl-oci [OPTION…] COMMAND [OPTION…] [ID] [ARG…]\n")
    print("Commands:", ", ".join(_MODULES))
    print("\nOptions before the command:")
    for option in GLOBAL:
        print(f"  {', '.join(option.names):28} {option.help}")
    print("\nrl-oci COMMAND --help shows the options of a command.")
    return 0


def _version() -> int:
    from rootless.cli import oci_facts

    oci_facts.print_version()
    return 0


def _command(parsed: Parsed) -> int:
    word, *words = parsed.arguments
    if word == "help":
        return _help()
    if word not in _MODULES:
        raise UsageError(f"rl oci {word}: no such command", hint="rl oci help")
    module = __import__(f"rootless.cli.{_MODULES[word]}", fromlist=("SIGNATURES",))
    signatures: dict[str, Signature] = module.SIGNATURES
    own = _parse(signatures[word], word, words)
    if own is None:
        return 0
    # Each command needs some of what stands before it.
    own.values.update({f"global-{name}": text for name, text in parsed.values.items()})
    return own.signature.function(own)


def _parse(signature: Signature, word: str, words: Sequence[str]) -> Parsed | None:
    found = fast.parse(signature, words)
    if found is not None:
        return found
    from rootless.cli import click_adapter

    return click_adapter.parse(signature, f"rl oci {word}", words)


def root_of(parsed: Parsed) -> str:
    """Where this caller's containers are remembered. Raises StoreError."""
    from rootless.oci import statedir

    given = str(parsed.values.get("global-root", ""))
    return os.path.abspath(given) if given else statedir.default_root()


def manager_of(parsed: Parsed) -> str:
    """Who makes control groups."""
    if parsed.values.get("global-systemd-cgroup"):
        return "systemd"
    return str(parsed.values.get("global-cgroup-manager", "cgroupfs"))


def number_of(parsed: Parsed, name: str) -> int:
    """The option's number, 0 where it is not given. Raises UsageError."""
    text = parsed.text(name)
    if text and not text.isdecimal():
        raise UsageError(f"--{name} {text}: not a number")
    return int(text or 0)


def _complain(parsed: Parsed, error: RlError) -> int:
    path = parsed.text("log")
    if path:
        _write_log(path, parsed.text("log-format"), error.message)
    diagnostics.say_line(f"rl-oci: {error.message}")
    if error.hint and sys.stderr.isatty():
        diagnostics.say_line(f"hint: {error.hint}")
    return error.exit_code if error.exit_code in (126, 127) else _FAILED


def _write_log(path: str, form: str, message: str) -> None:
    from rootless.model import jsontext
    from rootless.oci import statedir

    row = {"msg": message, "level": "error", "time": statedir.now()}
    line = (
        jsontext.dumps(row)
        if form == "json"
        else f'time="{row["time"]}" level=error msg={message!r}'
    )
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.write(fd, f"{line}\n".encode(errors="surrogateescape"))
        os.close(fd)
    except OSError as problem:
        diagnostics.say_line(f"rl-oci: --log {path}: {problem.strerror}")


def each_id(parsed: Parsed, do: Callable[[str, str], None]) -> int:
    """Call `do` with the root and the id, or with each one that --regex matches."""
    root, wanted = root_of(parsed), parsed.arguments[0]
    if not parsed.flag("regex"):
        do(root, wanted)
        return 0
    import re

    from rootless.oci import statedir

    for container_id in statedir.all_ids(root):
        if re.search(wanted, container_id):
            do(root, container_id)
    return 0


OCI = Signature(
    main,
    "Be the runtime of another program: take an OCI bundle and make a process of it. "
    "`rl-oci` is the same as a program of its own. "
    f"Commands: {', '.join(_MODULES)}; each has a --help.",
    GLOBAL,
    (Argument("COMMAND", 0), Argument("ARG", 0, None)),
    intermixed=False,
    examples=("rl oci run --bundle ./bundle one", "podman --runtime $(command -v rl-oci) run …"),
)
