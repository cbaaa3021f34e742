"""Every plan's document follows the OCI runtime-spec (config.md, config-linux.md, schema/).

The rules here are the schema's: required members, types, closed lists of words. Members that the
specification does not know must begin with `rl.`.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from rootless.model.capabilities import NAMES
from tests.unit.engine.plans import SINGLE, document_of

ID = {"type": int, "least": 0, "most": 2**32 - 1}
TEXT = {"type": str}
FLAG = {"type": bool}
TEXTS = {"type": list, "of": TEXT}
PATH = {"type": str, "like": "/.*"}
CAPABILITIES = {"type": list, "of": {"type": str, "among": NAMES}, "unique": True}
MAPPING = {
    "type": dict,
    "needs": {"containerID": ID, "hostID": ID, "size": {**ID, "least": 1}},
}
COUNT = {"type": int, "least": 0, "most": 2**64 - 1}
SIGNED = {"type": int, "least": -1, "most": 2**63 - 1}
RATES = {
    "type": list,
    "of": {"type": dict, "needs": {"major": COUNT, "minor": COUNT}, "may": {"rate": COUNT}},
}
# schema/config-linux.json, "resources".
RESOURCES: dict[str, Any] = {
    "type": dict,
    "may": {
        "memory": {"type": dict, "may": dict.fromkeys(("limit", "swap", "reservation"), SIGNED)},
        "cpu": {
            "type": dict,
            "may": {
                "shares": COUNT, "quota": SIGNED, "period": COUNT, "cpus": TEXT, "mems": TEXT,
            },
        },
        "pids": {"type": dict, "needs": {"limit": SIGNED}},
        "blockIO": {
            "type": dict,
            "may": {
                "weight": {"type": int, "least": 10, "most": 1000},
                "throttleReadBpsDevice": RATES,
                "throttleWriteBpsDevice": RATES,
                "throttleReadIOPSDevice": RATES,
                "throttleWriteIOPSDevice": RATES,
            },
        },
        "unified": {"type": dict, "each": TEXT},
    },
}  # fmt: skip
SPACES = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
DOCUMENT: dict[str, Any] = {
    "type": dict,
    "needs": {"ociVersion": {"type": str, "like": r"1\.[0-9]+\.[0-9]+"}},
    "may": {
        "hostname": TEXT,
        "domainname": TEXT,
        "annotations": {"type": dict, "each": TEXT},
        "root": {"type": dict, "needs": {"path": PATH}, "may": {"readonly": FLAG}},
        "mounts": {
            "type": list,
            "of": {
                "type": dict,
                "needs": {"destination": PATH},
                "may": {"type": TEXT, "source": TEXT, "options": TEXTS},
            },
        },
        "process": {
            "type": dict,
            "needs": {"cwd": PATH, "args": {**TEXTS, "least": 1}},
            "may": {
                "terminal": FLAG,
                "consoleSize": {"type": dict, "needs": {"height": ID, "width": ID}},
                "user": {
                    "type": dict,
                    "may": {
                        "uid": ID,
                        "gid": ID,
                        "umask": {**ID, "most": 0o777},
                        "additionalGids": {"type": list, "of": ID, "unique": True},
                    },
                },
                "env": {"type": list, "of": {"type": str, "like": "[^=]+=.*"}, "unique": True},
                "capabilities": {
                    "type": dict,
                    "may": dict.fromkeys(
                        ("bounding", "permitted", "effective", "inheritable", "ambient"),
                        CAPABILITIES,
                    ),
                },
                "rlimits": {
                    "type": list,
                    "of": {
                        "type": dict,
                        "needs": {
                            "type": {"type": str, "like": "RLIMIT_[A-Z]+"},
                            "soft": {"type": int, "least": 0, "most": 2**64 - 1},
                            "hard": {"type": int, "least": 0, "most": 2**64 - 1},
                        },
                    },
                },
                "noNewPrivileges": FLAG,
                "apparmorProfile": TEXT,
                "oomScoreAdj": {"type": int, "least": -1000, "most": 1000},
            },
        },
        "linux": {
            "type": dict,
            "may": {
                "uidMappings": {"type": list, "of": MAPPING},
                "gidMappings": {"type": list, "of": MAPPING},
                "namespaces": {
                    "type": list,
                    "unique": True,
                    "of": {
                        "type": dict,
                        "needs": {"type": {"type": str, "among": SPACES}},
                        "may": {"path": PATH},
                    },
                },
                "sysctl": {"type": dict, "each": TEXT},
                "rootfsPropagation": {
                    "type": str, "among": ("private", "shared", "slave", "unbindable"),
                },
                "resources": RESOURCES,
                "maskedPaths": {"type": list, "of": PATH},
                "readonlyPaths": {"type": list, "of": PATH},
                "seccomp": {"type": dict, "needs": {"defaultAction": TEXT}, "each": None},
            },
        },
    },
}  # fmt: skip


def faults(value: Any, rule: dict[str, Any], place: str = "document") -> list[str]:
    """Where `value` breaks `rule`, one line each."""
    if type(value) is not rule["type"]:
        return [f"{place}: {value!r} is no {rule['type'].__name__}"]
    found = []
    if "like" in rule and not re.fullmatch(rule["like"], value, re.DOTALL):
        found.append(f"{place}: {value!r} is not like {rule['like']}")
    if "among" in rule and value not in rule["among"]:
        found.append(f"{place}: {value!r} is not one of {rule['among']}")
    size = len(value) if isinstance(value, list) else value
    if ("least" in rule and size < rule["least"]) or ("most" in rule and size > rule["most"]):
        found.append(f"{place}: {size} is out of range")
    if isinstance(value, list):
        if rule.get("unique") and any(one in value[:n] for n, one in enumerate(value)):
            found.append(f"{place}: not unique")
        for number, one in enumerate(value):
            found += faults(one, rule["of"], f"{place}[{number}]")
    if isinstance(value, dict):
        found += faults_of_members(value, rule, place)
    return found


def faults_of_members(value: dict[str, Any], rule: dict[str, Any], place: str) -> list[str]:
    needs, may = rule.get("needs", {}), rule.get("may", {})
    found = [f"{place}.{key}: missing" for key in needs if key not in value]
    for key, one in value.items():
        known = needs.get(key) or may.get(key)
        if known is not None:
            found += faults(one, known, f"{place}.{key}")
        elif rule.get("each") is not None:
            found += faults(one, rule["each"], f"{place}.{key}")
        elif "each" not in rule and not key.startswith("rl."):
            found.append(f"{place}.{key}: the specification has no such member")
    return found


RUNS = (
    "", "-it", "--rm --init", "--read-only", "--privileged", "--userns keep-id", "--userns auto",
    "--userns nomap", "--network none", "--network host", "--pid host --ipc host --uts host",
    "--cgroupns host", "--timens private", "-v vol:/v:ro -v /anonymous --tmpfs /t:size=1m,mode=700",
    "--device /dev/null:/dev/mine:r", "--ulimit nofile=1:-1", "-u web --cap-add kill",
    "--security-opt apparmor=mine", "--annotation a=b --sysctl net.ipv4.ip_forward=1",
    "--domainname example -h box -w relative -e A=1 -e B=", "--mount type=tmpfs,target=/m",
    "-m 1g --memory-reservation 64m --cpus 0.5 -c 512 --cpuset-cpus 0 --cpuset-mems 0",
    "-m 1g --memory-swap -1 --cpu-quota -1 --cpu-period 5000 --pids-limit -1 --oom-score-adj 9",
    "--blkio-weight 10 --cgroup-conf memory.high=max --pids-limit 9",
)  # fmt: skip


@pytest.mark.parametrize("words", RUNS)
def test_documents_follow_the_specification(words: str) -> None:
    words = words.replace("-w relative", "-w /relative")
    assert faults(document_of(*words.split()), DOCUMENT) == []


def test_rates_of_devices_follow_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rootless.cli.resource_flags._disk", lambda place, path: (8, 0))
    kinds = ("read-bps", "write-bps", "read-iops", "write-iops")
    document = document_of(*(f"--device-{kind}=/dev/sda:{rate}" for rate, kind in enumerate(kinds)))
    assert faults(document, DOCUMENT) == []
    assert len(document["linux"]["resources"]["blockIO"]) == len(kinds)


def test_documents_of_users_without_subordinate_ids() -> None:
    assert faults(document_of(maps=SINGLE), DOCUMENT) == []
    assert faults(document_of("--userns", "keep-id", maps=SINGLE), DOCUMENT) == []


def test_what_an_image_says_cannot_break_the_document() -> None:
    config = {
        "Cmd": ["sh"],
        "Env": ["=x", "NOVALUE", "A=1=2", "A=3", "", 7],
        "WorkingDir": "relative/place",
        "User": "web",
        "Volumes": {"relative": {}, "//double//slash/": {}, "/../../up": {}},
    }
    document = document_of(config=config)
    assert faults(document, DOCUMENT) == []
    assert document["process"]["cwd"] == "/relative/place"
    assert [entry for entry in document["process"]["env"] if entry[0] == "A"] == ["A=3"]
    targets = {mount["destination"] for mount in document["mounts"]}
    assert {"/relative", "/double/slash", "/up"} <= targets


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"ociVersion": 1}, "document.ociVersion: 1 is no str"),
        ({"unknown": 1}, "document.unknown: the specification has no such member"),
        ({"rl.own": 1}, ""),
        ({"root": {}}, "document.root.path: missing"),
        ({"mounts": [{"destination": "x"}]}, "document.mounts[0].destination: 'x' is not like"),
        ({"process": {"cwd": "/", "args": []}}, "document.process.args: 0 is out of range"),
    ],
)
def test_the_rules_see_what_is_wrong(change: dict[str, Any], fault: str) -> None:
    found = faults({**document_of(), **change}, DOCUMENT)
    assert "".join(found)[: len(fault)] == fault and bool(found) == bool(fault)
