from __future__ import annotations

from typing import Any

import pytest

from rootless.model.gotemplate.errors import TemplateError
from rootless.model.gotemplate.template import Template
from rootless.model.gotemplate.values import Struct, View

DATA: dict[str, Any] = {
    "Name": "web", "Nothing": None,
    "State": Struct({"Pid": 7}, {"Health": None}),
    "Row": View("row", 1, {"ID": str}, {"Label": str}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "position", "reason"),
    [
        ("{{foo}}", "1:2", 'function "foo" not defined'),
        ("{{", "1:0", "unclosed action"),
        ("a\nb{{.A", "2:1", "unclosed action"),
        ("{{}}", "1:2", "missing value for command"),
        ("{{if}}x{{end}}", "1:4", "missing value for if"),
        ("{{if true}}x", "1:12", "unexpected EOF"),
        ("{{range .A}}", "1:12", "unexpected EOF"),
        ("{{if .A}}a{{else}}b", "1:19", "unexpected EOF"),
        ("{{else}}", "1:0", "unexpected {{else}}"),
        ("{{end}}", "1:0", "unexpected {{end}}"),
        ("{{if .A}}{{else}}{{else}}{{end}}", "1:17", "unexpected {{else}}"),
        ("{{$x}}", "1:2", 'undefined variable "$x"'),
        ("{{$x = 1}}", "1:5", 'undefined variable "$x"'),
        ("{{if $x := 1}}{{end}}{{$x}}", "1:23", 'undefined variable "$x"'),
        ("{{1|2}}", "1:4", "non executable command in pipeline stage 2"),
        ('{{"abc}}', "1:2", "unterminated quoted string"),
        ("{{`abc}}", "1:2", "unterminated raw quoted string"),
        ("{{'a}}", "1:2", "unterminated character constant"),
        ("{{'ab'}}", "1:2", "malformed character constant: 'ab'"),
        ('{{"\\q"}}', "1:2", "invalid syntax"),
        ("{{(.A}}", "1:5", "unclosed left paren"),
        ("{{.A)}}", "1:4", "unexpected right paren"),
        ("{{.A!}}", "1:4", "unexpected '!' in command"),
        ('{{.A"x"}}', "1:4", 'unexpected <"x"> in operand'),
        ("{{.A |}}", "1:6", "missing value for command"),
        ("{{1+2}}", "1:2", 'bad number syntax: "1+2"'),
        ("{{99999999999999999999}}", "1:2", 'integer overflow: "99999999999999999999"'),
        ("{{/* x", "1:0", "unclosed comment"),
        ("{{/* x */ .A}}", "1:0", "comment ends before closing delimiter"),
        ("{{break}}", "1:2", "{{break}} outside {{range}}"),
        ('{{define "x"}}{{end}}', "1:0", "{{define}} is not supported"),
        ("(" * 3 + "{{" + "(" * 60 + "1" + ")" * 60 + "}}", "1:56", "too many levels"),
    ],
)  # fmt: skip
def test_what_is_no_template(template: str, position: str, reason: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(template)
    assert caught.value.message == f"template parsing error: template: :{position}: {reason}"


@pytest.mark.parametrize(
    ("template", "position", "shown", "reason"),
    [
        ("{{.State.Foo}}", "1:2", ".State.Foo", 'map has no entry for key "Foo"'),
        ("\n {{.Row.Foo}}", "2:3", ".Row.Foo", "can't evaluate field Foo in type row"),
        ("{{.Name.X}}", "1:2", ".Name.X", "can't evaluate field X in type string"),
        ("{{.Nothing.X}}", "1:2", ".Nothing.X", "nil pointer evaluating interface {}.X"),
        ("{{.State.Health.Status}}", "1:2", ".State.Health.Status",
         "nil pointer evaluating interface {}.Status"),
        ('{{.Name "x"}}', "1:2", ".Name", "Name has arguments but cannot be invoked as function"),
        ("{{.Row.Label}}", "1:2", ".Row.Label", "wrong number of args for Label: want 1 got 0"),
        ("{{.Row.Label 1}}", "1:2", ".Row.Label", "wrong type for value; expected string; got int"),
        ("{{upper 3}}", "1:8", "3", "expected string; found 3"),
        ("{{upper .State.Pid}}", "1:8", ".State.Pid",
         "wrong type for value; expected string; got int"),
        ("{{upper .Missing}}", "1:8", ".Missing", "invalid value; expected string"),
        ("{{upper}}", "1:2", "upper", "wrong number of args for upper: want 1 got 0"),
        ("{{printf}}", "1:2", "printf", "wrong number of args for printf: want at least 1 got 0"),
        ('{{index "abc" 5}}', "1:2", 'index "abc" 5',
         "error calling index: index out of range: 5"),
        ("{{index .State 0}}", "1:2", "index .State 0",
         "error calling index: can't index item of type struct"),
        ("{{eq 1 1.0}}", "1:2", "eq 1 1.0",
         "error calling eq: incompatible types for comparison"),
        ("{{eq .State 1}}", "1:2", "eq .State 1",
         "error calling eq: incompatible types for comparison"),
        ("{{lt true false}}", "1:2", "lt true false",
         "error calling lt: invalid type for comparison"),
        ("{{len 3}}", "1:2", "len 3", "error calling len: len of type int"),
        ("{{slice .Name 2 1}}", "1:2", "slice .Name 2 1",
         "error calling slice: invalid slice index: 2 > 1"),
        ('{{join .Name ","}}', "1:2", 'join .Name ","',
         "error calling join: expected slice, got string"),
        ("{{nil}}", "1:2", "nil", "nil is not a command"),
        ('{{"a" "b"}}', "1:2", '"a"', 'can\'t give argument to non-function "a"'),
        ("{{range true}}x{{end}}", "1:8", "true", "range can't iterate over true"),
        ("{{range .State}}x{{end}}", "1:8", ".State", "range can't iterate over {7}"),
        ("{{index .Name .Name.Another.More}}", "1:14", ".Name.Another.More",
         "can't evaluate field Another in type string"),
        ("{{upper (print .Nothing .Nothing) 1}}", "1:2", "upper",
         "wrong number of args for upper: want 1 got 2"),
        ("{{len (index .Name 999999999999)}}", "1:7", "index .Name 999999999999",
         "error calling index: index out of range: 999999999999"),
    ],
)  # fmt: skip
def test_what_the_data_does_not_have(template: str, position: str, shown: str, reason: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(template).fill(DATA)
    place = f'template parsing error: template: :{position}: executing "" at <{shown}>'
    assert caught.value.message == f"{place}: {reason}"
    assert caught.value.exit_code == 1
