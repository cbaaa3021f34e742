from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.errors import UsageError
from rootless.model.mountflags import (
    check_unique,
    parse_device,
    parse_mount,
    parse_tmpfs,
    parse_volume,
    split_csv,
)
from rootless.model.mountspec import DeviceSpec, MountSpec

CWD = "/here/now"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/test", MountSpec("volume", "", "/test")),
        ("/a:/b", MountSpec("bind", "/a", "/b")),
        ("/a/:/b//c/", MountSpec("bind", "/a", "/b/c")),
        ("/a://b", MountSpec("bind", "/a", "/b")),
        ("/a:/b/../c", MountSpec("bind", "/a", "/c")),
        ("./x:/b", MountSpec("bind", "/here/now/x", "/b")),
        (".:/b", MountSpec("bind", "/here/now", "/b")),
        ("../x:/b", MountSpec("bind", "/here/x", "/b")),
        ("data:/b:ro", MountSpec("volume", "data", "/b", ("ro",))),
        ("/a:/b:ro,Z,rslave", MountSpec("bind", "/a", "/b", ("ro", "rslave"))),
        ("/a:/b:z", MountSpec("bind", "/a", "/b")),
        ("/a:/b:U,nosuid,ro,ro", MountSpec("bind", "/a", "/b", ("U", "nosuid", "ro"))),
        ("data:/b:nocopy", MountSpec("volume", "data", "/b", ("nocopy",))),
    ],
)
def test_volume(text: str, expected: MountSpec) -> None:
    assert parse_volume(text, CWD) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not an absolute path"),
        ("x", "'x' is not an absolute path"),
        ("/a:b", "'b' is not an absolute path"),
        ("/a:ro", "'ro' is not an absolute path"),
        ("/a:/", "cannot be /"),
        ("/a:/..", "cannot be /"),
        (":/b", "source before the colon is missing"),
        ("/a:/b:ro:x", "more than two colons"),
        ("/a:/b:ro,rw", "ro and rw exclude"),
        ("/a:/b:shared,private", "shared and private exclude"),
        ("/a:/b:fast", "unknown option 'fast'"),
        ("/a:/b:O", "overlay volumes"),
        ("a:/b", "'a' is not a volume name"),
        ("a b:/b", "is not a volume name"),
        ("ünï:/b", "is not a volume name"),
    ],
)
def test_volume_errors(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_volume(text, CWD)
    assert caught.value.message.startswith(f"-v {text}")


# No directory of examples: the checkout may belong to somebody else.
@settings(deadline=None, database=None)
@given(st.text(st.sampled_from('/.:ab,=" ro'), max_size=30))
def test_whatever_is_given_targets_are_absolute_and_clean(text: str) -> None:
    for parse in (lambda: parse_volume(text, CWD), lambda: parse_mount(text, CWD)):
        try:
            mount = parse()
        except UsageError:
            continue
        assert mount.target.startswith("/") and mount.target != "/"
        assert ".." not in mount.target.split("/") and "" not in mount.target.split("/")[1:]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=bind,source=/a,target=/b", MountSpec("bind", "/a", "/b")),
        ("type=bind,src=./x,dst=/b,readonly", MountSpec("bind", "/here/now/x", "/b", ("ro",))),
        ("type=bind,src=/a,destination=/b,ro=false", MountSpec("bind", "/a", "/b", ("rw",))),
        (
            "type=bind,src=/a,dst=/b,bind-propagation=rshared,bind-nonrecursive",
            MountSpec("bind", "/a", "/b", ("rshared", "bind")),
        ),
        ("type=bind,src=/a,dst=/b,relabel=shared,U=true", MountSpec("bind", "/a", "/b", ("U",))),
        ('type=bind,"src=/a,b",dst=/c', MountSpec("bind", "/a,b", "/c")),
        ("source=data,target=/b", MountSpec("volume", "data", "/b")),
        ("type=volume,target=/b,volume-nocopy", MountSpec("volume", "", "/b", ("nocopy",))),
        (
            "type=tmpfs,target=/b,tmpfs-size=64m,tmpfs-mode=1777",
            MountSpec("tmpfs", "", "/b", ("size=67108864", "mode=1777")),
        ),
    ],
)
def test_mount(text: str, expected: MountSpec) -> None:
    assert parse_mount(text, CWD) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=bind,target=/b", "source=… is missing"),
        ("type=bind,source=/a", "target=… is missing"),
        ("type=bind,source=,target=/b", "source=… has no value"),
        ("type=image,source=x,target=/b", "type 'image' is not one of"),
        ("type=tmpfs,source=/a,target=/b", "a tmpfs has no source"),
        ("type=tmpfs,target=/b,tmpfs-size=big", "'big' is not a size"),
        ("type=tmpfs,target=/b,tmpfs-mode=999", "not an octal number"),
        ("type=bind,source=/a,target=/b,tmpfs-size=1", "unknown field 'tmpfs-size'"),
        ("type=bind,source=/a,target=/b,", "unknown field ''"),
        ("type=bind,source=/a,target=/b,ro=maybe", "neither true nor false"),
        ("type=bind,source=/a,target=/b,bind-propagation=odd", "'odd' is not known"),
        ('type=bind,"source=/a,target=/b', "is not closed"),
    ],
)
def test_mount_errors(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_mount(text, CWD)


def test_tmpfs() -> None:
    assert parse_tmpfs("/run") == MountSpec("tmpfs", "", "/run")
    options = ("rw", "noexec", "size=10%", "uid=5")
    assert parse_tmpfs("/run:rw,noexec,size=10%,uid=5") == MountSpec("tmpfs", "", "/run", options)
    with pytest.raises(UsageError, match="--tmpfs /run:shared: unknown option"):
        parse_tmpfs("/run:shared")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/dev/fuse", DeviceSpec("/dev/fuse", "/dev/fuse")),
        ("/dev/fuse:r", DeviceSpec("/dev/fuse", "/dev/fuse", "r")),
        ("/dev/fuse:/dev/x", DeviceSpec("/dev/fuse", "/dev/x")),
        ("/dev/fuse:/dev/x:rw", DeviceSpec("/dev/fuse", "/dev/x", "rw")),
    ],
)
def test_device(text: str, expected: DeviceSpec) -> None:
    assert parse_device(text) == expected


@pytest.mark.parametrize(
    "text", ["fuse", "", "/dev/fuse:", "/dev/fuse:q", "/a:/b:/c", "/a:/b:/c:r", "v.com/gpu=all"]
)
def test_device_errors(text: str) -> None:
    with pytest.raises(UsageError, match="--device"):
        parse_device(text)


def test_duplicate_targets() -> None:
    mounts = [parse_volume("/a:/b", CWD), parse_tmpfs("/c")]
    check_unique(mounts)
    with pytest.raises(UsageError, match="/b: duplicate mount point"):
        check_unique([*mounts, parse_tmpfs("/b/")])


@settings(deadline=None, database=None)
@given(st.lists(st.text(st.characters(exclude_characters='",')), min_size=1))
def test_csv_of_plain_fields(fields: list[str]) -> None:
    assert split_csv(",".join(fields), "--mount") == fields
    assert split_csv(",".join(f'"{field},"' for field in fields), "") == [f"{f}," for f in fields]
