from __future__ import annotations

import errno
from typing import Any

from rootless.engine.doctor import network
from rootless.engine.doctor.finding import WORKS, Finding


def driver(name: str, **changed: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "path": f"/usr/bin/{name}", "version": "1.2.0", "tun": "", "refused": None,
        "container": "", "namespace": 0, "most": 5000, "lowest_port": 1024,
    }  # fmt: skip
    return {**usual, **changed}


MISSING = {"path": "", "version": "", "refused": ["not installed", ""]}


def judge(
    slirp4netns: dict[str, Any] | None = None, pasta: dict[str, Any] | None = None
) -> dict[str, Finding]:
    told = {
        "slirp4netns": driver("slirp4netns", **(slirp4netns or {})),
        "pasta": driver("pasta", **(pasta or {})),
    }
    return {finding.check: finding for finding in network.judge(told)}


def test_all_works() -> None:
    found = judge()
    assert {finding.state for finding in found.values()} == {WORKS}
    assert found["ports"].found == "can be published from 1024 on"


def test_pasta_is_not_needed_beside_slirp4netns() -> None:
    found = judge(pasta=MISSING)["pasta"]
    assert found.state == WORKS and found.found == "not installed; not needed"


def test_no_network_namespace() -> None:
    found = judge({"namespace": errno.ENOSPC, "most": 0, "refused": ["no", ""]})
    assert list(found) == ["network-namespace"]
    one = found["network-namespace"]
    assert "user.max_net_namespaces (0) is reached" in one.found
    assert one.fix is not None and "user.max_net_namespaces=28633" in one.fix.command
