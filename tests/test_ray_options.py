"""What may be said of Ray, in the config file and on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner.config import load_config
from comfy_runner.errors import ConfigError, UsageError
from comfy_runner.ray_options import RayOptions


def test_the_config_file_says_how_ray_is_used(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text('ray: {address: "head:6379", min: 2, max: 8, resources: {GPU: 0.5, fast_disk: 1}, in_flight: 1}\n')

    found = load_config({"COMFY_RUNNER_CONFIG": str(path)}).ray

    assert found == RayOptions(address="head:6379", min=2, max=8, resources={"GPU": 0.5, "fast_disk": 1}, in_flight=1)


def test_a_wrong_setting_is_told_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("ray:\n  min: 2\n  most: 8\n")

    with pytest.raises(ConfigError, match=r"config.yaml:3: ray.most: there is no such setting") as caught:
        load_config({"COMFY_RUNNER_CONFIG": str(path)})
    assert "max" in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min": 3, "max": 2}, "--ray: max must be at least min, 3 (got 2)"),
        ({"min": 0}, "--ray-min: input should be greater than or equal to 1"),
        ({"command": "comfyui --port 8188"}, "--ray: command must contain {port}, the port on which its server listens"),
        ({"resources": {"GPU": 0}}, "--ray: resources must give an amount above 0 for at least one of them"),
        ({"resources": {"GPU": True}}, "--ray-resources: a resource has an amount, such as 1 or 0.5"),
        ({"resources": {"GPU": -1}}, "--ray-resources: input should be greater than or equal to 0"),
        ({"resources": [1]}, "--ray-resources: input should be a valid dictionary"),
    ],
)
def test_what_does_not_go_is_told_by_its_option(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        RayOptions().changed(**changes)
    assert str(caught.value) == message


def test_what_is_not_said_stays_as_it_was() -> None:
    assert RayOptions(min=2, in_flight=1).changed(max=4) == RayOptions(min=2, max=4, in_flight=1)
