"""`rl doctor`: what of the host a run can use, and who can change the rest."""

from __future__ import annotations

from rootless import log
from rootless.cli import diagnostics, output
from rootless.cli.options import Parsed, Signature, flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.doctor.finding import Finding, Fix
    from rootless.engine.doctor.report import Area, Report

_EXIT_CODES = {"works": 0, "reduced": 1, "broken": 2}
_VERDICTS = {
    "works": "Everything that rl needs works here.",
    "reduced": "rl works here, with less:",
    "broken": "rl cannot run containers here as it should:",
}
_INDENT = "  "


def doctor(parsed: Parsed) -> int:
    """Examine the host and print what was found."""
    from rootless.engine.doctor import examine

    # What a run would say on its way stands in the report.
    log.install(_say_effects, debug=log.is_debug())
    report = examine.examine()
    if parsed.flag("json"):
        output.write_json(_document(report))
    else:
        for line in _lines(report):
            output.write_line(line)
    return _EXIT_CODES[report.state]


def _say_effects(level: str, text: str) -> None:
    if level == "debug":
        diagnostics.say(level, text)


def _lines(report: Report) -> list[str]:
    width = max(len(finding.check) for finding in report.findings)
    lines = []
    for area in report.areas:
        lines += [area.title, *_rows(area, width), ""]
    lines += _verdict(report)
    lines += _own_fixes(report.fixes("you"))
    if report.letter():
        # Not indented: it can be pasted into a shell, with here-documents.
        lines += ["", "Send this to your administrator:", "", *report.letter().splitlines()]
    return lines


def _rows(area: Area, width: int) -> list[str]:
    if area.untried:
        return [_INDENT + area.untried]
    return [
        f"{_INDENT}{_state(finding):<7}  {finding.check:<{width}}  {finding.found}"
        for finding in area.findings
    ]


def _state(finding: Finding) -> str:
    return "-" if finding.absent else str(finding.state)


def _verdict(report: Report) -> list[str]:
    """What it means for the user, one line for each thing that is less."""
    worse = [finding for finding in report.findings if finding.state != "works"]
    worse.sort(key=lambda finding: finding.state != "broken")
    return [_VERDICTS[report.state], *dict.fromkeys(_INDENT + _meaning(one) for one in worse)]


def _meaning(finding: Finding) -> str:
    return f"{finding.check}: {finding.meaning or finding.found}"


def _own_fixes(fixes: list[Fix]) -> list[str]:
    if not fixes:
        return []
    lines = ["", "What you can do:"]
    for fix in fixes:
        command = fix.command.splitlines()
        lines += ["", f"{_INDENT}# {fix.why}", *(_INDENT + line for line in command)]
    return lines


def _document(report: Report) -> dict[str, Any]:
    """The same for programs. The names of fields and checks do not change."""
    return {
        "host": report.host,
        "user": report.user,
        "uid": report.uid,
        "state": report.state,
        "areas": [
            {
                "area": area.name,
                "untried": area.untried,
                "checks": [_row(finding) for finding in area.findings],
            }
            for area in report.areas
        ],
        "letter": report.letter(),
    }


def _row(finding: Finding) -> dict[str, Any]:
    fix = finding.fix
    return {
        "check": finding.check,
        "state": finding.state,
        "absent": finding.absent,
        "found": finding.found,
        "meaning": finding.meaning,
        "fix": {"whom": fix.whom, "why": fix.why, "command": fix.command} if fix else None,
    }


DOCTOR = Signature(
    doctor,
    "Try everything that a run needs of this host, and tell what is missing and who can change it."
    " The exit code is 0 when all works, 1 when something is reduced, 2 when something is broken.",
    (flag("--json", "Print the findings as JSON"),),
    examples=("rl doctor", "rl doctor --json | jq -r .letter"),
)
