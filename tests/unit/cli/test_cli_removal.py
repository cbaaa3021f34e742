from __future__ import annotations

import pytest

from rootless.cli import removal
from rootless.errors import InUseError, NotFoundError, StoreError

ERRORS = {
    "gone": NotFoundError("gone"),
    "used": InUseError("used", "rl rm it", exit_code=1),
    "broken": StoreError("broken"),
}


def remove(word: str) -> list[str]:
    if word in ERRORS:
        raise ERRORS[word]
    return [word]


@pytest.mark.parametrize(
    ("words", "gone_is_well", "code"),
    [
        ("a b", False, 0),
        ("a gone b", False, 1),
        ("a gone b", True, 0),
        ("gone used b", False, 1),
        ("used gone b", False, 2),
        ("gone used b", True, 2),
        ("broken used b", True, 1),
        ("", False, 0),
    ],
)
def test_the_first_error_decides_and_the_rest_is_done(
    words: str, gone_is_well: bool, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert removal.remove_each(words.split(), remove, gone_is_well=gone_is_well) == code
    out, err = capfd.readouterr()
    assert out.split() == [word for word in words.split() if word not in ERRORS]
    told = [line.rpartition(" ")[2] for line in err.splitlines() if line.startswith("rl: error")]
    assert told == [w for w in words.split() if w in ERRORS and not (w == "gone" and gone_is_well)]
