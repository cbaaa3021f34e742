"""CDI documents: what is taken from them, and what makes them none."""

from __future__ import annotations

from typing import Any

import pytest

from rootless.errors import UsageError
from rootless.model import cdi
from rootless.model.mountspec import BIND, DeviceSpec, MountSpec


def document(edits: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    device = {"name": "0", "containerEdits": edits or {"env": ["A=1"]}}
    return {"cdiVersion": "0.6.0", "kind": "vendor.com/gpu", "devices": [device], **more}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vendor.com/gpu=all", ("vendor.com/gpu", "all")),
        ("amd.com/gpu=0", ("amd.com/gpu", "0")),
        ("v/c=GPU-1:0.x_y", ("v/c", "GPU-1:0.x_y")),
        ("vendor.com/gpu", None),
        ("vendor.com=all", None),
        ("/dev/x=y", None),
        ("vendor.com/gpu=", None),
        ("a/b/c=d", None),
        ("vendor.com/gpu=a b", None),
    ],
)
def test_names(text: str, expected: tuple[str, str] | None) -> None:
    assert cdi.parse_name(text) == expected


def test_edits() -> None:
    kind = cdi.Kind(
        document(
            {
                "env": ["A=1", "B=x=y"],
                "deviceNodes": [
                    {"path": "/dev/a", "hostPath": "/dev/b", "permissions": "rw", "major": 5},
                    {"path": "/dev/c", "type": "c", "fileMode": 438, "gid": 44},
                ],
                "mounts": [
                    {"hostPath": "/lib/x", "containerPath": "/usr/lib/x",
                     "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"]},
                ],
                "additionalGids": [44],
            },
            containerEdits={"env": ["ALL=1"]},
        ),
        "f",
    )  # fmt: skip
    edits = kind.devices["0"]
    assert edits.env == ["A=1", "B=x=y"]
    assert edits.devices == [DeviceSpec("/dev/b", "/dev/a", "rw"), DeviceSpec("/dev/c", "/dev/c")]
    options = ("ro", "nosuid", "nodev", "rbind", "rprivate")
    assert edits.mounts == [MountSpec(BIND, "/lib/x", "/usr/lib/x", options)]
    assert edits.has_groups
    assert edits.undone == []
    assert kind.common.env == ["ALL=1"]


@pytest.mark.parametrize("version", ["0.3.0", "0.5.0", "0.8.0", "1.0.0", "1.1.0"])
def test_versions(version: str) -> None:
    assert cdi.Kind(document(cdiVersion=version), "f").devices


@pytest.mark.parametrize("field", ["hooks", "intelRdt", "netDevices"])
def test_what_is_not_done_is_told(field: str) -> None:
    assert cdi.Kind(document({field: [{"x": 1}]}), "f").devices["0"].undone == [field]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "not a CDI document"),
        (document(cdiVersion="2.0.0"), "cdiVersion '2.0.0'"),
        (document(cdiVersion=None), "cdiVersion None"),
        (document(surprise=1), "surprise: there is no such field"),
        (document({"surprise": 1}), "surprise: there is no such field"),
        (document({"env": "A=1"}), "env: not a list"),
        (document({"env": ["A"]}), "env: not NAME=VALUE"),
        (document({"deviceNodes": [{"path": "dev/x"}]}), "not an absolute path"),
        (document({"deviceNodes": [{"path": "/dev/x", "mode": 1}]}), "mode: there is no such"),
        (document({"deviceNodes": [{"path": "/dev/x", "permissions": "rx"}]}), "permissions"),
        (document({"mounts": [{"hostPath": "/x"}]}), "not an absolute path"),
        (
            document({"mounts": [{"hostPath": "/x", "containerPath": "/", "options": []}]}),
            "mounts",
        ),
        (
            document({"mounts": [{"hostPath": "/x", "containerPath": "/y", "options": ["what"]}]}),
            "unknown option 'what'",
        ),
        (
            document({"mounts": [{"hostPath": "/x", "containerPath": "/y", "type": "tmpfs"}]}),
            "type 'tmpfs': not bind",
        ),
        (document(kind="vendor"), "vendor=0: not a name"),
        (document(devices=[{"name": "a"}, {"name": "a"}]), "there twice"),
        (document(devices=["a"]), "devices: not a table"),
    ],
)
def test_mistakes(wrong: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        cdi.Kind(wrong, "f")
    assert caught.value.message.startswith("f")
    assert said in caught.value.message
