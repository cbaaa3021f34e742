"""Health checks of detached containers, made by their supervisors and by hand."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless.store import containers
from tests.user.conftest import Rl, processes
from tests.user.run.conftest import wait_until
from tests.user.run.run_images import ImageMaker

Detach = Callable[..., str]
QUICK = ("--health-interval=200ms", "--health-retries=2")
IS_UP = ("--health-cmd=test -e /up || { echo down; exit 3; }", *QUICK)


@pytest.fixture
def detach(rl: Rl, busybox_image: str) -> Iterator[Detach]:
    """`rl run -d FLAGS IMAGE sh -c SCRIPT`; the container's id."""

    def start(script: str, *flags: str, image: str = busybox_image) -> str:
        return rl("run", "-d", "--net=none", *flags, image, "sh", "-c", script).stdout.strip()

    yield start
    rl("rm", "--force", "--all")


def health_of(rl: Rl, container_id: str) -> dict[str, Any]:
    found: dict[str, Any] = containers.read_record(rl.paths, container_id)["health"]
    return found


def wait_for(rl: Rl, container_id: str, status: str) -> dict[str, Any]:
    """The state of health once it is `status`."""
    wait_until(lambda: health_of(rl, container_id)["status"] == status, 20)
    return health_of(rl, container_id)


def is_running(rl: Rl, container_id: str) -> bool:
    return containers.read_record(rl.paths, container_id)["status"] == "running"


def supervisor_of(rl: Rl, container_id: str) -> int:
    state: Any = containers.read_state(rl.paths, container_id)
    return int(state["processes"]["supervisor"][0])


def checks_of(supervisor: int) -> list[int]:
    """The pids of the checks that this supervisor has begun."""
    return [one.pid for one in processes() if one.parent == supervisor and one.state != "Z"]


def running_sleeps(seconds: int) -> list[int]:
    wanted = f"sleep\0{seconds}\0".encode()
    found = []
    for one in processes():
        try:
            line = Path(f"/proc/{one.pid}/cmdline").read_bytes()
        except OSError:
            continue
        if line.endswith(wanted) and b"sh\0" not in line:
            found.append(one.pid)
    return found


def test_healthy_unhealthy_healthy(rl: Rl, detach: Detach) -> None:
    container_id = detach("touch /up; exec sleep 1000", "--name", "box", *IS_UP)
    assert "(health: starting)" in rl("ps").stdout
    wait_for(rl, container_id, "healthy")
    assert "(healthy)" in rl("ps").stdout
    rl("exec", "box", "rm", "/up")
    known = wait_for(rl, container_id, "unhealthy")
    assert known["failing_streak"] >= 2
    assert (known["log"][-1]["exit_code"], known["log"][-1]["output"]) == (3, "down\n")
    assert "box" in rl("ps", "--filter", "health=unhealthy").stdout
    rl("exec", "box", "touch", "/up")
    assert wait_for(rl, container_id, "healthy")["failing_streak"] == 0
    shown = json.loads(rl("inspect", "box").stdout)[0]
    assert shown["State"]["Health"]["Status"] == "healthy"
    assert shown["Config"]["Healthcheck"]["Interval"] == 200_000_000
    assert shown["Config"]["Healthcheck"]["Test"][0] == "CMD-SHELL"


def test_events_tell_of_changes_only(rl: Rl, detach: Detach) -> None:
    container_id = detach("touch /up; exec sleep 1000", *IS_UP)
    wait_until(lambda: len(health_of(rl, container_id)["log"]) >= 3, 20)
    rl("exec", container_id, "rm", "/up")
    wait_for(rl, container_id, "unhealthy")
    told = rl("events", "--since=1h", "--until=0s", "--format={{.Action}}", code=None).stdout
    found = [line for line in told.splitlines() if line.startswith("health_status")]
    assert found == ["health_status: healthy", "health_status: unhealthy"]


def test_a_check_that_takes_too_long_is_killed_with_its_children(rl: Rl, detach: Detach) -> None:
    container_id = detach(
        "exec sleep 1000", "--health-cmd=echo begun; sleep 4711; true", "--health-interval=100ms",
        "--health-timeout=500ms", "--health-retries=1",
    )  # fmt: skip
    known = wait_for(rl, container_id, "unhealthy")
    assert known["log"][0]["exit_code"] == -1
    assert known["log"][0]["output"] == "Health check exceeded timeout (500ms): begun\n"
    wait_until(lambda: len(health_of(rl, container_id)["log"]) >= 3, 20)
    assert len(running_sleeps(4711)) <= 1
    assert is_running(rl, container_id)


def test_failures_in_the_start_period_do_not_count(rl: Rl, detach: Detach) -> None:
    container_id = detach(
        "exec sleep 1000", "--health-cmd=test -e /up", "--health-interval=1h",
        "--health-start-period=1h", "--health-start-interval=100ms", "--health-retries=1",
    )  # fmt: skip
    wait_until(lambda: len(health_of(rl, container_id)["log"]) >= 3, 20)
    assert health_of(rl, container_id)["status"] == "starting"
    assert health_of(rl, container_id)["failing_streak"] == 0
    rl("exec", container_id, "touch", "/up")
    wait_for(rl, container_id, "healthy")


CHECK = {"Test": ["CMD", "test", "-e", "/up"], "Interval": 200_000_000, "Retries": 1}


def test_the_images_healthcheck(rl: Rl, detach: Detach, images: ImageMaker) -> None:
    image = images(config={"Healthcheck": CHECK})
    container_id = detach("exec sleep 1000", image=image)
    wait_for(rl, container_id, "unhealthy")
    rl("exec", container_id, "touch", "/up")
    wait_for(rl, container_id, "healthy")
    assert json.loads(rl("inspect", container_id).stdout)[0]["Config"]["Healthcheck"] == CHECK


def test_no_healthcheck(rl: Rl, detach: Detach, images: ImageMaker) -> None:
    container_id = detach(
        "exec sleep 1000", "--no-healthcheck", image=images(config={"Healthcheck": CHECK})
    )
    assert containers.read_record(rl.paths, container_id)["health"] is None
    assert "Health" not in json.loads(rl("inspect", container_id).stdout)[0]["State"]
    done = rl("healthcheck", "run", container_id, code=125)
    assert "has no health check" in done.stderr


def test_a_check_that_is_killed_has_failed(rl: Rl, detach: Detach) -> None:
    container_id = detach(
        "exec sleep 1000", "--health-cmd=sleep 4712", "--health-interval=100ms",
        "--health-retries=1",
    )  # fmt: skip
    supervisor = supervisor_of(rl, container_id)
    wait_until(lambda: running_sleeps(4712), 20)
    os.kill(checks_of(supervisor)[0], signal.SIGKILL)
    known = wait_for(rl, container_id, "unhealthy")
    assert known["log"][0]["output"] == "rl healthcheck run: exit code 137"
    assert is_running(rl, container_id)


def test_stop_during_a_check_is_no_failure_and_does_not_wait(rl: Rl, detach: Detach) -> None:
    container_id = detach(
        "exec sleep 1000", "--health-cmd=sleep 4713", "--health-interval=100ms",
        "--health-retries=1",
    )  # fmt: skip
    wait_until(lambda: running_sleeps(4713), 20)
    supervisor = supervisor_of(rl, container_id)
    check = checks_of(supervisor)[0]
    begun = time.monotonic()
    rl("stop", "-t", "0", container_id)
    assert time.monotonic() - begun < 5
    assert health_of(rl, container_id) == {"status": "starting", "failing_streak": 0, "log": []}
    wait_until(lambda: not os.path.exists(f"/proc/{check}"))
    assert running_sleeps(4713) == []


def test_a_check_that_hangs_ends_with_its_container(rl: Rl, detach: Detach) -> None:
    container_id = detach("exec sleep 1000", "--health-cmd=true", "--health-interval=100ms")
    supervisor = supervisor_of(rl, container_id)
    (check,) = wait_until(lambda: checks_of(supervisor), 20)  # type: ignore[misc]
    os.kill(check, signal.SIGSTOP)
    rl("stop", "-t", "0", container_id)
    wait_until(lambda: not os.path.exists(f"/proc/{check}"))


def test_a_start_begins_anew_and_keeps_the_results(rl: Rl, detach: Detach) -> None:
    container_id = detach("exec sleep 1000", "--name=box", *IS_UP)
    log = wait_for(rl, container_id, "unhealthy")["log"]
    rl("stop", "-t", "0", "box")
    rl("start", "box")
    assert health_of(rl, container_id)["status"] == "starting"
    assert health_of(rl, container_id)["log"][:2] == log[:2]
    rl("exec", "box", "touch", "/up")
    wait_for(rl, container_id, "healthy")


def test_a_store_that_takes_nothing_harms_no_container(rl: Rl, detach: Detach) -> None:
    container_id = detach("touch /up; exec sleep 1000", *IS_UP)
    folder = containers.directory(rl.paths, container_id)
    supervisor = supervisor_of(rl, container_id)
    os.chmod(folder, 0o500)
    try:
        before = health_of(rl, container_id)["log"]
        seen: set[int] = set()
        wait_until(lambda: seen.update(checks_of(supervisor)) or len(seen) >= 3, 20)
        assert health_of(rl, container_id)["log"] == before
        assert is_running(rl, container_id)
    finally:
        os.chmod(folder, 0o700)
    wait_for(rl, container_id, "healthy")


def test_by_hand(rl: Rl, detach: Detach) -> None:
    command = "--health-cmd=head -c 5000 /dev/zero | tr '\\0' x; test -e /up"
    container_id = detach("exec sleep 1000", "--name=box", command, "--health-interval=1h")
    assert rl("healthcheck", "run", "box", code=1).stdout == "unhealthy\n"
    rl("exec", "box", "touch", "/up")
    for _ in range(5):
        assert rl("healthcheck", "run", "box").stdout == ""
    known = health_of(rl, container_id)
    assert (known["status"], known["failing_streak"]) == ("healthy", 0)
    assert [row["exit_code"] for row in known["log"]] == [0] * 5
    assert known["log"][0]["output"] == "x" * 4096 + "..."
    rl("stop", "-t", "0", "box")
    assert "is not running" in rl("healthcheck", "run", "box", code=125).stderr


def test_a_command_that_is_not_there(rl: Rl, detach: Detach) -> None:
    command = '--health-cmd=["no-such-command"]'
    container_id = detach("exec sleep 1000", command, "--health-interval=1h")
    rl("healthcheck", "run", container_id, code=1)
    (row,) = health_of(rl, container_id)["log"]
    assert row["exit_code"] == 127 and "no-such-command" in row["output"]


@pytest.mark.parametrize("action", ["kill", "stop"])
def test_what_ends_an_unhealthy_container(rl: Rl, detach: Detach, action: str) -> None:
    script = "trap 'exit 5' TERM; while :; do sleep 0.1; done"
    flags = ("--health-cmd=false", *QUICK, f"--health-on-failure={action}")
    container_id = detach(script, *flags)
    assert rl("wait", container_id).stdout == ("137\n" if action == "kill" else "5\n")
    assert health_of(rl, container_id)["status"] == "unhealthy"


def test_what_restarts_an_unhealthy_container(rl: Rl, detach: Detach) -> None:
    script = "[ -e /ran ] && touch /up; touch /ran; exec sleep 1000"
    container_id = detach(script, *IS_UP, "--health-on-failure=restart", "--stop-timeout=0")
    wait_for(rl, container_id, "healthy")
    assert containers.read_record(rl.paths, container_id)["starts"] == 2
