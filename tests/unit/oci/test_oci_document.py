from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rootless import log
from rootless.oci import document, example
from rootless.oci.document import InvalidDocument


@pytest.fixture
def wanted() -> dict[str, Any]:
    return example.build(1000, 1000)


def test_the_example_of_spec_is_valid(wanted: dict[str, Any]) -> None:
    document.check(wanted)
    assert wanted["process"]["cwd"] == "/"
    assert document.namespace(wanted, "pid") == {"type": "pid"}
    assert document.namespace(wanted, "time") is None


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("ociVersion",), None, "ociVersion: is required"),
        (("ociVersion",), "2.0.0", "ociVersion: 2.0.0 is not understood"),
        (("root",), None, "root: is required"),
        (("root", "path"), "", "root.path: is required"),
        (("process",), None, "process: is "),
        (("process", "args"), [], "process.args: has to be a list"),
        (("process", "cwd"), "here", "process.cwd: 'here' is not an absolute path"),
        (("process", "user", "uid"), "root", "process.user.uid: is str, not int"),
        (("process", "rlimits"), [{"type": "RLIMIT_CPU"}], "process.rlimits: needs"),
        (
            ("process", "capabilities", "ambient"),
            "CAP_KILL",
            "process.capabilities.ambient: is str",
        ),
        (("mounts", 0, "destination"), "", "mounts[0].destination: is required"),
        (("mounts", 0, "type"), "", "mounts[0].type: is required"),
        (("mounts", 0, "options"), [1], "mounts[0].options"),
        (("linux", "namespaces"), [{"type": "mount"}] * 2, "mount is there twice"),
        (("linux", "namespaces"), [{"type": "moon"}], "'moon' is no type of namespace"),
        (("linux", "rootfsPropagation"), "wide", "rootfsPropagation: 'wide' is unknown"),
        (("linux", "timeOffsets"), {"monotonic": {"secs": 1}}, "timeOffsets: needs a time"),
        (("linux", "intelRdt"), {"closID": "one"}, "intelRdt: needs the host's root"),
        (("linux", "netDevices"), {"eth0": {}}, "netDevices: a network device of the host"),
    ],
)
def test_what_is_wrong_is_named(
    wanted: dict[str, Any], place: tuple[str | int, ...], value: Any, said: str
) -> None:
    section: Any = wanted
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = value
    with pytest.raises(InvalidDocument) as raised:
        document.check(wanted)
    assert said in raised.value.message


def test_a_host_name_needs_a_uts_namespace(wanted: dict[str, Any]) -> None:
    wanted["linux"]["namespaces"] = [{"type": "mount"}]
    with pytest.raises(InvalidDocument, match="hostname: needs a uts namespace"):
        document.check(wanted)


def test_a_capability_that_nobody_knows_is_a_warning(wanted: dict[str, Any]) -> None:
    said = []
    log.install(lambda level, text: said.append(f"{level}: {text}"), debug=False)
    try:
        document.check(wanted)
        assert said == []
        wanted["process"]["capabilities"]["bounding"] += ["CAP_TEST"]
        document.check(wanted)
    finally:
        log.install(lambda level, text: None, debug=False)
    assert said == ["warning: config.json: process.capabilities: left out, unknown: CAP_TEST"]


def test_empty_sections_are_there_afterwards() -> None:
    least: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {"args": ["true"], "env": ["A=b", "=nothing", "broken"]},
        "mounts": [{"destination": "proc//x/", "type": "proc"}],
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid", "path": ""}]},
    }
    document.check(least)
    assert least["process"]["env"][0] == "A=b"
    assert [entry.partition("=")[0] for entry in least["process"]["env"]] == ["A", "PATH"]
    assert least["process"]["user"] == {"uid": 0, "gid": 0}
    assert least["mounts"][0]["destination"] == "/proc/x"
    assert least["linux"]["namespaces"][1] == {"type": "pid"}
    assert least["linux"]["sysctl"] == {} and least["hooks"] == {}


def test_the_root_is_found_from_the_bundle(tmp_path: Path, wanted: dict[str, Any]) -> None:
    (tmp_path / "other.json").write_text(json.dumps(wanted))
    assert document.load(str(tmp_path), "other.json")["root"]["path"] == f"{tmp_path}/rootfs"


@pytest.mark.parametrize(
    ("text", "said"),
    [("[]", "not a JSON object"), ("{", "not JSON|xpecting"), (None, "no such file")],
)
def test_a_file_that_is_no_document(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(InvalidDocument, match=said):
        document.load(str(tmp_path))
