"""Templates and what Go 1.19 makes of them, most of it as podman 4.3 printed it."""

from __future__ import annotations

from typing import Any

import pytest

from rootless.model.gotemplate.template import Template
from rootless.model.gotemplate.values import Map, Struct, View

DATA: dict[str, Any] = {
    "Name": "web", "Names": ["a", "b"], "Labels": Map({"x": "1", "app.io/y": "2"}, ""),
    "Any": {"k": 1, "n": None}, "Up": True, "Pid": 7, "Nothing": None, "Empty": [], "Pi": 3.25,
    "State": Struct({"Status": "up", "Pid": 7, "Deep": {"a": [{"b": "c"}]}}, {"Health": None}),
}  # fmt: skip


def fill(template: str, data: Any = DATA) -> str:
    return Template(template).fill(data)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain } text {", "plain } text {"),
        ("{{.Name}}", "web"),
        ("{{ .State.Pid }}", "7"),
        ("{{.Up}} {{.Pi}} {{.Names}} {{.Labels}}", "true 3.25 [a b] map[app.io/y:2 x:1]"),
        ("{{.State}}", "{up 7 map[a:[map[b:c]]]}"),
        ("{{.Nothing}} {{.Missing}} {{.Missing.More}}", "<no value> <no value> <no value>"),
        ("{{.Any}}", "map[k:1 n:<nil>]"),
        ("{{$.Name}} {{with .State}}{{.Pid}} {{$.Name}}{{end}}", "web 7 web"),
        ("{{(index .State.Deep.a 0).b}}", "c"),
        # Trim markers and comments
        ("a  {{- .Pid -}}  b", "a7b"),
        ("a {{/* no\nmatter */}} b", "a  b"),
        ("a \n{{- /* none */ -}}\n b", "ab"),
        ("{{-3}} {{- 3 -}} x", "-33x"),
        # Literals
        ("{{`raw\\n`}} {{\"a\\tb\\u00e9\\x41\\101\"}}", "raw\\n a\tbéAA"),
        ("{{'a'}} {{0x1F}} {{1_000}} {{010}} {{0b11}} {{-5}} {{.5}}", "97 31 1000 8 3 -5 0.5"),
        ("{{1e6}} {{100000.0}} {{12345678.5}} {{1e20}}", "1e+06 100000 1.23456785e+07 1e+20"),
        ("{{true}} {{false}}", "true false"),
        # Control
        ("{{if .Up}}yes{{else}}no{{end}}", "yes"),
        ("{{if .Empty}}a{{else if .Nothing}}b{{else if .Up}}c{{else}}d{{end}}", "c"),
        ("{{if .Missing}}a{{end}}{{if .State}}s{{end}}{{if .State.Health}}h{{end}}", "s"),
        ("{{with .Missing}}a{{else}}b{{end}}", "b"),
        ("{{with .Empty}}a{{else with .Name}}{{.}}{{end}}", "web"),
        ("{{range .Names}}<{{.}}>{{end}}", "<a><b>"),
        ("{{range .Empty}}a{{else}}none{{end}}{{range .Missing}}a{{else}}none{{end}}", "nonenone"),
        ("{{range $i, $v := .Names}}{{$i}}={{$v}} {{end}}", "0=a 1=b "),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}", "app.io/y=2 x=1 "),
        ("{{range $v := .Names}}{{$v}}{{end}}", "ab"),
        ("{{range .Names}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a"),
        ("{{range .Names}}{{if eq . \"a\"}}{{continue}}{{end}}{{.}}{{end}}", "b"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        # Variables
        ("{{$x := 3}}{{$x = 4}}{{$x}} {{with $y := \"q\"}}{{$y}}{{end}}", "4 q"),
        ("{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"),
        ("{{$x := 0}}{{range .Names}}{{$x = .}}{{end}}{{$x}}", "b"),
        # Pipelines
        ("{{.Name | upper | printf \"%s-%s\" \"x\"}}", "x-WEB"),
        ("{{\"put\" | printf \"%s%s\" \"out\" | printf \"%q\"}}", '"output"'),
        ("{{printf \"%q\" (print \"out\" \"put\")}}", '"output"'),
        ("{{(.Name | len)}}", "3"),
        ("{{ .Names\n| len }}", "2"),
    ],
)  # fmt: skip
def test_fill(template: str, text: str) -> None:
    assert fill(template) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{json .Names}} {{json .Labels}}", '["a","b"] {"app.io/y":"2","x":"1"}'),
        ("{{json .State}}", '{"Status":"up","Pid":7,"Deep":{"a":[{"b":"c"}]}}'),
        ("{{json \"<a>&\\n\\x01é\"}} {{json nil}} {{json true}}", '"<a>&\\n\\u0001é" null true'),
        ("{{json 1e6}} {{json 1e21}} {{json 0.0000001}} {{json 2.5}}", "1000000 1e+21 1e-7 2.5"),
        ("{{index .Labels \"app.io/y\"}}|{{index .Labels \"none\"}}|{{index .Any \"no\"}}",
         "2||<no value>"),
        ("{{index .Names 1}} {{index \"abc\" 1}} {{index .State.Deep \"a\" 0 \"b\"}}", "b 98 c"),
        ("{{len .Names}} {{len .Name}} {{len .Labels}} {{len \"é\"}} {{len .Nothing}}",
         "2 3 2 2 0"),
        ("{{join .Names \",\"}} {{join .Labels \"+\"}} {{join .Nothing \"-\"}}", "a,b 1+2 "),
        ("{{upper .Name}} {{lower \"ABC\"}} {{title \"hello wORLD foo-bar\"}}",
         "WEB abc Hello WORLD Foo-Bar"),
        ("{{split \"a,b\" \",\"}} {{index (split \"a,b\" \",\") 1}} {{split \"ab\" \"\"}}",
         "[a b] b [a b]"),
        ("{{slice \"abcdef\" 1 3}} {{slice .Names 1}} {{truncate \"abc\" 2}} {{truncate \"a\" 9}}",
         "bc [b] ab a"),
        ("{{pad \"x\" 2 3}}|{{pad \"\" 2 3}}|", "  x   ||"),
        ("{{println 1 2 \"a\"}}{{print 1 2 \"a\" 3 4 true}}", "1 2 a\n1 2a3 4 true"),
        ("{{html \"<a>\"}} {{js \"it's\\x01<\"}} {{urlquery \"a b&c\"}}",
         "&lt;a&gt; it\\'s\\u0001\\u003C a+b%26c"),
        ("{{not 0}} {{and 1 0 2}} {{or 0 \"\" \"x\"}} {{and 1 2}} {{true | and false}}",
         "true 0 x 2 false"),
        # The second is not looked at: .Name has no field.
        ("{{or .Up .Name.Field}} {{and false .Name.Field}}", "true false"),
        ("{{eq 1 1}} {{eq .Name \"a\" \"web\"}} {{ne 1 2}} {{eq .Nothing nil}}",
         "true true true true"),
        ("{{lt 1 2}} {{le 2 2}} {{gt \"b\" \"a\"}} {{ge 1.5 2.5}}", "true true true false"),
    ],
)  # fmt: skip
def test_functions(template: str, text: str) -> None:
    assert fill(template) == text


def test_a_view_is_asked_only_for_what_is_used() -> None:
    asked = []

    def size(subject: str) -> str:
        asked.append(subject)
        return "5B"

    fields = {"ID": lambda subject: subject, "Size": size}
    view = View("row", "abc", fields, {"Label": lambda subject, name: f"{subject} {name}"})
    assert fill('{{.ID}} {{.Label "x"}} {{"y" | .Label}}', view) == "abc abc x abc y"
    assert asked == []
    assert fill("{{json .}} {{.}}", view) == '{"ID":"abc","Size":"5B"} {abc 5B}'


def test_only_values_are_cleaned() -> None:
    shown = Template("\x1b[1m{{.Name}}\x1b[0m").fill({"Name": "a\x1b"}, lambda text: repr(text))
    assert shown == "\x1b[1m'a\\x1b'\x1b[0m"


def test_a_heading_keeps_the_names_of_columns() -> None:
    template = Template('{{upper .ID}} {{json .Names}} {{join .Names ","}} {{pad .ID 1 1}}')
    assert template.heading({"ID": "Id", "Names": "NAMES"}) == "Id NAMES NAMES  Id "
