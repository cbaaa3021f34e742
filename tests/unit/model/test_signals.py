from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model.signals import parse_signal, signal_number


@pytest.mark.parametrize(
    ("text", "name", "number"),
    [
        ("TERM", "SIGTERM", 15),
        ("sigint", "SIGINT", 2),
        ("9", "SIGKILL", 9),
        ("RTMIN", "SIGRTMIN+0", 34),
        ("SIGRTMIN+3", "SIGRTMIN+3", 37),
        ("RTMAX-1", "SIGRTMIN+29", 63),
        ("RTMAX", "SIGRTMIN+30", 64),
        ("40", "SIGRTMIN+6", 40),
    ],
)
def test_signals(text: str, name: str, number: int) -> None:
    assert (parse_signal(text, "--stop-signal"), signal_number(text)) == (name, number)
    assert signal_number(name) == number


@pytest.mark.parametrize("text", ["", "0", "65", "TERMX", "SIG", "RTMIN+31", "RTMAX-31", "_DFL"])
def test_no_signals(text: str) -> None:
    with pytest.raises(UsageError, match="no such signal"):
        parse_signal(text, "--stop-signal")
