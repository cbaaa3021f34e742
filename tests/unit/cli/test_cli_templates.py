from __future__ import annotations

import json
from typing import Any

import pytest

from rootless.cli import templates
from rootless.cli.typed_document import typed
from rootless.model.gotemplate.errors import TemplateError
from rootless.model.gotemplate.values import View

Capture = pytest.CaptureFixture[str]
WEB = {"Name": "web", "State": {"Pid": 7}, "Args": ["a"], "Labels": {"x": "1"}}
DB = {"Name": "db\x1b[2J", "State": {"Pid": 0}, "Args": [], "Labels": {}}
HEADS = {"ID": "THE ID", "Size": "SIZE"}


def rows(*pairs: tuple[str, str]) -> list[View]:
    fields = {"ID": lambda pair: pair[0], "Size": lambda pair: pair[1]}
    return [View("row", pair, fields, {"Label": lambda pair, name: name}) for pair in pairs]


def test_documents(capsys: Capture) -> None:
    documents = [typed(WEB), typed(DB)]
    templates.write_documents(documents, "")
    indented = capsys.readouterr().out
    assert json.loads(indented) == [WEB, DB] and '\n        "Name"' in indented
    templates.write_documents(documents, "json")
    line = capsys.readouterr().out
    assert json.loads(line) == [WEB, DB] and line.count("\n") == 1
    templates.write_documents(documents, "{{.Name}} {{.State.Pid}}{{range .Args}} {{.}}{{end}}")
    assert capsys.readouterr().out == "web 7 a\ndb\\x1b[2J 0\n"


def test_ends_of_lines_in_values_stay(capsys: Capture) -> None:
    templates.write_documents([typed({"Name": "a\nb\tc\x07"})], "{{println .Name}}")
    assert capsys.readouterr().out == "a\nb\tc\\x07\n\n"


@pytest.mark.parametrize(("form", "code"), [("{{.Nothing}}", 1), ("{{", 64), ("{{nothing}}", 64)])
def test_nothing_is_printed_before_an_error(capsys: Capture, form: str, code: int) -> None:
    with pytest.raises(TemplateError) as caught:
        templates.write_documents([typed(WEB)], "x" + form)
    assert capsys.readouterr().out == "" and caught.value.exit_code == code


@pytest.mark.parametrize(
    ("form", "lines"),
    [
        ("", ["THE ID   SIZE", "a        1kB", "bcdefgh  20B"]),
        ("table", ["THE ID   SIZE", "a        1kB", "bcdefgh  20B"]),
        ("{{.ID}}", ["a", "bcdefgh"]),
        ("{{.ID}}\\t{{upper .Size}}", ["a\t1KB", "bcdefgh\t20B"]),
        ("{{json .}}", ['{"ID":"a","Size":"1kB"}', '{"ID":"bcdefgh","Size":"20B"}']),
        ("table {{.Size}}\\t{{.ID}}", ["SIZE  THE ID", "1kB   a", "20B   bcdefgh"]),
        ('table {{upper .Size}}\t{{.Label "a.b-c"}}',
         ["SIZE  b c", "1KB   a.b-c", "20B   a.b-c"]),
        ('table {{.Size}}{{"\\t"}}{{.ID}}', ["SIZE  THE ID", "1kB   a", "20B   bcdefgh"]),
    ],
)  # fmt: skip
def test_listing(capsys: Capture, form: str, lines: list[str]) -> None:
    pairs = rows(("a", "1kB"), ("bcdefgh", "20B"))
    templates.write_listing(form, ["ID", "Size"], pairs, HEADS)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split() for line in shown] == [line.split() for line in lines]
    # Columns of a table stand below each other; other templates are not touched.
    if not form or form.startswith("table"):
        assert len({line.index(line.split("  ")[-1].lstrip()) for line in shown}) == 1
    else:
        assert shown == lines


def test_a_listing_of_nothing(capsys: Capture) -> None:
    templates.write_listing("", ["ID", "Size"], [], HEADS)
    assert capsys.readouterr().out.split() == ["THE", "ID", "SIZE"]
    templates.write_listing("table {{.ID}}", ["ID"], [], HEADS)
    assert capsys.readouterr().out == "THE ID\n"
    templates.write_listing("{{.ID}}", ["ID"], [], HEADS)
    assert capsys.readouterr().out == ""


def test_the_one_document(capsys: Capture) -> None:
    templates.write_document({"Server": {"Version": "1"}}, "{{.Server.Version}}")
    assert capsys.readouterr().out == "1\n"
    templates.write_document({"a": 1}, "json")
    assert json.loads(capsys.readouterr().out) == {"a": 1}


@pytest.mark.parametrize(
    ("document", "form", "text"),
    [
        ({"Labels": {"a": "b"}}, '{{.Labels.a}}|{{index .Labels "x"}}|{{.Labels.x}}',
         "b||<no value>"),
        ({"Labels": None}, '{{len .Labels}} {{index .Labels "x"}}.', "0 ."),
        ({"State": {"Pid": 1}}, "{{if .State.Health}}{{.State.Health.Status}}{{else}}-{{end}}",
         "-"),
        ({"State": {"Health": {"Status": "healthy"}}}, "{{.State.Health.Status}}", "healthy"),
        ({"HostConfig": {"LogConfig": {"Type": "x", "Config": {}}}},
         '{{.HostConfig.LogConfig.Type}}{{index .HostConfig.LogConfig.Config "max-size"}}', "x"),
        ({"HostConfig": {"Binds": None}}, "{{.HostConfig.Binds}} {{len .HostConfig.Binds}}",
         "[] 0"),
        ({"Mounts": [{"Type": "bind"}, {"Name": "v"}]}, "{{range .Mounts}}<{{.Name}}>{{end}}",
         "<><v>"),
        ({"NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}}},
         '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"),
        ({"NetworkSettings": {"Ports": {"80/tcp": [{"HostPort": "8080"}], "90/tcp": None}}},
         "{{range $p, $conf := .NetworkSettings.Ports}} {{$p}} ->"
         " {{if $conf}}{{(index $conf 0).HostPort}}{{end}}{{end}}", " 80/tcp -> 8080 90/tcp -> "),
        ({"NetworkSettings": {"Networks": {"n": {"IPAddress": "10.0.2.100"}}}},
         "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "10.0.2.100"),
        ({"Config": {"Env": ["A=1", "B=2"]}}, "{{range .Config.Env}}{{println .}}{{end}}",
         "A=1\nB=2\n"),
        ({"RootFS": {"Layers": ["sha256:1"]}}, "{{json .RootFS.Layers}}", '["sha256:1"]'),
        ({"Config": {"Cmd": None}}, "{{.Config.Cmd}}{{.Config.WorkingDir}}", "[]"),
    ],
)  # fmt: skip
def test_what_people_ask_of_documents(
    capsys: Capture, document: dict[str, Any], form: str, text: str
) -> None:
    templates.write_documents([typed(document)], form)
    assert capsys.readouterr().out == f"{text}\n"


def test_a_field_that_a_document_does_not_have() -> None:
    with pytest.raises(TemplateError) as caught:
        templates.write_documents([typed(WEB)], "{{.State.Foo}}")
    assert caught.value.message == (
        'template parsing error: template: :1:2: executing "" at <.State.Foo>:'
        ' map has no entry for key "Foo"'
    )
