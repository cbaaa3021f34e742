from __future__ import annotations

import pytest

from rootless.errors import EXIT_CANNOT_INVOKE, UsageError
from rootless.model.user import ExecUser, additional_groups, resolve

PASSWD = """root:x:0:0:root:/root:/bin/sh
# daemon:x:9:9::/:/bin/false
broken:x:notanumber:1::/:/bin/sh
short:x:1
app:x:1000:100:App:/home/app:/bin/sh
1234:x:77:77::/odd:/bin/sh
big:x:4294967295:0::/:/bin/sh
homeless:x:5:5:::
"""
GROUP = "root:x:0:\nusers:x:100:app,other\nwheel:x:10:other,app\nbad:x:x:app\nvideo:x:44:\n"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", ExecUser(0, 0, (), "/root", "root")),
        ("root", ExecUser(0, 0, (), "/root", "root")),
        ("app", ExecUser(1000, 100, (100, 10), "/home/app", "app")),
        ("1000", ExecUser(1000, 100, (100, 10), "/home/app", "app")),
        ("01000", ExecUser(1000, 100, (100, 10), "/home/app", "app")),
        ("app:wheel", ExecUser(1000, 10, (), "/home/app", "app")),
        ("app:44", ExecUser(1000, 44, (), "/home/app", "app")),
        ("4711", ExecUser(4711, 0, (), "/", "")),
        ("4711:4712", ExecUser(4711, 4712, (), "/", "")),
        # A number is an id even where a user is called so.
        ("1234", ExecUser(1234, 0, (), "/", "")),
        (":44", ExecUser(0, 44, (), "/root", "root")),
        ("homeless", ExecUser(5, 5, (), "/", "homeless")),
    ],
)
def test_resolve(spec: str, expected: ExecUser) -> None:
    assert resolve(spec, PASSWD, GROUP) == expected


def test_files_may_be_missing() -> None:
    assert resolve("", "", "") == ExecUser(0, 0, (), "/", "")


@pytest.mark.parametrize("spec", ["nobody", "broken", "big", "app:nogroup", "app:bad"])
def test_unknown_names(spec: str) -> None:
    with pytest.raises(UsageError, match="no such") as caught:
        resolve(spec, PASSWD, GROUP)
    assert caught.value.exit_code == EXIT_CANNOT_INVOKE


@pytest.mark.parametrize("spec", ["2147483648", "9" * 5000, "0:99999999999"])
def test_ids_out_of_range(spec: str) -> None:
    with pytest.raises(UsageError, match="ids go from 0"):
        resolve(spec, PASSWD, GROUP)


def test_additional_groups() -> None:
    assert additional_groups(["video", "100", "44", "9"], GROUP) == (44, 100, 9)
    with pytest.raises(UsageError, match="group audio"):
        additional_groups(["audio"], GROUP)
