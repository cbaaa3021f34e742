"""Undo: the last thing done is the first undone, whatever fails."""

from __future__ import annotations

import pytest

from rootless.engine.undo import Undo


def test_the_last_comes_first() -> None:
    called: list[int] = []
    with Undo() as undo:
        undo.callback(lambda: called.append(1))
        undo.callback(lambda: called.append(2))
    assert called == [2, 1]


def test_an_exception_undoes_and_passes() -> None:
    called: list[int] = []
    with pytest.raises(KeyError), Undo() as undo:
        undo.callback(lambda: called.append(1))
        raise KeyError
    assert called == [1]


def test_a_failure_keeps_nothing_from_being_undone() -> None:
    called: list[int] = []

    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError), Undo() as undo:
        undo.callback(lambda: called.append(1))
        undo.callback(fail)
        undo.callback(lambda: called.append(2))
    assert called == [2, 1]


def test_what_is_forgotten_stays() -> None:
    called: list[int] = []
    with Undo() as undo:
        undo.callback(lambda: called.append(1))
        undo.forget()
    assert called == []
