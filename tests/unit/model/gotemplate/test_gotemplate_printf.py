"""fmt.Sprintf: what Go 1.19 printed (through podman 4.3)."""

from __future__ import annotations

from typing import Any

import pytest

from rootless.model.gotemplate.printf import sprintf
from rootless.model.gotemplate.values import Struct


@pytest.mark.parametrize(
    ("form", "values", "text"),
    [
        ("no verbs", [], "no verbs"),
        ("%v|%v|%v|%v|%v", [1e6, 123456789.0, 1e21, 0.00001, 1.5],
         "1e+06|1.23456789e+08|1e+21|1e-05|1.5"),
        ("%x %X %q %c %U", [255, "hi", 'a"b\n', 97, 97], 'ff 6869 "a\\"b\\n" a U+0061'),
        ("%e %g %08.3f %+d %-5d| %5s|%.2s %t %T %%",
         [1.5, 2.5, 3.14159, 5, 6, "ab", "abcdef", True, 1],
         "1.500000e+00 2.5 0003.142 +5 6    |    ab|ab true int %"),
        ("%5t|%-7t|%05d|%+.2e|%#x|%#o|%b|% d|%6.2f|%-6s|%06d|%x",
         [True, False, 42, 1234.5, 255, 8, 5, 7, 3.14159, "ab", -42, "hello"],
         " true|false  |00042|+1.23e+03|0xff|010|101| 7|  3.14|ab    |-00042|68656c6c6f"),
        ("%#q %+q %q", ["a`b", "é", 120], '"a`b" "\\u00e9" \'x\''),
        ("%*d|%-*d|%.*f", [5, 42, 5, 42, 2, 3.14159], "   42|42   |3.14"),
        ("%[2]d %[1]d", [1, 2], "2 1"),
        ("%s %v %q %d %x", [["a", "b"]] * 5,
         '[a b] [a b] ["a" "b"] [%!d(string=a) %!d(string=b)] [61 62]'),
        ("%v %s %+v", [{"b": 1, "a": 2}, {"k": "v"}, Struct({"A": 1, "B": "x"})],
         "map[a:2 b:1] map[k:v] {A:1 B:x}"),
        # Mistakes
        ("%d", ["hi"], "%!d(string=hi)"),
        ("%d", [], "%!d(MISSING)"),
        ("a", [1], "a%!(EXTRA int=1)"),
        ("%z", [3], "%!z(int=3)"),
        ("%", [], "%!(NOVERB)"),
        ("%s", [5], "%!s(int=5)"),
        ("%s %d %v", [None, None, None], "%!s(<nil>) %!d(<nil>) <nil>"),
        ("%[5]d", [1], "%!d(BADINDEX)"),
    ],
)  # fmt: skip
def test_sprintf(form: str, values: list[Any], text: str) -> None:
    assert sprintf(form, values) == text
