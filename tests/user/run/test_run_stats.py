"""`rl stats` and `rl limits` of a container that has no control group of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = ("--rm", "--cgroup-manager", "disabled", "--name", "busy")
BUSY = "sleep 60 & while :; do :; done"


@pytest.fixture
def busy(rl: Any, busybox_image: str) -> Iterator[None]:
    """A container with a process that spins and one that sleeps."""
    with rl.popen("run", *FLAGS, busybox_image, "sh", "-c", f"echo; {BUSY}",
                  stdout=subprocess.PIPE) as started:  # fmt: skip
        started.stdout.readline()
        yield
        rl("rm", "--force", "busy")


@pytest.mark.usefixtures("busy")
def test_figures_are_summed_over_its_processes(rl: Any) -> None:
    done = rl("stats", "--no-stream", "--interval", "1", "--format", "json", "busy")
    (row,) = json.loads(done.stdout)
    assert row["Name"] == "busy"
    assert row["PIDs"] == "2"
    # The machine may be busy with something else as well, but not with that alone.
    assert 5 < float(row["CPUPerc"].removesuffix("%")) < 150
    assert row["MemUsage"].endswith("GiB") and not row["MemUsage"].startswith(("0B", "--"))
    assert row["NetIO"].count("B") == 2
    assert row["BlockIO"] == "--"


@pytest.mark.usefixtures("busy")
def test_limits_say_what_binds_all_the_same(rl: Any) -> None:
    document = json.loads(rl("limits", "--format", "json", "busy").stdout)
    rows = {row["resource"]: row for row in document["resources"]}
    assert document["running"] and document["cgroup"] is None
    assert document["without_cgroup_because"]
    assert (
        0 < rows["memory"]["effective"] <= os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PHYS_PAGES")
    )
    assert rows["cpuset cpus"]["effective"] == allowed_cpus()
    assert rows["memory"]["set"] is None
    said = rl("limits", "busy").stdout
    assert "busy (" in said and "has no cgroup of its own" in said


def allowed_cpus() -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("Cpus_allowed_list"))


@pytest.mark.usefixtures("busy")
def test_ctrl_c_ends_the_table_quietly(rl: Any) -> None:
    shown = rl.popen(
        "stats", "--interval", "0.2", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )  # fmt: skip
    heads = shown.stdout.readline()
    time.sleep(0.5)
    shown.send_signal(signal.SIGINT)
    rest, said = shown.communicate(timeout=20)
    assert heads.startswith(b"CONTAINER ID") and b"busy" in rest
    assert (shown.returncode, said) == (130, b"")


@pytest.mark.usefixtures("busy")
def test_a_reader_that_leaves_ends_it(rl: Any) -> None:
    shown = rl.popen("stats", "--interval", "0.1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    shown.stdout.readline()
    shown.stdout.close()
    assert shown.wait(timeout=20) == 141
    assert shown.stderr.read() == b""
    shown.stderr.close()
