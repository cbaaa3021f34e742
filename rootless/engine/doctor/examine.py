"""`rl doctor`: everything that a run needs of the host, tried at once, and judged.

The probes (`probes/`) look, each in a process of its own and within one limit of time; what they
found is judged by the pure module of the same name. Nothing that was not there stays.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from rootless.engine.doctor import (
    apparmor,
    groups,
    ids,
    namespaces,
    network,
    registries,
    storage,
    store,
)
from rootless.engine.doctor.finding import BROKEN, Finding, works
from rootless.engine.doctor.probes import groups as look_groups
from rootless.engine.doctor.probes import ids as look_ids
from rootless.engine.doctor.probes import namespaces as look_namespaces
from rootless.engine.doctor.probes import network as look_network
from rootless.engine.doctor.probes import registries as look_registries
from rootless.engine.doctor.probes import storage as look_storage
from rootless.engine.doctor.probes import store as look_store
from rootless.engine.doctor.report import Area, Report
from rootless.errors import describe_os_error
from rootless.kernel import proc
from rootless.tools import idmap, timely

# All together stay below two seconds, what a host without a network says as well.
_SECONDS = 1.5
_NETWORK_SECONDS = 1.2
# On a machine that is slow, or busy, so many times what our own start has taken; and no longer than
# anybody would wait.
_STARTS = 12
_MOST_SECONDS = 20.0
_NETWORK = "network "
# Where a probe itself comes to nothing, which is mostly a file system that does not answer.
_MEANINGS = {
    "store": "the file system of the store, or of the home directory, does not answer",
    "registries": "the configuration in the home directory cannot be read",
}


def examine() -> Report:
    """Look at the host that this is. Raises nothing that the host is to blame for."""
    judge = _Judge(timely.ask(_questions(), _patience(_seconds_so_far())))
    return Report(os.uname().nodename, idmap.user_name(), os.geteuid(), judge.areas())


def _seconds_so_far() -> float:
    started = proc.start_time(os.getpid()) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def _patience(start: float) -> float:
    """Seconds to wait for answers; start: how many we have taken up to here."""
    return min(max(_SECONDS, _STARTS * start), _MOST_SECONDS)


def _questions() -> dict[str, Callable[[], Any]]:
    pid = os.getpid()
    asked: dict[str, Callable[[], Any]] = {
        "namespaces": look_namespaces.look,
        "ids": look_ids.look,
        # The drivers are tried where the store is.
        "store": lambda: look_store.look(lambda root, place: look_storage.look(root, place, pid)),
        "limits": look_groups.look,
        # A configuration in a home that does not answer must not keep us either.
        "registries": functools.partial(look_registries.look, _NETWORK_SECONDS),
    }
    for name in look_network.DRIVERS:
        asked[_NETWORK + name] = functools.partial(look_network.look, name)
    return asked


class _Judge:
    """Answers, and what the modules of judgement make of them."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
        self._obstacle = _obstacle(told["namespaces"], told["ids"])

    def areas(self) -> list[Area]:
        """All of them."""
        untried = self._obstacle
        network_found = [] if untried else network.judge(self._networks(), namespace=self._kind())
        return [
            Area("namespaces", "Kernel", [_python(), *self._ask("namespaces", self._namespaces)]),
            Area("ids", "Users and groups", self._ask("ids", self._ids)),
            Area("store", "Places", self._ask("store", store.judge)),
            self._storage(untried),
            Area("network", "Networks", network_found, untried),
            Area("limits", "Limits", self._ask("limits", groups.judge)),
            Area("registries", "Registries", self._ask("registries", registries.judge)),
        ]

    def _storage(self, untried: str) -> Area:
        facts = self._told["store"]
        tried: dict[str, Any] = facts.get("more", {}) if isinstance(facts, dict) else {}
        untried = untried or ("" if tried else "not tried: there is no store for it")
        return Area(
            "storage", "Root file systems", [] if untried else storage.judge(tried), untried
        )

    def _ask(self, name: str, judge: Callable[[Any], list[Finding]]) -> list[Finding]:
        told = self._told[name]
        if not isinstance(told, Exception):
            return judge(told)
        reason = describe_os_error(told) if isinstance(told, OSError) else str(told)
        return [Finding(name, BROKEN, reason, _MEANINGS.get(name, ""))]

    def _networks(self) -> dict[str, dict[str, Any]]:
        told = {name: self._told[_NETWORK + name] for name in look_network.DRIVERS}
        return {
            name: look_network.unknown(str(one)) if isinstance(one, Exception) else one
            for name, one in told.items()
        }

    def _kind(self) -> int:
        return int(self._told["namespaces"]["kinds"]["network"])

    def _namespaces(self, facts: dict[str, Any]) -> list[Finding]:
        return namespaces.judge(facts, apparmor.commands())

    def _ids(self, facts: dict[str, Any]) -> list[Finding]:
        return ids.judge(facts, has_namespaces=_has_namespaces(self._told["namespaces"]))


def _has_namespaces(facts: Any) -> bool:
    return isinstance(facts, dict) and not facts["cause"]


def _obstacle(around: Any, mapping: Any) -> str:
    """Why what needs a user namespace was not tried: it would only tell the same again."""
    if not _has_namespaces(around):
        return "not tried: needs user namespaces"
    if not isinstance(mapping, dict) or mapping["mapped"] is not None:
        return "not tried: needs user namespaces with ids"
    return ""


def _python() -> Finding:
    return works("python", f"{sys.version.partition(' ')[0]} ({sys.executable})")
