"""`rl start`, `restart`, `stop`, `kill`, `wait` and `attach`."""

from __future__ import annotations

from rootless.cli import begin, choosing
from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import EXIT_ENGINE, BusyError, NotFoundError, RlError, UsageError
from rootless.model.container import JOINING
from rootless.model.digits import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from rootless.runtime.launch import Launch
    from rootless.store.paths import Paths

_MAXIMUM_SECONDS = 10**9
# Starts need processors, stops mostly wait.
_AT_ONCE = 8
_CONTAINERS = (Argument("CONTAINER", 0, None),)
_TIME = value("-t --time", "SECONDS", "Seconds until it is killed; -1 for never (default 10)")
_ALL = flag("-a --all", "Every container that runs")
_DETACH_KEYS = value(
    "--detach-keys", "KEYS", 'Keys that leave it running; "" for none', default="ctrl-p,ctrl-q"
)
_SIG_PROXY = flag("--sig-proxy", "Forward signals that rl gets to the process", default=True)


def start(parsed: Parsed) -> int:
    """Start containers that are there; attached, the exit code is the container's."""
    everything = _in_order(choosing.DOWN) if parsed.flag("all") else None
    words = choosing.chosen(parsed, "start", everything)
    attached = parsed.flag("attach") or parsed.flag("interactive")
    if attached and len(words) != 1:
        raise UsageError("rl start --attach: takes exactly one container", "rl start -a NAME")
    if attached:
        return _start_attached(parsed, words[0])
    if len(words) > 1:
        begin.load_for_many()
    return _each(parsed, words, _start_one, at_once=_starts_at_once(words))


def _in_order(statuses: tuple[str, ...] = ()) -> Callable[[Paths], list[str]]:
    return lambda places: choosing.in_order(places, statuses=statuses)


def _start_one(places: Paths, text: str, first: Callable[[], None] | None = None) -> None:
    """first: what is to be done before."""

    def look() -> dict[str, Any] | None:
        from rootless.engine import made

        if first is not None:
            first()
        return made.to_start(places, text)

    try:
        _launch_if(look)
    except BusyError:
        # Another command was quicker to start it, or is about to remove it.
        _start_one(places, text)


def _launch_if(look: Callable[[], dict[str, Any] | None]) -> None:
    """Start the container whose record `look` gives, None for nothing to start."""
    # Forked before what looking and planning need is loaded, which a supervisor would hold.
    launch = begin.launch(detached=True)
    record = None
    try:
        record = look()
    finally:
        if record is None:
            launch.abandon()
    if record is not None:
        _launch(record, launch)


def _launch(record: dict[str, Any], launch: Launch, *, attached: bool = False) -> Any:
    from rootless.engine import detach

    if _joins_another(record):
        launch = _launch_joined(record, launch)
    return detach.start(record, launch, attached=attached)


def _joins_another(record: dict[str, Any]) -> bool:
    spec = record.get("spec", {})
    return any(str(spec.get(kind, "")).startswith("container:") for kind in JOINING)


def _starts_at_once(words: Sequence[str]) -> int:
    """One that joins another waits for its turn, as the user has ordered them."""
    if len(words) < 2:
        return 1
    from rootless.store import containers, paths

    places = paths.discover()
    for text in words:
        try:
            record = containers.read_record(places, containers.find(places, text))
        except RlError:
            continue  # said when its turn comes
        if _joins_another(record):
            return 1
    return _AT_ONCE


def _launch_joined(record: dict[str, Any], launch: Launch) -> Launch:
    """Another keeper in the place of one that has made a user namespace of its own."""
    launch.abandon()
    from rootless.engine import joining
    from rootless.model import spec_document
    from rootless.store import paths

    spec = spec_document.from_document(record["spec"])
    return begin.launch(detached=True, joined=joining.open_all(paths.discover(), spec))


def _start_attached(parsed: Parsed, text: str) -> int:
    from rootless.engine import made, recover
    from rootless.store import events, paths

    places = paths.discover()
    recover.tidy(places)
    record = made.to_start(places, text)
    if record is None:
        return _attach(parsed, places, text, stdin=parsed.flag("interactive"))
    events.of_container(places, "attach", record)
    channel = _launch(record, begin.launch(detached=True), attached=True)
    is_terminal = bool(record["spec"].get("tty"))
    return _follow(parsed, places, record["id"], channel, is_terminal, parsed.flag("interactive"))


def attach(parsed: Parsed) -> int:
    """Attach to a running container; the exit code is the container's."""
    from rootless.store import paths

    places = paths.discover()
    return _attach(parsed, places, parsed.arguments[0], stdin=not parsed.flag("no-stdin"))


def _attach(parsed: Parsed, places: Paths, text: str, *, stdin: bool) -> int:
    from rootless.engine import attach as engine_attach
    from rootless.engine import live

    running = live.find(places, text)
    channel, is_terminal = engine_attach.connect(places, text, running.id)
    return _follow(parsed, places, running.id, channel, is_terminal, stdin)


def _follow(
    parsed: Parsed, places: Paths, container_id: str, channel: Any, terminal: bool, stdin: bool
) -> int:
    from rootless.engine import attach as engine_attach
    from rootless.engine import lifecycle, recover
    from rootless.model import detach_keys
    from rootless.store import events

    keys = detach_keys.parse(parsed.text("detach-keys")) if terminal else b""

    def signal(number: int) -> None:
        try:
            lifecycle.kill(places, container_id, str(number))
        except RlError:
            pass  # it has just ended

    attachment = engine_attach.Attachment(
        channel,
        terminal=terminal,
        stdin=stdin,
        keys=detach_keys.DetachKeys(keys) if keys else None,
        signal=signal if parsed.flag("sig-proxy") else None,
    )
    code = attachment.follow()
    if attachment.has_detached:
        events.of_container(places, "detach", recover.record_or_nothing(places, container_id))
    return 0 if code is None else code


def restart(parsed: Parsed) -> int:
    """Stop containers, if they run, and start them."""

    def one(places: Paths, text: str) -> None:
        from rootless.engine import lifecycle
        from rootless.store import containers, events

        _start_one(places, text, lambda: lifecycle.stop(places, text, _seconds(parsed)))
        record = containers.read_record(places, containers.find(places, text))
        events.of_container(places, "restart", record)

    everything = _in_order() if parsed.flag("all") else None
    if parsed.flag("running"):
        everything = _in_order(choosing.UP)
    words = choosing.chosen(parsed, "restart", everything)
    if len(words) > 1:
        begin.load_for_many()
    return _each(parsed, words, one, at_once=_starts_at_once(words))


def restarted(parsed: Parsed) -> int:
    """What a supervisor becomes, to start its container again."""

    def one(places: Paths, text: str) -> None:
        def look() -> dict[str, Any] | None:
            from rootless.engine import made

            return made.to_restart(places, text)

        try:
            _launch_if(look)
        except RlError as error:
            from rootless.engine import made

            made.give_up_restart(places, text, error)
            raise

    return _each(parsed, parsed.arguments, one)


def stop(parsed: Parsed) -> int:
    """Stop containers."""

    def one(places: Paths, text: str) -> None:
        from rootless.engine import lifecycle

        lifecycle.stop(places, text, _seconds(parsed))

    everything = choosing.all_that_run if parsed.flag("all") else None
    gone_is_well = parsed.flag("ignore")
    words = choosing.chosen(parsed, "stop", everything, gone_is_well=gone_is_well)
    return _each(parsed, words, one, gone_is_well=gone_is_well)


def kill(parsed: Parsed) -> int:
    """Send a signal to containers."""

    def one(places: Paths, text: str) -> None:
        from rootless.engine import lifecycle

        lifecycle.kill(places, text, parsed.text("signal"))

    everything = choosing.all_that_run if parsed.flag("all") else None
    return _each(parsed, choosing.chosen(parsed, "kill", everything), one)


def wait(parsed: Parsed) -> int:
    """Wait for the end of containers and print their exit codes."""
    from rootless.cli import each
    from rootless.engine import lifecycle
    from rootless.store import paths

    places = paths.discover()
    return each.do_each(parsed.arguments, lambda text: [str(lifecycle.wait(places, text))])


def _each(
    parsed: Parsed,
    words: Iterable[str],
    act: Callable[[Paths, str], None],
    *,
    gone_is_well: bool = False,
    at_once: int = _AT_ONCE,
) -> int:
    """Do it to each, which is printed then; goes on after an error."""
    from rootless.cli import each
    from rootless.engine import recover
    from rootless.store import paths

    places = paths.discover()
    recover.tidy(places)

    def one(text: str) -> list[str]:
        act(places, text)
        return [text]

    def complain(error: RlError) -> int:
        is_well = gone_is_well and isinstance(error, NotFoundError)
        return 0 if is_well else each.complain_as_engine(error)

    return each.do_each(words, one, complain, at_once=at_once)


def _seconds(parsed: Parsed) -> int | None:
    text = parsed.optional("time")
    if text is None:
        return None
    seconds = -1 if text.startswith("-") else number(text, 0, _MAXIMUM_SECONDS)
    if seconds is None:
        raise UsageError(f"--time {text}: not a number of seconds", hint="--time 10")
    return seconds


START = Signature(
    start,
    "Start containers that were made before.",
    (
        flag("-a --attach", "Show its output, forward signals, end with its exit code"),
        flag("-i --interactive", "Give it standard input as well"),
        _DETACH_KEYS,
        _SIG_PROXY,
        flag("--all", "Every container that does not run"),
        *choosing.FLAGS,
    ),
    _CONTAINERS,
    error_code=EXIT_ENGINE,
)

RESTART = Signature(
    restart,
    "Stop containers, where they run, and start them.",
    (
        _TIME,
        flag("-a --all", "Every container"),
        flag("--running", "Every container that runs"),
        *choosing.FLAGS,
    ),
    _CONTAINERS,
    error_code=EXIT_ENGINE,
)

RESTARTED = Signature(
    restarted, "Start a container again, for its restart policy.", (), (Argument("CONTAINER"),),
    error_code=EXIT_ENGINE,
)  # fmt: skip

STOP = Signature(
    stop,
    "End containers: their stop signal, and after a while SIGKILL.",
    (_TIME, _ALL, *choosing.FLAGS, flag("-i --ignore", "One that does not exist is no error")),
    _CONTAINERS,
    error_code=EXIT_ENGINE,
)

KILL = Signature(
    kill,
    "Send a signal to the first process of containers.",
    (value("-s --signal", "SIGNAL", "Name or number", default="KILL"), _ALL, *choosing.FLAGS),
    _CONTAINERS,
    error_code=EXIT_ENGINE,
)

WAIT = Signature(
    wait,
    "Wait until containers have ended, and print their exit codes.",
    (),
    (Argument("CONTAINER", 1, None),),
    error_code=EXIT_ENGINE,
)

ATTACH = Signature(
    attach,
    "Attach to the streams of a running container.",
    (flag("--no-stdin", "Show its output only"), _DETACH_KEYS, _SIG_PROXY),
    (Argument("CONTAINER"),),
    error_code=EXIT_ENGINE,
)
