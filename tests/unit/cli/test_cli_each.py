from __future__ import annotations

import pytest

from rootless.cli import each
from rootless.errors import HostError, NotFoundError, RlError

ERRORS = {
    "gone": NotFoundError("gone"),
    "own code": RlError("own code", exit_code=3),
    "host": HostError("host"),
}


def act(word: str) -> list[str]:
    if word in ERRORS:
        raise ERRORS[word]
    return [word]


@pytest.mark.parametrize(
    ("words", "code"),
    [(["a", "b"], 0), (["a", "gone", "b"], 125), (["own code", "gone"], 3), (["host"], 125)],
)
def test_all_are_tried_and_the_first_error_decides(
    words: list[str], code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert each.do_each(words, act) == code
    out, err = capfd.readouterr()
    assert out.splitlines() == [word for word in words if word not in ERRORS]
    told = [line for line in err.splitlines() if not line.startswith("hint: rl doctor")]
    assert told == [f"rl: error: {word}" for word in words if word in ERRORS]
