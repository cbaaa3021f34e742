"""Containers that go on without their caller: started here, then handed to a supervisor."""

from __future__ import annotations

from rootless.engine import linger
from rootless.engine.ending import Ending
from rootless.engine.start import Start
from rootless.engine.timeline import Timeline
from rootless.engine.undo import Undo
from rootless.errors import RuntimeSetupError
from rootless.kernel import channel
from rootless.kernel.channel import close_all_of
from rootless.model import spec_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.image.progress import Progress
    from rootless.kernel.channel import Channel
    from rootless.model.container import ContainerSpec
    from rootless.net.drivers import Running
    from rootless.runtime.launch import Launch

TAKE_OVER = "take-over"
TAKEN = "taken"
RUNS = "runs"
_ENDED = "the container's supervisor ended at once"


def run(
    spec: ContainerSpec,
    launch: Launch,
    *,
    progress: Progress | None = None,
    explain: Callable[[str], None] | None = None,
) -> str:
    """`rl run -d`: start a new container; its id. launch: with a supervisor. Raises RlError."""
    timeline = Timeline()
    timeline.mark("interpreter and imports")
    begun = Start(spec, launch, timeline)
    _bring_up(begun, progress, None)
    if explain is not None:
        timeline.add(launch.times)
        for line in timeline.lines():
            explain(line)
    linger.warn_once(begun.grouping.choice)
    return begun.place.id


def start(record: dict[str, Any], launch: Launch, *, attached: bool = False) -> Channel | None:
    """`rl start`: the container of `record` once more. launch: with a supervisor.

    Returns, when `attached`, our end of a channel on which all of its output comes (engine.attach).
    Raises RlError.
    """
    spec = spec_document.from_document(record["spec"])
    spec.resources = record.get("resources", {})
    ours, theirs = channel.pair() if attached else (None, None)
    _bring_up(Start(spec, launch, Timeline(), record), None, theirs)
    if theirs is not None:
        theirs.close()
    return ours


def _bring_up(begun: Start, progress: Progress | None, client: Channel | None) -> None:
    try:
        begun.prepare(progress)
        _run_and_leave(begun, client)
    except BaseException:
        begun.launch.abandon()
        raise


def _run_and_leave(begun: Start, client: Channel | None) -> None:
    launch = begun.launch
    try:
        with Undo() as undo:
            running, leader = begun.bring_up(undo)
            # What it was given keeps a container alive, also one that cannot be executed.
            undo.callback(launch.dismiss_supervisor)
            supervisor = _brief_supervisor(begun, running, leader, client)
            begun.go()
            begun.grouping.add_helper(running.pid)
            begun.grouping.add_helper(launch.supervisor_pid)
            _leave_to(supervisor)
            undo.forget()
    except BaseException as error:
        begun.fail(error)
        Ending(begun.paths, begun.place.record, begun.remove).leave()
        begun.place.lock.release()
        raise
    launch.let_go()
    begun.place.lock.release()
    close_all_of([leader] if leader >= 0 else [])
    close_all_of(running.fds())
    begun.clear_up_after_others()


def _brief_supervisor(
    begun: Start, running: Running, leader: int, client: Channel | None
) -> Channel:
    """Give the supervisor all that a container needs to live on; it gets ready while the command
    is being executed."""
    launch, spec = begun.launch, begun.spec
    to_payload, from_out, from_err = launch.stdio.launcher
    streams = [leader] if leader >= 0 else [from_out, from_err, to_payload]
    network = running.fds()
    facts = {
        # As it is now: with --rm a short command may be gone with its record before it is read.
        "record": begun.place.record,
        "remove": begun.remove,
        "network_pid": running.pid,
        "group": begun.grouping.facts(),
        "terminal": leader >= 0,
        "network_fds": len(network),
        "has_client": client is not None,
        "interactive": spec.interactive,
        "stdin_once": spec.interactive and client is not None,
        "timeout": spec.timeout,
    }
    fds = [launch.control.fd, launch.init_fd, begun.place.lock.fd, *streams, *network]
    fds += [client.fd] if client is not None else []
    supervisor = launch.supervisor
    if supervisor is None:
        raise RuntimeSetupError("a detached container was launched without a supervisor")
    try:
        supervisor.send(TAKE_OVER, facts, fds=fds)
    except OSError as error:
        raise RuntimeSetupError(_ENDED) from error
    return supervisor


def _leave_to(supervisor: Channel) -> None:
    """Tell it that the command runs, once it is ready: it alone keeps the container then.

    Raises RuntimeSetupError.
    """
    try:
        answer = supervisor.receive()
        if answer is not None and answer[0][0] == TAKEN:
            supervisor.send(RUNS)
            return
    except OSError:
        answer = None
    if answer is None:
        raise RuntimeSetupError(_ENDED)
    raise RuntimeSetupError(f"the container's supervisor: {answer[0][1]}")
