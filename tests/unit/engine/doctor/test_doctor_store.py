from __future__ import annotations

from typing import Any

import pytest

from rootless.engine.doctor import store
from rootless.engine.doctor.finding import BROKEN, REDUCED, WORKS, YOU, Finding

GIB = 1 << 30
ROOT = "/home/alice/.local/share/rl"


def judge(**changed: Any) -> dict[str, Finding]:
    usual: dict[str, Any] = {
        "error": None, "root": ROOT, "place": ROOT, "runtime": "/run/user/1000/rl",
        "instead_of": None, "refused": "", "kind": "ext4", "noexec": False, "free": 50 * GIB,
        "free_files": 1_000_000, "quota": None, "attributes": "",
        "session": {
            "named": "/run/user/1000", "named_works": True, "usual": "/run/user/1000",
            "is_usual": True,
        },
    }  # fmt: skip
    return {finding.check: finding for finding in store.judge({**usual, **changed})}


def test_all_works() -> None:
    found = judge()
    assert {finding.state for finding in found.values()} == {WORKS}
    assert found["store"].found == f"{ROOT} (ext4)" and found["space"].found == "50.0 GiB free"


def test_what_is_worth_a_note() -> None:
    found = judge(place="/home/alice", noexec=True)["store"]
    assert found.state == WORKS and found.found == f"{ROOT} (ext4, not made yet, mounted noexec)"


def test_a_place_that_cannot_hold_a_store() -> None:
    found = judge(refused="NFS: files cannot belong to subordinate ids")
    assert found["store"].state == BROKEN and "NFS" in found["store"].found
    assert found["store"].fix is not None and "RL_ROOT" in found["store"].fix.command
    assert "space" not in found


def test_no_place_at_all() -> None:
    found = judge(error=["no place for a store: …", "export RL_ROOT=DIR"])
    assert list(found) == ["store"] and found["store"].state == BROKEN


def test_another_place_is_taken() -> None:
    found = judge(root="/var/tmp/rl-1000", instead_of=[ROOT, "NFS: operation not permitted"])
    assert found["store"].state == REDUCED
    assert found["store"].found == (
        f"/var/tmp/rl-1000, as {ROOT} cannot be it: NFS: operation not permitted"
    )


@pytest.mark.parametrize(
    ("free", "state", "found"),
    [(2 * GIB, WORKS, "2.0 GiB free"), (300 << 20, REDUCED, "only 300 MiB free"),
     (0, BROKEN, "the disk is full")],
)  # fmt: skip
def test_space(free: int, state: str, found: str) -> None:
    space = judge(free=free)["space"]
    assert (space.state, space.found) == (state, found)
    assert state == WORKS or (space.fix is not None and space.fix.command == "rl system prune")


def test_a_store_that_is_not_made_yet_goes_where_there_is_room() -> None:
    fix = judge(free=300 << 20, place="/home/alice")["space"].fix
    assert fix is not None and "RL_ROOT" in fix.command and fix.whom == YOU


def test_inodes() -> None:
    assert "inodes" not in judge(free_files=None)
    assert judge(free_files=500)["inodes"].found == "only 500 files can be made"


def test_quota() -> None:
    assert "quota" not in judge(quota=[GIB, 0, 20, 0])
    far = judge(quota=[GIB, 20 * GIB, 900, 0])["quota"]
    assert (far.state, far.found) == (WORKS, "1.0 GiB of 20.0 GiB used")
    near = judge(quota=[19 * GIB, 20 * GIB, 900, 1000])["quota"]
    assert near.state == REDUCED and near.found.endswith("900 of 1000 files used")


def test_no_attributes() -> None:
    found = judge(kind="NFS", attributes="Operation not supported")["xattrs"]
    assert found.state == REDUCED and "on NFS: operation not supported" in found.found


def test_what_the_environment_says_of_a_runtime_directory() -> None:
    wrong = {"named": "/run/user/7", "named_works": False, "usual": "/run/user/1000",
             "is_usual": False}  # fmt: skip
    found = judge(runtime="/tmp/rl-1000", session=wrong)["runtime-directory"]
    assert found.state == WORKS
    assert found.found == "/tmp/rl-1000 (XDG_RUNTIME_DIR=/run/user/7 is not usable, nor used)"
    none = {**wrong, "named": ""}
    found = judge(runtime="/tmp/rl-1000", session=none)["runtime-directory"]
    assert found.found == "/tmp/rl-1000 (there is no /run/user/1000 of yours)"
