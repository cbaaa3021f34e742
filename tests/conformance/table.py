"""What tests say in TAP, and the tables of it in docs/conformance.md, one for each suite."""

from __future__ import annotations

import os
import re
from pathlib import Path

Outcomes = dict[str, str]
DOCUMENT = Path(__file__).parents[2] / "docs/conformance.md"

_SEE_BELOW = "no control group of this user's on the test host: see below"
_NODES = "a user namespace makes no device nodes"
_VERSION_1 = "knows control groups of version 1 only, and this user has none on the test host"
_SIGPIPE = "crun 1.8 may die of SIGPIPE when a hook ends without having read its state"

# Why a test fails or is left out, whichever runtime runs; by how its name begins.
_CRUN = {
    "resources": _SEE_BELOW,
    "limit": _SEE_BELOW,
    "test-update": "looks for cgroup v1",
    "owner-device": _NODES,
    "mknod-device": _NODES,
    "deny-devices": "device filters (BPF) take the host's root",
    "exec-root-netns": "joins the network namespace of the host's pid 1",
    "userns-full-mapping": "maps ids that the user does not have",
    "mount-idmapped": "idmapped mounts take capabilities over the file system",
    "run-rootless-netns-with-userns": "for those who are not root; passed by the user directly",
}
_RUNTIME_TOOLS = {
    "delete_": _VERSION_1,
    "delete": "crun, runc and rl-oci delete a container that was never started",
    "hooks": "expects a text that the hooks it gives do not write",
    "linux_cgroups": _VERSION_1,
    "linux_devices": _NODES,
    "linux_masked_paths": _NODES,
    "linux_readonly_paths": _NODES,
    "linux_process_apparmor_profile": "wants a profile of its own loaded on the host",
    "misc_props": "does not put the program into the bundle that it then starts",
    "pidfile": "wants to kill a program that has ended",
    "poststart_fail": "the specification wants an error and a stop (a warning until 1.2)",
    "poststart": _SIGPIPE,
    "poststop": _SIGPIPE,
    "prestart": "the specification has these hooks within `create`, no more within `start`",
    "process_capabilities_fail": "the specification wants a warning (an error until 1.0)",
    "process_rlimits": "its program, as all in Go, raises the soft limit before it looks",
    "start": "wants the start of a container without a process to succeed",
}
_REASONS = {"crun": _CRUN, "crun in the virtual machine": _CRUN, "runtime-tools": _RUNTIME_TOOLS}
_LINE = re.compile(r"^(not ok|ok) \d+ - ([\w-]+)( #SKIP)?", re.M)
_OUTCOME = "(passed|failed|left out|varies)"
_ROW = re.compile(rf"^\| ([\w-]+) \| {_OUTCOME} \| {_OUTCOME} \|", re.M)


def outcomes_of(said: str) -> Outcomes:
    """What became of each test; of one that is told of twice, what was told last."""
    return {
        test: "left out" if skipped else "passed" if verdict == "ok" else "failed"
        for verdict, test, skipped in _LINE.findall(said)
    }


def write_or_compare(suite: str, theirs: Outcomes, ours: Outcomes) -> None:
    """Hold the outcomes against the document's part for `suite`, or put them there.

    A test that crun fails for once is none of our concern; one that it has come to pass is. What we
    do not pass has a reason.
    """
    unexplained = [name for name in ours if ours[name] != "passed" and not _reason(suite, name)]
    assert unexplained == [], unexplained
    if os.environ.get("RL_WRITE_CONFORMANCE") == "1":
        text = _markdown(suite, theirs, ours)
        DOCUMENT.write_text(
            _part(suite).sub(lambda found: found[1] + text + found[3], DOCUMENT.read_text())
        )
        return
    rows = read(suite)
    not_passed = {name: outcome for name, outcome in ours.items() if outcome != "passed"}
    assert {name: rl for name, (_, rl) in rows.items() if rl != "passed"} == not_passed
    assert [name for name, (crun, _) in rows.items() if "passed" == theirs[name] != crun] == []


def read(suite: str) -> dict[str, tuple[str, str]]:
    """The document's rows: (crun's outcome, ours) of what not both pass."""
    match = _part(suite).search(DOCUMENT.read_text())
    assert match is not None, f"{DOCUMENT}: no part for {suite}"
    return {name: (crun, rl) for name, crun, rl in _ROW.findall(match[2])}


def _part(suite: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {suite}: begin -->\n)(.*?)(\n<!-- {suite}: end -->)", re.DOTALL)


def _markdown(suite: str, theirs: Outcomes, ours: Outcomes) -> str:
    """How many both pass, and each test that not both do."""
    both = [name for name in theirs if theirs[name] == ours[name] == "passed"]
    lines = [
        f"Passed by both: {len(both)} of {len(theirs)}.",
        "",
        "| test | crun | rl-oci | why |",
        "|---|---|---|---|",
    ]
    for name in sorted(set(theirs) - set(both)):
        lines.append(f"| {name} | {theirs[name]} | {ours[name]} | {_reason(suite, name)} |")
    return "\n".join(lines)


def _reason(suite: str, name: str) -> str:
    return next((why for start, why in _REASONS[suite].items() if name.startswith(start)), "")
