"""`rl system df`, `prune`, `reset` and `rl container prune` on a store of the test's own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.engine import cleaning
from rootless.errors import InUseError
from rootless.store import containers
from tests.user.conftest import Rl
from tests.user.run.conftest import Background
from tests.user.run.run_images import ImageMaker, member

Start = Callable[..., Background]
WRITE = "head -c 100000 /dev/zero >/x; head -c 50000 /dev/zero >/v/y"


def ended(rl: Rl, image: str, name: str, *flags: str) -> None:
    rl("run", f"--name={name}", "--net=none", *flags, image, "sh", "-c", WRITE)


def usage(rl: Rl) -> dict[str, dict[str, int]]:
    rows = json.loads(rl("system", "df", "--format", "json").stdout)
    return {row["Type"]: row for row in rows}


def test_df_counts_and_measures(rl: Rl, busybox_image: str) -> None:
    assert usage(rl)["Images"]["Active"] == 0
    assert usage(rl)["Images"]["Reclaimable"] == usage(rl)["Images"]["Size"] > 1_000_000
    ended(rl, busybox_image, "c", "-v", "vol:/v")
    found = usage(rl)
    assert (found["Images"]["Active"], found["Images"]["Reclaimable"]) == (1, 0)
    assert found["Containers"]["Total"] == 1
    assert found["Containers"]["Reclaimable"] == found["Containers"]["Size"] >= 100_000
    assert found["Local Volumes"]["Size"] >= 50_000
    assert found["Local Volumes"]["Reclaimable"] == 0
    lines = rl("system", "df").stdout.splitlines()
    assert lines[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert lines[2].split()[:3] == ["Containers", "1", "0"]
    form = "{{.Type}}|{{.TotalCount}}|{{.Active}}"
    assert rl("system", "df", "--format", form).stdout.splitlines()[2] == "Local Volumes|1|1"


def test_df_of_each(rl: Rl, images: ImageMaker) -> None:
    one, other = images(), images([member("more", content=b"x" * 300_000)])
    ended(rl, one, "c", "-v", "vol:/v")
    rl("pull", "-q", other)
    found = rl("system", "df", "-v").stdout.split("\n\n")
    titles, tables = found[::2], [part.splitlines() for part in found[1::2]]
    assert titles == [f"{kind} space usage:" for kind in ("Images", "Containers", "Local Volumes")]
    heads = [re.split("  +", table[0]) for table in tables]
    assert heads == [
        ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE",
         "CONTAINERS"],
        ["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"],
        ["VOLUME NAME", "LINKS", "SIZE"],
    ]  # fmt: skip
    rows = {row.split()[0]: re.split("  +", row)[-3:] for row in tables[0][1:]}
    assert sorted(row[2] for row in rows.values()) == ["0", "1"]
    shared = {row[0] for row in rows.values()}
    assert len(shared) == 1 and shared != {"0B"}
    assert sorted(row[1] for row in rows.values()) == ["0B", "300kB"]
    assert re.split("  +", tables[1][1])[3] == "1" and "(" not in tables[1][1].split("Exited")[0]
    assert tables[2][1].split()[:2] == ["vol", "1"]
    assert "exclude each other" in rl("system", "df", "-v", "--format=json", code=125).stderr


def test_container_prune_spares_what_runs_and_what_the_filter_spares(
    rl: Rl, busybox_image: str, background: Start
) -> None:
    ended(rl, busybox_image, "one", "-l", "keep=1", "-v", "vol:/v")
    ended(rl, busybox_image, "two", "-v", "vol:/v")
    background("echo; sleep 60", "--name=up", "--net=none")
    assert "standard input is no terminal" in rl("container", "prune", code=None).stderr
    two = containers.find(rl.paths, "two")
    done = rl("container", "prune", "-f", "--filter", "label!=keep")
    assert done.stdout.splitlines()[:2] == ["Deleted Containers:", two]
    assert "Total reclaimed space: 100" in done.stdout
    assert sorted(os.listdir(rl.paths.names)) == ["one", "up"]
    assert rl("container", "prune", "-f", "--filter", "until=1h").stdout.startswith("Total")
    rl("rm", "-f", "up")


def test_system_prune_takes_containers_images_and_volumes(rl: Rl, busybox_image: str) -> None:
    ended(rl, busybox_image, "c", "-v", "named:/v")
    anonymous = rl("volume", "create").stdout.strip()
    assert anonymous not in rl("system", "prune", "-f").stdout
    assert rl("images", "-q").stdout != ""
    done = rl("system", "prune", "-f", "-a", "--volumes").stdout
    assert f"Deleted Volumes:\n{anonymous}\n" in done
    assert f"Untagged: {busybox_image}" in done
    assert rl("images", "-q").stdout == ""
    assert os.listdir(rl.paths.volumes) == ["named"]


def test_reset_removes_all_of_ours_and_nothing_else(
    rl: Rl, busybox_image: str, background: Start
) -> None:
    ended(rl, busybox_image, "c", "-v", "named:/v")
    background("echo; sleep 60", "--name=up", "--net=none")
    (Path(rl.paths.root) / "of-the-user").write_text("kept")
    assert "standard input is no terminal" in rl("system", "reset", code=None).stderr
    assert rl("images", "-q").stdout != ""
    with pytest.raises(InUseError, match="1 container still running"):
        cleaning.reset(rl.paths, force=False)
    rl("system", "reset", "--force")
    assert os.listdir(rl.paths.root) == ["of-the-user"]
    assert not os.path.exists(rl.paths.running)
    assert rl("ps", "-aq").stdout == ""
