"""The tables of docs/conformance.md, one for each suite, as the tests have seen it."""

from __future__ import annotations

import os
import re
from pathlib import Path

Outcomes = dict[str, str]
DOCUMENT = Path(__file__).parents[2] / "docs/conformance.md"

# Why a test of crun's fails or is left out, whichever runtime runs.
_REASONS = {
    "resources": "no control group of this user's on the test host",
    "limit": "no control group of this user's on the test host",
    "test-update": "no control group of this user's on the test host",
    "owner-device": "a user namespace makes no device nodes",
    "mknod-device": "a user namespace makes no device nodes",
    "deny-devices": "device filters (BPF) take the host's root",
    "exec-root-netns": "joins the network namespace of the host's pid 1",
    "userns-full-mapping": "maps ids that the user does not have",
    "mount-idmapped": "idmapped mounts take capabilities over the file system",
    "run-rootless-netns-with-userns": "for those who are not root; passed by the user directly",
}
_ROW = re.compile(r"^\| ([\w-]+) \| (passed|failed|left out) \| (passed|failed|left out) \|", re.M)


def write_or_compare(suite: str, theirs: Outcomes, ours: Outcomes) -> None:
    """Hold the outcomes against the document's part for `suite`, or put them there.

    A test that crun fails for once is none of our concern; one that it has come to pass is.
    """
    document = DOCUMENT.read_text()
    part = re.compile(rf"(<!-- {suite}: begin -->\n)(.*?)(\n<!-- {suite}: end -->)", re.DOTALL)
    match = part.search(document)
    assert match is not None, f"{DOCUMENT}: no part for {suite}"
    if os.environ.get("RL_WRITE_CONFORMANCE") == "1":
        text = _markdown(theirs, ours)
        DOCUMENT.write_text(part.sub(lambda found: found[1] + text + found[3], document))
        return
    rows = {name: (crun, rl) for name, crun, rl in _ROW.findall(match[2])}
    not_passed = {name: outcome for name, outcome in ours.items() if outcome != "passed"}
    assert {name: rl for name, (_, rl) in rows.items() if rl != "passed"} == not_passed
    assert [name for name, (crun, _) in rows.items() if "passed" == theirs[name] != crun] == []


def _markdown(theirs: Outcomes, ours: Outcomes) -> str:
    """How many both pass, and each test that not both do."""
    both = [name for name in theirs if theirs[name] == ours[name] == "passed"]
    lines = [
        f"Passed by both: {len(both)} of {len(theirs)}.",
        "",
        "| test | crun | rl-oci | why |",
        "|---|---|---|---|",
    ]
    for name in sorted(set(theirs) - set(both)):
        lines.append(f"| {name} | {theirs[name]} | {ours[name]} | {_reason(name)} |")
    return "\n".join(lines)


def _reason(name: str) -> str:
    return next((why for start, why in _REASONS.items() if name.startswith(start)), "")
