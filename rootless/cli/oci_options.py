"""The flags of `rl oci`: those of runc and crun, for callers that know either."""

from __future__ import annotations

from rootless.cli.options import Argument, Option, Parsed, Signature, flag, repeat, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[[Parsed], int]

ID = Argument("ID")
IGNORED = "Taken for the sake of callers, and without a meaning here"

GLOBAL = (
    value("--root", "DIR", "Where containers are remembered ($XDG_RUNTIME_DIR/rl-oci)"),
    value("--log", "FILE", "Where errors are written beside standard error"),
    value("--log-format", "text|json", "How", default="text", choices=("text", "json")),
    value("--log-level", "LEVEL", IGNORED),
    flag("--debug", "Show every change to the host before it is made"),
    flag("--systemd-cgroup", "The same as --cgroup-manager systemd"),
    value("--cgroup-manager", "systemd|cgroupfs|disabled", "Who makes control groups",
          default="cgroupfs", choices=("systemd", "cgroupfs", "disabled")),
    value("--rootless", "BOOL", IGNORED),
    value("--criu", "FILE", IGNORED),
    flag("-v --version", "Show the version, and what this build can do"),
)  # fmt: skip


def _bundle() -> Option:
    return value("-b --bundle", "DIR", "The bundle: config.json and the root file system",
                 default=".")  # fmt: skip


def _making() -> tuple[Option, ...]:
    """Of create and run."""
    return (
        _bundle(),
        value("-f --config", "FILE", "The document's name in the bundle", default="config.json"),
        value("--pid-file", "FILE", "Where the pid of the first process is written"),
        value("--console-socket", "SOCKET", "Who gets the terminal"),
        value("--pidfd-socket", "SOCKET", "Who gets a pidfd of the first process"),
        value("--preserve-fds", "N", "How many descriptors from 3 on are the container's"),
        flag("--no-pivot", "Move the root instead of pivot_root(2)"),
        flag("--no-new-keyring", "Keep the session keyring of the caller"),
        flag("--no-subreaper", IGNORED),
    )


def create(function: Function) -> Signature:
    """`create`."""
    return Signature(function, "Make a container that waits for its start.", _making(), (ID,))


def run(function: Function) -> Signature:
    """`run`."""
    options = (
        *_making(),
        flag("-d --detach", "Do not wait for its end"),
        flag("--keep", IGNORED),
    )
    return Signature(function, "Make a container and start it.", options, (ID,))


def exec_(function: Function) -> Signature:
    """`exec`."""
    options = (
        value("-p --process", "FILE", "The process as JSON, instead of a command"),
        flag("-d --detach", "Do not wait for its end"),
        flag("-t --tty", "With a terminal"),
        value("-u --user", "UID[:GID]", "Who runs it"),
        repeat("-e --env", "NAME=VALUE", "Add to its environment"),
        value("--cwd", "DIR", "Its working directory"),
        repeat("-c --cap", "CAP", "Add a capability"),
        repeat("-g --additional-gids", "GID", "Add a group"),
        flag("--no-new-privs", "Set no_new_privs"),
        value("--apparmor", "PROFILE", "Its AppArmor profile"),
        value("--process-label", "LABEL", "Its SELinux label"),
        value("--cgroup", "PATH", "Below the container's control group"),
        value("--pid-file", "FILE", "Where its pid is written"),
        value("--console-socket", "SOCKET", "Who gets the terminal"),
        value("--pidfd-socket", "SOCKET", "Who gets a pidfd of it"),
        value("--preserve-fds", "N", "How many descriptors from 3 on are its own"),
        flag("--ignore-paused", IGNORED),
        flag("--no-subreaper", IGNORED),
    )
    arguments = (ID, Argument("COMMAND", 0, None))
    return Signature(
        function, "Run another process in a container.", options, arguments, intermixed=False
    )


def kill(function: Function) -> Signature:
    """`kill`."""
    options = (
        flag("-a --all", "All processes of the container"),
        flag("-r --regex", "ID is a regular expression"),
    )
    return Signature(function, "Send a signal.", options, (ID, Argument("SIGNAL", 0)))


def delete(function: Function) -> Signature:
    """`delete`."""
    options = (
        flag("-f --force", "Kill it first; one that does not exist is no error"),
        flag("-r --regex", "ID is a regular expression"),
    )
    return Signature(function, "Forget a container that has ended.", options, (ID,))


def list_(function: Function) -> Signature:
    """`list`."""
    options = (
        flag("-q --quiet", "Only ids"),
        value("-f --format", "table|json", "How", default="table", choices=("table", "json")),
    )
    return Signature(function, "List containers.", options)


def ps(function: Function) -> Signature:
    """`ps`."""
    options = (
        value("-f --format", "table|json", "How", default="table", choices=("table", "json")),
    )
    arguments = (ID, Argument("PS-OPTION", 0, None))
    return Signature(function, "List a container's processes.", options, arguments)


def events(function: Function) -> Signature:
    """`events`."""
    options = (
        flag("--stats", "Once, and end"),
        value("--interval", "TIME", "How often", default="5s"),
    )
    return Signature(function, "Tell what a container uses, as JSON.", options, (ID,))


def update(function: Function) -> Signature:
    """`update`."""
    names = ("blkio-weight", "cpu-period", "cpu-quota", "cpu-share", "cpuset-cpus", "cpuset-mems",
             "memory", "memory-reservation", "memory-swap", "pids-limit", "kernel-memory",
             "kernel-memory-tcp", "cpu-rt-period", "cpu-rt-runtime", "cpu-burst", "cpu-idle",
             "l3-cache-schema", "mem-bw-schema")  # fmt: skip
    options = (
        value("-r --resources", "FILE", 'linux.resources as JSON, "-" for standard input'),
        *(value(f"--{name}", "VALUE", "See linux.resources") for name in names),
    )
    return Signature(function, "Change limits.", options, (ID,))


def simple(function: Function, help_: str, *, with_id: bool = True) -> Signature:
    """A command of one id, or of nothing."""
    return Signature(function, help_, (), (ID,) if with_id else ())


def spec(function: Function) -> Signature:
    """`spec`."""
    options = (
        _bundle(),
        flag("--rootless", "For a normal user; what is made is always that"),
        value("-f --config", "FILE", "The name of the document", default="config.json"),
    )
    return Signature(function, "Write an example of config.json.", options)
