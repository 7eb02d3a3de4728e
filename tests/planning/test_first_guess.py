"""Times before a first run: the published benchmarks come out again, and of what nobody has published nothing is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfy_runner import RunStarted, api
from comfy_runner.config import Config
from comfy_runner.graph.filled import Filled
from comfy_runner.graph.sizes import weight
from comfy_runner.planning.first_guess import guessed_pace
from tests.running.support import plan_of, small
from tests.standin import StandIn

_A100 = "cuda:0 NVIDIA A100-SXM4-80GB : cudaMallocAsync"
_4090 = "cuda:0 NVIDIA GeForce RTX 4090 : native"
_SDXL = "SDXL/base.safetensors"


def _graphs(*checkpoints: str, **changes: Any) -> list[Filled]:
    return [draft.filled for each in checkpoints for draft in plan_of(small(checkpoint=each, **changes)).drafts]


@pytest.mark.parametrize(
    ("device", "checkpoint", "side", "steps", "seconds"),
    [
        (_A100, "sd_xl_base_1.0.safetensors", 1024, 30, 3.704),
        ("cuda:0 NVIDIA H100 80GB HBM3 : native", _SDXL, 1024, 30, 2.496),
        ("cuda:0 NVIDIA A10 : cudaMallocAsync", _SDXL, 1024, 30, 9.399),
        (_A100, "v1-5-pruned-emaonly.safetensors", 512, 50, 1.591),
    ],
)
def test_what_was_published_comes_out_again(device: str, checkpoint: str, side: int, steps: int, seconds: float) -> None:
    found = guessed_pace(device, _graphs(checkpoint))

    assert found is not None
    assert (steps + 0.7) * weight(side * side) / found.steps == pytest.approx(seconds)


def test_gpus_are_as_fast_beside_each_other_as_was_published() -> None:
    steps = {}
    for name in ("Tesla T4", "Tesla V100-SXM2-16GB", "NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 4090"):
        found = guessed_pace(f"cuda:0 {name} : native", _graphs(_SDXL))
        assert found is not None
        steps[found.device] = found.steps

    assert {name: round(pace / steps["T4"], 2) for name, pace in steps.items()} == {
        "T4": 1.0,
        "V100": 3.33,
        "RTX 3090": 3.61,
        "RTX 4090": 7.05,
    }


@pytest.mark.parametrize(
    "device",
    [
        "",
        "cpu",
        "stand-in",
        "mps",
        "cuda:0 AMD Radeon RX 7900 XTX : native",
        "cuda:0 NVIDIA A10G : native",
        "cuda:0 NVIDIA RTX A1000 : native",
        "cuda:0 NVIDIA GeForce RTX 3090 Ti : native",
        "cuda:0 NVIDIA GeForce RTX 4090 Laptop GPU : native",
        "cuda:0 NVIDIA GeForce RTX 4090 D : native",
        "cuda:0 NVIDIA A100-SXM4-80GB MIG 1g.10gb : native",
        "cuda:0 NVIDIA GeForce GT40 : native",
    ],
)
def test_of_other_devices_nothing_is_said(device: str) -> None:
    assert guessed_pace(device, _graphs(_SDXL)) is None


def test_of_other_models_nothing_is_said_and_of_several_families_the_slowest_counts() -> None:
    both = _graphs(_SDXL, "v1-5-pruned.safetensors")
    pace, alone = guessed_pace(_4090, both), guessed_pace(_4090, both[1:])

    assert pace == alone
    assert pace is not None
    assert guessed_pace(_4090, _graphs(_SDXL, "unheard-of.safetensors")) is None
    assert guessed_pace(_4090, _graphs("tiny-random-sd15.safetensors")) is None
    assert guessed_pace(_4090, []) is None


def test_a_plan_and_a_run_say_a_guess_until_a_job_is_done(server: StandIn, tmp_path: Path) -> None:
    server.state.device = _4090
    recipe = small(checkpoint=_SDXL)
    options: dict[str, Any] = {"server": server.url, "out": tmp_path / "lake", "config": Config()}

    before = api.plan([recipe], **options).time
    with api.run([recipe], **options) as rendering:
        started = next(event for event in rendering if isinstance(event, RunStarted))
        rendering.results()
    after = api.plan([{**recipe, "seed": 2}], **options).time

    assert before is not None
    assert after is not None
    assert (before.jobs, before.guessed_by, before.server) == (0, "RTX 4090", server.url)
    assert (after.jobs, after.guessed_by) == (1, "")
    assert started.seconds is None
    assert started.guess is not None
    assert 0 < started.guess <= before.seconds


def test_without_a_server_or_with_one_that_computes_on_something_else_there_is_no_guess(server: StandIn) -> None:
    recipe = small(checkpoint=_SDXL)

    assert api.plan([recipe], config=Config()).time is None
    assert api.plan([recipe], server=server.url, config=Config()).time is None
