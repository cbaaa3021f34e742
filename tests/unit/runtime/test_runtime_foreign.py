"""What other OCI runtimes say of a failure, as an exit code and in one line."""

from __future__ import annotations

import pytest

from rootless.runtime import foreign


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("executable file `x` not found in $PATH: No such file or directory", 127),
        ("open executable: Permission denied", 126),
        ("open executable: Operation not permitted", 126),
        ('unable to start container process: exec: "x": executable file not found in $PATH', 127),
        ('unable to start container process: exec: "/x": stat /x: no such file or directory', 127),
        ('unable to start container process: exec: "/etc": permission denied', 126),
        ('exec "x": permission denied', 126),
        ("error stat'ing file `/no/such`: No such file or directory", 125),
        ('error mounting "/x" to rootfs at "/m": stat /x: no such file or directory', 125),
        ("chdir `/etc/passwd`: Not a directory", 125),
    ],
)
def test_exit_codes(words: str, code: int) -> None:
    assert foreign.code_of(words) == code


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ('{"level":"error","msg":"one"}\n{"level":"error","msg":"a\\nb"}\n', "a b"),
        ('{"level":"error","msg":"one"}\n{"level":"warning","msg":"two"}\n', "one"),
        ('{"level":"warning","msg":"two"}\n', ""),
        ("usage: x\n\nno such flag \n\n", "no such flag"),
        ("[1]\n", ""),
    ],
)
def test_the_last_error_of_a_log(text: str, words: str) -> None:
    assert foreign.last_error(text) == words
