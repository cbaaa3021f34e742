"""`rl top`."""

from __future__ import annotations

from rootless.cli.options import Argument, Parsed, Signature
from rootless.errors import EXIT_ENGINE, RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine.processes import Inside, Process

# What ps(1) takes without a dash, in docker's habit: `rl top web aux`.
_BSD_OPTIONS = frozenset("aAdefghjlmnNrsSTuvwxX")


def top(parsed: Parsed) -> int:
    """Show the processes of a container."""
    from rootless.engine import live, processes
    from rootless.store import containers, execs, paths

    text, *words = parsed.arguments
    if words[:1] == ["--"]:
        words = words[1:]
    places = paths.discover()
    found = live.find(places, text)
    rows = processes.of_container(found, execs.of_container(places, found.id).values())
    if _are_for_ps(words):
        return _show_as_ps(words, rows)
    init = processes.read(found.pid("init"))
    if init is None or not rows:
        raise RlError(f"container {text}: has just ended", "rl ps -a")
    _show(words, rows, processes.Inside(init, containers.directory(places, found.id)))
    return 0


def _show(words: list[str], rows: list[Process], inside: Inside) -> None:
    import time

    from rootless.cli import output, top_columns
    from rootless.engine import processes

    columns = top_columns.choose(words)
    view = top_columns.View(inside, rows, uptime=processes.uptime(), now=time.time())
    table = [view.row(columns, process) for process in rows]
    output.write_table([column.head for column in columns], table)


def _are_for_ps(words: list[str]) -> bool:
    """Whether these are options of ps(1), which docker-top(1) takes, and no names of columns."""
    if not words:
        return False
    if words[0].startswith("-"):
        return True
    from rootless.cli.top_columns import COLUMNS

    return words[0] not in COLUMNS and set(words[0]) <= _BSD_OPTIONS


def _show_as_ps(words: list[str], rows: list[Process]) -> int:
    """What the host's ps says of the container's processes, which have the host's numbers there."""
    from rootless.cli import output
    from rootless.tools import spawn

    done = spawn.run([spawn.find("ps", "procps"), *words])
    lines = done.stdout.decode(errors="replace").splitlines()
    if done.code or not lines:
        raise RlError(f"ps {spawn.quoted(words)}: {done.complaint()}", "ps --help all")
    heads = lines[0].split()
    if "PID" not in heads:
        raise RlError(
            f"ps {spawn.quoted(words)}: shows no PID, by which to know the container's processes",
            hint="rl top CONTAINER -o pid,args",
        )
    place, pids = heads.index("PID"), {str(process.pid) for process in rows}
    output.write_line(lines[0])
    for line in lines[1:]:
        if line.split()[place : place + 1] and line.split()[place] in pids:
            output.write_line(line)
    return 0


TOP = Signature(
    top,
    "Show the processes of a container, numbered and named as they are inside.",
    (),
    (Argument("CONTAINER"), Argument("COLUMN", 0, None)),
    intermixed=False,
    error_code=EXIT_ENGINE,
    examples=(
        "rl top web",
        "rl top web pid,hpid,user,huser,args",
        "rl top web capeff seccomp label comm",
        "rl top web -ef",
    ),
)
