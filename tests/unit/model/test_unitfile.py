from __future__ import annotations

from rootless.model.unitfile import unit


def lines(name: str = "web", **more: str) -> dict[str, str]:
    """The settings of a unit; of the variables only the last one."""
    text = unit(name, ["/usr/bin/rl"], more, restart="on-failure", stop_timeout=10)
    assert text.startswith("# Made by") and text.endswith("\n")
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_what_runs() -> None:
    found = lines()
    assert found["ExecStart"] == "/usr/bin/rl start --attach web"
    assert found["ExecStop"] == "/usr/bin/rl stop --ignore web"
    assert (found["Restart"], found["TimeoutStopSec"]) == ("on-failure", "30")


def test_specifiers_variables_and_quotes_are_only_text() -> None:
    words = ["/opt/my rl/%h", 'say "$HOME"', "back\\slash", "two\nlines", ""]
    text = unit("50%", words, {}, restart="no", stop_timeout=0)
    start = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    assert start == (
        'ExecStart="/opt/my rl/%%h" "say \\"$$HOME\\"" "back\\\\slash" "two\\nlines" ""'
        ' start --attach "50%%"'
    )
    assert "Description=Container 50%%\n" in text


def test_where_the_store_is() -> None:
    assert lines(RL_ROOT="/data/rl store")["Environment"] == '"RL_ROOT=/data/rl store"'
