"""The fixtures of containers, for what is made of them."""

from __future__ import annotations

from tests.user.run.conftest import Leftovers, leftovers, sh

__all__ = ["Leftovers", "leftovers", "sh"]
