from __future__ import annotations

import pytest

from rootless.kernel import libc
from rootless.oci.mountoptions import MountOptions, known_options


def test_flags_of_a_new_file_system_and_its_data() -> None:
    options = MountOptions(["nosuid", "ro", "rw", "mode=755", "size=1k", "strictatime"])
    assert options.flags == libc.MS_NOSUID | libc.MS_STRICTATIME
    assert options.data == ["mode=755", "size=1k"]
    assert not options.is_bind


def test_a_bind_has_attributes_of_its_own_and_of_all_below() -> None:
    options = MountOptions(["rbind", "ro", "rnosuid", "rslave", "private"])
    assert options.is_bind and options.is_recursive
    assert (options.top.set, options.top.cleared) == (libc.MOUNT_ATTR_RDONLY, 0)
    assert options.below.set == libc.MOUNT_ATTR_NOSUID
    assert options.propagation == [libc.MS_SLAVE | libc.MS_REC, libc.MS_PRIVATE]
    assert options.data == []


@pytest.mark.parametrize(
    ("words", "on", "off"),
    [
        (["ro", "rw"], 0, libc.MOUNT_ATTR_RDONLY),
        (["rw", "ro"], libc.MOUNT_ATTR_RDONLY, 0),
        (["noatime"], libc.MOUNT_ATTR_NOATIME, libc.MOUNT_ATTR_ATIME - libc.MOUNT_ATTR_NOATIME),
        (["noatime", "strictatime"], libc.MOUNT_ATTR_STRICTATIME, None),
    ],
)
def test_the_last_word_wins(words: list[str], on: int, off: int | None) -> None:
    top = MountOptions(words).top
    assert top.set == on
    if off is not None:
        assert top.cleared & ~libc.MOUNT_ATTR_ATIME == off & ~libc.MOUNT_ATTR_ATIME


def test_the_kind_of_atime_is_cleared_whole() -> None:
    """The kernel takes no less (mount_setattr(2))."""
    for word in ("noatime", "relatime", "strictatime", "atime"):
        top = MountOptions([word]).top
        assert (top.cleared | top.set) & libc.MOUNT_ATTR_ATIME == libc.MOUNT_ATTR_ATIME
        assert top.without_atime().set == 0


def test_what_the_kernel_never_sees() -> None:
    options = MountOptions(["tmpcopyup", "idmap"])
    assert options.copy_up and options.idmap == "idmap" and options.data == []


def test_every_option_that_features_tells_is_understood() -> None:
    for name in known_options():
        assert MountOptions([name]).data == [], name
