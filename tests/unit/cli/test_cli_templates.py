from __future__ import annotations

import json
from typing import Any

import pytest

from rootless.cli import templates
from rootless.errors import UsageError

DOCUMENT: dict[str, Any] = {
    "Name": "web", "State": {"OOMKilled": True, "Paused": False, "Pid": 7, "Error": None},
    "Args": ["a"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}}", "web"),
        ("{{ .State.OOMKilled }}", "true"),
        ("{{.State.Paused}}", "false"),
        ("pid {{.State.Pid}} of {{.Name}}", "pid 7 of web"),
        ("<{{.State.Error}}>", "<>"),
    ],
)
def test_fields(template: str, text: str) -> None:
    assert templates.fill(template, DOCUMENT) == text


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{.Nothing}}", "there is no .Nothing"),
        ("{{.Name.More}}", "there is no .Name.More"),
        ("{{.State}}", "no single value"),
        ("{{.Args}}", "no single value"),
        ("{{json .State}}", "only fields are known, not 'json .State'"),
        ("{{range .Args}}", "only fields are known"),
        ("{{}}", "only fields are known"),
        ("table", "names no field"),
    ],
)
def test_all_else_is_refused(template: str, reason: str) -> None:
    with pytest.raises(UsageError, match="--format") as caught:
        templates.fill(template, DOCUMENT)
    assert reason in caught.value.message and caught.value.hint


def test_documents(capsys: pytest.CaptureFixture[str]) -> None:
    for template in ("", "json"):
        templates.write_documents([DOCUMENT, {"Name": "db"}], template)
        assert json.loads(capsys.readouterr().out) == [DOCUMENT, {"Name": "db"}]
    templates.write_documents([DOCUMENT, {"Name": "db\x1b[2J"}], "{{.Name}}")
    assert capsys.readouterr().out == "web\ndb\\x1b[2J\n"


def test_nothing_is_printed_before_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError):
        templates.write_documents([DOCUMENT, {}], "{{.Name}}")
    assert capsys.readouterr().out == ""
