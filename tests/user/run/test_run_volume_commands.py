"""`rl volume`: what containers use stays, what they left is removed whoever owns it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.user.conftest import Rl
from tests.user.run.conftest import Leftovers


def make(rl: Rl, image: str, name: str, volume: str) -> None:
    script = "echo data > /v/file; chown 5:5 /v/file /v; chmod 700 /v"
    rl("run", f"--name={name}", "--net=none", "-v", f"{volume}:/v", image, "sh", "-c", script)


def test_a_volume_that_a_container_uses_stays(
    rl: Rl, busybox_image: str, leftovers: Leftovers
) -> None:
    make(rl, busybox_image, "one", "data")
    rl("run", "--name=two", "--net=none", "-v", "data:/x", "-v", "data:/y", busybox_image, "true")
    for flags in ([], ["--force"]):
        done = rl("volume", "rm", *flags, "data", code=2)
        assert done.stdout == ""
        said = done.stderr.splitlines()
        assert sorted(said[0].rpartition(" container ")[2].split(", ")) == ["one", "two"]
        assert said[1].startswith("hint: rl rm ")
    rl("rm", "one", "two")
    assert rl("volume", "rm", "data").stdout == "data\n"
    assert leftovers.volumes() == []


def test_rm_goes_on_after_an_error(rl: Rl, leftovers: Leftovers) -> None:
    rl("volume", "create", "last")
    done = rl("volume", "rm", "none", "../volumes/last", "last", code=1)
    assert done.stdout == "last\n" and done.stderr.count("no such volume: ") == 2
    assert leftovers.volumes() == []
    assert rl("volume", "rm", "--force", "none").stdout == ""


def test_create_inspect_ls(rl: Rl, busybox_image: str) -> None:
    assert rl("volume", "create", "mine").stdout == "mine\n"
    assert rl("volume", "create", "mine").stdout == "mine\n"
    anonymous = rl("volume", "create").stdout.strip()
    assert len(anonymous) == 64
    assert rl("volume", "ls").stdout.splitlines() == sorted(
        ["DRIVER   VOLUME NAME", f"local    {anonymous}", "local    mine"]
    )
    (document,) = json.loads(rl("volume", "inspect", "mine").stdout)
    assert document.pop("CreatedAt").endswith("Z")
    assert document == {
        "Name": "mine", "Driver": "local", "Mountpoint": f"{rl.paths.volumes}/mine/_data",
        "Labels": {}, "Options": {}, "Scope": "local",
    }  # fmt: skip
    assert Path(document["Mountpoint"]).is_dir()
    rl("volume", "inspect", "none", code=1)
    assert "not a volume name" in rl("volume", "create", "../x", code=125).stderr


def test_prune(rl: Rl, busybox_image: str, leftovers: Leftovers) -> None:
    make(rl, busybox_image, "one", "used")
    make(rl, busybox_image, "two", "free")
    rl("rm", "two")
    anonymous = rl("volume", "create").stdout.strip()
    assert "hint: rl volume prune --force" in rl("volume", "prune", code=125).stderr
    said = rl("volume", "prune", "--force").stdout.splitlines()
    assert said[0] == f"Deleted: {anonymous}" and len(said) == 2
    assert leftovers.volumes() == ["free", "used"]
    assert rl("volume", "prune", "--all", "-f").stdout.startswith("Deleted: free\nTotal ")
    assert leftovers.volumes() == ["used"]
    assert os.path.isdir(f"{rl.paths.volumes}/used/_data")
    rl("rm", "one")
