"""The sigma at which a pass starts, held against ComfyUI's own code and a table that was made with it."""

from __future__ import annotations

import json
import math
import subprocess
from itertools import product
from typing import Any

import pytest

from comfy_runner.engine.local import InstalledEngine, launcher
from comfy_runner.graph.schedules import SecondPass, schedule_steps, second_passes, start_sigma
from tests.graph.support import graph, node, shipped_graph, values

SCHEDULERS = (
    "normal",
    "karras",
    "exponential",
    "sgm_uniform",
    "simple",
    "ddim_uniform",
    "linear_quadratic",
    "kl_optimal",
    "beta",
)

# Run by the launcher with ComfyUI's Python: its last argument is ComfyUI's folder.
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv.pop())
import comfy.options
comfy.options.enable_args_parsing()
import comfy.model_sampling, comfy.samplers

class Model:
    sampling = comfy.model_sampling.ModelSamplingDiscrete()
    def get_model_object(self, name):
        return self.sampling

found = []
for scheduler, steps, denoise, sampler in json.load(sys.stdin):
    settings = {"sampler": sampler, "scheduler": scheduler, "denoise": denoise}
    found.append(comfy.samplers.KSampler(Model(), steps=steps, device="cpu", **settings).sigmas.tolist())
print(json.dumps({"schedulers": comfy.samplers.KSampler.SCHEDULERS, "sigmas": found}))
"""


Case = tuple[str, int, float, str]

STEPS = (*range(1, 13), 15, 20, 25, 30, 33, 50, 77)
DENOISE = (0.05, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 0.9999, 0.99995, 1.0)
CASES: list[Case] = [
    *product(SCHEDULERS, STEPS, DENOISE, ("euler", "dpm_2")),
    # So long that timesteps fall together. For some schedulers ComfyUI's own code takes seconds for that.
    *product(("beta", "simple", "ddim_uniform", "karras"), (300,), (0.1, 0.5), ("euler", "uni_pc")),
]


@pytest.fixture(scope="module")
def theirs(local_engine: InstalledEngine, tmp_path_factory: pytest.TempPathFactory) -> dict[Case, list[float]]:
    """All sigmas that ComfyUI's own KSampler makes of (scheduler, steps, denoise, sampler)."""
    program = tmp_path_factory.mktemp("sigmas") / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    command = [str(local_engine.python), launcher.__file__, "--offline", str(program), "--cpu", str(local_engine.source)]
    done = subprocess.run(command, input=json.dumps(CASES), capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found["schedulers"]) == set(SCHEDULERS)
    return dict(zip(CASES, found["sigmas"], strict=True))


def test_every_start_sigma_is_the_one_that_comfyui_s_own_ksampler_starts_at(theirs: dict[Case, list[float]]) -> None:
    for (scheduler, steps, denoise, sampler), sigmas in theirs.items():
        ours = start_sigma(scheduler, steps=steps, denoise=denoise, sampler=sampler)
        expected = None if math.isnan(sigmas[0]) else pytest.approx(sigmas[0], rel=1e-4)
        assert ours == expected, (scheduler, steps, denoise, sampler)


@pytest.mark.parametrize("sampler", ["euler", "dpm_2"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_ksampler_advanced_starts_where_comfyui_cuts_the_whole_schedule(
    scheduler: str, sampler: str, theirs: dict[Case, list[float]]
) -> None:
    sigmas = theirs[scheduler, 20, 1.0, sampler]
    for first in range(20):
        (second,) = second_passes(advanced(start_at_step=first, scheduler=scheduler, sampler_name=sampler))
        assert second.start_sigma == pytest.approx(sigmas[first], rel=1e-4), first


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("normal", [0.56, 0.81, 0.97, 1.13, 1.35, 1.57, 1.90, 2.21, 2.68, 3.42, 5.22]),
        ("karras", [0.16, 0.34, 0.48, 0.66, 0.92, 1.21, 1.67, 2.14, 2.83, 3.89, 6.24]),
        ("exponential", [0.10, 0.18, 0.25, 0.33, 0.47, 0.62, 0.88, 1.16, 1.60, 2.37, 4.36]),
        ("beta", [0.40, 0.66, 0.83, 1.03, 1.31, 1.62, 2.10, 2.62, 3.40, 4.71, 7.80]),
        ("kl_optimal", [0.33, 0.50, 0.60, 0.69, 0.82, 0.94, 1.11, 1.26, 1.49, 1.83, 2.70]),
    ],
)
def test_30_steps_start_where_the_published_table_says(scheduler: str, expected: list[float]) -> None:
    denoise = [0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8]
    assert [start_sigma(scheduler, steps=30, denoise=each) for each in denoise] == pytest.approx(expected, abs=0.0055)


# "linear_quadratic" does: its lower half depends on whether the schedule's length is odd.
@pytest.mark.parametrize("scheduler", [name for name in SCHEDULERS if name != "linear_quadratic"])
def test_more_denoise_never_starts_at_less_noise(scheduler: str) -> None:
    found = [start_sigma(scheduler, steps=20, denoise=percent / 100) for percent in range(5, 101)]
    assert None not in found
    assert found == sorted(found, key=lambda sigma: sigma or 0.0)
    assert len(set(found)) > 20


def test_denoise_values_of_the_same_schedule_start_at_the_same_noise() -> None:
    assert len({start_sigma("karras", steps=10, denoise=denoise) for denoise in (0.48, 0.49, 0.5)}) == 1


def test_a_scheduler_of_a_custom_node_has_no_known_start() -> None:
    assert start_sigma("AYS SDXL", steps=20, denoise=0.5) is None


@pytest.mark.parametrize(
    ("steps", "denoise"),
    [(20, 0.0), (20, -1.0), (20, math.nan), (0, 0.5), (-1, 0.5), (10**400, 0.5), (20, 1e-320), (20, 1e-9)],
)
def test_numbers_that_no_server_would_sample_with_have_no_start(steps: int, denoise: float) -> None:
    assert start_sigma("karras", steps=steps, denoise=denoise) is None


@pytest.mark.parametrize(
    ("steps", "denoise", "length"), [(10, 0.48, 20), (10, 0.51, 19), (30, 0.35, 85), (30, 1.0, 30), (30, 0.99995, 30)]
)
def test_the_schedule_of_a_pass_is_longer_than_the_pass(steps: int, denoise: float, length: int) -> None:
    assert schedule_steps(steps=steps, denoise=denoise) == length


# --- the second passes of a graph


def advanced(**inputs: Any) -> Any:
    """Return a graph whose second pass is a KSamplerAdvanced."""
    given = {"scheduler": "karras", "sampler_name": "euler", "steps": 20, "start_at_step": 9, "end_at_step": 10_000, **inputs}
    first = {"scheduler": "karras", "sampler_name": "euler", "steps": 20, "denoise": 1.0}
    return graph(first=node("KSampler", **first), second=node("KSamplerAdvanced", latent_image=["first", 0], **given))


def test_the_shipped_graph_has_one_second_pass() -> None:
    workflow = shipped_graph(values()).workflow
    sigma = start_sigma("karras", steps=30, denoise=0.55, sampler="dpmpp_2m_sde")
    expected = SecondPass("second_pass", "Second pass", 30, 0.55, 54, "karras", "dpmpp_2m_sde", sigma)
    assert second_passes(workflow) == [expected]


def test_a_ksampler_advanced_is_the_ksampler_that_does_its_last_steps() -> None:
    (second,) = second_passes(advanced(steps=20, start_at_step=9))
    assert (second.steps, second.denoise, second.schedule_steps) == (11, 0.55, 20)
    assert second.start_sigma == start_sigma("karras", steps=11, denoise=0.55)


def test_a_ksampler_advanced_does_no_step_after_its_last_one() -> None:
    (second,) = second_passes(advanced(steps=20, start_at_step=9, end_at_step=12))
    assert second.steps == 3


@pytest.mark.parametrize(
    "inputs",
    [
        {"start_at_step": 20},
        {"start_at_step": 9, "end_at_step": 9},
        {"start_at_step": -1},
        {"steps": 10**9},
        {"steps": ["first", 0]},
        {"start_at_step": ["first", 0]},
        {"scheduler": ["first", 0]},
        {"sampler_name": None},
    ],
    ids=str,
)
def test_a_pass_that_samples_nothing_or_takes_its_settings_from_another_node_is_left_out(inputs: dict[str, Any]) -> None:
    assert second_passes(advanced(**inputs)) == []


@pytest.mark.parametrize("denoise", [0.0, 0, None, "0.5", ["first_pass", 0]])
def test_a_ksampler_without_a_denoise_to_reckon_with_is_left_out(denoise: Any) -> None:
    workflow = shipped_graph(values()).workflow.with_inputs({("second_pass", "denoise"): denoise})
    assert second_passes(workflow) == []


@pytest.mark.parametrize("class_type", ["ModelSamplingDiscrete", "ModelSamplingSD3", "UNETLoader"])
def test_a_model_with_another_noise_schedule_gives_no_sigma(class_type: str) -> None:
    data = shipped_graph(values()).workflow.to_api()
    data["other"] = node(class_type)
    data["second_pass"]["inputs"]["model"] = ["other", 0]
    (second,) = second_passes(graph(**data))
    assert (second.schedule_steps, second.start_sigma) == (54, None)
