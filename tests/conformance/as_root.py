"""Runs one of crun's tests with those parts that it leaves out when it does not run as root.

usage: as_root.py TEST.py
"""

from __future__ import annotations

import os
import runpy
import sys

sys.path.insert(0, os.path.dirname(sys.argv[1]))

import tests_utils  # type: ignore[import-not-found]

tests_utils.is_rootless = lambda: False
runpy.run_path(sys.argv[1], run_name="__main__")
