"""`rl-oci run` of `true` on a bundle that is there already, beside runc and crun."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import images
from engines import PATH, installed
from measure import Command, seconds

OURS = str(Path(sys.executable).parent / "rl-oci")
RUNTIMES = {"rl": [OURS], "runc": ["runc"], "crun": ["crun", "--cgroup-manager=disabled"]}


class Bundles:
    """One bundle, which each of them runs in turns."""

    def __init__(self, place: Path) -> None:
        self.place = place / "oci"
        self.place.mkdir()
        self.env = {"PATH": PATH, "XDG_RUNTIME_DIR": str(self.place)}
        self.counter = 0
        with tarfile.open(fileobj=io.BytesIO(images.busybox_layer())) as archive:
            archive.extractall(self.place / "rootfs")  # our own archive
        subprocess.run([OURS, "spec"], cwd=self.place, env=self.env, check=True)
        path = self.place / "config.json"
        spec = json.loads(path.read_text())
        spec["process"].update(terminal=False, args=["/bin/true"])
        # runc of Debian 12 knows no later one.
        spec["ociVersion"] = "1.0.2"
        path.write_text(json.dumps(spec))

    def run(self, argv: list[str]) -> Command:
        self.counter += 1
        root = ["--root", str(self.place / argv[0].rpartition("/")[2])]
        words = ["run", "--bundle", str(self.place), f"b{os.getpid()}.{self.counter}"]
        return [*argv, *root, *words], self.env

    def measures(self) -> Mapping[str, Callable[[], float]]:
        return {
            name: partial(self._once, argv)
            for name, argv in RUNTIMES.items()
            if installed(argv[0]) or os.path.exists(argv[0])
        }

    def _once(self, argv: list[str]) -> float:
        return seconds(self.run(argv))
