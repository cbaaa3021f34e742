"""The timers of a monitor by a clock of the test's own; its checks are real child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rootless.engine.health_monitor import Monitor, Schedule
from rootless.kernel.channel import wait_readable
from rootless.model.healthcheck import Check
from rootless.tools import spawn

CHECKOUT = Path(__file__).parents[3]
SECOND = 1_000_000_000


def check(**changes):
    wish = {
        "command": ["x"], "interval": 30 * SECOND, "timeout": 10 * SECOND, "start_period": 0,
        "start_interval": 5 * SECOND, "retries": 3,
    }  # fmt: skip
    return Check(**{**wish, **changes})


def test_the_first_check_is_an_interval_after_the_start():
    assert Schedule(check(), 100.0).due == 130.0


def test_the_start_period_has_an_interval_of_its_own_until_it_is_over_or_it_is_healthy():
    schedule = Schedule(check(start_period=20 * SECOND), 100.0)
    assert schedule.due == 105.0
    schedule.put_off("starting", 119.0)
    assert schedule.due == 124.0
    schedule.put_off("starting", 120.0)
    assert schedule.due == 150.0
    schedule.put_off("healthy", 110.0)
    assert schedule.due == 140.0


def test_an_image_cannot_have_the_host_check_without_end():
    assert Schedule(check(interval=1), 100.0).due == pytest.approx(100.1)


class Scene:
    """A monitor, its clock, and what it has called."""

    def __init__(self, **changes):
        self.now = 0.0
        self.status = "starting"
        self.paused = False
        self.script = "exit 0"
        self.pids = []
        self.calls = []
        self.monitor = Monitor(
            check(**changes),
            begin=self.begin,
            is_paused=lambda: self.paused,
            broken=lambda code: self.calls.append(("broken", code)),
            status=lambda: self.status,
            unhealthy=lambda: self.calls.append("unhealthy"),
            clock=lambda: self.now,
        )

    def begin(self):
        self.pids.append(spawn.spawn(["/bin/sh", "-c", self.script]).pid)
        return self.pids[-1]

    def at(self, now):
        """Let the monitor act at `now`, without news from a child."""
        self.now = now
        self.monitor.turn({})

    def after_end(self, now):
        """Let it act at `now`, once its child has ended."""
        masks = {}
        self.monitor.wants(masks)
        assert wait_readable(list(masks), 5000) == list(masks)
        self.now = now
        self.monitor.turn(masks)


@pytest.fixture
def scene():
    scenes = []

    def make(**changes):
        scenes.append(Scene(**changes))
        return scenes[-1]

    yield make
    for one in scenes:
        one.monitor.close()


def test_checks_follow_each_other_at_the_interval_after_the_end(scene):
    one = scene()
    one.at(29.9)
    assert one.pids == []
    one.at(30.0)
    assert len(one.pids) == 1
    one.after_end(35.0)
    assert one.monitor.deadline == 65.0
    assert one.calls == []


def test_never_two_at_once(scene):
    one = scene(interval=SECOND, timeout=1000 * SECOND)
    one.script = "sleep 1000"
    one.at(1.0)
    one.at(2.0)
    one.at(500.0)
    assert len(one.pids) == 1


def test_none_while_paused(scene):
    one = scene()
    one.paused = True
    one.at(30.0)
    assert (one.pids, one.monitor.deadline) == ([], 60.0)
    one.paused = False
    one.at(60.0)
    assert len(one.pids) == 1


@pytest.mark.parametrize(("script", "code"), [("exit 125", 125), ("kill -9 $$", 137)])
def test_an_rl_that_cannot_tell_is_told_of(scene, script, code):
    one = scene()
    one.script = script
    one.at(30.0)
    one.after_end(31.0)
    one.at(31.4)
    assert one.calls == []
    one.at(31.5)
    assert one.calls == [("broken", code)]
    assert one.monitor.deadline == 61.5


def test_an_rl_that_could_not_tell_because_of_the_end_is_no_failure(scene):
    one = scene()
    one.script = "exit 125"
    one.at(30.0)
    one.after_end(31.0)
    one.monitor.close()
    assert one.calls == []


def test_unhealthy_is_told_once_each_time(scene):
    one = scene()
    now = 30.0
    for status in ("unhealthy", "unhealthy", "healthy", "unhealthy"):
        one.status = status
        one.at(now)
        one.after_end(now)
        now += 30.0
    assert one.calls == ["unhealthy", "unhealthy"]


def test_an_rl_that_does_not_end_is_killed(scene):
    one = scene()
    one.script = "exec sleep 1000"
    one.at(30.0)
    one.at(one.monitor.deadline - 0.1)
    assert not wait_readable([one.monitor._fd], 50)
    one.at(one.monitor.deadline)
    one.after_end(62.0)
    one.at(62.5)
    assert one.calls == [("broken", 128 + signal.SIGKILL)]


def test_a_host_without_processes_is_no_failure(scene):
    one = scene()

    def begin():
        raise BlockingIOError

    one.monitor._begin = begin
    one.at(30.0)
    assert (one.calls, one.monitor.deadline) == ([], 60.0)


def test_the_end_of_the_container_ends_a_check(scene):
    one = scene()
    one.script = "exec sleep 1000"
    one.at(30.0)
    one.monitor.close()
    assert one.calls == []
    with pytest.raises(ChildProcessError):
        os.waitpid(one.pids[0], os.WNOHANG)


def test_a_broken_check_of_a_paused_container_is_no_failure(scene):
    one = scene()
    one.script = "exit 125"
    one.at(30.0)
    one.paused = True
    one.after_end(31.0)
    one.at(31.5)
    assert (one.calls, one.monitor.deadline) == ([], 61.5)


def test_a_supervisor_without_a_check_does_not_load_it():
    code = "import rootless.engine.supervisor, sys; print(*sys.modules)"
    script = f"import sys; sys.path.append({str(CHECKOUT)!r}); {code}"
    done = subprocess.run([sys.executable, "-ISc", script], capture_output=True, check=True)
    loaded = done.stdout.decode().split()
    assert "rootless.engine.supervisor" in loaded
    assert not [name for name in loaded if "health" in name]
