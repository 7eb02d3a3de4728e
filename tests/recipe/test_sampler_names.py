"""Samplers and schedulers as the web UIs name them, and as ComfyUI does."""

from __future__ import annotations

import pytest

from comfy_runner.recipe.sampler_names import (
    COMFYUI_SAMPLERS,
    COMFYUI_SCHEDULERS,
    SamplerName,
    automatic_scheduler,
    no_sampler,
    no_scheduler,
    sampler_of,
    scheduler_of,
    web_ui_sampler,
)

_TABLE = """
Euler euler | Euler a euler_ancestral | LMS lms | Heun heun | HeunPP2 heunpp2 | DPM2 dpm_2 | DPM2 a dpm_2_ancestral |
DPM fast dpm_fast | DPM adaptive dpm_adaptive | DPM++ 2S a dpmpp_2s_ancestral | DPM++ SDE dpmpp_sde | DPM++ 2M dpmpp_2m |
DPM++ 2M SDE dpmpp_2m_sde | DPM++ 2M SDE Heun dpmpp_2m_sde_heun | DPM++ 3M SDE dpmpp_3m_sde | UniPC uni_pc | LCM lcm
"""
_PAIRS = [tuple(entry.strip().rsplit(" ", 1)) for entry in _TABLE.split("|")]


@pytest.mark.parametrize(("name", "sampler"), _PAIRS)
def test_each_sampler_is_understood_however_it_is_written(name: str, sampler: str) -> None:
    for written in (name, name.upper(), f" {name.replace(' ', '  ')} "):
        assert sampler_of(written) == SamplerName(sampler)
    assert sampler in COMFYUI_SAMPLERS
    assert web_ui_sampler(sampler, "karras") == (name, "Karras")


@pytest.mark.parametrize(
    ("name", "sampler", "scheduler"),
    [
        ("DPM++ 2M Karras", "dpmpp_2m", "karras"),
        ("dpm++ 2m karras", "dpmpp_2m", "karras"),
        ("DPM++ 2M SDE Exponential", "dpmpp_2m_sde", "exponential"),
        ("DPM++ 2M SDE Heun Karras", "dpmpp_2m_sde_heun", "karras"),
        ("DPM2 a Karras", "dpm_2_ancestral", "karras"),
        ("LMS Karras", "lms", "karras"),
        ("Euler A SGMUniform", "euler_ancestral", "sgm_uniform"),
        ("DDIM", "ddim", "ddim_uniform"),
        ("Euler Ancestral Karras", "euler_ancestral", "karras"),
    ],
)
def test_a_schedule_behind_the_name_is_the_scheduler(name: str, sampler: str, scheduler: str) -> None:
    assert sampler_of(name) == SamplerName(sampler, scheduler)
    assert str(sampler_of(name)) == f"{sampler} with {scheduler}"


@pytest.mark.parametrize("name", sorted(COMFYUI_SAMPLERS))
def test_a_name_of_comfyui_is_none_of_the_web_uis(name: str) -> None:
    assert sampler_of(name) is None
    assert no_sampler(name) == ""


@pytest.mark.parametrize(
    "name", ["", "euler_smea_dy", "euler_a", "res_2m", "DPM++ 4M", "DPM++ 2M Karras Karras", "x" * 1000, "plms", "restart"]
)
def test_other_names_are_left_alone(name: str) -> None:
    assert sampler_of(name) is None
    assert no_sampler(name) == ""


@pytest.mark.parametrize(
    ("name", "nearest"), [("PLMS", "ddim"), ("Restart", "dpmpp_2m with the scheduler karras"), ("Restart Karras", "dpmpp_2m")]
)
def test_what_has_no_counterpart_in_comfyui_is_told_with_the_nearest(name: str, nearest: str) -> None:
    assert sampler_of(name) is None
    assert f"the nearest is {nearest}" in no_sampler(name)


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        ("Uniform", "normal"),
        ("Normal", "normal"),
        ("Karras", "karras"),
        ("Exponential", "exponential"),
        ("Polyexponential", "exponential"),
        ("SGM Uniform", "sgm_uniform"),
        ("sgm uniform", "sgm_uniform"),
        ("Simple", "simple"),
        ("DDIM", "ddim_uniform"),
        ("Beta", "beta"),
        ("KL Optimal", "kl_optimal"),
        ("Automatic", ""),
        ("Align Your Steps", ""),
        ("beta57", ""),
    ],
)
def test_each_schedule_type_is_understood(name: str, scheduler: str) -> None:
    assert scheduler_of(name) == scheduler
    assert not scheduler or scheduler in COMFYUI_SCHEDULERS


def test_a_scheduler_of_comfyui_is_no_schedule_type() -> None:
    assert [name for name in COMFYUI_SCHEDULERS if scheduler_of(name) or no_scheduler(name)] == []


def test_a_schedule_without_counterpart_is_told_with_the_nearest() -> None:
    assert no_scheduler("Align Your Steps").startswith("the nearest is karras")
    assert no_scheduler("Karras") == ""


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        *[(name, "karras") for name in ("DPM++ 2M", "DPM++ SDE", "DPM++ 2S a", "DPM2", "DPM2 a")],
        *[(name, "exponential") for name in ("DPM++ 2M SDE", "DPM++ 3M SDE")],
        *[(name, "normal") for name in ("Euler", "Euler a", "LMS", "Heun", "HeunPP2", "DPM fast", "DPM adaptive", "UniPC", "LCM")],
        ("DDIM", "ddim_uniform"),
    ],
)
def test_automatic_is_a_schedule_for_each_sampler(name: str, scheduler: str) -> None:
    found = sampler_of(name)
    assert found is not None
    assert automatic_scheduler(found.name) == scheduler


def test_names_go_back_to_the_web_ui() -> None:
    assert web_ui_sampler("dpmpp_2m_sde_gpu", "sgm_uniform") == ("DPM++ 2M SDE", "SGM Uniform")
    assert web_ui_sampler("euler", "normal") == ("Euler", "Normal")
    assert web_ui_sampler("res_2m", "beta57") == ("res_2m", "beta57")
    for _, sampler in _PAIRS:
        for scheduler in COMFYUI_SCHEDULERS:
            name, schedule = web_ui_sampler(sampler, scheduler)
            assert (sampler_of(name), scheduler_of(schedule)) == (SamplerName(sampler), scheduler)
