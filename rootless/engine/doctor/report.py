"""All findings together: how bad it is, and what to do. Pure."""

from __future__ import annotations

from rootless.engine.doctor.finding import ADMINISTRATOR, Finding, Fix, worst
from rootless.model.value import Value


class Area(Value):
    """Findings on one subject. name: for scripts; title: for people; untried: why it has none."""

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
        first: dict[str, Fix] = {}
        for fix in wanted:
            first.setdefault(fix.command, fix)
        return list(first.values())

    def letter(self) -> str:
        """A text for the administrator, ready to paste; "" where nothing is to be done."""
        fixes = self.fixes(ADMINISTRATOR)
        if not fixes:
            return ""
        lines = [
            f"# For the administrator of {self.host}:",
            f"# {self.user} (uid {self.uid}) runs containers here with rl, which needs no root."
            " What would help:",
        ]
        for fix in fixes:
            lines += ["", f"# {fix.why}", *fix.command.splitlines()]
        return "\n".join(lines)
