"""`rl cp`: files between a container and the host."""

from __future__ import annotations

import os

from rootless.cli import diagnostics, output
from rootless.cli.options import Argument, Parsed, Signature, flag
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine.copying import Copied


def copy(parsed: Parsed) -> int:
    """Copy one file or directory."""
    from rootless import log
    from rootless.engine import recover
    from rootless.model import copyrule
    from rootless.store import paths

    source, destination = parsed.arguments
    from_container, from_path = copyrule.split_operand(source)
    to_container, to_path = copyrule.split_operand(destination)
    _check(from_container, from_path, to_container, to_path)
    recover.tidy(paths.discover())
    if from_container:
        copied = _out(parsed, from_container, from_path, to_path)
    else:
        copied = _in(parsed, from_path, to_container, to_path)
    for note in copied.notes:
        log.warn(note)
    # As docker has it: told at a terminal only.
    if copied.size and not parsed.flag("quiet") and os.isatty(1):
        size = output.human_size(copied.size)
        diagnostics.say_line(f"Successfully copied {size} to {destination}")
    return 0


def _check(from_container: str, from_path: str, to_container: str, to_path: str) -> None:
    if from_container and to_container:
        raise UsageError(
            "rl cp: copies between a container and the host, not between two containers",
            hint=f"rl cp {from_container}:{from_path} - | rl cp - {to_container}:DIR",
        )
    if not from_container and not to_container:
        raise UsageError("rl cp: neither SRC nor DST names a container", "rl cp web:/etc/hosts .")
    for path, what in ((from_path, "SRC"), (to_path, "DST")):
        if not path:
            raise UsageError(f"rl cp: {what} has no path", "rl cp web:/etc/hosts .")


def _out(parsed: Parsed, container: str, path: str, destination: str) -> Copied:
    from rootless.engine import copying
    from rootless.store import paths

    follow = parsed.flag("follow-link")
    if destination == "-":
        output.refuse_terminal("rl cp", f"rl cp {container}:{path} - | tar tv")
        copying.to_stdout(paths.discover(), container, path, follow=follow)
        return copying.Copied()
    return copying.to_host(
        paths.discover(), container, path, destination,
        follow=follow, keep_owners=parsed.flag("archive"),
    )  # fmt: skip


def _in(parsed: Parsed, source: str, container: str, path: str) -> Copied:
    from rootless.engine import copying
    from rootless.store import paths

    if source == "-":
        return copying.from_stdin(paths.discover(), container, path)
    return copying.to_container(
        paths.discover(), source, container, path,
        follow=parsed.flag("follow-link"), keep_owners=parsed.flag("archive"),
    )  # fmt: skip


CP = Signature(
    copy,
    "Copy files between a container, which need not run, and the host. With - as the host's side"
    " it is a tar archive on standard output or input.",
    (
        flag("-a --archive", "Keep uid and gid, and set-user-ID bits on the host"),
        flag("-L --follow-link", "Copy what the link SRC leads to"),
        flag("-q --quiet", "Do not tell how much was copied"),
    ),
    (Argument("SRC"), Argument("DST")),
    examples=(
        "rl cp web:/etc/nginx/nginx.conf .",
        "rl cp ./site/. web:/usr/share/nginx/html",
        "rl cp web:/var/log - | tar t",
    ),
)
