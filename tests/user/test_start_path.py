"""What a real `rl run` of a present image imports, in all of its processes together."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
# As in tests/unit/test_architecture.py, which looks at the modules one by one.
HEAVY = (
    "argparse asyncio backports click dataclasses hashlib http importlib.metadata inspect isal"
    " logging multiprocessing pathlib pyroute2 shutil socketserver ssl subprocess tarfile tempfile"
    " tomli tomllib typing urllib urllib3 zipfile"
)
# What a start without --dry-run, which prints JSON, does without as well: a third of its imports.
ALSO_HEAVY = "array collections contextlib enum functools json re signal"
# What --sysinfo alone needs.
OF_SYSINFO = (
    "rootless.runtime.answering rootless.kernel.notify rootless.model.sysinfo"
    " rootless.procview.sysinfo rootless.procview.notified"
)
MAIN = f"import sys; sys.path.append({str(CHECKOUT)!r}); from rootless.cli.main import main; main()"


def imported(rl: Any, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "importtime", "-c", MAIN, *arguments],
        env=rl.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    rows = r"^import time: +\d+ \| +\d+ \| +(\S+)$"
    assert done.returncode == 0, re.sub(rows + "\n", "", done.stderr, flags=re.MULTILINE)
    return set(re.findall(rows, done.stderr, re.MULTILINE))


@pytest.mark.parametrize(
    "flags", [["--rm"], ["--rm", "--net", "none"], ["--dry-run"]], ids=" ".join
)
def test_a_start_imports_nothing_heavy(rl: Any, busybox_image: str, flags: list[str]) -> None:
    rl("run", "--rm", busybox_image, "true")  # what is made once, such as the seccomp program
    modules = imported(rl, "run", *flags, busybox_image, "true")
    assert "rootless.cli.main" in modules
    denied = HEAVY.split() + ([] if "--dry-run" in flags else ALSO_HEAVY.split())
    heavy = [name for name in denied if any(f"{m}.".startswith(f"{name}.") for m in modules)]
    assert heavy == []
    assert not modules & set(OF_SYSINFO.split())


def test_a_file_imports_nothing_heavy_either(rl: Any, busybox_image: str, tmp_path: Path) -> None:
    path = str(tmp_path / "box.sqsh")
    rl("image", "squash", "-q", busybox_image, path)
    rl("run", "--rm", path, "true")  # the first start of a boot tries squashfuse_ll
    modules = imported(rl, "run", "--rm", path, "true")
    assert "rootless.image.squashfile" in modules
    denied = HEAVY.split() + ALSO_HEAVY.split()
    assert [name for name in denied if any(f"{m}.".startswith(f"{name}.") for m in modules)] == []
    assert not [name for name in imported(rl, "run", "--rm", busybox_image, "true")
                if "squash" in name or name.endswith("image_files")]  # fmt: skip


def test_sysinfo_is_paid_for_by_those_who_ask(rl: Any, busybox_image: str) -> None:
    modules = imported(rl, "run", "--rm", "--net", "none", "--sysinfo", busybox_image, "true")
    assert set(OF_SYSINFO.split()) <= modules


def test_exec_imports_nothing_heavy(rl: Any, busybox_image: str) -> None:
    rl("run", "-d", "--net", "none", "--name", "box", busybox_image, "sleep", "1000")
    modules = imported(rl, "exec", "box", "true")
    rl("rm", "-f", "box")
    heavy = [
        name
        for name in (*HEAVY.split(), *ALSO_HEAVY.split())
        if any(f"{module}.".startswith(f"{name}.") for module in modules)
    ]
    assert heavy == []
