from __future__ import annotations

import errno
from typing import Any

from rootless.engine.doctor import network
from rootless.engine.doctor.finding import REDUCED, WORKS, Finding


def driver(name: str, **changed: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "path": f"/usr/bin/{name}", "version": "1.2.0", "tun": "", "reason": "",
        "container": "", "most": 0, "lowest_port": 1024,
    }  # fmt: skip
    return {**usual, **changed}


MISSING = {"path": "", "version": "", "reason": "not installed"}


def judge(
    slirp4netns: dict[str, Any] | None = None,
    pasta: dict[str, Any] | None = None,
    namespace: int = 0,
) -> dict[str, Finding]:
    told = {
        "slirp4netns": driver("slirp4netns", **(slirp4netns or {})),
        "pasta": driver("pasta", **(pasta or {})),
    }
    return {finding.check: finding for finding in network.judge(told, namespace=namespace)}


def command(finding: Finding) -> str:
    assert finding.fix is not None
    return finding.fix.command


def test_all_works() -> None:
    found = judge()
    assert {finding.state for finding in found.values()} == {WORKS}
    assert found["ports"].found == "can be published from 1024 on"
    assert judge({"lowest_port": 0})["ports"].found == "all can be published"


def test_pasta_is_not_needed_beside_slirp4netns() -> None:
    found = judge(pasta=MISSING)["pasta"]
    assert found.state == WORKS and found.absent and found.found == "not installed; not needed"


def test_pasta_takes_the_place_of_slirp4netns() -> None:
    found = judge(MISSING)
    assert found["slirp4netns"].state == REDUCED and "pasta's" in found["slirp4netns"].meaning
    assert command(found["slirp4netns"]) == "sudo apt-get install slirp4netns"
    assert found["pasta"].state == WORKS and found["pasta"].found.endswith("; is used")


def test_neither() -> None:
    found = judge(MISSING, MISSING)
    assert found["slirp4netns"].state == REDUCED
    assert "share the host's network" in found["slirp4netns"].meaning
    assert found["pasta"].found == "not installed; slirp4netns alone would do"


def test_one_that_is_there_and_fails() -> None:
    found = judge({"reason": "slirp4netns: create_sandbox failed"})["slirp4netns"]
    assert found.state == REDUCED and found.found == "slirp4netns: create_sandbox failed"
    assert found.fix is None


def test_no_tun_device() -> None:
    found = judge({"tun": "No such file or directory", "reason": "/dev/net/tun: no such device"})
    assert found["dev-net-tun"].found == "/dev/net/tun: no such file or directory"
    # What waits for the device is no second thing to put right.
    assert found["slirp4netns"].absent and found["slirp4netns"].state == WORKS
    assert command(found["dev-net-tun"]) == "sudo modprobe tun; sudo chmod 0666 /dev/net/tun"


def test_no_network_namespace() -> None:
    found = judge(namespace=errno.ENOSPC)
    assert list(found) == ["network-namespace"]
    one = found["network-namespace"]
    assert one.state == REDUCED and "user.max_net_namespaces (0) is reached" in one.found
    assert "user.max_net_namespaces=28633" in command(one)
    assert judge(namespace=errno.EPERM)["network-namespace"].fix is None
