"""`rl doctor`: everything that a run needs of the host, tried at once, and judged.

The probes (`probes/`) look, each in a process of its own and within one limit of time; what they
found is judged by the pure module of the same name. Nothing that was not there stays.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from rootless.engine.doctor import (
    apparmor, groups, ids, namespaces, network, registries, storage, store,
)  # fmt: skip
from rootless.engine.doctor.finding import (
    ADMINISTRATOR, BROKEN, REDUCED, Finding, Fix, works, worst,
)  # fmt: skip
from rootless.engine.doctor.probes import groups as look_groups
from rootless.engine.doctor.probes import ids as look_ids
from rootless.engine.doctor.probes import namespaces as look_namespaces
from rootless.engine.doctor.probes import network as look_network
from rootless.engine.doctor.probes import registries as look_registries
from rootless.engine.doctor.probes import storage as look_storage
from rootless.engine.doctor.probes import store as look_store
from rootless.errors import RlError, describe_os_error
from rootless.model.registries import Endpoint
from rootless.model.value import Value
from rootless.tools import idmap, timely

# All together stay below two seconds, what a host without a network says as well.
_SECONDS = 1.5
_REGISTRY = "registry "
_NETWORK = "network "


class Area(Value):
    """findings on one subject. name: for scripts; title: for people. untried: why there are none."""

    __slots__ = ("findings", "name", "title", "untried")

    def __init__(self, name: str, title: str, findings: list[Finding], untried: str = "") -> None:
        self.name = name
        self.title = title
        self.findings = findings
        self.untried = untried


class Report(Value):
    """What was found on `host` for `user` (uid)."""

    __slots__ = ("areas", "host", "uid", "user")

    def __init__(self, host: str, user: str, uid: int, areas: list[Area]) -> None:
        self.host = host
        self.user = user
        self.uid = uid
        self.areas = areas

    @property
    def findings(self) -> list[Finding]:
        """Those of all areas, in their order."""
        return [finding for area in self.areas for finding in area.findings]

    @property
    def state(self) -> str:
        """The worst that was found."""
        return worst([finding.state for finding in self.findings])

    def fixes(self, whom: str) -> list[Fix]:
        """What YOU or the ADMINISTRATOR can do, each command once."""
        wanted = [one.fix for one in self.findings if one.fix is not None and one.fix.whom == whom]
        return list({fix.command: fix for fix in reversed(wanted)}.values())[::-1]

    def letter(self) -> str:
        """A text for the administrator, ready to paste; "" where nothing is to be done."""
        fixes = self.fixes(ADMINISTRATOR)
        if not fixes:
            return ""
        lines = [
            f"# For the administrator of {self.host}: the user {self.user} (uid {self.uid}) runs",
            "# containers without root here (rl). What is missing, and what changes that:",
        ]
        for fix in fixes:
            lines += ["", f"# {fix.why}", *fix.command.splitlines()]
        return "\n".join(lines)


def examine() -> Report:
    """Look at the host that this is. Raises nothing that the host is to blame for."""
    asked = _questions()
    endpoints, refused = _endpoints()
    for one in endpoints:
        asked[_REGISTRY + one.domain] = functools.partial(look_registries.look, one)
    told = timely.ask(asked, _SECONDS)
    _clear_up(told)
    judge = _Judge(told)
    areas = [*judge.areas(), Area("registries", "Registries", judge.registries(endpoints, refused))]
    return Report(os.uname().nodename, idmap.user_name(), os.geteuid(), areas)


def _questions() -> dict[str, Callable[[], Any]]:
    asked: dict[str, Callable[[], Any]] = {
        "namespaces": look_namespaces.look,
        "ids": look_ids.look,
        "store": look_store.look,
        "storage": look_storage.look,
        "limits": look_groups.look,
    }
    for name in look_network.DRIVERS:
        asked[_NETWORK + name] = functools.partial(look_network.look, name)
    return asked


def _endpoints() -> tuple[list[Endpoint], str]:
    try:
        return look_registries.endpoints(), ""
    except RlError as error:
        return [], error.message


def _clear_up(told: dict[str, Any]) -> None:
    """A trial that was killed leaves its directory."""
    told_of = told["store"]
    if isinstance(told["storage"], timely.NoAnswer) and isinstance(told_of, dict):
        if not told_of["error"]:
            look_storage.remove(look_storage.folder_for(told_of["root"], told_of["place"], os.getpid()))


class _Judge:
    """Answers, and what the modules of judgement make of them."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
        around = told["namespaces"]
        self._has_namespaces = isinstance(around, dict) and not around["cause"]

    def areas(self) -> list[Area]:
        """All but the registries."""
        areas = [
            Area("namespaces", "Kernel", [_python(), *self._ask("namespaces", self._namespaces)]),
            Area("ids", "Users and groups", self._ask("ids", self._ids)),
            Area("store", "Places", self._ask("store", store.judge)),
        ]
        untried = "" if self._has_namespaces else "not tried: it needs user namespaces"
        for name, title, judge in (
            ("storage", "Root file systems", storage.judge),
            ("network", "Networks", network.judge),
        ):
            found = [] if untried else self._ask(name, judge)
            areas.append(Area(name, title, found, untried))
        areas.append(Area("limits", "Limits", self._ask("limits", groups.judge)))
        return areas

    def registries(self, endpoints: list[Endpoint], refused: str) -> list[Finding]:
        """One finding for each; refused: why the configuration cannot be read."""
        if refused:
            return [Finding("registries", BROKEN, refused, "nothing can be pulled or run")]
        return [
            finding
            for one in endpoints
            for finding in self._ask(
                _REGISTRY + one.domain,
                lambda facts, one=one: [registries.judge(one.domain, one.host, facts)],
            )
        ]

    def _ask(self, name: str, judge: Callable[[Any], list[Finding]]) -> list[Finding]:
        told = self._networks() if name == "network" else self._told[name]
        if not isinstance(told, Exception):
            return judge(told)
        reason = describe_os_error(told) if isinstance(told, OSError) else str(told)
        state, meaning = (REDUCED, "") if name.startswith(_REGISTRY) else (BROKEN, "")
        if isinstance(told, timely.NoAnswer) and name in ("store", "storage"):
            meaning = "the file system of the store does not answer"
        return [Finding(name, state, reason, meaning)]

    def _networks(self) -> Any:
        told = {name: self._told[_NETWORK + name] for name in look_network.DRIVERS}
        failed = (one for one in told.values() if isinstance(one, Exception))
        return next(failed, told)

    def _namespaces(self, facts: dict[str, Any]) -> list[Finding]:
        return namespaces.judge(facts, apparmor.commands())

    def _ids(self, facts: dict[str, Any]) -> list[Finding]:
        return ids.judge(facts, has_namespaces=self._has_namespaces)


def _python() -> Finding:
    return works("python", f"{sys.version.partition(' ')[0]} ({sys.executable})")
