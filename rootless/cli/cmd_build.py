"""`rl build`: flags → BuildSpec, and how a build is shown."""

from __future__ import annotations

import os

from rootless.cli.options import Argument, Parsed, Signature, flag, repeat, value
from rootless.cli.resource_options import NAMES as RESOURCE_NAMES
from rootless.cli.run_options import RUN_OPTIONS
from rootless.errors import EXIT_ENGINE, EXIT_SIGNAL_BASE, UsageError
from rootless.kernel import signals
from rootless.model.container import joined_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

    from rootless.engine.building.spec import BuildSpec, Secret
    from rootless.model.container import ContainerSpec

_AGENT = "SSH_AUTH_SOCK"
# Options of `rl run` that are for the containers of RUN.
_OF_RUN = RESOURCE_NAMES | {
    "volume", "network", "add-host", "no-hosts", "dns", "dns-search", "dns-option", "cap-add",
    "cap-drop", "security-opt", "device", "ulimit", "shm-size", "procview",
    "cpu-affinity", "sysinfo",
}  # fmt: skip


def build(parsed: Parsed) -> int:
    """Build an image; its id on standard output, all else on standard error."""
    signals.signal(signals.SIGTERM, _end)
    from rootless.cli import output
    from rootless.cli import progress as progress_lines
    from rootless.engine import recover
    from rootless.engine.building import builder
    from rootless.store import paths

    spec = _spec(parsed)
    is_quiet = parsed.flag("quiet") or parsed.text("progress") == "quiet"
    shown = _Shown(is_quiet=is_quiet)
    places = paths.discover()
    recover.tidy(places)
    progress = progress_lines.QuietProgress()
    if not is_quiet:
        progress = progress_lines.PlainProgress("pulling")
    try:
        made = builder.build(places, spec, progress, shown.line)
    except BaseException:
        shown.tell()
        raise
    if parsed.text("iidfile"):
        _write_id(parsed.text("iidfile"), made.image_id)
    output.write_line(made.image_id.partition(":")[2])
    return 0


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """As Ctrl-C does: the stages that are being built unmake what they have begun first."""
    raise SystemExit(EXIT_SIGNAL_BASE + number)


class _Shown:
    """Lines of a build; of a quiet one they are told only when it fails."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._kept: list[bytes] = []

    def line(self, text: bytes) -> None:
        """One line, as a command in a container has written it."""
        if self._is_quiet:
            self._kept.append(text)
        else:
            _write(text + b"\n")

    def tell(self) -> None:
        """What was kept back."""
        _write(b"".join(line + b"\n" for line in self._kept))


def _write(data: bytes) -> None:
    while data:
        try:
            data = data[os.write(2, data) :]
        except OSError:
            return


def _write_id(path: str, image_id: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(image_id)
    except OSError as error:
        raise UsageError(f"--iidfile {path}: {error.strerror}") from error


def _repositories(parsed: Parsed, name: str) -> list[str]:
    """Those of --cache-from and --cache-to, also as `type=registry,ref=…`."""
    found = []
    for text in parsed.all(name):
        kind, _, rest = text.partition(",")
        if kind.startswith("type=") and kind != "type=registry":
            raise UsageError(
                f"--{name} {text}: only caches in registries are supported",
                hint=f"--{name} REGISTRY/NAME:TAG",
            )
        words = [word[4:] for word in rest.split(",") if word.startswith("ref=")]
        found += words if kind == "type=registry" else [text]
    return found


def _spec(parsed: Parsed) -> BuildSpec:
    from rootless.engine.building.spec import BuildSpec
    from rootless.model import envfile

    spec = BuildSpec((parsed.arguments or ["."])[0])
    spec.file = parsed.text("file")
    spec.names = parsed.all("tag")
    spec.args = _build_args(parsed.all("build-arg"))
    spec.cache_from = _repositories(parsed, "cache-from")
    spec.cache_to = _repositories(parsed, "cache-to")
    spec.target = parsed.text("target")
    spec.no_cache = parsed.flag("no-cache")
    spec.pull = _pull_policy(parsed)
    spec.platform = parsed.text("platform")
    spec.labels = envfile.parse_pairs(parsed.all("label"), "--label")
    spec.annotations = envfile.parse_pairs(parsed.all("annotation"), "--annotation")
    spec.secrets = {one.id: one for one in map(_secret, parsed.all("secret"))}
    spec.ssh = dict(map(_agent, parsed.all("ssh")))
    spec.squash = parsed.flag("squash")
    spec.epoch = _epoch(parsed)
    spec.image_format = parsed.text("format")
    spec.compression = parsed.text("compression")
    spec.jobs = _number(parsed.text("jobs"), "--jobs") if parsed.text("jobs") else 0
    spec.container = _container(parsed)
    return spec


def _build_args(words: list[str]) -> dict[str, str]:
    """`NAME=VALUE`, or `NAME` for the variable of that name, where there is one."""
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not name:
            raise UsageError(f"--build-arg {word!r}: the name before '=' is missing")
        if equals:
            found[name] = text
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def _pull_policy(parsed: Parsed) -> str:
    if parsed.flag("pull-never"):
        return "never"
    return "always" if parsed.flag("pull") else "missing"


def _fields(text: str, flag_name: str, known: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for part in text.split(","):
        name, equals, word = part.partition("=")
        if not equals or name not in known:
            raise UsageError(
                f"{flag_name} {text}: {part} is not understood", f"one of: {', '.join(known)}"
            )
        found[name] = word
    return found


def _secret(text: str) -> Secret:
    from rootless.engine.building.spec import Secret

    fields = _fields(text, "--secret", ("id", "src", "source", "env", "type"))
    path = fields.get("src") or fields.get("source", "")
    name = fields.get("id") or os.path.basename(path)
    kind = fields.get("type", "")
    if not name or kind not in ("", "file", "env"):
        raise UsageError(f"--secret {text}: not understood", hint="--secret id=NAME,src=FILE")
    variable = fields.get("env", "") or (name if kind == "env" and not path else "")
    if not path and not variable:
        # As docker has it: a variable of that name, else a file.
        variable = name if name in os.environ else ""
    if not variable and not os.path.isfile(path or name):
        raise UsageError(f"--secret {text}: no such file: {path or name}")
    if variable and variable not in os.environ:
        raise UsageError(f"--secret {text}: the variable {variable} is not set")
    return Secret(name, os.path.abspath(path or name), variable)


def _agent(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    path = path if equals else os.environ.get(_AGENT, "")
    if not path:
        raise UsageError(f"--ssh {text}: {_AGENT} is not set", hint='eval "$(ssh-agent)"; ssh-add')
    import stat

    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        raise UsageError(f"--ssh {text}: {path}: {error.strerror}") from error
    if not is_socket:
        raise UsageError(
            f"--ssh {text}: {path} is not the socket of an agent",
            hint=f"ssh-add {path}; --ssh {name}",
        )
    return name, os.path.abspath(path)


def _epoch(parsed: Parsed) -> int | None:
    given = parsed.text("timestamp")
    if given:
        return _number(given, "--timestamp")
    inherited = os.environ.get("SOURCE_DATE_EPOCH", "")
    return _number(inherited, "SOURCE_DATE_EPOCH") if inherited else None


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 12:
        raise UsageError(f"{what} {text}: a number was expected")
    return int(text)


def _container(parsed: Parsed) -> ContainerSpec:
    """What the containers of RUN are to be: the flags that `rl run` has too."""
    from rootless.cli.cmd_run import RUN
    from rootless.cli.run_flags import container_spec

    if joined_container(parsed.text("network")):
        raise UsageError(f"--network {parsed.text('network')}: not possible in a build")
    values = {name: parsed.values[name] for name in _OF_RUN if name in parsed.values}
    return container_spec(Parsed(RUN, values, ["IMAGE"]))


BUILD = Signature(
    build,
    "Build an image from a Dockerfile.",
    (
        value("-f --file", "FILE", "The Dockerfile; - for standard input"),
        repeat("-t --tag", "NAME", "A name for the image; may be repeated"),
        repeat("--build-arg", "NAME[=VALUE]", "A value for an ARG"),
        value("--target", "STAGE", "The stage to build"),
        flag("--no-cache", "Make every step anew"),
        flag("--pull --pull-always", "Look for newer base images"),
        flag("--pull-never", "Use no base image that is not here"),
        value("--platform", "OS/ARCH", "Of the base images"),
        repeat("--label", "KEY=VALUE", "A label for the image"),
        repeat("--annotation", "KEY=VALUE", "An annotation for its manifest"),
        repeat("--secret", "id=NAME,src=FILE", "A file, or env=VARIABLE, for RUN --mount"),
        repeat("--ssh", "default|ID[=SOCKET]", "An agent for RUN --mount=type=ssh"),
        flag("--squash", "One layer on top of the base image's"),
        value("--timestamp", "SECONDS", "No time in the image is later; also SOURCE_DATE_EPOCH"),
        value("--format", "FORMAT", "oci or docker", default="oci", choices=("oci", "docker")),
        value("--compression", "KIND", "Of new layers", default="gzip",
              choices=("gzip", "zstd", "none")),
        value("--jobs", "NUMBER", "How many stages are built side by side"),
        value("--iidfile", "FILE", "Write the image's id there"),
        flag("-q --quiet", "Nothing but the id"),
        value("--progress", "KIND", "plain, auto or quiet", default="auto",
              choices=("auto", "plain", "quiet", "tty")),
        repeat("--cache-from", "NAME", "A repository with steps of earlier builds"),
        repeat("--cache-to", "NAME", "Push the steps of this build to a repository"),
        flag("--rm --force-rm", "Commands leave no containers: always so", default=True),
        flag("--layers", "Steps are kept for later builds: always so", default=True),
        *(option for option in RUN_OPTIONS if option.name in _OF_RUN),
    ),
    (Argument("CONTEXT", 0),),
    examples=(
        "rl build -t web .",
        "rl build -f Containerfile.test --target test --build-arg VERSION=3.12 .",
        "rl build -t web https://example.org/web.git#main:docker",
        "tar c . | rl build -t web -",
    ),
    error_code=EXIT_ENGINE,
)  # fmt: skip
