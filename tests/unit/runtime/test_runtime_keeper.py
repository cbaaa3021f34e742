from __future__ import annotations

import os

import pytest

from rootless.errors import HostError
from rootless.runtime import keeper


def test_a_namespace_without_capabilities_is_explained() -> None:
    """As under Ubuntu's AppArmor; this process has no capabilities to make mounts with either."""
    if os.geteuid() == 0:
        pytest.skip("root may have a mount namespace: needs a normal user")
    with pytest.raises(HostError, match="user namespaces: forbidden"):
        keeper.leave_mounts_of_host()
