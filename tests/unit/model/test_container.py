from __future__ import annotations

import inspect

from rootless.model.container import ContainerSpec


def test_every_field_has_a_default_and_a_slot() -> None:
    parameters = inspect.signature(ContainerSpec).parameters
    assert set(parameters) == set(ContainerSpec.__slots__)
    spec = ContainerSpec()
    absent = {name for name in parameters if getattr(spec, name) is None}
    assert absent == {
        "image",
        "rootfs",
        "entrypoint",
        "stop_signal",
        "oom_score_adj",
        "stop_timeout",
    }


def test_two_specs_share_nothing() -> None:
    one, other = ContainerSpec(), ContainerSpec()
    one.env["A"] = "1"
    one.command.append("sh")
    assert other.env == {} and other.command == []


def test_no_entrypoint_is_not_the_images() -> None:
    assert ContainerSpec().entrypoint is None
    assert ContainerSpec(entrypoint=[]).entrypoint == []
    assert "entrypoint=[]" in repr(ContainerSpec(entrypoint=[]))
