from __future__ import annotations

from typing import Any

import pytest

from rootless.kernel import libc
from rootless.runtime import namespaces


@pytest.mark.parametrize(
    ("spaces", "is_nested", "made"),
    [
        ([{"type": "pid"}, {"type": "network"}], False, libc.CLONE_NEWNET),
        ([{"type": "pid"}], False, 0),
        ([{"type": "network", "path": "/proc/1/ns/net"}], False, 0),
        ([{"type": "network"}], True, 0),
    ],
)
def test_the_keeper_makes_what_is_new_and_its_own(
    spaces: list[dict[str, Any]], is_nested: bool, made: int
) -> None:
    assert namespaces.early(spaces, is_nested=is_nested) == made


def test_what_is_made_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    unshared: list[int] = []
    monkeypatch.setattr(libc, "unshare", unshared.append)
    namespaces.enter([{"type": "network"}, {"type": "uts"}], made=libc.CLONE_NEWNET)
    assert unshared == [libc.CLONE_NEWUTS]
