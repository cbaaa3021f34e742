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
    "mount-userns": "maps ids of the host",
    "run-rootless-netns-with-userns": "for those who are not root; passed by the user directly",
}


def of_crun(theirs: Outcomes, ours: Outcomes) -> str:
    """Markdown: how many both pass, and each test that not both do."""
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


def write_or_compare(suite: str, text: str) -> None:
    """Hold `text` against the part of the document for `suite`, or put it there."""
    begin, end = f"<!-- {suite}: begin -->", f"<!-- {suite}: end -->"
    document = DOCUMENT.read_text()
    part = re.compile(rf"{re.escape(begin)}\n(.*?)\n{re.escape(end)}", re.DOTALL)
    match = part.search(document)
    assert match is not None, f"{DOCUMENT}: no {begin}"
    if os.environ.get("RL_WRITE_CONFORMANCE") == "1":
        DOCUMENT.write_text(part.sub(lambda _: f"{begin}\n{text}\n{end}", document))
    else:
        assert match[1] == text
