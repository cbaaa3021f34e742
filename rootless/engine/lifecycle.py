"""Ends of containers: stop, kill, wait."""

from __future__ import annotations

import os
import time

from rootless.cgroup import group as groups
from rootless.engine import clients, live, recover
from rootless.engine.pump import milliseconds
from rootless.errors import EXIT_ENGINE, NotFoundError, RlError
from rootless.kernel import proc, signals
from rootless.kernel.channel import Channel, wait_readable
from rootless.store import containers, events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.live import Live
    from rootless.store.paths import Paths

# docker-stop(1), "--time".
DEFAULT_TIMEOUT = 10
_DEFAULT_SIGNAL = "SIGTERM"
# For the kernel to end what was sent SIGKILL; it may wait for a disk.
_SECONDS_TO_END = 30.0
_MS_TO_ANSWER = 2000


def stop(paths: Paths, text: str, seconds: int | None = None) -> None:
    """End the container named `text`: its stop signal, after `seconds` SIGKILL; below 0: never.

    seconds: None for the container's own timeout. One that does not run is left as it is, but is
    not restarted. Returns when everything of the run is unmade. Raises RlError.
    """
    container_id = containers.find(paths, text)
    record = containers.read_record(paths, container_id)
    live.require_here(paths, text, record)
    if not _is_somebody_at_work(paths, record):
        return
    _forbid_restart(paths, container_id)
    running = settled(paths, text, container_id)
    if running is not None:
        if seconds is None:
            seconds = record.get("stop_timeout")
        limit = DEFAULT_TIMEOUT if seconds is None else seconds
        _end(running, record.get("stop_signal") or _DEFAULT_SIGNAL, limit)
    _wait_until_unmade(paths, text, container_id)
    _give_up_restart(paths, container_id)
    events.of_container(paths, "stop", record)


def _is_somebody_at_work(paths: Paths, record: dict[str, Any]) -> bool:
    return not _is_unmade(paths, record["id"]) or record["status"] == "restarting"


def settled(paths: Paths, text: str, container_id: str) -> Live | None:
    """The running container, None when it does not run; waits while it is on its way up or down.

    Raises RlError when that does not end.
    """
    deadline = time.monotonic() + _SECONDS_TO_END
    while (running := live.look(paths, text, container_id)) is None:
        if _is_unmade(paths, container_id):
            return None
        if time.monotonic() > deadline:
            raise RlError(f"container {text}: is neither up nor down", "rl ps -a", EXIT_ENGINE)
        time.sleep(0.01)
    return running


def _give_up_restart(paths: Paths, container_id: str) -> None:
    """Between its supervisor's end and the next start nobody else says that it is over."""
    try:
        record = containers.read_record(paths, container_id)
        if record["status"] == "restarting" and record.get("stop_requested"):
            containers.update_record(paths, container_id, status="exited")
    except NotFoundError:
        pass  # of --rm


def end_at_once(paths: Paths, text: str, container_id: str) -> None:
    """SIGKILL whatever runs of the container, which is not started again; wait for its unwinding.

    Raises RlError when that does not end.
    """
    try:
        _forbid_restart(paths, container_id)
    except RlError:
        pass  # a damaged record, which is to go anyway
    running = settled(paths, text, container_id)
    fd = _pidfd(running) if running is not None else -1
    if fd >= 0:
        signals.send(fd, signals.SIGKILL)
        os.close(fd)
    _wait_until_unmade(paths, text, container_id)


def _forbid_restart(paths: Paths, container_id: str) -> None:
    """Raises RlError when neither the record nor a supervisor takes notice of it."""
    failure = None
    try:
        containers.update_record(paths, container_id, stop_requested=True)
    except RlError as error:
        failure = error  # a full disk must not keep anybody from stopping what fills it
    if not _tell_supervisor(paths, container_id) and failure is not None:
        raise failure


def _tell_supervisor(paths: Paths, container_id: str) -> bool:
    """Have it not start its container again; False when there is none (any more)."""
    try:
        supervisor = Channel(clients.connect(containers.live_directory(paths, container_id)))
    except OSError:
        return False  # in the foreground, or about to end
    try:
        supervisor.send(clients.STOP)
        wait_readable([supervisor.fd], _MS_TO_ANSWER)
    except OSError:
        return False
    finally:
        supervisor.close()
    return True


def _end(running: Live, signal: str, seconds: int) -> None:
    from rootless.model.signals import signal_number

    fd = _pidfd(running)
    if fd < 0:
        return
    try:
        signals.send(fd, signal_number(signal))
        _thaw(running)
        if not wait_readable([fd], milliseconds(seconds if seconds >= 0 else None)):
            signals.send(fd, signals.SIGKILL)
            wait_readable([fd], int(_SECONDS_TO_END * 1000))
    finally:
        os.close(fd)


def _pidfd(running: Live) -> int:
    """A descriptor of the container's first process, -1 when it has ended."""
    pid, started = running.state.get("processes", {}).get("init", (0, 0))
    return proc.open_pidfd(pid, started)


def _thaw(running: Live) -> None:
    """What is paused hears no signal but SIGKILL."""
    if running.group is not None and live.is_frozen(running.group):
        try:
            groups.write(f"{running.group.payload}/cgroup.freeze", "0")
        except OSError:
            pass


def _wait_until_unmade(paths: Paths, text: str, container_id: str) -> None:
    """Until nobody looks after the run any more. Raises RlError when that does not end."""
    deadline = time.monotonic() + _SECONDS_TO_END
    this_run = _number_of_run(paths, container_id)
    while not _is_unmade(paths, container_id):
        if _number_of_run(paths, container_id) != this_run:
            return  # the next one, already
        if time.monotonic() > deadline:
            raise RlError(
                f"container {text}: its processes do not end", f"rl top {text}", EXIT_ENGINE
            )
        time.sleep(0.01)


def _number_of_run(paths: Paths, container_id: str) -> int:
    try:
        return os.stat(containers.live_directory(paths, container_id)).st_ino
    except FileNotFoundError:
        return 0


def _is_unmade(paths: Paths, container_id: str) -> bool:
    """Whether nothing is left of a run; of one that nobody looks after nothing is left then."""
    if not os.path.isdir(containers.live_directory(paths, container_id)):
        return True
    lock = containers.live_lock(paths, container_id)
    try:
        is_abandoned = lock.acquire()
    except FileNotFoundError:
        is_abandoned = True
    if is_abandoned:
        lock.release()
        recover.sweep(paths)
    return is_abandoned


def kill(paths: Paths, text: str, signal: str) -> None:
    """Send `signal` to the first process of the container. Raises RlError when it does not run."""
    from rootless.model.signals import signal_number

    number = signal_number(signal, "--signal")
    running = live.find(paths, text)
    record = containers.read_record(paths, running.id)
    fd = _pidfd(running)
    if fd < 0:
        raise RlError(f"container {text}: is not running", hint="rl ps -a")
    stop_signal = signal_number(record.get("stop_signal") or _DEFAULT_SIGNAL)
    if number in (signals.SIGKILL, stop_signal):
        _forbid_restart(paths, running.id)
    signals.send(fd, number)
    os.close(fd)
    events.of_container(paths, "kill", record, signal=number)
    if number == signals.SIGKILL:
        _wait_until_unmade(paths, text, running.id)


def wait(paths: Paths, text: str) -> int:
    """Wait for the end of the container named `text`; its exit code. Raises RlError."""
    container_id = containers.find(paths, text)
    try:
        live.require_here(paths, text, containers.read_record(paths, container_id))
        try:
            return _wait_for_supervisor(containers.live_directory(paths, container_id))
        except OSError:
            return _wait_for_record(paths, text, container_id)
    except NotFoundError:
        # With --rm it goes at its end, between any two looks of ours.
        _wait_until_unmade(paths, text, container_id)
        return _exit_code_told(paths, container_id)


def _wait_for_supervisor(folder: str) -> int:
    """Raises OSError where there is none, or it was killed."""
    supervisor = Channel(clients.connect(folder))
    supervisor.send(clients.WAIT)
    while (received := supervisor.receive()) is not None:
        if received[0][0] == clients.END:
            return int(received[0][1])
    raise ConnectionResetError


def _wait_for_record(paths: Paths, text: str, container_id: str) -> int:
    """Of one in the foreground, or one that has ended."""
    running = live.look(paths, text, container_id)
    fd = _pidfd(running) if running is not None else -1
    if fd >= 0:
        wait_readable([fd])
        os.close(fd)
        _wait_until_unmade(paths, text, container_id)
    record = recover.as_it_is(paths, containers.read_record(paths, container_id))
    return int(record["exit_code"] or 0)


def _exit_code_told(paths: Paths, container_id: str) -> int:
    """By the events, of a container that is gone."""
    reader = events.Reader(paths)
    code = recover.UNKNOWN_EXIT
    try:
        for event in reader.past():
            if event["Action"] == "die" and event["Actor"]["ID"] == container_id:
                code = int(event["Actor"]["Attributes"]["exitCode"])
    finally:
        reader.close()
    return code
