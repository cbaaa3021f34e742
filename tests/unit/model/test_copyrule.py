"""docker-cp(1): what a copy is called, for each pair of source and destination."""

from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model import copyrule
from rootless.model.copyrule import Source, Target

FILE, FOLDER, CONTENT = Source("f", is_dir=False), Source("d", is_dir=True), Source("", is_dir=True)
MISSING = Target("C:/x", "x", exists=False, is_dir=False, asserts_dir=False)
MISSING_DIR = Target("C:/x/", "x", exists=False, is_dir=False, asserts_dir=True)
A_FILE = Target("C:/x", "x", exists=True, is_dir=False, asserts_dir=False)
A_FOLDER = Target("C:/x", "x", exists=True, is_dir=True, asserts_dir=False)


@pytest.mark.parametrize(
    ("source", "target", "name"),
    [
        (FILE, MISSING, "x"),
        (FILE, A_FILE, "x"),
        (FILE, A_FOLDER, ""),
        (FOLDER, MISSING, "x"),
        (FOLDER, MISSING_DIR, "x"),
        (FOLDER, A_FOLDER, ""),
        (CONTENT, MISSING, "x"),
        (CONTENT, A_FOLDER, ""),
    ],
)
def test_the_name_in_the_targets_parent(source: Source, target: Target, name: str) -> None:
    assert copyrule.new_name(source, target) == name


@pytest.mark.parametrize(
    ("source", "target"), [(FILE, MISSING_DIR), (FOLDER, A_FILE), (CONTENT, A_FILE)]
)
def test_what_does_not_go_together_names_the_target(source: Source, target: Target) -> None:
    with pytest.raises(UsageError, match=r"^C:/x.*director") as caught:
        copyrule.new_name(source, target)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web:/etc", ("web", "/etc")),
        ("web:etc:x", ("web", "etc:x")),
        ("./a:b", ("", "./a:b")),
        ("/a:b", ("", "/a:b")),
        ("dir/a:b", ("", "dir/a:b")),
        ("plain", ("", "plain")),
        ("-", ("", "-")),
    ],
)
def test_which_operand_is_a_containers(text: str, parts: tuple[str, str]) -> None:
    assert copyrule.split_operand(text) == parts


@pytest.mark.parametrize(
    ("path", "cleaned", "trail"),
    [
        ("/a/b", "a/b", ""),
        ("/a/b/", "a/b", "/"),
        ("/a/b/.", "a/b", "."),
        ("a/../../../etc", "etc", ""),
        ("/", "", "/"),
        (".", "", "."),
    ],
)
def test_paths_stay_below_the_root(path: str, cleaned: str, trail: str) -> None:
    assert (copyrule.clean(path), copyrule.trailing(path)) == (cleaned, trail)
