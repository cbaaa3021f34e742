from __future__ import annotations

import os
import time

from rootless.errors import NotFoundError, RlError
from rootless.tools import parallel

ITEMS = [str(number) for number in range(10)]


def test_results_come_in_the_order_of_the_items() -> None:
    def act(item: str) -> list[str]:
        time.sleep(0.01 * (10 - int(item)) / 10)
        return [item, "done"]

    assert list(parallel.each(ITEMS, act, 4)) == [[item, "done"] for item in ITEMS]
    assert list(parallel.each([], act, 4)) == []


def test_several_are_at_work() -> None:
    pids = set(parallel.each(ITEMS, lambda item: os.getpid(), 3))
    assert len(pids) == 3 and os.getpid() not in pids


def test_an_error_is_one_of_the_results() -> None:
    def act(item: str) -> str:
        if item == "4":
            raise NotFoundError("no 4", "look", 7)
        return item

    outcomes = list(parallel.each(ITEMS, act, 2))
    assert [one for one in outcomes if isinstance(one, str)] == [i for i in ITEMS if i != "4"]
    error = outcomes[4]
    assert isinstance(error, NotFoundError)
    assert (error.message, error.hint, error.exit_code) == ("no 4", "look", 7)


def test_a_worker_that_dies_fails_what_it_had_to_do() -> None:
    def act(item: str) -> str:
        if item == "1":
            os._exit(3)
        return item

    outcomes = list(parallel.each(ITEMS[:4], act, 2))
    assert [outcomes[0], outcomes[2]] == ["0", "2"]
    assert isinstance(outcomes[1], RlError) and isinstance(outcomes[3], RlError)
