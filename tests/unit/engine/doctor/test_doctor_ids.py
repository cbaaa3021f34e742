from __future__ import annotations

from typing import Any

from rootless.engine.doctor import ids
from rootless.engine.doctor.finding import BROKEN, REDUCED, WORKS, YOU, Finding

HELPER = {"path": "/usr/bin/newuidmap", "setuid": True, "capability": False, "nosuid": False}
POWERLESS = {**HELPER, "setuid": False}
ROWS = [[100000, 65536]]


def facts(**changed: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "uid": 1000, "user": "alice", "is_local": True, "source": "files",
        "ranges": {"/etc/subuid": ROWS, "/etc/subgid": ROWS},
        "helpers": {"newuidmap": HELPER, "newgidmap": {**HELPER, "path": "/usr/bin/newgidmap"}},
        "free": 331072, "no_new_privs": False, "mapped": None,
        "maps": [[[0, 1000, 1], [1, 100000, 65536]], [[0, 1000, 1], [1, 100000, 65536]]],
    }  # fmt: skip
    return {**usual, **changed}


def judge(*, has_namespaces: bool = True, **changed: Any) -> dict[str, Finding]:
    found = ids.judge(facts(**changed), has_namespaces=has_namespaces)
    return {finding.check: finding for finding in found}


def command(finding: Finding) -> str:
    assert finding.fix is not None
    return finding.fix.command


def test_all_works() -> None:
    found = judge()
    assert {finding.state for finding in found.values()} == {WORKS}
    assert found["subordinate-ids"].found == "65536 from 100000 (/etc/subuid and /etc/subgid)"


def test_ids_of_a_directory_server() -> None:
    assert "(sss (subid: in " in judge(source="sss")["subordinate-ids"].found
    found = judge(source="sss", ranges={"/etc/subuid": [], "/etc/subgid": []})["subordinate-ids"]
    assert found.found == "none for alice in sss (subid: in /etc/nsswitch.conf)"
    assert command(found).endswith("getsubids alice")


def test_none_for_a_local_user() -> None:
    found = judge(ranges={"/etc/subuid": [], "/etc/subgid": []})["subordinate-ids"]
    assert found.state == REDUCED
    assert found.found == "none for alice in /etc/subuid and /etc/subgid"
    assert command(found) == (
        "sudo usermod --add-subuids 331072-396607 --add-subgids 331072-396607 alice"
    )


def test_none_in_one_file() -> None:
    found = judge(ranges={"/etc/subuid": ROWS, "/etc/subgid": []})["subordinate-ids"]
    assert command(found) == "sudo usermod --add-subgids 331072-396607 alice"


def test_usermod_does_not_know_users_of_a_directory_server() -> None:
    found = judge(is_local=False, ranges={"/etc/subuid": [], "/etc/subgid": []})
    assert command(found["subordinate-ids"]) == (
        "echo alice:331072:65536 | sudo tee -a /etc/subuid /etc/subgid"
    )


def test_too_few() -> None:
    found = judge(ranges={"/etc/subuid": [[5000, 1000]], "/etc/subgid": ROWS})["subordinate-ids"]
    assert found.state == REDUCED and found.found == "only 1000 from 5000"


def test_no_helper() -> None:
    found = judge(helpers={"newuidmap": {"path": ""}, "newgidmap": {"path": ""}})["newuidmap"]
    assert found.state == REDUCED and command(found) == "sudo apt-get install uidmap"


def test_helpers_without_power_are_given_it_in_one_command() -> None:
    other = {**POWERLESS, "path": "/usr/bin/newgidmap"}
    found = judge(
        helpers={"newuidmap": POWERLESS, "newgidmap": other},
        mapped=["newuidmap: write to uid_map failed", ""],
    )
    assert found["newuidmap"].state == BROKEN
    assert command(found["newuidmap"]) == command(found["newgidmap"])
    assert command(found["newuidmap"]).endswith("chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap")
    # Its cause is told already, and the ids are as they should be.
    assert "id-maps" not in found and found["subordinate-ids"].state == WORKS


def test_a_file_capability_is_as_good() -> None:
    found = judge(helpers={"newuidmap": {**POWERLESS, "capability": True}})["newuidmap"]
    assert found.state == WORKS and "file capability" in found.found


def test_why_a_setuid_helper_does_nothing() -> None:
    assert "nosuid" in judge(helpers={"newuidmap": {**HELPER, "nosuid": True}})["newuidmap"].found
    assert "no_new_privs" in judge(no_new_privs=True)["newuidmap"].found


def test_maps_that_are_refused_for_no_visible_reason() -> None:
    found = judge(mapped=["newuidmap: uid range not allowed", "grep alice /etc/subuid"])["id-maps"]
    assert found.state == BROKEN and found.found == "newuidmap: uid range not allowed"
    assert found.fix is not None and found.fix.whom == YOU


def test_without_namespaces_nothing_is_said_of_maps() -> None:
    assert "id-maps" not in judge(has_namespaces=False, mapped=["user namespaces: no", ""])


def test_root_of_a_namespace() -> None:
    found = judge(uid=0)
    assert found["subordinate-ids"].found == "65537 ids, as root of this namespace"
