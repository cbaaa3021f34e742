"""`rl pause` and `rl unpause`, and what ends a paused container."""

from __future__ import annotations

import json

import pytest

from tests.system.background import IMAGE, SPIN, Background, background
from tests.system.guest import Guest


def left_of(one: Background) -> str:
    """A command that prints what there still is of a container; its processes are sleeps of 30x."""
    return f"rl ps -a | grep -w {one.name}; ls -d {one.group} 2>/dev/null; pgrep -xaf 'sleep 30.'"


def status(one: Background) -> str:
    """Its STATUS in `rl ps`, where it is the last but one of the columns."""
    rows = (row.rpartition("   ") for row in one.rl("ps").stdout.splitlines())
    return next(row.strip() for row, _, name in rows if name.strip() == one.name)


def test_a_paused_container_uses_no_cpu(guest: Guest) -> None:
    with background(guest, SPIN, name="still") as one:
        assert one.share_of_a_cpu() > 0.5
        assert one.rl("pause still").stdout == "still\n"
        assert one.share_of_a_cpu() == 0
        assert "frozen 1" in one.file("cgroup.events")
        assert status(one).endswith("(Paused)")
        rows = json.loads(one.rl("ps --format json").stdout)
        assert [row["State"] for row in rows if row["Names"] == ["still"]] == ["paused"]
        shown = "'{{.State.Status}} {{.State.Paused}} {{.State.Running}}'"
        assert one.rl(f"inspect --format {shown} still").stdout == "paused true true\n"
        assert one.rl("top still state").stdout.split()[0] == "STATE"
        assert one.rl("unpause still").stdout == "still\n"
        assert one.share_of_a_cpu() > 0.5
        assert not status(one).endswith("(Paused)")


def test_the_state_is_read_and_not_remembered(guest: Guest) -> None:
    with background(guest, "sleep 300", name="outside") as one:
        freeze = f"{one.group}/payload/cgroup.freeze"
        frozen = f"until grep -q 'frozen 1' {one.group}/payload/cgroup.events; do sleep 0.1; done"
        one.user.run(f"echo 1 > {freeze}; {frozen}")
        assert status(one).endswith("(Paused)")
        assert "is already paused" in one.rl("pause outside", code=125).stderr
        one.rl("unpause outside")
        done = one.rl("unpause outside", code=125)
        assert done.stderr.startswith("rl: error: container outside: is not paused\n")


def test_what_a_group_above_holds_is_said(guest: Guest) -> None:
    with background(guest, "sleep 300", name="held") as one:
        one.user.run(f"echo 1 > {one.group}/cgroup.freeze; sleep 1")
        try:
            done = one.rl("unpause held", code=125)
        finally:
            one.user.run(f"echo 0 > {one.group}/cgroup.freeze")
        assert "container held: a group above it is frozen" in done.stderr
        assert f"hint: echo 0 > {one.group}/cgroup.freeze" in done.stderr


def test_all(guest: Guest) -> None:
    with (
        background(guest, "sleep 300", name="a") as one,
        background(guest, "sleep 300", name="b") as other,
    ):
        other.rl("pause b")
        (paused,) = one.rl("pause --all").stdout.split()
        assert f"rl-{paused[:12]}.scope" in one.group
        assert len(one.rl("unpause -a").stdout.split()) == 2
        assert one.rl("unpause -a").stdout == ""


@pytest.mark.parametrize("flags", ["", "--pid host", "--userns keep-id"])
def test_rm_force(guest: Guest, flags: str) -> None:
    command = "sh -c 'sleep 301 & sleep 302'"
    with background(guest, command, flags, name="forced") as one:
        one.rl("pause forced")
        assert one.rl("rm --force forced").stdout == "forced\n"
        assert one.wait().code == 137
        assert one.user.run(f"{left_of(one)}; true").stdout == ""


@pytest.mark.parametrize("victims", ["{launcher}", "{keeper}", "{launcher} {keeper}"])
def test_killed_helpers(guest: Guest, victims: str) -> None:
    with background(guest, "sleep 303", name="orphan") as one:
        one.rl("pause orphan")
        keeper = one.user.run(f"pgrep -P {one.launcher} -x rl-keeper").stdout.strip()
        one.user.run(f"kill -9 {victims.format(launcher=one.launcher, keeper=keeper)}")
        look = left_of(one)
        gone = f'for i in $(seq 20); do [ -z "$({look})" ] && break; done'
        assert one.user.run(f"{gone}; {look}; true").stdout == ""


def test_a_time_out(guest: Guest) -> None:
    with background(guest, "sleep 304", "--timeout 8", name="late") as one:
        one.rl("pause late")
        done = one.wait()
        assert (done.code, "8 seconds are over" in done.stderr) == (137, True)


def test_signals_wait_until_it_goes_on(guest: Guest) -> None:
    command = "sh -c 'trap \"exit 7\" TERM; while :; do sleep 0.1; done'"
    with background(guest, command, name="patient") as one:
        one.rl("pause patient")
        one.user.run(f"kill -TERM {one.launcher}; sleep 1")
        assert status(one).endswith("(Paused)")
        one.rl("unpause patient")
        assert one.wait().code == 7


def test_a_commit_pauses_it_for_the_time(guest: Guest) -> None:
    put = "cp /grown /{0}.new; mv /{0}.new /{0}"
    loop = f"while :; do echo x >>/grown; {put.format('first')}; {put.format('second')}; done"
    with background(guest, f"sh -c '{loop}'", name="busy") as one:
        one.user.run("until rl diff busy | grep -q second; do sleep 0.2; done")
        done = one.rl("commit busy of-busy")
        assert done.stdout.startswith("sha256:")
        assert "it runs on" not in done.stderr
        assert not status(one).endswith("(Paused)")
        rows = one.user.run("rl run --rm --net none of-busy wc -c /first /second").stdout
        first, second = (int(row.split()[0]) for row in rows.splitlines()[:2])
        assert 0 <= first - second <= len("x\n"), "both are of one moment"
        one.rl("pause busy")
        one.rl("commit busy of-busy")
        assert status(one).endswith("(Paused)"), "who was paused before stays so"
        one.rl("unpause busy")
        one.rl("rmi of-busy; rl image prune -f")


def test_without_a_group(guest: Guest) -> None:
    user = guest.as_user("su")
    start = f"rl run --rm --net none --name loose {IMAGE} sleep 60"
    wait = "until [ 0 -lt $(rl inspect -f '{{.State.Pid}}' loose) ]; do sleep 0.2; done 2>/dev/null"
    done = user.run(f"{start} & {wait}; rl pause loose; echo $?; rl rm -f loose; wait", code=None)
    assert done.stdout.split()[:1] == ["125"], done
    assert "rl: error: container loose: rl pause needs a cgroup of its own: " in done.stderr
    assert "hint: " in done.stderr
