"""Tests in a virtual machine with systemd: what no machine of a contributor is changed for.

All tests share one guest, which ends with them; a guest that `./dev guest` left running is used
instead, with this checkout's code, and left running. Each test clears up what it made.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.system import guest as guests
from tests.system import image as images

HERE = Path(__file__).parent
# The first test may have to wait for an image and a boot, and under emulation all takes its time.
SECONDS_FOR_A_TEST = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS_FOR_A_TEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    guest = getattr(item, "funcargs", {}).get("guest")
    if report.failed and guest is not None:
        report.sections.append(("commands in the guest", "\n".join(map(repr, guest.said))))
        report.sections.append(("guest", guest.describe()))
    return report


@pytest.fixture(scope="session")
def session_guest() -> Iterator[guests.Guest]:
    skip_where_no_guest_can_run()
    image = images.get(images.release_or_default())
    if found := guests.running():
        found.sync()
        yield found
        return
    guest = guests.start(image, with_owner=True)
    try:
        yield guest
    finally:
        guest.stop()


@pytest.fixture
def guest(session_guest: guests.Guest) -> guests.Guest:
    """The guest; what it said to earlier tests is not in this one's report."""
    session_guest.said.clear()
    return session_guest


def skip_where_no_guest_can_run() -> None:
    if os.geteuid() == 0:
        pytest.skip("needs a normal user: ./dev test makes one")
    if platform.machine() != "x86_64":
        pytest.skip(f"needs a machine with x86_64, not {platform.machine()}")
    if missing := images.missing_programs():
        pytest.skip(f"needs {', '.join(missing)}: ./dev setup")
