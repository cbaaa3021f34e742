"""--chmod; the expected values are those of chmod(1)."""

from __future__ import annotations

import pytest

from rootless.model.dockerfile.chmod import Mode


@pytest.mark.parametrize(
    ("text", "before", "is_dir", "expected"),
    [
        ("755", 0o600, False, 0o755),
        ("0", 0o777, False, 0),
        ("4711", 0o600, False, 0o4711),
        ("+x", 0o644, False, 0o755),
        ("a-w", 0o666, False, 0o444),
        ("u=rwx,go=rx", 0o600, False, 0o755),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("go-rwx", 0o777, False, 0o700),
        ("g=", 0o775, False, 0o705),
        ("u+s,g+s", 0o755, False, 0o6755),
        ("+t", 0o777, True, 0o1777),
        ("u-x+r", 0o300, False, 0o600),
    ],
)
def test_modes(text: str, before: int, expected: int, *, is_dir: bool) -> None:
    assert Mode(text).of(before, is_dir=is_dir) == expected


@pytest.mark.parametrize("text", ["", "8", "10000", "x", "u", "u+y", "u+x,", "u:x", "rwxr-xr-x"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Mode(text)
