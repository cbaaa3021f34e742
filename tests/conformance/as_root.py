"""Runs tests of crun's with those parts that they leave out when they do not run as root.

usage: as_root.py TEST.py…
"""

from __future__ import annotations

import os
import runpy
import sys

sys.path.insert(0, os.path.dirname(sys.argv[1]))

import tests_utils  # type: ignore[import-not-found]

tests_utils.is_rootless = lambda: False
for path in sys.argv[1:]:
    runpy.run_path(path, run_name="__main__")
